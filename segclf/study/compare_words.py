"""The conclusion in plain words: sentences made from intervals and tests, and from nothing else."""

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from segclf.core.text import counted

Row = Mapping[str, Any]
LEAN = 0.1
"""Aligned minus robust AUROC above which a ranking is said to follow the shortcut, where no margin
of AUROC was declared."""
BETTER, MISLED = "Which method is better?", "And where the shortcut misleads?"
LEANS, CAUTIONS = "Which rankings follow the shortcut?", "To be kept in mind"
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
            `with_masks` (names of methods that learned from masks), and `leaning` (methods whose
            lean on the shortcut is said; all where it is missing).
    """
    margin = settings.get("margin")
    rows = [row for row in found["differences"] if row["metric"] == "auroc"]
    overall = [row for row in rows if row["group"] == "all"]
    robust = [row for row in rows if row["group"] == "robust"]
    unit, shortcut = settings["unit"], settings["shortcut"]
    sentences = list(_differences(overall, methods, unit))
    misled = list(_differences(robust, methods, unit, shortcut=shortcut))
    judged = {name: methods[name] for name in settings.get("leaning", methods)}
    leans = list(
        shortcut_sentences(
            found["robust"], judged, margin=margin, with_masks=settings["with_masks"]
        )
    )
    nothing = "The reference and another method have to finish before anything can be compared."
    topics = {
        BETTER: sentences or [nothing],
        MISLED: misled,
        LEANS: leans,
        CAUTIONS: list(cautions(overall, settings["n_seeds"], has_leans=bool(leans))),
    }
    return {topic: own for topic, own in topics.items() if own}


def _differences(
    rows: Sequence[Row], methods: Mapping[str, str], unit: str, *, shortcut: str | None = None
) -> Iterator[str]:
    """One sentence per row; cases that are those of the sentence before are not told again."""
    before = None
    for row in rows:
        cases = _cases(row, unit, shortcut)
        told = "On the same cases" if cases == before else cases
        yield difference_sentence(row, methods, unit, shortcut=shortcut, cases=told)
        before = cases


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
    if _is_missing(row["difference"]):
        reason = row["reason"] or "no value"
        return f"{cases}, {first} and {second} cannot be compared in {metric}: {reason}."
    verdict = row["verdict"]
    if verdict in ("better", "worse"):
        sign = 1.0 if verdict == "better" else -1.0
        ends = sorted(sign * row[end] for end in ("lo", "hi"))
        interval = "" if _is_missing(ends[0]) else f"{_n(ends[0])} to {_n(ends[1])}; "
        return (
            f"{cases}, {first} was {verdict} than {second} by {_n(sign * row['difference'])} "
            f"{metric} ({interval}{_p(row)})."
        )
    numbers = f"difference {_n(row['difference'])}"
    if not _is_missing(row["lo"]):
        numbers += f", {_n(row['lo'])} to {_n(row['hi'])}"
    if verdict == "equivalent":
        return (
            f"{cases}, {first} and {second} were equivalent in {metric}: they differ by less than "
            f"the declared margin of {row['margin']:g} ({numbers}; adjusted p of equivalence "
            f"{_p_value(row['p_equivalence_adjusted'])})."
        )
    tail = "" if _is_missing(row["p"]) else f"; {_p(row)}"
    if _is_missing(row["p"]) and row["reason"]:
        tail = f"; {row['reason']}"
    text = f"{cases}, no difference in {metric} between {first} and {second} could be shown"
    text += f" ({numbers}{tail})"
    if not _is_missing(row["margin"]):
        text += f", nor that they differ by less than the declared margin of {row['margin']:g}"
    return text + "."


def _cases(row: Row, unit: str, shortcut: str | None) -> str:
    if shortcut is not None:
        n = f"{int(row['n_positive'])} positive, {int(row['n_negative'])} negative"
        return f"On positives without {shortcut} against negatives with it ({n})"
    n_cases = counted(int(row["n_cases"]), "test case")
    return f"On {n_cases} of {counted(int(row['n_patients']), unit)}"


def shortcut_sentences(
    rows: Sequence[Row],
    methods: Mapping[str, str],
    *,
    margin: float | None,
    with_masks: Sequence[str] = (),
) -> Iterator[str]:
    """Which rankings follow the shortcut, judged by the interval of aligned minus robust AUROC.

    A ranking follows it if the whole interval lies above `margin` (`LEAN` if none was declared).

    Args:
        rows: Of the table `robust`, with the quantities `robust` and `aligned - robust`.
        methods: Name to phrase.
        margin: The declared margin of AUROC.
        with_masks: Methods that learned from masks: following is then relearning.
    """
    limit = LEAN if margin is None else margin
    gaps = {row["method"]: row for row in rows if row["quantity"] == "aligned - robust"}
    for row in (gaps[name] for name in methods if name in gaps):
        name, shortcut = methods[row["method"]], row["shortcut"]
        if _is_missing(row["estimate"]) or _is_missing(row["lo"]):
            reason = row["reason"] or "no interval"
            yield f"Whether the ranking of {name} follows {shortcut} cannot be estimated: {reason}."
            continue
        gap = f"aligned minus robust AUROC {_n(row['estimate'])}"
        gap += f", {_n(row['lo'])} to {_n(row['hi'])}"
        follows = f"follows {shortcut}"
        if row["method"] in with_masks:
            follows = f"relearned {shortcut}, although it learned from masks"
        if row["lo"] > limit:
            yield f"The ranking of {name} {follows} ({gap}: all above {limit:g})."
        elif row["lo"] > 0:
            yield (
                f"The ranking of {name} leans on {shortcut} ({gap}: above 0, but not all above "
                f"{limit:g})."
            )
        elif row["hi"] < 0:
            yield f"The ranking of {name} leans against {shortcut} ({gap}: below 0)."
        else:
            excluded = f"; a lean of {limit:g} is excluded" if row["hi"] < limit else ""
            yield f"That the ranking of {name} leans on {shortcut} could not be shown ({gap})" + (
                f"{excluded}."
            )


def cautions(rows: Sequence[Row], n_seeds: int, *, has_leans: bool) -> Iterator[str]:
    """What has to be known to read the sentences before."""
    n_tests = sum(not _is_missing(row["p"]) for row in rows)
    if n_tests:
        yield (
            f"Adjusted p values pay for {counted(n_tests, 'comparison')} with the reference "
            "(Holm); intervals are of one comparison each and are not adjusted."
        )
    if n_seeds == 1:
        yield (
            "Every method was trained once: how much another training of the same method would "
            "differ is not known, and intervals do not include it."
        )
    elif rows:
        yield (
            f"Values are means over {n_seeds} trainings; intervals of differences resample "
            "patients and trainings together."
        )
    if has_leans:
        yield (
            "Aligned AUROC is that of positives with the shortcut against negatives without it, "
            "robust AUROC the reverse. Intervals of their difference are by patient, for the "
            "trainings that were made, and are not adjusted for the number of methods."
        )


def phrase(name: str, family: str) -> str:
    """How a sentence names a method."""
    if family == "rule":
        return f"segmentation with {name}"
    if family == "trained":
        return f"segmentation with the trained summarizer {name}"
    return name


def _n(value: float) -> str:
    return f"{value:.3f}"


def _p(row: Row) -> str:
    if _is_missing(row["p_adjusted"]):
        return f"p {_p_value(row['p'])}"
    return f"adjusted p {_p_value(row['p_adjusted'])}"


def _p_value(value: float) -> str:
    return "< 0.001" if value < 0.0005 else f"{value:.3f}"


def _is_missing(value: object) -> bool:
    return value is None or (isinstance(value, float) and math.isnan(value))
