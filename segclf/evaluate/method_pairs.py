"""Two methods on the same cases, overall and in every group."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial
from itertools import combinations

import numpy as np

from segclf.core.config import EvaluateSettings
from segclf.evaluate.estimates import Row, average_cells, of_counts
from segclf.evaluate.exact import limits_of, slice_aurocs
from segclf.evaluate.families import blank
from segclf.evaluate.inference.compare import (
    ROUNDING,
    Comparison,
    compare_paired,
    mover,
    mover_p,
)
from segclf.evaluate.inference.mcnemar import mcnemar
from segclf.evaluate.inference.missing import join
from segclf.evaluate.inference.seeds import SeedDifference, compare_seeds
from segclf.evaluate.metrics import Metric
from segclf.evaluate.resample import resample
from segclf.evaluate.rows import Drawn, count_slice
from segclf.evaluate.sample import Sample, Slice

IN_GROUPS = ("auroc", "sensitivity", "specificity")
"""What is compared in every group."""
OVERALL = (*IN_GROUPS, "partial_auroc", "average_precision", "balanced_accuracy", "brier")
"""What is compared over all cases, and net benefit."""


def method_rows(drawn: Drawn, settings: EvaluateSettings, *, seed: int, unit: str) -> Iterator[Row]:
    """One row per pair of methods, slice and metric: first minus second, on cases of both.

    AUROCs are compared by their covariance over patients, decisions by McNemar's test with
    patients as clusters, everything else by the joint bootstrap; methods with several seeds by
    resampling patients and seeds together, seed by seed where both have the same.

    Args:
        drawn: The resampled values.
        settings: Confidence and the kind of intervals.
        seed: Of the resampling.
        unit: The word for a patient.
    """
    for first, second in combinations(range(len(drawn.sample.methods)), 2):
        pairs = {
            needs: _pair(drawn, first, second, needs, settings, seed)
            for needs in dict.fromkeys(metric.needs for metric in drawn.metrics.values())
        }
        for s, part in enumerate(drawn.slices):
            for name, metric in drawn.metrics.items():
                pair = pairs[metric.needs]
                if pair is None or not _is_compared(name, part, metric):
                    continue
                counts = count_slice(pair.drawn.sample, part.member[pair.rows] & pair.is_first)
                small = [n for n in counts.used_by(metric).values() if n < settings.min_group]
                row = blank(
                    kind="methods",
                    finding=pair.drawn.sample.finding,
                    metric=name,
                    group_column=part.column,
                    group=part.group,
                    first=drawn.sample.methods[first],
                    second=drawn.sample.methods[second],
                    n_cases=counts.n_cases,
                    n_patients=counts.n_patients,
                    n_positive=counts.n_positive,
                    n_negative=counts.n_negative,
                )
                row["sign"] = 1.0 if metric.higher_is_better else -1.0
                row |= {"se": np.nan, "df": np.inf}
                if small:
                    reason = f"fewer than {settings.min_group} {unit}s of a class have both methods"
                    yield row | {"reason": join(reason, pair.note)}
                    continue
                df = max(min(counts.used_by(metric).values()) - 1, 1)
                found = _compare(pair, name, s, df, settings, seed)
                yield row | found | {"reason": join(str(found["reason"]), pair.note)}


def _is_compared(name: str, part: Slice, metric: Metric) -> bool:
    if part.shares_negatives and (metric.uses == "negatives" or metric.uses_prevalence):
        return False
    if part.column != "all":
        return name in IN_GROUPS
    return name in OVERALL or name.startswith("net_benefit@")


@dataclass(frozen=True)
class _Pair:
    """Two methods, restricted to the cases for which both have what a metric needs."""

    drawn: Drawn
    methods: tuple[int, int]
    rows: np.ndarray
    """Indices of the kept rows among those of the whole sample."""
    is_first: np.ndarray
    """(kept row,) bool."""
    n_seeds: tuple[int, int]
    note: str


def _pair(
    drawn: Drawn, first: int, second: int, needs: str, settings: EvaluateSettings, seed: int
) -> _Pair | None:
    """The pair for metrics of one kind; None if no case has both, as without probabilities."""
    sample = drawn.sample
    key = sample.case * sample.n_folds + sample.fold
    value = {"decision": sample.decision, "probability": sample.probability}
    is_known = ~np.isnan(value.get(needs, sample.score))
    one, other = (np.unique(key[(sample.method == m) & is_known]) for m in (first, second))
    if not len(one) or not len(other):
        return None
    rows, methods, note = np.arange(len(key)), (first, second), ""
    if not np.array_equal(one, other):
        both = np.intersect1d(one, other)
        is_kept = np.isin(sample.method, methods) & np.isin(key, both) & is_known
        rows = np.flatnonzero(is_kept)
        drawn = _redraw(drawn, rows, methods, needs, settings, seed)
        n_left = len(one) + len(other) - 2 * len(both)
        note = f"{n_left} cases of which only one method has a {needs} are left out"
        methods = (0, 1)
    sample = drawn.sample
    seeds = [np.bincount(sample.seed[sample.method == m]) for m in methods]
    n_seeds = (int((seeds[0] > 0).sum()), int((seeds[1] > 0).sum()))
    return _Pair(drawn, methods, rows, sample.method == methods[0], n_seeds, note)


def _redraw(
    drawn: Drawn,
    rows: np.ndarray,
    methods: tuple[int, int],
    needs: str,
    settings: EvaluateSettings,
    seed: int,
) -> Drawn:
    """The same patients drawn again, with some of the rows."""
    sample = _restrict(drawn.sample, rows, methods)
    slices = [replace(part, member=part.member[rows]) for part in drawn.slices]
    metrics = {name: metric for name, metric in drawn.metrics.items() if metric.needs == needs}
    return Drawn(
        sample=sample,
        slices=slices,
        metrics=metrics,
        replicates=resample(sample, slices, metrics, n_boot=settings.n_boot, seed=seed),
        left_out=None,
        aurocs=[slice_aurocs(sample, part.member, 2) for part in slices],
    )


def _restrict(sample: Sample, rows: np.ndarray, methods: tuple[int, int]) -> Sample:
    """The rows of two methods; patients, cases and strata keep their codes."""
    names = ("case", "patient", "score", "positive", "decision", "probability", "seed", "fold")
    return replace(
        sample,
        methods=tuple(sample.methods[m] for m in methods),
        method=(sample.method[rows] == methods[1]).astype(np.int64),
        **{name: getattr(sample, name)[rows] for name in names},
    )


def _compare(
    pair: _Pair, name: str, s: int, df: float, settings: EvaluateSettings, seed: int
) -> Row:
    drawn, methods = pair.drawn, list(pair.methods)
    metric = drawn.metrics[name]
    values = average_cells(metric, name, drawn.replicates)[0][methods, s]
    row: Row = {"estimate_first": float(values[0, 0]), "estimate_second": float(values[1, 0])}
    n_seeds = pair.n_seeds
    row |= {"n_seeds": min(n_seeds)}
    difference = float(values[0, 0] - values[1, 0])
    if np.isnan(difference):
        return row | {"reason": f"undefined for one method: {metric.undefined_for}"}
    if max(n_seeds) > 1:
        found = compare_seeds(
            _by_seed(drawn, name, s, methods),
            n_patients=int(df) + 1,
            confidence=settings.confidence,
            seed=seed,
        )
        sd = {"seed_sd_first": found.seed_sd[0], "seed_sd_second": found.seed_sd[1]}
        how = "patients and seeds resampled"
        row |= sd | {"n_usable": found.n_usable, "interval": how, "test": how}
        return row | _numbers(metric, found.difference, found) | {"df": found.df}
    drawn_difference = values[0, 1:] - values[1, 1:]
    usable = drawn_difference[~np.isnan(drawn_difference)]
    row["n_usable"] = len(usable)
    if name == "auroc" and settings.interval in ("auto", "delong"):
        covariance = drawn.aurocs[s].covariance[np.ix_(methods, methods)]
        variance = float(covariance[0, 0] + covariance[1, 1] - 2 * covariance[0, 1])
        how = "clustered DeLong, paired"
        if variance <= ROUNDING**2 and abs(difference) > ROUNDING:
            return row | _separated(drawn, s, methods, settings)
    else:
        if len(usable) < max(len(drawn_difference) / 2, 2):
            return row | {"reason": f"{len(usable)} of {len(drawn_difference)} resamples usable"}
        variance, how = float(usable.var(ddof=1)), "joint bootstrap"
    found = compare_paired(difference, max(variance, 0.0), df=df, confidence=settings.confidence)
    row |= {"interval": how, "test": how, "df": df} | _numbers(metric, difference, found)
    if metric.share is not None and metric.uses != "both":
        row |= _mcnemar(pair, s, is_positive=metric.uses == "positives")
    return row


def _separated(drawn: Drawn, s: int, methods: list[int], settings: EvaluateSettings) -> Row:
    """Two methods of which each ranks all pairs alike, so that neither AUROC has a variance.

    Interval and p follow from both intervals as if cases were not shared, which is cautious.
    """
    aurocs = [drawn.aurocs[s].aurocs[m] for m in methods]
    one, other = (partial(limits_of, auroc) for auroc in aurocs)
    lo, hi = mover(one(settings.confidence), other(settings.confidence))
    how = "MOVER of both intervals"
    row: Row = {"difference": aurocs[0].value - aurocs[1].value, "lo": lo, "hi": hi}
    reason = "neither AUROC has a variance"
    return row | {"p": mover_p(one, other), "interval": how, "test": how, "reason": reason}


def _numbers(metric: Metric, difference: float, found: Comparison | SeedDifference) -> Row:
    """Interval and test; fractions differ by 1 at most, however wide Student's interval is."""
    lo, hi = found.lo, found.hi
    if metric.is_fraction:
        lo, hi = (float(np.clip(limit, -1.0, 1.0)) for limit in (lo, hi))
    numbers = {"lo": lo, "hi": hi, "p": found.p, "se": found.se}
    return {"difference": difference, **numbers, "reason": found.reason}


