"""The catalog of filters, and the sentence for every reason they give."""

from collections.abc import Callable
from dataclasses import dataclass

from segclf.core.catalog import lookup
from segclf.pseudolabel.count import count
from segclf.pseudolabel.filters import boosted, confidence, label, none
from segclf.pseudolabel.predicted import Predicted, Verdict


@dataclass(frozen=True)
class Filter:
    """A filter, and what it needs."""

    rule: Callable[[Predicted, int], Verdict]
    """`(predicted, k) -> verdict` on finding `k`; pure: it reads no file and changes nothing."""
    needs_cut: bool = True
    """Whether it reads t or tau, which are then fitted on validation cases."""
    needs_count: bool = False
    """Whether it reads `n_findings`."""
    uses_labels: bool = True
    """False: with `pseudolabel.free_empty: false` a label of 0 does not settle anything."""
    can_be_soft: bool = True
    """Whether its masks may be written as probabilities."""
    reads: tuple[str, ...] = ("min_confidence", "uncertain")
    """Which of these two settings of `pseudolabel` it reads."""


FILTERS: dict[str, Filter] = {
    "none": Filter(none, uses_labels=False, reads=()),
    "label": Filter(label, reads=()),
    "boosted": Filter(boosted, reads=("min_confidence",)),
    "count": Filter(count, needs_count=True, reads=()),
    "confidence": Filter(
        confidence, needs_cut=False, uses_labels=False, can_be_soft=False, reads=("uncertain",)
    ),
}
"""Every built-in filter. A package adds one under the entry point `segclf.pseudo_filters`."""

REASONS = {
    "no_filter": "every mask is kept",
    "label_agrees": "the mask gives the known label",
    "label_unknown": "no label to disagree with",
    "label_1_predicted_0": "the label is 1, the mask gives 0",
    "label_0_predicted_1": "the label is 0, the mask gives 1",
    "label_0": "the label is 0, so the mask is empty",
    "label_1_above_tau": "the label is 1 and the area larger than tau",
    "label_1_not_above_tau": "the label is 1 and the area not larger than tau: a missed finding",
    "label_unknown_sure": "label not known; the mask is confident",
    "label_unknown_unsure": "label not known; the mask is not confident enough",
    "no_pixel_size": "tau has a unit that needs the size of a pixel, which is not known",
    "count_unknown": "the report does not say how many findings there are",
    "count_contradicts_label": "label and number of findings contradict each other",
    "count_0": "the report counts no finding, so the mask is empty",
    "fewer_components_than_count": "fewer components than findings in the report",
    "as_many_components_as_count": "as many components as findings in the report",
    "most_confident_components": "the most confident components, as many as in the report",
    "sure_pixels": "pixels between the two probabilities are not known",
    "no_sure_pixel": "all pixels lie between the two probabilities",
    "drawn_mask": "a person drew the mask",
    "class_empty": "the mask outlines another category, so this one is empty",
    "val": "validation case: neither read nor labelled",
    "test": "test case: neither read nor labelled",
}
"""Reason code to its sentence in the ledger; a case that was set aside has its own message."""


def find_filter(name: str) -> Filter:
    """The filter of that name.

    Raises:
        UsageError: There is none; the message lists near names.
    """
    return lookup(name, FILTERS, kind="filter", group="segclf.pseudo_filters")
