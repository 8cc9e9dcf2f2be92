"""Predictions on cases that nobody drew, to filtered pseudo-masks with a ledger.

`make_pseudo_masks` writes them as a side table of the manifest; `FILTERS` decides which are kept.
"""

from segclf.pseudolabel.make import make_pseudo_masks, pseudo_label
from segclf.pseudolabel.predicted import DROPPED, EMPTY, KEPT, Cut, Predicted, Verdict
from segclf.pseudolabel.table import FILTERS, Filter, find_filter

__all__ = [
    "DROPPED",
    "EMPTY",
    "FILTERS",
    "KEPT",
    "Cut",
    "Filter",
    "Predicted",
    "Verdict",
    "find_filter",
    "make_pseudo_masks",
    "pseudo_label",
]
