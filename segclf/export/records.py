"""What is exported of one case: per finding a mask, its amount, and the row of the score table."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from segclf.core.records import Case
from segclf.export.codes import FindingCode

RESEARCH_ONLY = "Research use only, not for diagnosis"


@dataclass(frozen=True)
class Score:
    """One row of the score table, and what it was decided by. NaN is not defined."""

    finding: str
    t: float
    """Probability above which a pixel belongs to the mask."""
    score: float
    decision_value: float
    threshold: float
    decision: float
    probability: float
    unit: str
    """Of `decision_value` and `threshold`: px, mm2, mL, % of the image, or `` for a score."""
    expected_px: int | None
    """Pixels of the mask when it was predicted; None where no statistics say so."""


@dataclass(frozen=True)
class Job:
    """One case to export."""

    case: Case
    fold: int | None
    scores: tuple[Score, ...]
    """One per finding."""


@dataclass(frozen=True)
class Prediction:
    """What the network says of one case, on the grid of its image."""

    job: Job
    mask: np.ndarray
    """(finding, *space) bool."""
    probability: np.ndarray
    """(finding, *space) float32."""
    spacing_mm: tuple[float, ...] | None


@dataclass(frozen=True)
class Measured:
    """A finding of one case, measured on the mask that is written."""

    score: Score
    code: FindingCode
    n_px: int
    amount: float
    """Area or volume of the mask in `unit`."""
    unit: str
    """mm2 or mL; px where no spacing is known."""

    def row(self) -> dict[str, Any]:
        """Plain data; what is not defined is None."""
        values = {
            "finding": self.score.finding,
            "n_px": self.n_px,
            "amount": self.amount,
            "unit": self.unit,
            "t": self.score.t,
            "score": self.score.score,
            "decision_value": self.score.decision_value,
            "threshold": self.score.threshold,
            "threshold_unit": self.score.unit,
            "decision": self.score.decision,
            "probability": self.score.probability,
        }
        return {name: None if _is_nan(value) else value for name, value in values.items()}


def measured(
    score: Score, code: FindingCode, mask: np.ndarray, spacing_mm: tuple[float, ...] | None
) -> Measured:
    """The size of a mask (*space): mm2 of a picture, mL of a volume, pixels without a spacing."""
    n_px = int(np.count_nonzero(mask))
    if spacing_mm is None:
        return Measured(score, code, n_px, float(n_px), "px")
    size = n_px * math.prod(spacing_mm)
    return Measured(score, code, n_px, *((size, "mm2") if mask.ndim == 2 else (size / 1000, "mL")))


def _is_nan(value: object) -> bool:
    return isinstance(value, float) and math.isnan(value)
