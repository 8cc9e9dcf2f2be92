"""A study as a Markdown section, from its entry alone: claim, protocol, tables, conclusion."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from segclf.core.text import counted, plural
from segclf.study.compare.figures import interval_of, number
from segclf.study.goals import cost_line
from segclf.study.science.claims import Claim, verdict
from segclf.study.science.crossed import METRICS
from segclf.study.science.judge import P_METHOD
from segclf.study.science.sentences import (
    ALONE,
    alone_note,
    edge_sentence,
    factor_sentences,
    is_alone,
    pair_sentences,
    trend_sentences,
)
from segclf.study.science.tables import differences, factors, named, table

Row = Mapping[str, Any]
NOT_RUN = "not run"
ADJUSTED = (
    "adjusted together for all comparisons, regimes and levels of one metric in one group (Holm), "
    "each metric and group by itself"
)
NAMED = {
    "counts": ("Cases by label and feature", "where", "cases of the first subset"),
    "settings": ("Settings chosen on validation cases", "where, family of networks", "settings"),
}
"""What an entry lists beside its numbers: heading and columns."""


def section(title: str, entry: Row | None, *, level: int = 2) -> str:
    """The entry as Markdown; what has not run reads so.

    Args:
        title: Of the section.
        entry: Plain data: `about` (the protocol in words), `x_name`, `unit_name`, `regimes` (name
            to words), `claims` (fields of `Claim`), `settings` and `counts` (words to value),
            `search_edges` (family of networks to counts), `curves`, `paired`, `factor`, `trend`
            (rows of judge.py and factor.py), `cells` (rows of the table of cells), `figures`
            (file names). Only `about` has to be there. None has not run.
        level: Of the heading.
    """
    head = "#" * level
    if entry is None:
        return f"{head} {title}\n\nNot run.\n"
    lines = [f"{head} {title}\n", *_claimed(entry), _protocol(entry), ""]
    lines += [f"{head}# Conclusion\n", *_conclusion(entry), ""]
    lines += [f"![{title}]({name})\n" for name in entry.get("figures", ())]
    for regime, words in _regimes(entry).items():
        named = f"{regime}: {words}" if words else regime
        lines += [f"{head}# Regime {named}\n", *_tables(entry, regime)]
    for name, title_of in NAMED.items():
        if own := entry.get(name):
            lines += [f"{head}# {title_of[0]}\n"]
            lines += [*table(title_of[1:], [[key, str(value)] for key, value in own.items()]), ""]
            if name == "settings" and (edge := edge_sentence(entry.get("search_edges", {}))):
                lines += [f"{edge}\n"]
    lines += [*_missing(entry), _cost(entry)]
    return "\n".join(lines) + "\n"


def _claimed(entry: Row) -> Iterator[str]:
    for claim in _claims(entry):
        goal = "" if claim.goal is None else f" Goal: {_goal(claim)}."
        yield f"**Claimed** ({claim.source}, in short): {claim.words}.{goal}\n"


def _goal(claim: Claim) -> str:
    metric = METRICS[claim.metric].name
    if claim.kind == "factor":
        return f"the same {metric} with fewer images, by a factor of at least {claim.goal:g}"
    return f"{metric} higher by at least {claim.goal:g} %, with an interval that excludes 0"


def _claims(entry: Row) -> list[Claim]:
    fields = [{**own, "comparison": tuple(own["comparison"])} for own in entry.get("claims", ())]
    return [Claim(**own) for own in fields]


def _protocol(entry: Row) -> str:
    units = plural(entry.get("unit_name", "patient"))
    text = [entry["about"]]
    if entry.get("curves"):
        seeds = sorted({len(row["seeds"]) for row in entry["curves"] if row["seeds"]})
        n = f"{seeds[0]} to {seeds[-1]} trainings" if len(seeds) > 1 else counted(
            (seeds or [0])[0], "training")  # fmt: skip
        drawn = f"draw {_design(entry)} and {units} anew together"
        if seeds[:1] == [1]:
            drawn = f"are {ALONE}" if len(seeds) == 1 else f"{drawn} (with one, {ALONE})"
        text.append(
            f"Values are means over {n}; 95 % intervals {drawn} and are of one number each."
        )
    text += _p_method(entry)
    return " ".join([*text, "Research use."])


def _design(entry: Row) -> str:
    is_folds = any(not _is_none(cell.get("fold")) for cell in entry.get("cells", ()))
    return "folds" if is_folds else "trainings"


def _p_method(entry: Row) -> Iterator[str]:
    """How p came about in the designs that the rows have."""
    known = [row for row in entry.get("paired", ()) if row["value"] is not None]
    if not all(map(is_alone, known)):
        yield f"p: {P_METHOD[_design(entry)]}; {ADJUSTED}."
    if any(map(is_alone, known)):
        yield f"p with one training: {P_METHOD['one']}."


def _conclusion(entry: Row) -> list[str]:
    """Only from tests; what could not be shown is said as well."""
    texts = []
    for claim in _claims(entry):
        found = verdict(claim, entry)
        texts += [found["text"], *([found["fade"]["text"]] if found["fade"] else [])]
    texts += pair_sentences(entry.get("paired", ()))
    texts += factor_sentences(entry.get("factor", ()), entry.get("x_name", "training images"))
    texts += trend_sentences(entry.get("trend", ()))
    return [f"- {text[:1].upper()}{text[1:]}" for text in texts] or ["Nothing has run."]


def _regimes(entry: Row) -> dict[str, str]:
    rows = [*entry.get("curves", ()), *entry.get("cells", ())]
    return {str(row["regime"]): "" for row in rows} | dict(entry.get("regimes", {}))


def _tables(entry: Row, regime: str) -> list[str]:
    lines = []
    curves = [row for row in entry.get("curves", ()) if row["regime"] == regime]
    cells = [row for row in entry.get("cells", ()) if row["regime"] == regime]
    pairs = [row for row in entry.get("paired", ()) if row["regime"] == regime]
    kinds = list(dict.fromkeys((row["metric"], row["group"]) for row in [*curves, *pairs]))
    for metric, group in kinds or [("auroc", None)]:
        own = [row for row in curves if (row["metric"], row["group"]) == (metric, group)]
        if own or not kinds:
            lines += _means(entry, own, cells, named(metric, group))
        lines += differences(entry, regime, metric, group)
    lines += factors(entry, regime)
    return lines


def _means(entry: Row, curves: Sequence[Row], cells: Sequence[Row], name: str) -> list[str]:
    """Levels down, arms across; a place without a value has its reason or state."""
    rows = [*curves, *cells]
    levels = list(dict.fromkeys(str(row["level"]) for row in rows))
    levels.sort(key=lambda level: _x_of(level, rows))
    arms = list(dict.fromkeys(row["arm"] for row in rows))
    known = {(str(row["level"]), row["arm"]): row for row in curves}
    lines = []
    for level in levels:
        texts = [_mean(known.get((level, arm)), cells, level, arm) for arm in arms]
        lines.append([level, _trained(cells, level), *texts])
    tested = [row for row in curves if row["value"] is not None]
    foot = f"{name}. {_tested(tested)}" if tested else f"{name}: {NOT_RUN}."
    if any(row["n_set_aside"] for row in tested):
        foot += f" At most {max(row['n_set_aside'] for row in tested)} scores were set aside."
    notes = [alone_note([row for row in curves if row["arm"] == arm]) for arm in arms]
    titles = [f"{arm}{note}" for arm, note in zip(arms, notes, strict=True)]
    heads = [entry.get("x_name", "level"), "training cases (positive)", *titles]
    if not any(line[1] for line in lines):
        heads, lines = [heads[0], *heads[2:]], [[line[0], *line[2:]] for line in lines]
    return [*table(heads, lines), foot + "\n"]


def _x_of(level: str, rows: Sequence[Row]) -> float:
    """Levels without a size keep their order."""
    x = next((row["x"] for row in rows if str(row["level"]) == level), None)
    return 0.0 if x is None or x != x else float(x)


def _mean(row: Row | None, cells: Sequence[Row], level: str, arm: str) -> str:
    own = [cell for cell in cells if str(cell["level"]) == level and cell["arm"] == arm]
    n_done = sum(cell["state"] == "done" for cell in own)
    some = f"; {n_done} of {len(own)} trainings" if 0 < n_done < len(own) else ""
    if row is None or row["value"] is None:
        states = dict.fromkeys(cell["state"] for cell in own)
        if row is not None and (n_done or not own):
            return f"undefined: {row['reason']}"
        return " and ".join(states) if states and not n_done else NOT_RUN
    ends = interval_of(row["lo"], row["hi"]) or f" (no interval: {row.get('reason')})"
    return f"{number(row['value'])}{ends}{some}"


def _trained(cells: Sequence[Row], level: str) -> str:
    own = [c for c in cells if str(c["level"]) == level and not _is_none(c.get("n_train"))]
    pairs = {(int(c["n_train"]), int(c["n_train_positive"])) for c in own
             if not _is_none(c.get("n_train_positive"))}  # fmt: skip
    texts = []
    for values in zip(*sorted(pairs), strict=True):
        least, most = min(values), max(values)
        texts.append(str(least) if least == most else f"{least} to {most}")
    return f"{texts[0]} ({texts[1]})" if texts else ""


def _is_none(value: object) -> bool:
    return value is None or value != value


def _tested(rows: Sequence[Row]) -> str:
    texts = []
    for key, word in (("n_cases", "test case"), ("n_positive", "positive"),
                      ("n_negative", "negative")):  # fmt: skip
        own = sorted({row[key] for row in rows})
        many = f"{own[0]} to {own[-1]} {word}s"
        texts.append(counted(own[0], word) if len(own) == 1 else many)
    return f"{texts[0]}: {texts[1]}, {texts[2]}."


def _missing(entry: Row) -> Iterator[str]:
    """How many cells lack, and which."""
    cells = entry.get("cells", ())
    for state, word in ((NOT_RUN, "Not run"), ("failed", "Failed")):
        own = [cell for cell in cells if cell["state"] == state]
        if not own:
            continue
        groups: dict[str, int] = {}
        for cell in own:
            reason = "" if _is_none(cell.get("reason")) else f" ({cell['reason']})"
            name = f"{cell['regime']}, {cell['level']}, {cell['arm']}{reason}"
            groups[name] = groups.get(name, 0) + 1
        named = "; ".join(f"{name}: {n}" for name, n in groups.items())
        yield f"{word}: {len(own)} of {counted(len(cells), 'training')}: {named}.\n"


NOTHING = "Cost: nothing has run."


def _cost(entry: Row) -> str:
    done = [cell for cell in entry.get("cells", ()) if cell["state"] == "done"]
    spent = [None if _is_none(cell.get("cpu_s")) else cell["cpu_s"] for cell in done]
    search = entry.get("search") or {"n": 0, "cpu_s": 0.0}
    tried = f" The search: {counted(search['n'], 'training')}, {search['cpu_s'] / 60:.0f} min."
    return f"Cost: {cost_line(spent)}{tried if search['n'] else ''}" if done else NOTHING
