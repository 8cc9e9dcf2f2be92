"""Is segmentation likely to pay here? Reasons for and against, and what cannot be known."""

from collections.abc import Sequence
from typing import Any

from segclf.core.text import counted, plural
from segclf.study.advise.association import ALPHA

SMALL, LARGE = 1.0, 5.0
"""Area in % of the image below which a target is called small, and above which large."""
FEW_POSITIVES = 200
"""Fewer positive patients than this are called few."""
LOW_PREVALENCE = 0.1
RARE_GROUP = 20
"""Fewer positive patients than this make a group hard to learn and to judge."""
LIKELY, OPEN, UNLIKELY, UNKNOWN = "likely", "open", "unlikely", "unknown"
Row = dict[str, Any]


def expected_by_theory(finding: Row) -> Row:
    """What pixel labels and image labels can separate at this area; None without areas.

    `at_most` is the largest share of the separation of a pixel label (Kullback-Leibler divergence
    per pixel, target against background) that an image label can have where the background looks
    alike in both classes: the area share itself, by convexity. For small areas that single
    pixels hardly show, the separation of the image label falls with the square of the area.
    `background_of_positives` is the share of background pixels that lie in positive images, where
    masks teach that they are background.

    Args:
        finding: An entry of `describe`.

    Source:
        Our derivation, docs/science.md; Hooper et al., NeurIPS 2023, analyse the same question.
    """
    area, share = finding["area_percent"], finding["prevalence"]["value"]
    if not area["n"] or share is None:
        reason = area.get("reason") or finding["prevalence"]["reason"]
        return {"at_most": None, "background_of_positives": None, "reason": reason}
    alpha = area["median"] / 100
    inside = share * (1 - alpha)
    return {
        "area_median": alpha,
        "at_most": alpha,
        "at_most_q05": area["q05"] / 100,
        "at_most_q95": area["q95"] / 100,
        "background_of_positives": inside / (inside + 1 - share) if inside or share < 1 else None,
    }


def judge(
    name: str,
    finding: Row,
    groups: Sequence[Row],
    tests: Sequence[Row],
    run: Row | None,
    *,
    unit: str = "patient",
    class_valued: bool = False,
) -> Row:
    """Whether segmentation is likely to pay for a finding, and why.

    Small targets speak for it (the theory), and so do few positives, a low prevalence, rare
    groups and possible shortcuts (what the paper reports). Large targets speak against it. A
    difference to a classifier that was measured on validation cases outweighs both. Our cut
    points are stated in each reason; they are no result of the paper.

    Args:
        name: Of the finding.
        finding: Its entry of `describe`.
        groups: Of `group_sizes`.
        tests: Of `associations`.
        run: Of `run_numbers` for this finding, if a run was trained.
        unit: The word for what `patient_id` identifies.
        class_valued: The mask outlines a lesion of any class; images without a lesion may be
            there as well.
    """
    area = finding["area_percent"]
    reasons = [*_of_counts(finding, unit), *_of_groups(name, groups, unit)]
    reasons += _of_tests(name, tests)
    against: list[str] = []
    median = area.get("median")
    if median is None:
        answer = UNKNOWN
        against.append(f"the area of the target is not known: {area['reason']}")
    elif median < SMALL:
        answer = LIKELY
        reasons.insert(0, f"the target is small: median {median:.2g} % of the image (< {SMALL:g})")
    elif median >= LARGE:
        answer = OPEN if reasons else UNLIKELY
        against.append(
            f"the target is large: median {median:.2g} % of the image (at least {LARGE:g}), so an "
            "image label already says much about it"
        )
    else:
        answer = LIKELY if reasons else OPEN
        against.append(f"the target is of middle size: median {median:.2g} % of the image")
    if class_valued:
        against.append(
            "masks outline lesions of every class and carry their class (mask_class): they say "
            "where to look, but do not make the classes easier to tell apart"
        )
        answer = OPEN if answer == LIKELY else answer
    if not finding["n_positive"]:
        answer = UNKNOWN
        is_labelled = finding["n_negative"] > 0
        against.append(f"no {'case is known to be positive' if is_labelled else 'label is known'}")
    measured = (run or {}).get("difference")
    if measured is not None:
        answer = _outweighed(answer, measured, reasons, against)
    return {
        "answer": answer,
        "because": reasons,
        "against": against,
        "lacks": _lacks(finding) if answer == UNKNOWN else None,
        "cannot_know": CANNOT_KNOW,
    }


