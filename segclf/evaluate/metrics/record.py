"""What the evaluation must know about a metric besides its function."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

Sums = tuple[np.ndarray, Callable[[np.ndarray], np.ndarray]]
"""(case, k) terms, and what turns their weighted sums (k, replicate) into values. Replicate 0 is
the sample itself."""


@dataclass(frozen=True)
class Metric:
    """A pure function of labels, scores or decisions, and weights, with what it stands for."""

    function: Callable[[np.ndarray, np.ndarray, np.ndarray], Any]
    """`(label, score, weight) -> float`; or `(label, decision, weight)`, which sums over axis 0,
    so that weights of shape (case, replicate) give one value per replicate. NaN where undefined."""
    needs: Literal["score", "decision", "probability", "mask"]
    undefined_for: str
    """When the value does not exist, in words that finish 'undefined: …'."""
    uses: Literal["both", "positives", "negatives"] = "both"
    """Which cases the value depends on; only these must be numerous enough."""
    uses_prevalence: bool = False
    """The value moves with the share of positives, even if the method does not change."""
    higher_is_better: bool | None = True
    """None where neither is: no group is then the worst."""
    is_fraction: bool = True
    """Lies within [0, 1]."""
    kernel: Literal["auroc", "average_precision", "partial_auroc"] | None = None
    """The part of the compiled pass that gives the same numbers; None calls `function`."""
    share: Callable[[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]] | None = None
    """For a share of cases: from label and decision to (which cases, which of them count)."""
    sums: Callable[[np.ndarray, np.ndarray, np.ndarray], Sums] | None = None
    """For probabilities: from label, probability and patient to sums that can be resampled. A
    ValueError is the reason why there is no value."""


def check_arrays(label: np.ndarray, value: np.ndarray, weight: np.ndarray) -> None:
    """Refuse labels other than 0 and 1, missing values, and arrays of different length.

    Raises:
        ValueError: With the offending values.
    """
    if not len(label) == len(value) == len(weight):
        raise ValueError(
            f"label, value and weight differ in length: {len(label)}, {len(value)}, {len(weight)}."
        )
    odd = np.unique(label[~np.isin(label, (0, 1))])
    if odd.size:
        raise ValueError(f"a label is 0 or 1: got {odd[:5].tolist()}.")
    if np.isnan(value).any():
        raise ValueError(f"{int(np.isnan(value).sum())} values are NaN: leave them out and count.")
