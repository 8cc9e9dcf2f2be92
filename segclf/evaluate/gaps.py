"""The worst group and the gap, raw and corrected, with what was left out; shrunken estimates."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby

import numpy as np

from segclf.core.config import EvaluateSettings
from segclf.evaluate.estimates import Row
from segclf.evaluate.inference.shrinkage import main_effects, shrink
from segclf.evaluate.inference.simultaneous import simultaneous_bounds
from segclf.evaluate.inference.worst import worst_group
from segclf.evaluate.rows import Estimated

GAP_COLUMNS = (
    *("method", "finding", "group_column", "metric", "worst_group", "worst", "worst_corrected"),
    *("worst_probability", "worst_bound", "best_group", "best", "gap", "gap_corrected", "sd"),
    *("sd_corrected", "n_groups", "left_out", "n_boot_usable", "reason", "note"),
)
NOTE = (
    "raw: estimates of groups are noisy, so the largest difference exceeds the true one even "
    "where all groups are equal; corrected: less what that noise adds"
)
SAME_PREVALENCE = 1.1
"""Largest over smallest prevalence of groups that count as equally prevalent."""
_KEYS = ("method", "finding", "group_column", "metric")


def gap_rows(
    estimated: Sequence[Estimated],
    settings: EvaluateSettings,
    *,
    levels: Mapping[str, Mapping[str, np.ndarray]],
    seed: int = 0,
) -> Iterator[Row]:
    """One row per method, finding, group column and metric; all groups share the resamples.

    Groups without an estimate are never the worst; they are listed with their reason. A metric
    of which neither more nor less is better has no row. The chance that a group is the worst,
    and shrunken estimates of intersections, are filled into the groups' own rows.

    Args:
        estimated: Rows of metrics, with their resamples.
        settings: Confidence of the bound.
        levels: Per column that is an intersection, each group's levels.
        seed: Of the noise that corrections draw.
    """

    def key(one: Estimated) -> tuple[str, ...]:
        return tuple(str(one.row[name]) for name in _KEYS)

    grouped = [
        one
        for one in estimated
        if one.row["group_column"] != "all" and one.metric.higher_is_better is not None
    ]
    order = {k: i for i, k in enumerate(dict.fromkeys(key(one) for one in grouped))}
    for values, members in groupby(sorted(grouped, key=lambda one: order[key(one)]), key=key):
        groups, column = list(members), values[2]
        if column in levels and groups[0].metric.is_fraction:
            _fill_shrunken(groups, levels[column], settings.confidence)
        row = _gap(groups, settings, seed) | dict(zip(_KEYS, values, strict=True))
        yield {name: row[name] for name in GAP_COLUMNS}


def _gap(groups: list[Estimated], settings: EvaluateSettings, seed: int) -> Row:
    metric = groups[0].metric
    if metric.uses_prevalence and (differ := _prevalences_differ(groups)):
        return _blank(groups) | {"reason": differ}
    estimate = np.array([_value(one) for one in groups])
    replicates = np.stack([one.replicates for one in groups])
    replicates[np.isnan(estimate)] = np.nan
    n_patients = _patients_used(groups)
    is_high = bool(metric.higher_is_better)
    found = worst_group(estimate, replicates, n_patients, higher_is_better=is_high, seed=seed)
    for one, probability in zip(groups, found.probability, strict=True):
        one.row["p_worst"] = float(probability)
    row = _blank(groups)
    row |= {"worst": found.worst, "worst_corrected": found.worst_corrected}
    row |= {"gap": found.gap, "gap_corrected": found.gap_corrected}
    row |= {"sd": found.sd, "sd_corrected": found.sd_corrected, "n_boot_usable": found.n_usable}
    if found.group < 0:
        return row | {"reason": "no group can be estimated"}
    row["worst_group"] = groups[found.group].row["group"]
    if row["n_groups"] < 2:
        return row | {"reason": "a gap needs two groups"}
    row["worst_probability"] = float(found.probability[found.group])
    best = int(np.nanargmax(estimate) if is_high else np.nanargmin(estimate))
    row |= {"best_group": groups[best].row["group"], "best": float(estimate[best])}
    if metric.is_fraction:
        bounds = simultaneous_bounds(
            *(estimate, replicates, n_patients),
            confidence=settings.confidence,
            higher_is_better=is_high,
        )
        if not np.isnan(bounds).all():
            row["worst_bound"] = float(np.nanmin(bounds) if is_high else np.nanmax(bounds))
    return row | {"reason": found.reason}


def _prevalences_differ(groups: list[Estimated]) -> str:
    """Why a metric that moves with the prevalence cannot compare these groups; '' if it can."""
    known = [one.row["prevalence"] for one in groups if not np.isnan(_value(one))]
    known = [value for value in known if not np.isnan(value)]
    if len(known) < 2 or max(known) <= SAME_PREVALENCE * min(known):
        return ""
    return (
        f"not compared: it moves with the prevalence, which is {min(known):.3g} to "
        f"{max(known):.3g} in these groups; give --deploy-prevalence where a metric has it"
    )


def _blank(groups: list[Estimated]) -> Row:
    """A row with what is left out, and nothing else known."""
    missing = [one.row for one in groups if np.isnan(_value(one))]
    row: Row = dict.fromkeys(GAP_COLUMNS, np.nan) | {"worst_group": None, "best_group": None}
    row |= {"n_groups": len(groups) - len(missing), "n_boot_usable": 0, "note": NOTE}
    return row | {"left_out": " | ".join(f"{r['group']}: {r['reason']}" for r in missing)}


def _fill_shrunken(
    groups: list[Estimated], levels: Mapping[str, np.ndarray], confidence: float
) -> None:
    """Each group drawn towards what its parts predict, on the logit scale."""
    value = np.array([_value(one) for one in groups])
    spread = np.array([_deviation(one.replicates) for one in groups])
    inner = np.clip(value, 0.005, 0.995)
    logit, se = np.log(inner / (1 - inner)), spread / (inner * (1 - inner))
    if not (se[~np.isnan(value)] > 0).any():
        return
    design = main_effects(np.stack([levels[str(one.row["group"])] for one in groups]))
    found = shrink(np.where(np.isnan(value), np.nan, logit), se, design, confidence=confidence)
    for i, one in enumerate(groups):
        shown = (found.estimate[i], found.lo[i], found.hi[i])
        names = ("shrunken", "shrunken_lo", "shrunken_hi")
        one.row.update({n: float(1 / (1 + np.exp(-x))) for n, x in zip(names, shown, strict=True)})


def _deviation(replicates: np.ndarray) -> float:
    usable = replicates[~np.isnan(replicates)]
    return float(usable.std(ddof=1)) if len(usable) > 1 else float("nan")


def _patients_used(groups: list[Estimated]) -> np.ndarray:
    """(class, group) patients of the classes that the metric depends on."""
    classes = ("positive", "negative")
    uses = groups[0].metric.uses
    names = classes if uses == "both" else (uses[:-1],)
    return np.array([[one.row[f"n_{name}_patients"] for one in groups] for name in names])


def _value(one: Estimated) -> float:
    return float(one.row["estimate"])