CANNOT_KNOW = (
    "whether the target can be seen and outlined at all, and how far two readers would agree",
    "whether the drawn masks stand for those that are not drawn yet",
    "shortcuts that no column of the table names, and labels that are wrong",
    "how images of another hospital, scanner or year look",
    "that a column without a significant association is harmless: small data sets hide large ones",
)


def _lacks(finding: Row) -> str:
    """What has to be there before anything can be said: `labels`, `positives` or `masks`."""
    if finding["n_positive"]:
        return "masks"
    return "positives" if finding["n_negative"] else "labels"


def _of_counts(finding: Row, unit: str) -> list[str]:
    """Cases of one patient are alike, so the patients are what is few or many."""
    found = []
    n, n_cases = finding["n_positive_patients"], finding["n_positive"]
    if 0 < n < FEW_POSITIVES:
        cases = "" if n == n_cases else f", with {counted(n_cases, 'positive case')}"
        found.append(
            f"there are few positives: {counted(n, f'positive {unit}')} (< {FEW_POSITIVES}){cases}"
        )
    share = finding["prevalence"]["value"]
    if share is not None and share < LOW_PREVALENCE:
        found.append(f"positives are rare: {100 * share:.2g} % (< {100 * LOW_PREVALENCE:g} %)")
    return found


def _of_groups(name: str, groups: Sequence[Row], unit: str) -> list[str]:
    rare = [
        row
        for row in groups
        if row["role"] in ("patient", "acquisition")
        and 0 < row["findings"][name]["n_positive_patients"] < RARE_GROUP
    ]
    if not rare:
        return []
    least = min(rare, key=lambda row: row["findings"][name]["n_positive_patients"])
    n = counted(least["findings"][name]["n_positive_patients"], f"positive {unit}")
    return [
        f"{counted(len(rare), 'group')} of a patient or acquisition column "
        f"{'has' if len(rare) == 1 else 'have'} fewer than {RARE_GROUP} positive {plural(unit)} "
        f"(fewest: {least['column']} = {least['group']}, {n})"
    ]


def _of_tests(name: str, tests: Sequence[Row]) -> list[str]:
    hits = [row for row in tests if row["finding"] == name and is_shortcut(row)]
    hits.sort(key=lambda row: row["p_adjusted"])
    return [
        f"{row['column']} goes along with the label ({row['effect_name']} {row['effect']:.2f}, "
        f"adjusted p {p_text(row['p_adjusted'])}): a possible shortcut"
        for row in hits
    ]


def is_shortcut(row: Row) -> bool:
    """Whether a column was found to go along with the label."""
    return row["p_adjusted"] is not None and row["p_adjusted"] < ALPHA


def p_text(p: float) -> str:
    """A p value of three digits; one that rounds to 0 says below what it is."""
    return "< 0.001" if p < 0.0005 else f"{p:.3f}"


def _outweighed(answer: str, measured: Row, reasons: list[str], against: list[str]) -> str:
    text = (
        f"on validation cases the AUROC of the segmenter minus that of {measured['than']} is "
        f"{measured['value']:+.3f} ({measured['lo']:+.3f} to {measured['hi']:+.3f})"
    )
    if measured["lo"] > 0:
        reasons.insert(0, text)
        return LIKELY
    against.insert(0, text)
    if measured["hi"] < 0:
        return UNLIKELY
    return OPEN if answer == LIKELY else answer
