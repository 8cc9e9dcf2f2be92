"""What is undefined stays missing: means over what is known, and reasons in words."""

import numpy as np


def nanmean(values: np.ndarray, *, axis: int) -> np.ndarray:
    """Mean over what is defined; NaN where nothing is."""
    known = ~np.isnan(values)
    n = known.sum(axis=axis)
    total = np.where(known, values, 0.0).sum(axis=axis)
    return np.where(n > 0, total / np.maximum(n, 1), np.nan)


def join(*reasons: str) -> str:
    """Reasons in one text; empty ones are left out."""
    return "; ".join(reason for reason in reasons if reason)
