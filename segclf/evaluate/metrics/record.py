"""What the evaluation must know about a metric besides its function."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np


@dataclass(frozen=True)
class Metric:
    """A pure function of labels, scores or decisions, and weights, with what it stands for."""

    function: Callable[[np.ndarray, np.ndarray, np.ndarray], Any]
    """`(label, score, weight) -> float`; or `(label, decision, weight)`, which sums over axis 0,
    so that weights of shape (case, replicate) give one value per replicate. NaN where undefined."""
    needs: Literal["score", "decision", "mask"]
    undefined_for: str
    """When the value does not exist, in words that finish 'undefined: …'."""
    uses: Literal["both", "positives", "negatives"] = "both"
    """Which cases the value depends on; only these must be numerous enough."""
    uses_prevalence: bool = False
    """The value moves with the share of positives, even if the method does not change."""
    higher_is_better: bool = True
    kernel: Literal["auroc", "average_precision"] | None = None
    """The part of the compiled pass that gives the same numbers; None calls `function`."""


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
