"""What came of training with few masks, as Markdown."""

from segclf.study.goals import cost_line
from segclf.study.semi_proof import (
    FEW,
    FULL,
    LEAST_FULL,
    MOST_FEW,
    SHARE,
    Entry,
    FewMasks,
)


def semi_section(study: FewMasks, title: str, entry: Entry | None) -> str:
    """The entry as Markdown; what has not run reads so."""
    if entry is None:
        return f"## {title}\n\nNot run.\n"
    n_test = entry.get("n_test")
    tested = f"; {n_test['cases']} test cases of {n_test['patients']} patients" if n_test else ""
    drawn = "patients" if study.config else "subsets and patients together"
    lines = [
        f"## {title}\n",
        f"{study.about} {entry['n_subsets']} subsets of whole patients with {100 * SHARE:g} % of "
        f"the masks of training and validation cases; all labels are known{tested}. "
        f"Settings: `{'`, `'.join(entry['overrides'])}`. Share of the gap closed: (m - b) / "
        f"(full - b), with {drawn} resampled; the order is a finding.\n",
    ]
    if study.has_regime:
        lines.append(
            f"Regime, stated before the results: AUROC with all masks at least {LEAST_FULL:g}, "
            f"with few at most {MOST_FEW:g}: {_regime(entry.get('regime'))}.\n"
        )
    lines += [
        "| method | subsets | AUROC (range) | more than few masks (95 %) | share of the gap closed "
        "(95 %) | helps |",
        "|---|---|---|---|---|---|",
    ]
    lines += [_line(name, row) for name, row in entry["rows"].items()]
    lines += ["", "| with labels minus without | AUROC (95 %) |", "|---|---|"]
    for name, row in entry["boosted"].items():
        text = row["reason"] if row["value"] is None else _value(row, "+.3f")
        lines.append(f"| {name} | {text} |")
    failed = {key: one for key, one in entry["cells"].items() if one["state"] == "failed"}
    reasons = "; ".join(f"{key}: {one['reason']}" for key, one in failed.items())
    spent = [one.get("cpu_s") for key, one in entry["cells"].items() if key not in failed]
    lines.append(f"\n{cost_line(spent)} Failed: {reasons or 'none'}.")
    return "\n".join(lines) + "\n"


def _line(name: str, row: Entry) -> str:
    if row["auroc"] is None:
        return f"| {name} | 0 | {row['reason']} | | | |"
    own = f"{row['auroc']:.3f} ({row['lowest']:.3f} to {row['highest']:.3f})"
    if name in (FEW, FULL):
        return f"| {name} | {row['n_subsets']} | {own} | | | |"
    share = row["share"]
    text = _value(share, ".2f") if share else "undefined"
    text += f": {row['reason']}" if row.get("reason") else ""
    lo, hi = row["gain"]["lo"], row["gain"]["hi"]
    helps = "yes" if lo > 0 else "harms" if hi < 0 else "not shown"
    gain = _value(row["gain"], "+.3f")
    return f"| {name} | {row['n_subsets']} | {own} | {gain} | {text} | {helps} |"


def _value(row: Entry, how: str) -> str:
    if row.get("lo") is None:
        return format(row["value"], how)
    return f"{row['value']:{how}} ({row['lo']:{how}} to {row['hi']:{how}})"


def _regime(found: Entry | None) -> str:
    if not found or found["is_met"] is None:
        return "not run"
    state = "met" if found["is_met"] else "not met"
    return f"{state} ({found['full']:.3f} and {found['few']:.3f})"
