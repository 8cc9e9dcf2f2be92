"""Masks beside decisions: Dice on positives, image false-positive rate on negatives."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass

import numpy as np
import pandas as pd

from segclf.core.config import EvaluateSettings
from segclf.core.maskstats import THRESHOLDS, MaskStatistics, threshold_index
from segclf.core.randomness import seed_of
from segclf.evaluate.estimates import Counts, Row, estimate, interval_name
from segclf.evaluate.groups import group_cases
from segclf.evaluate.inference import kernel
from segclf.evaluate.ledger import are_independent
from segclf.evaluate.metrics import MASK_METRICS, Metric
from segclf.evaluate.resample import batch_width
from segclf.evaluate.rows import METRIC_COLUMNS, SHARED_NEGATIVES
from segclf.evaluate.sample import number_patients

OVERLAP_COLUMNS = (*METRIC_COLUMNS, "n_unknown", "t")
METHOD = "segmenter"


@dataclass(frozen=True)
class _Masks:
    """The test cases of one finding whose true mask is known; all arrays are (row,)."""

    frame: pd.DataFrame
    value: dict[str, np.ndarray]
    """Per metric, one number per case."""
    has_target: np.ndarray
    patient: np.ndarray
    fold: np.ndarray
    stratum_start: np.ndarray


@dataclass(frozen=True)
class _Part:
    """A group, and one metric in it."""

    column: str
    group: str
    name: str
    metric: Metric
    member: np.ndarray
    n_unknown: int
    unfit: str


def overlap_rows(
    statistics: MaskStatistics,
    frame: pd.DataFrame,
    t: float,
    *,
    by: Sequence[str] = (),
    settings: EvaluateSettings | None = None,
    roles: Mapping[str, str] | None = None,
    seed: int = 0,
    unit_name: str = "patient",
) -> pd.DataFrame:
    """Dice of cases with a target and false alarms of cases without one, as rows side by side.

    Dice is averaged over the cases of a patient, then over patients; an empty case never enters
    it. The image false-positive rate is the share of empty cases with any pixel above `t`.
    Cases whose true mask is not known are left out and counted in `n_unknown`.

    Args:
        statistics: Mask statistics; each case once per fold.
        frame: `case_id`, `patient_id`, `fold`, and the columns that `by` names, one row per case
            and fold; where it has a `split`, only test cases are used.
        t: Probability above which a pixel is predicted; one of the grid of the area curves.
        by: Columns to group by, as in `evaluate_scores`.
        settings: Resamples, confidence, and the smallest group.
        roles: Role of columns of `frame`; `derived` ones cut positives only.
        seed: Seed of the resampling.
        unit_name: The word for what `patient_id` identifies.

    Returns:
        The columns of `Evaluation.metrics`, `n_unknown` and `t`; a case is positive if its true
        mask has a pixel.

    Raises:
        UsageError: `t` is off the grid, or a column of `by` does not exist or fit.
    """
    settings, roles = settings or EvaluateSettings(), roles or {}
    index = threshold_index(t)
    unit = "image" if are_independent(frame) else unit_name
    rows: list[Row] = []
    for finding in sorted(statistics.frame["finding"].unique()):
        known, unknown = _select(statistics, frame, finding, index)
        parts = list(_parts(known, unknown, by, roles))
        drawn = _resample(known, parts, settings.n_boot, seed_of(seed, "overlap", finding))
        for part, values in zip(parts, drawn, strict=True):
            counts = _count(known, part.member)
            found = estimate(part.metric, values, counts, settings, unit=unit, unfit=part.unfit)
            row = dict.fromkeys(OVERLAP_COLUMNS) | asdict(counts) | asdict(found)
            row |= {"method": METHOD, "finding": finding, "metric": part.name}
            row |= {"group_column": part.column, "group": part.group}
            row |= {"interval": interval_name(unit), "t": float(THRESHOLDS[index])}
            row |= {"negatives": "of the group", "n_unknown": part.n_unknown}
            rows.append(row | _spread(known, part, is_shown=not np.isnan(found.estimate)))
    return pd.DataFrame(rows, columns=pd.Index(OVERLAP_COLUMNS))


def _select(
    statistics: MaskStatistics, frame: pd.DataFrame, finding: str, index: int
) -> tuple[_Masks, pd.DataFrame]:
    """The cases of a finding with a known true mask, and the rows of the others."""
    own = (statistics.frame["finding"] == finding).to_numpy()
    stats = statistics.frame.loc[own, ["case_id", "fold", "true_px"]].assign(
        area=statistics.area_curve[own, index], overlap=statistics.overlap_curve[own, index]
    )
    test = frame[frame["split"] == "test"] if "split" in frame else frame
    rows = stats.astype({"case_id": "str"}).merge(
        test.astype({"case_id": "str", "fold": "Int64"}), on=["case_id", "fold"], how="inner"
    )
    is_known = rows["true_px"].notna().to_numpy()
    unknown, rows = rows[~is_known], rows[is_known].reset_index(drop=True)
    true_px = rows["true_px"].to_numpy(dtype=np.float64)
    area = rows["area"].to_numpy(dtype=np.float64)
    has_target = true_px > 0
    both = np.where(has_target, area + true_px, 1.0)
    owner, _ = pd.factorize(rows["patient_id"].astype("str"), sort=True)
    fold, _ = pd.factorize(rows["fold"].fillna(-1), sort=True)
    patient, stratum_start = number_patients(owner, has_target, fold)
    value = {
        "dice": 2 * rows["overlap"].to_numpy(dtype=np.float64) / both,
        "image_false_positive_rate": (area > 0).astype(np.float64),
    }
    return _Masks(rows, value, has_target, patient, fold, stratum_start), unknown


def _parts(
    known: _Masks, unknown: pd.DataFrame, by: Sequence[str], roles: Mapping[str, str]
) -> Iterator[_Part]:
    everything = np.ones(len(known.frame), bool)
    groups = [("all", "all", everything, len(unknown), False)]
    both = pd.concat([known.frame, unknown], ignore_index=True)
    for text in dict.fromkeys(by):
        grouping = group_cases(text, both, roles=roles)
        place = np.arange(len(known.frame))
        for name, member in grouping.members(place, known.has_target):
            rest = grouping.member[grouping.names.index(name), len(known.frame) : len(both)]
            n_unknown = int(rest.sum())
            groups.append((grouping.column, name, member, n_unknown, grouping.positives_only))
    for column, group, member, n_unknown, is_derived in groups:
        for name, metric in MASK_METRICS.items():
            unfit = SHARED_NEGATIVES if is_derived and metric.uses == "negatives" else ""
            yield _Part(column, group, name, metric, member, n_unknown, unfit)


def _resample(known: _Masks, parts: list[_Part], n_boot: int, seed: int) -> np.ndarray:
    """(part, replicate) values; replicate 0 is the sample itself."""
    n_patients = int(known.stratum_start[-1])
    values = np.full((len(parts), n_boot + 1), np.nan)
    for first in range(0, n_boot + 1, width := batch_width(n_patients, len(known.patient))):
        last = min(first + width, n_boot + 1)
        weights = np.empty((n_patients, last - first), np.uint8)
        kernel.draw_weights(known.stratum_start, np.uint64(seed), first, weights)
        for p, part in enumerate(parts):
            values[p, first:last] = _value(known, part, part.member, weights)
    return values


def _value(known: _Masks, part: _Part, member: np.ndarray, weights: np.ndarray) -> np.ndarray:
    weight = weights[known.patient[member]].astype(np.float64)
    if part.metric.uses == "positives":  # the mean over patients, not over cases
        patient = known.patient[member]
        n_of_patient = np.bincount(patient[known.has_target[member]], minlength=len(weights))
        weight /= np.maximum(n_of_patient, 1)[patient][:, None]
    label = known.has_target[member].astype(np.int8)
    return part.metric.function(label, known.value[part.name][member], weight)


def _count(known: _Masks, member: np.ndarray) -> Counts:
    parts = (member, member & known.has_target, member & ~known.has_target)
    cases = [known.frame.loc[rows, "case_id"].nunique() for rows in parts]
    patients = [len(np.unique(known.patient[rows])) for rows in parts]
    return Counts(cases[0], patients[0], cases[1], cases[2], patients[1], patients[2])


def _spread(known: _Masks, part: _Part, *, is_shown: bool) -> Row:
    """Smallest and largest value over folds, where there are several."""
    folds = np.unique(known.fold)
    row: Row = {"n_folds": len(folds), "fold_min": np.nan, "fold_max": np.nan, "n_seeds": 1}
    if is_shown and len(folds) > 1:
        once = np.ones((int(known.stratum_start[-1]), 1), np.uint8)
        values = [_value(known, part, part.member & (known.fold == k), once)[0] for k in folds]
        row |= {"fold_min": float(np.nanmin(values)), "fold_max": float(np.nanmax(values))}
    return row | {"seed_min": np.nan, "seed_max": np.nan}
