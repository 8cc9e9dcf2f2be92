"""Every mask statistic, defined in NumPy: what prediction stores instead of probability maps."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

THRESHOLDS: np.ndarray = 1.0 / (1.0 + np.exp(-np.linspace(-np.log(999.0), np.log(999.0), 129)))
"""The 129 probability thresholds t of the area curve, logit-spaced from 0.001 to 0.999; the
middle one (index 64) is 0.5."""
TOP_FRACTIONS = (0.0001, 0.001, 0.01, 0.1)
"""Shares of the most probable pixels whose mean probability is stored (at least one pixel)."""


@dataclass(frozen=True)
class MaskStatistics:
    """The statistics of many masks: one row per case and finding.

    `frame` has the columns of `SCALARS` and a range index; row i of each curve belongs to row i.
    """

    frame: pd.DataFrame
    area_curve: np.ndarray
    """(row, 129) int64: number of pixels with p > THRESHOLDS[j]."""
    overlap_curve: np.ndarray
    """(row, 129) int64: of these, how many are positive in the truth; -1 where truth is unknown."""


SCALARS = {
    "case_id": "string",
    "finding": "string",
    "fold": "Int64",  # missing without folds
    "n_px": "int64",  # pixels of the input image
    "px_size": "float64",  # mm2 of a pixel or mm3 of a voxel; NaN if the file has no spacing
    "is_volume": "bool",
    "mean_p": "float64",
    "max_p": "float64",
    "top_0": "float64",  # mean p of the top TOP_FRACTIONS[0] of the pixels, and so on
    "top_1": "float64",
    "top_2": "float64",
    "top_3": "float64",
    "sum_log1mp": "float64",  # sum over pixels of log(1 - p)
    "lse_logit": "float64",  # log of the sum over pixels of exp(logit)
    "component_t": "float64",  # threshold of the next two
    "largest_component_px": "int64",
    "n_components": "int64",
    "true_px": "Int64",  # positive pixels of the truth; missing where it is unknown
}