def _by_seed(drawn: Drawn, name: str, s: int, methods: list[int]) -> np.ndarray:
    """(2, seed, fold, 1 + replicate); decisions and probabilities are pooled over folds."""
    metric, replicates = drawn.metrics[name], drawn.replicates
    if metric.needs == "score":
        return replicates.values[name][methods, s]
    if metric.needs == "probability":
        return replicates.pooled[name][methods, s][:, :, None]
    counts = np.moveaxis(replicates.counts[methods, s].sum(axis=2, dtype=np.int64), 2, 0)
    return of_counts(metric, counts)[:, :, None]


def _mcnemar(pair: _Pair, s: int, *, is_positive: bool) -> Row:
    """P value of the decisions of both methods on the same cases."""
    sample, part = pair.drawn.sample, pair.drawn.slices[s]
    key = sample.case * sample.n_folds + sample.fold
    right, keys = [], []
    for method in pair.methods:
        is_used = part.member & (sample.method == method) & (sample.positive == is_positive)
        rows = np.flatnonzero(is_used & ~np.isnan(sample.decision))
        rows = rows[np.argsort(key[rows], kind="stable")]
        right.append((sample.decision[rows] == is_positive, rows))
        keys.append(key[rows])
    both = np.intersect1d(keys[0], keys[1])
    first, second = (r[0][np.searchsorted(k, both)] for r, k in zip(right, keys, strict=True))
    patient = sample.patient[right[0][1][np.searchsorted(keys[0], both)]]
    found = mcnemar(first, second, patient)
    row: Row = {"p": found.p_exact, "test": "McNemar, exact over patients"}
    if np.isnan(found.p_exact):
        row = {"p": found.p_cases, "test": "McNemar, clustered (Obuchowski)"}
    return row
