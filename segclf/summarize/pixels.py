"""Rules that look at pixel probabilities and need no threshold."""

import numpy as np

from segclf.core.catalog import unknown_name
from segclf.core.errors import UsageError
from segclf.core.maskstats import TOP_COLUMNS, TOP_FRACTIONS, TOP_LOGIT_COLUMNS, MaskStatistics


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
    return values_of(stats, finding, TOP_COLUMNS[_stored(top_fraction)])


def mean_logit(stats: MaskStatistics, *, finding: str) -> np.ndarray:
    """Mean logit of the pixels of each case, any number: log of the geometric mean odds.

    Where probabilities round to 0 or 1, logits still rank; see `mean` for the arguments.

    Source:
        Satopää et al., Int J Forecast 30 (2014) 344: the mean of logits pools odds.
    """
    return values_of(stats, finding, "mean_logit")


def max_logit(stats: MaskStatistics, *, finding: str) -> np.ndarray:
    """Highest logit of each case, any number: ranks as `max`, also where p rounds to 1."""
    return values_of(stats, finding, "max_logit")


def topk_logit(stats: MaskStatistics, *, finding: str, top_fraction: float) -> np.ndarray:
    """Mean logit of the most probable pixels of each case, any number; see `topk`."""
    return values_of(stats, finding, TOP_LOGIT_COLUMNS[_stored(top_fraction)])


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
    """(case,) float64: a column of the statistics in the rows of one finding.

    Raises:
        UsageError: The statistics were made without the plug-in whose column this is.
    """
    if column not in stats.frame.columns:
        raise UsageError(
            f"the mask statistics have no column {column!r}.",
            where="statistics of the masks",
            expected="the column of a plug-in that measures maps (segclf.mask_statistics)",
            fix="predict again with the plug-in named in predict.statistics",
        )
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


def _stored(top_fraction: float) -> int:
    """Place of a fraction among those that prediction stored."""
    if top_fraction in TOP_FRACTIONS:
        return TOP_FRACTIONS.index(top_fraction)
    raise UsageError(
        f"the most probable {top_fraction:g} of the pixels were not stored.",
        where=f"summarize.top_fraction = {top_fraction:g}",
        expected="one of " + ", ".join(f"{fraction:g}" for fraction in TOP_FRACTIONS),
        fix=f"--set summarize.top_fraction={_nearest(top_fraction):g}",
    )


def _nearest(fraction: float) -> float:
    return min(TOP_FRACTIONS, key=lambda stored: abs(np.log(stored / max(fraction, 1e-9))))
