"""The conclusion in plain words: sentences made from intervals and tests, and from nothing else."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from segclf.core.text import counted
from segclf.study.compare.cautions import cautions, known_first
from segclf.study.compare.figures import alike, is_missing, number, p_text, p_value, span_of
from segclf.study.compare.leans import shortcut_sentences

Row = Mapping[str, Any]
BETTER, MISLED = "Which method is better?", "And where the shortcut misleads?"
LEANS, CAUTIONS = "Which rankings follow the shortcut?", "To be kept in mind"
FIRST = "To be known first"
NAMES = {
    "auroc": "AUROC",
    "average_precision": "average precision",
    "sensitivity": "sensitivity",
    "specificity": "specificity",
}


def conclusion(found: Row, methods: Mapping[str, str], settings: Row) -> dict[str, list[str]]:
    """What the tests of one finding show, and what they do not: topic to sentences.

    Args:
        found: `finding`, `reference`, `differences` and `robust`, rows as in the result.
        methods: Name to phrase, of every method that has numbers.
        settings: `unit`, `n_seeds`, `margin` (of AUROC, None if none was declared), `shortcut`,
            `with_masks` (names of methods that learned from masks), `leaning` (methods whose
            lean on the shortcut is said; all where it is missing), `declared` (the declared
            reference, where it may not be the finding's), `health` (name to what `health` found),
            and `short` (name to what a list calls it; the phrase where it is missing).
    """
    margin = settings.get("margin")
    rows = [row for row in found["differences"] if row["metric"] == "auroc"]
    overall = [row for row in rows if row["group"] == "all"]
    robust = [row for row in rows if row["group"] == "robust"]
    shortcut, short = settings["shortcut"], settings.get("short", methods)
    sentences = list(_differences(overall, methods, settings))
    misled = list(_differences(robust, methods, settings, shortcut=shortcut))
    judged = {name: methods[name] for name in settings.get("leaning", methods)}
    leans = list(
        shortcut_sentences(
            found["robust"],
            judged,
            short=short,
            margin=margin,
            with_masks=settings["with_masks"],
        )
    )
    health = {name: own for name, own in settings.get("health", {}).items() if name in methods}
    topics = {
        FIRST: list(known_first(health)),
        BETTER: [*_reference(found, methods, settings), *(sentences or [_nothing(found, methods)])],
        MISLED: misled,
        LEANS: leans,
        CAUTIONS: list(
            cautions(
                overall,
                settings["n_seeds"],
                has_leans=bool(leans),
                rows=found.get("rows", ()),
                health=health,
            )
        ),
    }
    return {topic: own for topic, own in topics.items() if own}


def _reference(found: Row, methods: Mapping[str, str], settings: Row) -> Iterator[str]:
    """What is compared with another reference than the declared one, and why."""
    declared = settings.get("declared", found["reference"])
    if declared != found["reference"]:
        yield (
            f"The declared reference, {methods[declared]}, {found['unscored'][declared]}: here the "
            f"others are compared with {methods[found['reference']]}."
        )


def _nothing(found: Row, methods: Mapping[str, str]) -> str:
    """Why there is no difference."""
    reference, others = found["reference"], found.get("unscored", {})
    if reference in methods and len(methods) == 1 + len(others) > 1:
        return f"No method but {methods[reference]} scores {found['finding']}, so none is compared."
    return "The reference and another method have to finish before anything can be compared."


def _differences(
    rows: Sequence[Row],
    methods: Mapping[str, str],
    settings: Row,
    *,
    shortcut: str | None = None,
) -> Iterator[str]:
    """One sentence per row, or per verdict where there are many.

    Cases that are those of the sentence before are not told again.
    """
    unit, before = settings["unit"], None
    for group in alike(rows, lambda row: (_cases(row, unit, shortcut), _kind(row))):
        cases = _cases(group[0], unit, shortcut)
        told = "On the same cases" if cases == before else cases
        if len(group) == 1:
            yield difference_sentence(group[0], methods, unit, shortcut=shortcut, cases=told)
        else:
            yield _many(group, methods, settings.get("short", methods), told, shortcut)
        before = cases


def _kind(row: Row) -> object:
    """What rows of one sentence agree in; a row that cannot be compared stands alone."""
    return row["first"] if is_missing(row["difference"]) else row["verdict"]


def _many(
    rows: Sequence[Row],
    methods: Mapping[str, str],
    short: Mapping[str, str],
    cases: str,
    shortcut: str | None,
) -> str:
    """One sentence of several comparisons that ended alike: how many, how far, and which.

    Intervals and p values of each are in the table of differences.
    """
    first = rows[0]
    metric = NAMES[first["metric"]] if shortcut is None else "robust AUROC"
    reference, verdict = methods[first["second"]], first["verdict"]
    named = {short[row["first"]]: row["difference"] for row in rows}
    differences = f"differences from {span_of(named)}"
    listed, n_methods = ", ".join(named), counted(len(rows), "method")
    if verdict in ("better", "worse"):
        return (
            f"{cases}, {n_methods} were {verdict} than {reference} in {metric} ({differences}): "
            f"{listed}."
        )
    if verdict == "equivalent":
        return (
            f"{cases}, {n_methods} were equivalent to {reference} in {metric}, within "
            f"{_margin(first)} ({differences}): {listed}."
        )
    return (
        f"{cases}, no difference in {metric} from {reference} could be shown for {n_methods} "
        f"({differences}): {listed}."
    )


def difference_sentence(
    row: Row,
    methods: Mapping[str, str],
    unit: str,
    *,
    shortcut: str | None = None,
    cases: str | None = None,
) -> str:
    """One comparison with the reference: what its test shows.

    Args:
        row: A comparison, first minus second, with its `verdict` from the adjusted p values.
        methods: Name to phrase.
        unit: The word for a patient.
        shortcut: The feature, where the row is of robust AUROC.
        cases: How the sentence begins; None counts the cases.
    """
    first, second = methods[row["first"]], methods[row["second"]]
    metric = NAMES[row["metric"]] if shortcut is None else "robust AUROC"
    cases = cases or _cases(row, unit, shortcut)
    if is_missing(row["difference"]):
        reason = row["reason"] or "no value"
        return f"{cases}, {first} and {second} cannot be compared in {metric}: {reason}."
    verdict = row["verdict"]
    if verdict in ("better", "worse"):
        sign = 1.0 if verdict == "better" else -1.0
        ends = [] if is_missing(row["lo"]) else sorted(sign * row[end] for end in ("lo", "hi"))
        interval = " to ".join(map(number, ends)) + ("; " if ends else "")
        return (
            f"{cases}, {first} was {verdict} than {second} by {number(sign * row['difference'])} "
            f"{metric} ({interval}{p_text(row)})."
        )
    numbers = f"difference {number(row['difference'])}"
    if not is_missing(row["lo"]):
        numbers += f", {number(row['lo'])} to {number(row['hi'])}"
    elif not is_missing(row["p"]) and row["reason"]:
        numbers += f", {row['reason']}"
    if verdict == "equivalent":
        return (
            f"{cases}, {first} and {second} were equivalent in {metric}: they differ by less than "
            f"{_margin(row)} ({numbers}; adjusted p of equivalence "
            f"{p_value(row['p_equivalence_adjusted'])})."
        )
    tail = "" if is_missing(row["p"]) else f"; {p_text(row)}"
    if is_missing(row["p"]) and row["reason"]:
        tail = f"; {row['reason']}"
    text = f"{cases}, no difference in {metric} between {first} and {second} could be shown"
    text += f" ({numbers}{tail})"
    if not is_missing(row["margin"]):
        text += f", nor that they differ by less than {_margin(row)}"
    return text + "."


def _margin(row: Row) -> str:
    """The margin, and whether it was declared before there were results."""
    if row.get("margin_is_late"):
        return f"a margin of {row['margin']:g} that was set after there were results"
    return f"the declared margin of {row['margin']:g}"


def _cases(row: Row, unit: str, shortcut: str | None) -> str:
    if shortcut is not None:
        n = f"{int(row['n_positive'])} positive, {int(row['n_negative'])} negative"
        return f"On positives without {shortcut} against negatives with it ({n})"
    n_cases = counted(int(row["n_cases"]), "test case")
    return f"On {n_cases} of {counted(int(row['n_patients']), unit)}"
