"""Two groups under one method, and all groups of a column together."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import combinations

import numpy as np

from segclf.core.config import EvaluateSettings
from segclf.evaluate.estimates import Row
from segclf.evaluate.exact import limits_of
from segclf.evaluate.families import blank
from segclf.evaluate.groups import Grouping
from segclf.evaluate.inference.bootstrap_intervals import percentile
from segclf.evaluate.inference.compare import (
    compare_independent,
    compare_paired,
    mover,
    mover_p,
)
from segclf.evaluate.inference.heterogeneity import (
    Heterogeneity,
    bootstrap_heterogeneity,
    varies_within_patient,
)
from segclf.evaluate.inference.intervals import wilson
from segclf.evaluate.inference.permute import permute_auroc, permute_mean
from segclf.evaluate.rows import Drawn, Estimated, count_slice

COMPARED = ("auroc", "sensitivity", "specificity")
MANY = 8
"""Of more groups than this, each is compared with the largest alone."""


@dataclass(frozen=True)
class _Members:
    """The groups of one column under one method and metric that have an estimate."""

    column: str
    method: int
    name: str
    groups: list[Estimated]
    slices: list[int]
    are_apart: bool
    """No patient is in two groups, so that estimates are independent."""


def group_rows(
    drawn: Drawn,
    estimated: Sequence[Estimated],
    groupings: Mapping[str, Grouping],
    settings: EvaluateSettings,
    *,
    seed: int,
    n_threads: int = 1,
) -> Iterator[Row]:
    """Rows of heterogeneity and of pairs of groups, per column, method and metric.

    Groups that share no patient are independent: their difference has the interval that follows
    from both intervals (MOVER), and heterogeneity is tested by exchanging the groups of
    patients. Else the joint bootstrap takes over for both, and is named.

    Args:
        drawn: The resampled values.
        estimated: The rows of metrics made from them.
        groupings: Per column, how it cuts the cases.
        settings: Confidence.
        seed: Of the permutations.
        n_threads: Batches of permutations at a time.
    """
    for members in _members(drawn, estimated, groupings):
        yield _heterogeneity(drawn, members, settings, seed, n_threads)
        for first, second in _pairs(members.groups):
            yield _pair(drawn, members, first, second, settings)


def _members(
    drawn: Drawn, estimated: Sequence[Estimated], groupings: Mapping[str, Grouping]
) -> Iterator[_Members]:
    sample = drawn.sample
    place = {(part.column, part.group): s for s, part in enumerate(drawn.slices)}
    found: dict[tuple[str, str, str], list[Estimated]] = {}
    for one in estimated:
        row = one.row
        if row["metric"] in COMPARED and row["group_column"] in groupings:
            key = (str(row["group_column"]), str(row["method"]), str(row["metric"]))
            found.setdefault(key, []).append(one)
    apart: dict[str, bool] = {}
    for (column, method, name), groups in found.items():
        known = [one for one in groups if not np.isnan(one.row["estimate"])]
        slices = [place[column, str(one.row["group"])] for one in known]
        if column not in apart:
            grouping = groupings[column]
            all_groups = [s for (c, _), s in place.items() if c == column]
            code = _codes(drawn, all_groups)
            is_used = code >= 0
            apart[column] = (
                grouping.is_partition
                and not grouping.positives_only
                and not varies_within_patient(sample.patient[is_used], code[is_used])
            )
        yield _Members(column, sample.methods.index(method), name, known, slices, apart[column])


def _codes(drawn: Drawn, slices: Sequence[int]) -> np.ndarray:
    """(row,) which of the slices a row is in; -1 for none."""
    code = np.full(len(drawn.sample.score), -1)
    for i, s in enumerate(slices):
        code[drawn.slices[s].member] = i
    return code


def _heterogeneity(
    drawn: Drawn, members: _Members, settings: EvaluateSettings, seed: int, n_threads: int
) -> Row:
    sample = drawn.sample
    metric = drawn.metrics[members.name]
    row = blank(
        kind="heterogeneity",
        finding=sample.finding,
        metric=members.name,
        group_column=members.column,
        method=sample.methods[members.method],
    )
    is_used = sample.method == members.method
    is_used &= np.logical_or.reduce([drawn.slices[s].member for s in members.slices] or [~is_used])
    row |= _counted(asdict(count_slice(sample, is_used)))
    row |= {"sign": 1.0, "se": np.nan, "df": np.inf}
    if len(members.groups) < 2:
        return row | {"reason": f"{len(members.groups)} groups have an estimate, two are needed"}
    if members.are_apart:
        found = _permute(drawn, members, settings.n_boot, seed, n_threads)
    else:
        classes = ("positive", "negative") if metric.uses == "both" else (metric.uses[:-1],)
        found = bootstrap_heterogeneity(
            np.array([one.row["estimate"] for one in members.groups]),
            np.stack([one.replicates for one in members.groups]),
            np.array([[one.row[f"n_{c}_patients"] for one in members.groups] for c in classes]),
        )
    row |= {"difference": found.gap, "p": found.p_q, "n_usable": found.n_replicates}
    return row | {"test": found.how, "reason": found.reason}


def _counted(counts: Row) -> Row:
    return {name: counts[name] for name in ("n_cases", "n_patients", "n_positive", "n_negative")}


def _permute(
    drawn: Drawn, members: _Members, n_permutations: int, seed: int, n_threads: int
) -> Heterogeneity:
    sample = drawn.sample
    code = _codes(drawn, members.slices)
    own = (sample.method == members.method) & (code >= 0)
    options = {"n_permutations": n_permutations, "seed": seed, "n_threads": n_threads}
    if members.name == "auroc":
        rows = np.flatnonzero(own)
        return permute_auroc(
            *(sample.score[rows], sample.positive[rows], sample.patient[rows]),
            *(sample.stratum_start, code[rows]),
            block=sample.seed[rows] * sample.n_folds + sample.fold[rows],
            **options,
        )
    is_positive = members.name == "sensitivity"
    own &= (sample.positive == is_positive) & ~np.isnan(sample.decision)
    rows = np.flatnonzero(own)
    right = (sample.decision[rows] == is_positive).astype(np.float64)
    return permute_mean(right, sample.patient[rows], sample.stratum_start, code[rows], **options)


def _pairs(groups: list[Estimated]) -> Iterator[tuple[int, int]]:
    if len(groups) <= MANY:
        yield from combinations(range(len(groups)), 2)
        return
    largest = int(np.argmax([one.row["n_patients"] for one in groups]))
    yield from ((i, largest) for i in range(len(groups)) if i != largest)


def _pair(
    drawn: Drawn, members: _Members, first: int, second: int, settings: EvaluateSettings
) -> Row:
    sample, metric = drawn.sample, drawn.metrics[members.name]
    one, other = members.groups[first], members.groups[second]
    row = blank(
        kind="groups",
        finding=sample.finding,
        metric=members.name,
        group_column=members.column,
        method=sample.methods[members.method],
        first=one.row["group"],
        second=other.row["group"],
        estimate_first=one.row["estimate"],
        estimate_second=other.row["estimate"],
        difference=one.row["estimate"] - other.row["estimate"],
        n_seeds=one.row["n_seeds"],
    )
    is_used = sample.method == members.method
    either = [drawn.slices[members.slices[i]].member for i in (first, second)]
    row |= _counted(asdict(count_slice(sample, is_used & (either[0] | either[1]))))
    row |= {"sign": 1.0, "se": np.nan, "df": np.inf}
    difference = one.replicates - other.replicates
    usable = difference[~np.isnan(difference)]
    row["n_usable"] = len(usable)
    by_formula = settings.interval == "auto" and "bootstrap" not in one.row["interval"]
    if members.are_apart and by_formula and "bootstrap" not in other.row["interval"]:
        return row | _independent(drawn, members, first, second, settings)
    if members.are_apart and settings.interval == "delong" and members.name == "auroc":
        return row | _as_proc(drawn, members, first, second, settings)
    if len(usable) < max(len(difference) / 2, 2):
        return row | {"reason": f"{len(usable)} of {len(difference)} resamples usable"}
    used = [f"n_{c}_patients" for c in ("positive", "negative") if metric.uses in ("both", f"{c}s")]
    df = max(min(each.row[name] for each in (one, other) for name in used) - 1, 1)
    found = compare_paired(
        row["difference"], float(usable.var(ddof=1)), df=df, confidence=settings.confidence
    )
    lo, hi, how = found.lo, found.hi, "joint bootstrap"
    if settings.interval == "percentile":
        lo, hi, _, _ = percentile(difference, settings.confidence)
    row |= {"lo": lo, "hi": hi, "p": found.p, "se": found.se, "df": df}
    return row | {"interval": how, "test": how, "reason": found.reason}


def _as_proc(
    drawn: Drawn, members: _Members, first: int, second: int, settings: EvaluateSettings
) -> Row:
    """What pROC gives for two groups: cases as independent, Welch's degrees of freedom."""
    one, other = (drawn.aurocs[members.slices[i]].aurocs[members.method] for i in (first, second))
    n = (one.n_positive + one.n_negative, other.n_positive + other.n_negative)
    found = compare_independent(
        one.value - other.value,
        (one.variance_of_cases, other.variance_of_cases),
        n,
        confidence=settings.confidence,
    )
    how = "DeLong, cases as independent"
    numbers = {"lo": found.lo, "hi": found.hi, "p": found.p, "se": found.se}
    return numbers | {"interval": how, "test": how, "reason": found.reason}


