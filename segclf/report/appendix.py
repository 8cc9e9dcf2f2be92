"""Where the page answers which item of three reporting guidelines, built from what it shows."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from segclf.report.blocks import Section

Place = tuple[str, str]
"""Anchor and words of a link."""


@dataclass(frozen=True)
class Item:
    """One item of a guideline in our words."""

    number: str
    asks: str
    topics: tuple[str, ...]
    """Sections that say something to it; none if no page of ours can."""
    scope: str = ""
    """What the sections leave open."""


@dataclass(frozen=True)
class Answer:
    """An item and the places that say something to it; none is `not answered by this page`."""

    number: str
    asks: str
    places: Sequence[Place]
    scope: str


GUIDELINES: Mapping[str, Sequence[Item]] = {
    "STARD-AI (Nat Med 2025;31:3283)": (
        Item("15c", "cut-offs of the index test; prespecified or exploratory",
             ("thresholds", "prespecified", "exploratory")),
        Item("18", "how accuracy is estimated and compared", ("intervals", "comparisons")),
        Item("19", "how indeterminate results were handled", ("ledger",),
             "cases without a decision; the reference standard is not described"),
        Item("20", "how missing data were handled", ("ledger",)),
        Item("21", "analyses of variability; prespecified or exploratory",
             ("heterogeneity", "pairs", "spread", "prespecified")),
        Item("22", "intended sample size and its reasons", (),),
        Item("23", "analysis of errors, and of differences between groups",
             ("worst", "groups", "shortcut", "errors")),
        Item("25", "characteristics of training, validation and test sets", ("counts",),
             "numbers of cases, patients and positives only"),
        Item("26a", "severity among those with the target condition", ("severity", "size"),
             "only the columns that were chosen"),
        Item("28", "whether the data represent the intended use", ("deployed",),
             "numbers at the stated prevalence only"),
        Item("30", "cross-tabulation of test results and reference standard",
             ("crosstab", "group curves")),
        Item("31", "accuracy with its precision", ("estimates", "groups")),
        Item("35", "ethics, and issues of fairness, of using the test", ()),
    ),
    "TRIPOD+AI (BMJ 2024;385:e078378)": (
        Item("14", "approaches to fairness and their rationale", ("groups", "worst"),
             "differences are measured; nothing is said of how they were addressed"),
        Item("20c", "evaluation data against development data", ("counts",),
             "numbers per split only"),
        Item("21", "participants and events in each analysis", ("estimates", "groups", "counts")),
        Item("23a", "performance with intervals, also of key subgroups; plots",
             ("estimates", "groups", "curves", "group curves")),
        Item("23b", "heterogeneity of performance across clusters", ("heterogeneity", "worst")),
        Item("25", "interpretation, with issues of fairness", ()),
        Item("26", "limitations", ("alarms", "ledger"),
             "what was left out and what intervals assume; the rest is for the authors"),
    ),
    "CLAIM (Radiol Artif Intell 2020;2:e200029)": (
        Item("", "measures of significance and uncertainty",
             ("intervals", "comparisons", "pairs")),
        Item("", "robustness or sensitivity analysis",
             ("shortcut", "groups", "decomposition", "spread")),
        Item("", "performance on all partitions of the data", (),
             "the page shows test cases only"),
        Item("", "accuracy estimates and their precision", ("estimates", "groups")),
        Item("", "analysis of failures", ("errors", "worst", "size")),
    ),
}  # fmt: skip
"""Name of a guideline to those of its items that an evaluation can speak to; those of CLAIM are
named without their numbers, which differ between its versions."""


def answers(places: Mapping[str, Sequence[Place]]) -> dict[str, list[Answer]]:
    """Per guideline its items, each with the places that say something to it.

    Args:
        places: Topic to where the page treats it; topics that are absent are not answered.
    """
    return {
        guideline: [_answer(item, places) for item in items]
        for guideline, items in GUIDELINES.items()
    }


def topic_places(parts: Iterable[tuple[str, Section]]) -> dict[str, list[Place]]:
    """Topic to the sections that treat it.

    Args:
        parts: Words before the title of a section (its finding, or nothing), and the section.
    """
    found: dict[str, list[Place]] = {}
    for before, section in parts:
        title = f"{before}: {section.title}" if before else section.title
        for topic in sorted(section.answers):
            found.setdefault(topic, []).append((section.anchor, title))
    return found


def _answer(item: Item, places: Mapping[str, Sequence[Place]]) -> Answer:
    found = [place for topic in item.topics for place in places.get(topic, ())]
    is_open = bool(found) or not item.topics
    return Answer(item.number, item.asks, list(dict.fromkeys(found)), item.scope if is_open else "")
