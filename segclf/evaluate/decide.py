"""`--threshold-from`: decisions by a threshold that is fitted on one split and frozen."""

from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import pandas as pd

from segclf.core.errors import DataError, UsageError
from segclf.core.settings import SummarizeSettings
from segclf.core.thresholds import fit_threshold

EXPLORATORY = (
    "EXPLORATORY: thresholds were chosen on the test cases themselves, so sensitivity, specificity "
    "and all other numbers of decisions are too good"
)
_KEYS = ["method", "finding", "fold", "seed"]
_TARGETED = ("sensitivity", "specificity", "cost")


@dataclass(frozen=True)
class ThresholdSource:
    """Where thresholds come from, and for what."""

    split: str
    settings: SummarizeSettings


def parse_source(text: str, *, exploratory: bool = False) -> ThresholdSource:
    """What `--threshold-from` asks for: `val`, `val:specificity=0.9`, `val:cost=10`.

    Args:
        text: Split, and after a colon the objective: `youden` (default), `sensitivity=S`,
            `specificity=S`, or `cost=RATIO` (of a missed positive over a false alarm).
        exploratory: Allow `test`; every output is then marked.

    Raises:
        UsageError: The split is `test` without `exploratory`, or the text cannot be read.
    """
    split, _, objective = text.partition(":")
    name, equals, number = objective.partition("=")
    where = f"--threshold-from {text}"
    if split not in ("train", "val", "test"):
        raise _unreadable(f"there is no split {split!r}.", where)
    if split == "test" and not exploratory:
        raise UsageError(
            "a threshold chosen on the test cases makes their results too good.",
            where=where,
            expected="a split that is not evaluated: val or train",
            fix="--threshold-from val; or add --exploratory, which marks every output",
        )
    if not name or (name == "youden" and not equals):
        return ThresholdSource(split, SummarizeSettings())
    try:
        value = float(number)
    except ValueError:
        value = np.nan
    fits = value > 0 if name == "cost" else 0 < value < 1
    if name not in _TARGETED or not fits or not np.isfinite(value):
        raise _unreadable(f"the objective {objective!r} cannot be read.", where)
    if name == "cost":
        return ThresholdSource(split, SummarizeSettings(objective="cost", cost_ratio=value))
    settings = SummarizeSettings.model_validate({"objective": name, "target": value})
    return ThresholdSource(split, settings)


def decide(
    scores: pd.DataFrame, source: ThresholdSource
) -> tuple[pd.DataFrame, list[dict[str, Any]]]:
    """The table with new decisions, and per method, finding, fold and seed how they were made.

    One threshold per network, fitted on the cases of `source.split`, decides all of its cases.
    Where it cannot be fitted, decisions are missing and the record says why.

    Args:
        scores: A checked score table; its own thresholds and decisions are replaced.
        source: Where thresholds come from.

    Raises:
        DataError: A method has no row in that split.
    """
    found, records = [], []
    for group, rows in scores.groupby(_KEYS, sort=True, dropna=False):
        key = cast(tuple[Any, ...], group)
        score = rows["score"].to_numpy(dtype=np.float64)
        is_source = (rows["split"] == source.split).to_numpy()
        if not is_source.any():
            raise DataError(
                f"the method {key[0]!r} has no case in the split {source.split!r}.",
                where=f"--threshold-from {source.split}",
                expected="scores of the cases that thresholds are chosen on",
                fix="add these rows (column `split`), or use the tables' own decisions",
            )
        label = rows["label"].to_numpy(dtype=np.float64)
        threshold, record = fit_threshold(score[is_source], label[is_source], source.settings)
        decision = np.where(np.isnan(score) | np.isnan(threshold), np.nan, score > threshold)
        found.append(rows.assign(decision_value=score, threshold=threshold, decision=decision))
        named = {k: None if pd.isna(v) else v for k, v in zip(_KEYS, key, strict=True)}
        records.append(named | record | {"fitted_on": source.split})
    return pd.concat(found).sort_index(), records


def _unreadable(wrong: str, where: str) -> UsageError:
    return UsageError(
        wrong,
        where=where,
        expected="SPLIT or SPLIT:OBJECTIVE; youden, sensitivity=S, specificity=S or cost=RATIO",
        fix="for example --threshold-from val:specificity=0.9",
    )
