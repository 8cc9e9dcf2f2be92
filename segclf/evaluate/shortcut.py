"""Does the score follow a feature that should not matter? Robust AUROC and the 2 x 2 grid."""

from collections.abc import Iterator
from dataclasses import asdict
from itertools import combinations

import numpy as np

from segclf.core.config import EvaluateSettings
from segclf.evaluate.estimates import Row, average_cells, estimate, interval_name
from segclf.evaluate.exact import interval_of_auroc
from segclf.evaluate.families import blank
from segclf.evaluate.inference.bootstrap_intervals import percentile
from segclf.evaluate.inference.decompose import relative_improvement
from segclf.evaluate.inference.missing import join
from segclf.evaluate.metrics import METRICS
from segclf.evaluate.rows import Drawn, count_slice
from segclf.evaluate.sample import Sample, Slice

GRID = (("without", "with"), ("with", "without"), ("with", "with"), ("without", "without"))
"""The feature in the positives, and in the negatives, of each AUROC."""
ROBUST, ALIGNED, ABSENT = GRID[0], GRID[1], GRID[3]
_COUNTS = ("n_positive", "n_negative", "n_positive_patients", "n_negative_patients")
_VALUES = ("estimate", "lo", "hi", "interval", *_COUNTS, "n_boot_usable", "reason")
GRID_COLUMNS = ("method", "finding", "shortcut", "positives", "negatives", *_VALUES)
ROBUST_COLUMNS = ("method", "finding", "shortcut", "quantity", "definition", *_VALUES)
_DEFINITIONS = {
    "robust": "positives without the shortcut against negatives with it (reversed)",
    "robust, absent": "positives without the shortcut against negatives without it",
    "aligned": "positives with the shortcut against negatives without it",
    "aligned - robust": "how much the ranking leans on the shortcut; about 0 if it does not",
}


def shortcut_slices(sample: Sample, present: np.ndarray) -> list[Slice]:
    """The four sets of cases of the grid, in the order of GRID.

    Args:
        sample: The rows of one finding.
        present: (row,) 1.0 with the feature, 0.0 without, NaN where not known (in no set).
    """
    is_state = {"with": present == 1, "without": present == 0}
    return [
        Slice(
            "shortcut",
            f"{positives}/{negatives}",
            np.where(sample.positive, is_state[positives], is_state[negatives]),
        )
        for positives, negatives in GRID
    ]


def shortcut_rows(
    sample: Sample,
    name: str,
    drawn: Drawn,
    settings: EvaluateSettings,
    *,
    unit: str,
) -> tuple[list[Row], list[Row]]:
    """The rows of robust AUROC and those of the grid, for every method.

    Args:
        sample: The rows of one finding.
        name: The shortcut, for the rows.
        drawn: What was resampled of the slices of `shortcut_slices`.
        settings: `min_group` and `confidence`.
        unit: The word for a patient.

    Source:
        Reversed: Saab et al., PMLR 182 (2022) 760. Absent: Hooper et al., NeurIPS 2023, for
        melanoma.
    """
    averaged = average_cells(METRICS["auroc"], "auroc", drawn.replicates)[0]
    all_robust: list[Row] = []
    all_grid: list[Row] = []
    for index, method in enumerate(sample.methods):
        shared: Row = {"method": method, "finding": sample.finding, "shortcut": name}
        cells: dict[tuple[str, str], Row] = {}
        for s, (key, part) in enumerate(zip(GRID, drawn.slices, strict=True)):
            counts = count_slice(sample, part.member & (sample.method == index))
            exact = None
            if settings.interval in ("auto", "delong"):
                exact = interval_of_auroc(drawn.aurocs[s].aurocs[index], settings)
            found = estimate(
                *(METRICS["auroc"], averaged[index, s], counts, settings), unit=unit, exact=exact
            )
            cells[key] = shared | asdict(counts) | asdict(found)
        robust = [
            cells[ROBUST] | {"quantity": "robust"},
            cells[ABSENT] | {"quantity": "robust, absent"},
            cells[ALIGNED] | {"quantity": "aligned"},
            _difference(cells, averaged[index, :2], settings, unit)
            | {"quantity": "aligned - robust"},
        ]
        for row in robust:
            row["definition"] = _DEFINITIONS[str(row["quantity"])]
        grid = [cells[key] | {"positives": key[0], "negatives": key[1]} for key in GRID]
        all_robust += [{name: row[name] for name in ROBUST_COLUMNS} for row in robust]
        all_grid += [{name: row[name] for name in GRID_COLUMNS} for row in grid]
    return all_robust, all_grid


def _difference(
    cells: dict[tuple[str, str], Row],
    values: np.ndarray,
    settings: EvaluateSettings,
    unit: str,
) -> Row:
    """Aligned minus robust, resampled jointly; missing if either is."""
    missing = [
        f"{name}: {cells[key]['reason']}"
        for name, key in (("robust", ROBUST), ("aligned", ALIGNED))
        if np.isnan(cells[key]["estimate"])
    ]
    row: Row = cells[ROBUST] | dict.fromkeys(_COUNTS)
    if missing:
        row |= dict.fromkeys(("estimate", "lo", "hi"), np.nan)
        return row | {"interval": "", "n_boot_usable": 0, "reason": join(*missing)}
    difference = values[1] - values[0]
    lo, hi, n_usable, reason = percentile(difference[1:], settings.confidence)
    row |= {"estimate": float(difference[0]), "lo": lo, "hi": hi, "interval": interval_name(unit)}
    return row | {"n_boot_usable": n_usable, "reason": reason}


def improvement_rows(
    drawn: Drawn, robust: Slice, values: np.ndarray, settings: EvaluateSettings
) -> Iterator[Row]:
    """Relative improvement of the robust AUROC between every pair of methods.

    Args:
        drawn: What was resampled.
        robust: The slice of robust AUROC.
        values: (method, replicate) robust AUROCs, the sample's own first.
        settings: The confidence.
    """
    sample = drawn.sample
    for old, new in combinations(range(len(sample.methods)), 2):
        counts = count_slice(sample, robust.member & (sample.method == new))
        ratio = relative_improvement(values[new], values[old])
        lo, hi, n_usable, reason = percentile(ratio[1:], settings.confidence)
        few = min(counts.n_positive_patients, counts.n_negative_patients) < settings.min_group
        row = blank(
            kind="relative improvement",
            finding=sample.finding,
            metric="robust auroc",
            group_column=robust.column,
            group="robust",
            first=sample.methods[new],
            second=sample.methods[old],
            n_cases=counts.n_cases,
            n_patients=counts.n_patients,
            n_positive=counts.n_positive,
            n_negative=counts.n_negative,
        )
        row |= {"se": np.nan, "df": np.inf, "sign": 1.0}
        if few or np.isnan(ratio[0]):
            yield row | {"reason": f"fewer than {settings.min_group} patients of a class"}
            continue
        row |= {"estimate_first": float(values[new, 0]), "estimate_second": float(values[old, 0])}
        row |= {"difference": float(ratio[0]), "lo": lo, "hi": hi, "n_usable": n_usable}
        yield row | {"interval": "percentile of ratios", "reason": reason}
