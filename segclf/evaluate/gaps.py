"""The worst group and the gap between best and worst, with what was left out."""

from collections.abc import Iterator, Sequence
from itertools import groupby

import numpy as np

from segclf.core.config import EvaluateSettings
from segclf.evaluate.estimates import Row
from segclf.evaluate.inference.bootstrap_intervals import percentile
from segclf.evaluate.rows import Estimated

GAP_COLUMNS = (
    *("method", "finding", "group_column", "metric", "worst_group", "worst", "worst_lo"),
    *("worst_hi", "best_group", "best", "gap", "lo", "hi", "interval", "n_groups", "left_out"),
    *("n_boot_usable", "reason", "note"),
)
NOTE = (
    "raw: estimates of groups are noisy, so the largest difference exceeds the true one even "
    "where all groups are equal, and its interval cannot hold 0"
)
_KEYS = ("method", "finding", "group_column", "metric")


def gap_rows(estimated: Sequence[Estimated], settings: EvaluateSettings) -> Iterator[Row]:
    """One row per method, finding, group column and metric; all groups share the resamples.

    Groups without an estimate are never the worst; they are listed with their reason.
    """

    def key(one: Estimated) -> tuple[str, ...]:
        return tuple(str(one.row[name]) for name in _KEYS)

    grouped = [one for one in estimated if one.row["group_column"] != "all"]
    order = {k: i for i, k in enumerate(dict.fromkeys(key(one) for one in grouped))}
    for values, members in groupby(sorted(grouped, key=lambda one: order[key(one)]), key=key):
        row = _gap(list(members), settings) | dict(zip(_KEYS, values, strict=True))
        yield {name: row[name] for name in GAP_COLUMNS}


def _gap(groups: list[Estimated], settings: EvaluateSettings) -> Row:
    usable = [one for one in groups if not np.isnan(_value(one))]
    missing = [one.row for one in groups if np.isnan(_value(one))]
    left_out = [f"{row['group']}: {row['reason']}" for row in missing]
    row: Row = dict.fromkeys(GAP_COLUMNS)
    row |= dict.fromkeys(("worst", "worst_lo", "worst_hi", "best", "gap", "lo", "hi"), np.nan)
    row |= {"n_groups": len(usable), "left_out": " | ".join(left_out), "n_boot_usable": 0}
    row |= {"interval": groups[0].row["interval"], "note": NOTE}
    if not usable:
        return row | {"reason": "no group can be estimated"}
    ranked = sorted(usable, key=_value, reverse=not usable[0].metric.higher_is_better)
    worst, best = ranked[0], ranked[-1]
    row |= {"worst_group": worst.row["group"], "worst": _value(worst)}
    row |= {"worst_lo": worst.row["lo"], "worst_hi": worst.row["hi"]}
    if len(usable) < 2:
        return row | {"reason": "a gap needs two groups"}
    joint = np.stack([one.replicates for one in usable])
    lo, hi, n_usable, reason = percentile(
        joint.max(axis=0) - joint.min(axis=0), settings.confidence
    )
    row |= {"best_group": best.row["group"], "best": _value(best)}
    row |= {"gap": abs(_value(best) - _value(worst)), "lo": lo, "hi": hi}
    return row | {"n_boot_usable": n_usable, "reason": reason}


def _value(one: Estimated) -> float:
    return float(one.row["estimate"])
