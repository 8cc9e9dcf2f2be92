"""The conclusion in plain words: sentences made from intervals and tests, and from nothing else."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from segclf.core.text import counted
from segclf.study.compare.figures import is_missing, number, p_text, p_value

Row = Mapping[str, Any]
FEW = 6
"""Comparisons that each have a sentence; where there are more, those that ended alike share one."""
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
            `with_masks` (names of methods that learned from masks), `leaning` (methods whose
            lean on the shortcut is said; all where it is missing), and `declared` (the declared
            reference, where it may not be the finding's).
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
    topics = {
        BETTER: [*_reference(found, methods, settings), *(sentences or [_nothing(found, methods)])],
        MISLED: misled,
        LEANS: leans,
        CAUTIONS: list(cautions(overall, settings["n_seeds"], has_leans=bool(leans))),
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
    rows: Sequence[Row], methods: Mapping[str, str], unit: str, *, shortcut: str | None = None
) -> Iterator[str]:
    """One sentence per row, or per verdict where there are many.

    Cases that are those of the sentence before are not told again.
    """
    before = None
    for group in _alike(rows, lambda row: (_cases(row, unit, shortcut), _kind(row))):
        cases = _cases(group[0], unit, shortcut)
        told = "On the same cases" if cases == before else cases
        if len(group) == 1:
            yield difference_sentence(group[0], methods, unit, shortcut=shortcut, cases=told)
        else:
            yield _many(group, methods, told, shortcut)
        before = cases


def _alike(rows: Sequence[Row], key: Callable[[Row], object]) -> list[list[Row]]:
    """Each row alone, or up to `FEW`; where there are more, rows of one key together."""
    if len(rows) <= FEW:
        return [[row] for row in rows]
    groups: dict[object, list[Row]] = {}
    for row in rows:
        groups.setdefault(key(row), []).append(row)
    return list(groups.values())


def _kind(row: Row) -> object:
    """What rows of one sentence agree in; a row that cannot be compared stands alone."""
    return row["first"] if is_missing(row["difference"]) else row["verdict"]


def _many(rows: Sequence[Row], methods: Mapping[str, str], cases: str, shortcut: str | None) -> str:
    """One sentence of several comparisons that ended alike."""
    first = rows[0]
    metric = NAMES[first["metric"]] if shortcut is None else "robust AUROC"
    reference, verdict = methods[first["second"]], first["verdict"]
    listed = "; ".join(f"{methods[row['first']]} {_numbers(row)}" for row in rows)
    n_methods = counted(len(rows), "method")
    if verdict in ("better", "worse"):
        return f"{cases}, {n_methods} were {verdict} than {reference} in {metric}: {listed}."
    if verdict == "equivalent":
        return (
            f"{cases}, {n_methods} were equivalent to {reference} in {metric}, within the declared "
            f"margin of {first['margin']:g}: {listed}."
        )
    return (
        f"{cases}, no difference in {metric} from {reference} could be shown for {n_methods}: "
        f"{listed}."
    )


def _numbers(row: Row) -> str:
    """The difference with its interval and adjusted p value, in brackets."""
    text = number(row["difference"])
    if not is_missing(row["lo"]):
        text += f", {number(row['lo'])} to {number(row['hi'])}"
    return f"({text})" if is_missing(row["p"]) else f"({text}; {p_text(row)})"


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
        ends = sorted(sign * row[end] for end in ("lo", "hi"))
        interval = "" if is_missing(ends[0]) else f"{number(ends[0])} to {number(ends[1])}; "
        return (
            f"{cases}, {first} was {verdict} than {second} by {number(sign * row['difference'])} "
            f"{metric} ({interval}{p_text(row)})."
        )
    numbers = f"difference {number(row['difference'])}"
    if not is_missing(row["lo"]):
        numbers += f", {number(row['lo'])} to {number(row['hi'])}"
    if verdict == "equivalent":
        return (
            f"{cases}, {first} and {second} were equivalent in {metric}: they differ by less than "
            f"the declared margin of {row['margin']:g} ({numbers}; adjusted p of equivalence "
            f"{p_value(row['p_equivalence_adjusted'])})."
        )
    tail = "" if is_missing(row["p"]) else f"; {p_text(row)}"
    if is_missing(row["p"]) and row["reason"]:
        tail = f"; {row['reason']}"
    text = f"{cases}, no difference in {metric} between {first} and {second} could be shown"
    text += f" ({numbers}{tail})"
    if not is_missing(row["margin"]):
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
    judged = [gaps[name] for name in methods if name in gaps]

    def said(row: Row) -> tuple[str, str, str, str]:
        return _lean(row, limit, with_masks)

    for group in _alike(judged, lambda row: (said(row), "" if _gap(row) else row["method"])):
        begins, verb, bound, tail = said(group[0])
        if len(group) == 1:
            inside = ": ".join(part for part in (_gap(group[0]), bound) if part)
            inside = f" ({inside})" if inside else ""
            yield f"{begins} of {methods[group[0]['method']]} {verb}{inside}{tail}."
            continue
        listed = "; ".join(f"{methods[row['method']]} ({_gap(row)})" for row in group)
        inside = f" ({bound})" if bound else ""
        yield (
            f"{begins}s of {counted(len(group), 'method')} {_as_plural(verb)}{inside}{tail}: "
            f"{listed}."
        )


def _lean(row: Row, limit: float, with_masks: Sequence[str]) -> tuple[str, str, str, str]:
    """How a sentence on the shortcut begins, what it says, of which bound, and how it ends."""
    shortcut = row["shortcut"]
    if not _gap(row):
        reason = row["reason"] or "no interval"
        verb = f"follows {shortcut} cannot be estimated: {reason}"
        return "Whether the ranking", verb, "", ""
    if row["lo"] > limit:
        relearned = f"relearned {shortcut}, although it learned from masks"
        follows = relearned if row["method"] in with_masks else f"follows {shortcut}"
        return "The ranking", follows, f"all above {limit:g}", ""
    if row["lo"] > 0:
        bound = f"above 0, but not all above {limit:g}"
        return "The ranking", f"leans on {shortcut}", bound, ""
    if row["hi"] < 0:
        return "The ranking", f"leans against {shortcut}", "below 0", ""
    excluded = f"; a lean of {limit:g} is excluded" if row["hi"] < limit else ""
    return "That the ranking", f"leans on {shortcut} could not be shown", "", excluded


def _as_plural(verb: str) -> str:
    for one, several in (
        ("leans ", "lean "),
        ("follows ", "follow "),
        ("it learned", "they learned"),
    ):
        verb = verb.replace(one, several)
    return verb


def _gap(row: Row) -> str:
    """Aligned minus robust AUROC with its interval; nothing if it is missing."""
    if is_missing(row["estimate"]) or is_missing(row["lo"]):
        return ""
    gap = f"aligned minus robust AUROC {number(row['estimate'])}"
    return f"{gap}, {number(row['lo'])} to {number(row['hi'])}"


def cautions(rows: Sequence[Row], n_seeds: int, *, has_leans: bool) -> Iterator[str]:
    """What has to be known to read the sentences before."""
    n_tests = sum(not is_missing(row["p"]) for row in rows)
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