def _independent(
    drawn: Drawn, members: _Members, first: int, second: int, settings: EvaluateSettings
) -> Row:
    """Interval and p value that follow from the intervals of both groups."""

    def limits(i: int, confidence: float) -> tuple[float, float, float]:
        row = members.groups[i].row
        if members.name == "auroc":
            return limits_of(drawn.aurocs[members.slices[i]].aurocs[members.method], confidence)
        n = n_decided[i] / row["design_effect"]
        return row["estimate"], *wilson(row["estimate"], n, confidence)

    shares = () if members.name == "auroc" else (first, second)
    n_decided = {i: _n_decided(drawn, members, members.slices[i]) for i in shares}
    one, other = (lambda level, i=i: limits(i, level) for i in (first, second))
    lo, hi = mover(one(settings.confidence), other(settings.confidence))
    p = mover_p(one, other)
    # One standard error, from the interval at the level of one: for the test of equivalence.
    inner = mover(one(0.6827), other(0.6827))
    how = "MOVER of both intervals"
    numbers = {"lo": lo, "hi": hi, "p": p, "se": (inner[1] - inner[0]) / 2}
    return numbers | {"interval": how, "test": how, "reason": ""}


def _n_decided(drawn: Drawn, members: _Members, s: int) -> float:
    """Cases of the share that have a decision, as a mean over seeds."""
    sample, is_positive = drawn.sample, members.name == "sensitivity"
    own = drawn.slices[s].member & (sample.method == members.method)
    own &= (sample.positive == is_positive) & ~np.isnan(sample.decision)
    n_of_seed = np.bincount(sample.seed[own])
    return float(n_of_seed[n_of_seed > 0].mean())
