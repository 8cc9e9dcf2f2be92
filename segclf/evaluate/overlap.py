"""Masks beside decisions: agreement with the truth on positives, false alarms on negatives."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass

import numpy as np
import pandas as pd

from segclf.core.config import EvaluateSettings
from segclf.core.maskstats import MaskStatistics, threshold_index
from segclf.core.randomness import seed_of
from segclf.evaluate.estimates import Counts, Row, estimate, interval_name
from segclf.evaluate.groups import group_cases
from segclf.evaluate.inference import kernel
from segclf.evaluate.inference.missing import join
from segclf.evaluate.ledger import are_independent
from segclf.evaluate.maskvalues import MaskValues, mask_values
from segclf.evaluate.metrics import MASK_METRICS, Metric
from segclf.evaluate.resample import batch_width
from segclf.evaluate.rows import METRIC_COLUMNS, SHARED_NEGATIVES
from segclf.evaluate.sample import number_patients

OVERLAP_COLUMNS = (*METRIC_COLUMNS, "n_unknown", "t", "tolerance_mm")
METHOD = "segmenter"
_ROW = "row of the statistics"  # beside the columns of users


@dataclass(frozen=True)
class _Masks:
    """The test cases of one finding whose true mask is known; all arrays are (case,)."""

    frame: pd.DataFrame
    values: dict[str, MaskValues]
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
    """Cases of the group without those that the metric leaves out."""
    used: np.ndarray
    """Of these, the ones with a target, or the ones without."""
    n_unknown: int
    unfit: str
    note: str


@dataclass(frozen=True)
class _Patients:
    """What the cases of each patient add to one metric; all arrays are (patient,)."""

    metric: Metric
    patient: np.ndarray
    value: np.ndarray
    weight: np.ndarray


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
    """Masks of cases with a target and false alarms of cases without one, as rows side by side.

    Dice, sensitivity and precision of pixels, surface Dice and HD95 are averaged over the cases of
    a patient, then over patients; an empty case never enters them. The image false-positive rate
    is the share of empty cases with any pixel above `t`, the false-positive area is the mean over
    empty cases. Cases whose true mask is not known are left out and counted in `n_unknown`; a case
    for which one metric is undefined is left out of that metric, and `reason` counts it.

    Surface Dice and HD95 hold for the threshold and the tolerance that prediction had; their rows
    name both.

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
        The columns of `Evaluation.metrics`, `n_unknown`, `t` and `tolerance_mm` (of the surface
        Dice); a case is positive if its true mask has a pixel. Counts are of the cases that the
        estimate rests on.

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
            row |= {"interval": interval_name(unit), "reason": join(found.reason, part.note)}
            row |= {"negatives": "of the group", "n_unknown": part.n_unknown}
            own = known.values[part.name]
            row |= {"t": own.t, "tolerance_mm": own.tolerance_mm}
            rows.append(row | _spread(known, part, is_shown=not np.isnan(found.estimate)))
    return pd.DataFrame(rows, columns=pd.Index(OVERLAP_COLUMNS))


def _select(
    statistics: MaskStatistics, frame: pd.DataFrame, finding: str, index: int
) -> tuple[_Masks, pd.DataFrame]:
    """The cases of a finding with a known true mask, and the rows of the others."""
    own = np.flatnonzero(statistics.frame["finding"] == finding)
    stats = statistics.frame.iloc[own][["case_id", "fold"]].assign(**{_ROW: own})
    test = frame[frame["split"] == "test"] if "split" in frame else frame
    rows = stats.astype({"case_id": "str"}).merge(
        test.astype({"case_id": "str", "fold": "Int64"}), on=["case_id", "fold"], how="inner"
    )
    true_px = statistics.frame["true_px"].iloc[rows[_ROW]]
    is_known = true_px.notna().to_numpy()
    unknown, rows = rows[~is_known], rows[is_known].reset_index(drop=True)
    has_target = true_px[is_known].to_numpy(dtype=np.int64) > 0
    owner, _ = pd.factorize(rows["patient_id"].astype("str"), sort=True)
    fold, _ = pd.factorize(rows["fold"].fillna(-1), sort=True)
    patient, stratum_start = number_patients(owner, has_target, fold)
    values = mask_values(statistics, rows[_ROW].to_numpy(), index)
    return _Masks(rows, values, has_target, patient, fold, stratum_start), unknown


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
        for name, values in known.values.items():
            metric, is_out = MASK_METRICS[name], values.why != ""
            is_class = known.has_target if metric.uses == "positives" else ~known.has_target
            left_out = values.left_out(member & is_class)
            used = member & is_class & ~is_out
            unfit = SHARED_NEGATIVES if is_derived and metric.uses == "negatives" else values.unfit
            if left_out and not used.any():
                unfit, left_out = join(unfit, left_out), ""
            yield _Part(
                column=column,
                group=group,
                name=name,
                metric=metric,
                member=member & ~is_out,
                used=used,
                n_unknown=n_unknown,
                unfit=unfit,
                note=join(left_out, values.note),
            )


def _resample(known: _Masks, parts: list[_Part], n_boot: int, seed: int) -> np.ndarray:
    """(part, replicate) values; replicate 0 is the sample itself."""
    n_patients = int(known.stratum_start[-1])
    values = np.full((len(parts), n_boot + 1), np.nan)
    sums = [_of_patients(known, part, part.used) for part in parts]
    for first in range(0, n_boot + 1, width := batch_width(n_patients, len(known.patient))):
        last = min(first + width, n_boot + 1)
        weights = np.empty((n_patients, last - first), np.uint8)
        kernel.draw_weights(known.stratum_start, np.uint64(seed), first, weights)
        for p, own in enumerate(sums):
            values[p, first:last] = _value(own, weights)
    return values


def _of_patients(known: _Masks, part: _Part, used: np.ndarray) -> _Patients:
    """A row per patient in place of one per case: the mean is the same, the resampling shorter."""
    patient, value = known.patient[used], known.values[part.name].value[used]
    n_cases, total = np.bincount(patient), np.bincount(patient, value)
    own = np.flatnonzero(n_cases)
    # positives: the mean over patients; negatives: that over cases
    weight = n_cases[own] if part.metric.uses == "negatives" else np.ones(len(own))
    return _Patients(part.metric, own, total[own] / n_cases[own], weight)


def _value(own: _Patients, weights: np.ndarray) -> np.ndarray:
    weight = weights[own.patient] * own.weight[:, None].astype(np.float64)
    label = np.full(len(own.patient), own.metric.uses == "positives", np.int8)
    return own.metric.function(label, own.value, weight)


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
        parts = [_of_patients(known, part, part.used & (known.fold == k)) for k in folds]
        values = [_value(own, once)[0] for own in parts]
        row |= {"fold_min": float(np.nanmin(values)), "fold_max": float(np.nanmax(values))}
    return row | {"seed_min": np.nan, "seed_max": np.nan}
