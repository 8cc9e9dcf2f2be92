"""The long, tidy table: one row per method, finding, group and metric."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass

import numpy as np

from segclf.core.config import EvaluateSettings
from segclf.core.text import counted
from segclf.evaluate.estimates import Counts, Left, Row, average_cells, estimate
from segclf.evaluate.exact import Interval, SliceAurocs, interval_of_auroc, interval_of_share
from segclf.evaluate.inference.missing import join, nanmean
from segclf.evaluate.metrics import Metric
from segclf.evaluate.resample import Replicates
from segclf.evaluate.sample import Sample, Slice

METRIC_COLUMNS = (
    *("method", "finding", "group_column", "group", "metric", "estimate", "lo", "hi", "interval"),
    *("n_cases", "n_patients", "n_positive", "n_negative", "prevalence"),
    *("n_positive_patients", "n_negative_patients", "negatives", "n_boot_usable"),
    *("n_folds", "fold_min", "fold_max", "n_seeds", "seed_min", "seed_max", "design_effect"),
    *("p_worst", "shrunken", "shrunken_lo", "shrunken_hi", "reason"),
)
_NO_DECISIONS = "the score table has no decisions"
SHARED_NEGATIVES = "all strata share the negatives: see the row of all cases"
_NO_PREVALENCE = "one stratum of positives against all negatives has no prevalence of its own"


@dataclass(frozen=True)
class Estimated:
    """One row of the table, with the resampled values behind it."""

    metric: Metric
    row: Row
    replicates: np.ndarray
    """(replicate,) without the sample's own value."""


@dataclass(frozen=True)
class Drawn:
    """What was resampled for one finding, and what intervals need besides."""

    sample: Sample
    slices: Sequence[Slice]
    metrics: Mapping[str, Metric]
    replicates: Replicates
    left_out: Replicates | None
    """Without each patient; for BCa intervals only."""
    aurocs: Sequence[SliceAurocs]
    """Per slice."""


def metric_rows(drawn: Drawn, settings: EvaluateSettings, *, unit: str) -> Iterator[Estimated]:
    """Every metric of every slice and method, with its interval, counts and reason.

    Methods without any probability have no rows of metrics of probabilities.
    """
    sample, metrics = drawn.sample, drawn.metrics
    averaged = {name: average_cells(m, name, drawn.replicates) for name, m in metrics.items()}
    for index, method in enumerate(sample.methods):
        is_method = sample.method == index
        has_block = np.zeros((sample.n_seeds, sample.n_folds), bool)
        has_block[sample.seed[is_method], sample.fold[is_method]] = True
        has_probability = not np.isnan(sample.probability[is_method]).all()
        for s, part in enumerate(drawn.slices):
            member = part.member & is_method
            counts = count_slice(sample, member)
            shared: Row = dict.fromkeys(METRIC_COLUMNS, np.nan) | asdict(counts)
            shared |= {"method": method, "finding": sample.finding}
            shared |= {"group_column": part.column, "group": part.group}
            shared["negatives"] = part.against
            if counts.n_cases and not part.shares_negatives:
                shared["prevalence"] = counts.n_positive / counts.n_cases
            rows = np.flatnonzero(member)
            lacks = {"decision": np.isnan(sample.decision[rows])}
            lacks["probability"] = np.isnan(sample.probability[rows])
            decided = rows[~lacks["decision"]]
            for name, metric in metrics.items():
                if metric.needs == "probability" and not has_probability:
                    continue
                values, by_seed, by_fold = (array[index, s] for array in averaged[name])
                unknown = lacks.get(metric.needs, np.zeros(0, bool))
                unfit = _unfit(metric, part, unknown) or _no_sums(drawn.replicates, name, index, s)
                exact = _exact(drawn, settings, name, (index, s), decided)
                left_out = _left_out_values(drawn, metric, name, index, s)
                found = estimate(
                    *(metric, values, counts, settings),
                    unit=unit,
                    unfit=unfit,
                    exact=exact,
                    left_out=left_out,
                )
                row = shared | {"metric": name} | asdict(found)
                row |= _spread(by_seed, by_fold, has_block, is_shown=not np.isnan(found.estimate))
                if not np.isnan(found.estimate):
                    left = _left_out(metric, by_fold, has_block, unknown)
                    row["reason"] = join(found.reason, left)
                yield Estimated(metric, {key: row[key] for key in METRIC_COLUMNS}, values[1:])


