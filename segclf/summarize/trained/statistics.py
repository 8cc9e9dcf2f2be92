"""The numbers that `logistic` and `boosting` read: mask statistics, on scales that spread them."""

from collections.abc import Mapping

import numpy as np
from scipy.special import logit

from segclf.core.maskstats import TOP_COLUMNS, threshold_index

PROBABILITIES = ("mean_p", "max_p", *TOP_COLUMNS)
"""Columns of the statistics that are read as logits."""
COUNTS = ("largest_component_px", "n_components")
"""Columns that are read as log(1 + count)."""
AREA_T = (0.1036, 0.5, 0.8964)
"""Thresholds whose area is read as log(1 + pixels): possible, probable and almost certain."""
FEATURES = (
    *(f"logit({name})" for name in PROBABILITIES),
    "log1p(-sum_log1mp)",
    "lse_logit",
    *(f"log1p({name})" for name in COUNTS),
    *(f"log1p(area at t = {t:g})" for t in AREA_T),
)
"""Every feature. Metadata, spacing and the number of pixels of the image are none of them."""
SMALLEST_P = 1e-9
"""Probabilities are kept this far from 0 and 1 before their logit is taken."""


def features_of(columns: Mapping[str, np.ndarray]) -> np.ndarray:
    """The numbers of `FEATURES`, (map, feature) float64.

    Args:
        columns: `batch_statistics` or a table of `core.maskstats`: a (map,) array per name, and
            `area_curve` (map, 129).
    """
    areas = np.asarray(columns["area_curve"])[:, [threshold_index(t) for t in AREA_T]]
    values = [
        *(logit(np.clip(columns[n], SMALLEST_P, 1 - SMALLEST_P)) for n in PROBABILITIES),
        np.log1p(-np.asarray(columns["sum_log1mp"])),
        np.asarray(columns["lse_logit"]),
        *(np.log1p(columns[n]) for n in COUNTS),
        *np.log1p(areas).T,
    ]
    return np.column_stack(values).astype(np.float64)
