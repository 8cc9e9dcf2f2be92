"""Rules that look at pixel probabilities and need no threshold."""

import numpy as np

from segclf.core.catalog import unknown_name
from segclf.core.errors import UsageError
from segclf.core.maskstats import TOP_COLUMNS, TOP_FRACTIONS, MaskStatistics


def mean(stats: MaskStatistics, *, finding: str) -> np.ndarray:
    """Mean pixel probability of each case, in [0, 1]: average pixel pooling.

    Args:
        stats: Statistics of many masks.
        finding: Which finding.

    Returns:
        (case,) scores in the order of the finding's rows.

    Source:
        Saab et al., PMLR 182 (2022): softmax per pixel, then the spatial mean.
    """
    return values_of(stats, finding, "mean_p")


def highest(stats: MaskStatistics, *, finding: str) -> np.ndarray:
    """Highest pixel probability of each case, in [0, 1]; see `mean` for the arguments."""
    return values_of(stats, finding, "max_p")


def topk(stats: MaskStatistics, *, finding: str, top_fraction: float) -> np.ndarray:
    """Mean probability of the most probable pixels of each case, in [0, 1].

    Args:
        stats: Statistics of many masks.
        finding: Which finding.
        top_fraction: Share of the image's pixels; one of those that prediction stored.

    Raises:
        UsageError: Prediction did not store that share.
    """
    if top_fraction not in TOP_FRACTIONS:
        raise UsageError(
            f"the most probable {top_fraction:g} of the pixels were not stored.",
            where=f"summarize.top_fraction = {top_fraction:g}",
            expected="one of " + ", ".join(f"{fraction:g}" for fraction in TOP_FRACTIONS),
            fix=f"--set summarize.top_fraction={_nearest(top_fraction):g}",
        )
    return values_of(stats, finding, TOP_COLUMNS[TOP_FRACTIONS.index(top_fraction)])


def noisy_or(stats: MaskStatistics, *, finding: str) -> np.ndarray:
    """-log of the chance that no pixel is positive, were pixels independent; 0 or more, in nats.

    1 - prod(1 - p) is 1.0 in floating point for almost every image; its logarithm keeps the order.
    See `mean` for the arguments.

    Source:
        Pearl, Probabilistic Reasoning in Intelligent Systems (1988), section 4.3.2.
    """
    return 0.0 - values_of(stats, finding, "sum_log1mp")


def lse(stats: MaskStatistics, *, finding: str) -> np.ndarray:
    """Log of the sum over pixels of exp(logit): a smooth maximum of the logits, any number.

    See `mean` for the arguments.

    Source:
        Pinheiro and Collobert, CVPR 2015, eq. 3, with r = 1 and the sum in place of the mean.
    """
    return values_of(stats, finding, "lse_logit")


def values_of(stats: MaskStatistics, finding: str, column: str) -> np.ndarray:
    """(case,) float64: a column of the statistics in the rows of one finding."""
    return stats.frame[column].to_numpy(dtype=np.float64)[rows_of(stats, finding)]


def rows_of(stats: MaskStatistics, finding: str) -> np.ndarray:
    """Positions of the rows of one finding.

    Raises:
        UsageError: No row has that finding; the message lists near names.
    """
    rows = np.flatnonzero(stats.frame["finding"].to_numpy() == finding)
    if rows.size == 0:
        raise unknown_name(finding, stats.frame["finding"].unique(), kind="finding")
    return rows


def _nearest(fraction: float) -> float:
    return min(TOP_FRACTIONS, key=lambda stored: abs(np.log(stored / max(fraction, 1e-9))))
