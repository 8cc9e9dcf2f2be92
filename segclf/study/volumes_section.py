"""What came of the studies on volumes, as Markdown."""

from typing import Any

Entry = dict[str, Any]
LEAST_DICE = 0.2
"""Below it a network has hardly learned to segment."""
CT_ABOUT = (
    "The same 75 volumes and the five folds of ct_ich_folds.csv. `3D` is a 3D network on patches; "
    "`slices` is a 2D network on all slices, labels of slices from the masks, and the statistics "
    "of the slices of a volume stacked ([volumes.md](volumes.md)). Scores are per volume, which is "
    "per patient; AUROC is computed per fold and averaged, intervals (95 %) are by patient, the "
    "difference is paired. Voxel spacing is nominal, so no mL are given."
)
HIPPOCAMPUS_ABOUT = (
    "44 MR crops, masks of two parts, no clinical label, hence no AUROC. Out of fold. Volumes are "
    "of voxels with p > 0.5, against the drawn ones; bias is the mean of predicted - drawn, limits "
    "of agreement are bias -/+ 1.96 standard deviations."
)


def ct_section(title: str, entry: Entry | None) -> str:
    """The entry of the comparison on CT; what has not run reads so."""
    if entry is None:
        return f"## {title}\n\n{CT_ABOUT}\n\nNot run.\n"
    changed = "; ".join(
        f"{name}: `{'`, `'.join(texts)}`" for name, texts in entry["overrides"].items() if texts
    )
    lines = [
        f"## {title}\n",
        f"{CT_ABOUT} {_folds(entry)} {_cost(entry)} Beside the recipes: {changed}.\n",
        "| rule | 3D: AUROC (95 %) | slices: AUROC (95 %) | difference (95 %) | p, by Holm |",
        "|---|---|---|---|---|",
    ]
    for rule, row in entry["rules"].items():
        pair = row["difference"]
        sign = 1 if pair["first"] == "3D" else -1
        ends = [pair[key] for key in ("difference", "lo", "hi")]
        if None not in ends:
            value, *limits = (sign * end for end in ends)
            text = f"{value:+.3f} ({min(limits):+.3f} to {max(limits):+.3f})"
        else:
            text = pair["reason"] or "undefined"
        p = "" if row["p_adjusted"] is None else f"{row['p_adjusted']:.3f}"
        lines.append(f"| {rule} | {_value(row['3D'])} | {_value(row['slices'])} | {text} | {p} |")
    first = next(iter(entry["rules"].values()))["3D"]
    lines.append(
        f"\n{first['n_cases']} volumes: {first['n_positive_patients']} positive and "
        f"{first['n_negative_patients']} negative patients. The difference is 3D minus slices.\n"
    )
    lines += ["| network | Dice on positives (95 %) | positive volumes |", "|---|---|---|"]
    for name, findings in entry["dice"].items():
        for row in findings.values():
            lines.append(f"| {name} | {_value(row)} | {row['n_positive']} |")
    overlaps = [row["estimate"] for own in entry["dice"].values() for row in own.values()]
    if all(overlap is None or overlap < LEAST_DICE for overlap in overlaps):
        lines.append(
            f"\nThe masks of both networks hardly agree with the drawn ones (Dice below "
            f"{LEAST_DICE:g}): with this budget the comparison says little of the two ways."
        )
    return "\n".join(lines) + "\n"


def hippocampus_section(title: str, entry: Entry | None) -> str:
    """The entry of the hippocampus; what has not run reads so."""
    if entry is None:
        return f"## {title}\n\n{HIPPOCAMPUS_ABOUT}\n\nNot run.\n"
    lines = [
        f"## {title}\n",
        f"{HIPPOCAMPUS_ABOUT} {_folds(entry)} {_cost(entry)}\n",
        "| finding | volumes | Dice (95 %) | drawn, mean (mL) | bias (95 %) (mL) | limits of "
        "agreement (mL) |",
        "|---|---|---|---|---|---|",
    ]
    for finding, row in entry["ml"].items():
        own = [row[key] for key in ("mean", "bias", "lo", "hi", "lower", "upper")]
        cells = ["", "", ""]
        if None not in own:
            mean, bias, lo, hi, lower, upper = own
            cells = [f"{mean:.2f}", f"{bias:+.2f} ({lo:+.2f} to {hi:+.2f})",
                     f"{lower:+.2f} to {upper:+.2f}"]  # fmt: skip
        dice = _value(entry["dice"][finding])
        lines.append(f"| {finding} | {row['n']} | {dice} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def _value(row: Entry) -> str:
    if row["estimate"] is None:
        return str(row.get("reason") or "undefined")
    if row["lo"] is None:
        return f"{row['estimate']:.3f}"
    return f"{row['estimate']:.3f} ({row['lo']:.3f} to {row['hi']:.3f})"


def _folds(entry: Entry) -> str:
    n = entry["n_folds"]
    return "All five folds." if n == 5 else f"So far {n} of five folds."


def _cost(entry: Entry) -> str:
    known = {name: [s for s in own if s is not None] for name, own in entry["cpu_s"].items()}
    steps = entry["steps"]
    texts = [
        f"{name} {sum(own) / len(own) / 60:.1f} CPU-minutes per fold"
        + (f" ({steps[name]} steps)" if isinstance(steps, dict) else f" ({steps} steps)")
        for name, own in known.items()
        if own
    ]
    return f"Training: {', '.join(texts)}." if texts else ""