def _exact(
    drawn: Drawn, settings: EvaluateSettings, name: str, place: tuple[int, int], decided: np.ndarray
) -> Interval | None:
    """The interval that needs no resamples; `decided` are the rows with a decision."""
    metric, (method, s) = drawn.metrics[name], place
    if settings.interval in ("percentile", "bca"):
        return None
    if name == "auroc":
        return interval_of_auroc(drawn.aurocs[s].aurocs[method], settings)
    return (
        None if metric.share is None else interval_of_share(metric, drawn.sample, decided, settings)
    )


def _left_out_values(drawn: Drawn, metric: Metric, name: str, method: int, s: int) -> Left | None:
    """The estimate without each patient of the slice, and their strata."""
    replicates = drawn.left_out
    if replicates is None:
        return None
    sample = drawn.sample
    own = np.unique(sample.patient[drawn.slices[s].member & (sample.method == method)])
    stratum = np.searchsorted(sample.stratum_start, own, side="right")
    return lambda: (average_cells(metric, name, replicates)[0][method, s, 1:][own], stratum)


def _no_sums(replicates: Replicates, name: str, method: int, s: int) -> str:
    return str(replicates.reasons[name][method, s]) if name in replicates.reasons else ""


def count_slice(sample: Sample, member: np.ndarray) -> Counts:
    """Cases and patients among the rows `member`; each counts once over folds and seeds."""
    n_patients = int(sample.stratum_start[-1])

    def n_of(code: np.ndarray, n_codes: int, rows: np.ndarray) -> int:
        seen = np.zeros(n_codes, bool)
        seen[code[rows]] = True
        return int(seen.sum())

    parts = (member, member & sample.positive, member & ~sample.positive)
    cases = [n_of(sample.case, len(sample.case_ids), rows) for rows in parts]
    patients = [n_of(sample.patient, n_patients, rows) for rows in parts]
    return Counts(cases[0], patients[0], cases[1], cases[2], patients[1], patients[2])


def _unfit(metric: Metric, part: Slice, is_unknown: np.ndarray) -> str:
    if metric.needs == "decision" and len(is_unknown) and is_unknown.all():
        return _NO_DECISIONS
    if part.shares_negatives and metric.uses == "negatives":
        return SHARED_NEGATIVES
    return _NO_PREVALENCE if part.shares_negatives and metric.uses_prevalence else ""


def _spread(
    by_seed: np.ndarray, by_fold: np.ndarray, has_block: np.ndarray, *, is_shown: bool
) -> Row:
    """Smallest and largest value over folds and over seeds, where there are several."""
    row: Row = {}
    for kind, values, axis in (("fold", nanmean(by_fold, axis=0), 0), ("seed", by_seed, 1)):
        known = values[~np.isnan(values)]
        row[f"n_{kind}s"] = n_blocks = int(has_block.any(axis=axis).sum())
        # Pooled folds have one value; folds that lack a class have none.
        is_spread = is_shown and n_blocks > 1 and len(known) > 0 and values.size > 1
        row[f"{kind}_min"] = float(known.min()) if is_spread else np.nan
        row[f"{kind}_max"] = float(known.max()) if is_spread else np.nan
    return row


def _left_out(
    metric: Metric, by_fold: np.ndarray, has_block: np.ndarray, is_unknown: np.ndarray
) -> str:
    if metric.needs in ("decision", "probability"):
        n = int(is_unknown.sum())
        return f"{counted(n, 'row')} without a {metric.needs} left out" if n else ""
    n_undefined = int((np.isnan(by_fold) & has_block).sum())
    what = "folds" if has_block.shape[0] == 1 else "folds and seeds"
    return (
        f"mean of {int(has_block.sum()) - n_undefined} {what}; {n_undefined} left out, "
        f"{metric.undefined_for}"
        if n_undefined
        else ""
    )
