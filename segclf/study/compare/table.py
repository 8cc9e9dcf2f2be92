"""From the score tables of all methods to the rows of the comparison."""

import math
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from segclf.core.config import Recipe
from segclf.core.maskstats import MaskStatistics, joined
from segclf.evaluate import Evaluation, evaluate_scores, with_sizes
from segclf.evaluate.families import HOLM, SHORTCUT
from segclf.evaluate.inference.equivalence import verdict_of_p
from segclf.evaluate.inference.multiplicity import holm
from segclf.study.compare.figures import is_missing
from segclf.study.compare.methods import OUT_OF_FOLD

Row = dict[str, Any]
METRICS = ("auroc", "average_precision", "sensitivity", "specificity")
ROBUST, GAP = "robust", "aligned - robust"
NO_INTERVAL = "too few seeds for an interval"
"""Where the interval of a difference between two shares holds all that there can be."""
LESS_IS_BETTER = frozenset({"brier", "log_loss"})


def evaluate_methods(
    scores: pd.DataFrame,
    cases: pd.DataFrame,
    recipe: Recipe,
    *,
    sizes: pd.DataFrame,
    roles: Mapping[str, str],
) -> Evaluation:
    """The evaluation of all methods together: same cases, same resampled patients.

    Args:
        scores: Score tables of all methods, seeds and folds, one below the other.
        cases: The manifest's cases.
        recipe: Groups, shortcut, margins and intervals are those of its `evaluate`.
        sizes: Target sizes, from `target_sizes`.
        roles: Role of columns of `cases` and `sizes`.
    """
    settings = recipe.evaluate
    return evaluate_scores(
        scores,
        with_sizes(cases, sizes),
        by=settings.by,
        shortcut=settings.shortcut,
        settings=settings,
        roles=roles,
        seed=recipe.seed,
        metrics=list(dict.fromkeys([*METRICS, *settings.margins])),
        unit_name=recipe.unit_name,
        data=recipe.data,
        n_threads=os.cpu_count() or 1,
    )


def finding_tables(
    evaluation: Evaluation, names: Sequence[str], references: Sequence[str], *, confidence: float
) -> Iterator[Row]:
    """Per finding: metrics, differences from the reference, robust AUROC, and worst groups.

    Args:
        evaluation: Of all methods together.
        names: The methods, in the order of the comparison.
        references: What the others are compared with: the first one that scores the finding.
        confidence: 1 - alpha of the verdicts.
    """
    metrics = plain_rows(evaluation.metrics)
    plain_of = {name: name.removesuffix(OUT_OF_FOLD) for name in names}
    out_of_fold = [(n, plain) for n, plain in plain_of.items() if n != plain and plain in names]
    for finding in dict.fromkeys(row["finding"] for row in metrics):
        own = [row for row in metrics if row["finding"] == finding]
        pairs = _of(evaluation.comparisons, finding)
        scored = {row["method"] for row in own}
        reference = next((name for name in references if name in scored), references[0])
        against = [(name, reference) for name in names if name != reference]
        about = f"differences from {reference}"
        yield {
            "finding": finding,
            "reference": reference,
            "metrics": [row for row in own if row["group_column"] == "all"],
            "differences": differences(pairs, against, family=about, confidence=confidence),
            "out_of_fold": differences(
                pairs, out_of_fold, family="maps of held-out folds", confidence=confidence
            ),
            "robust": _of(evaluation.robust, finding),
            "worst": [row for row in _of(evaluation.gaps, finding) if row["metric"] == "auroc"],
        }


def differences(
    rows: Sequence[Row], pairs: Sequence[tuple[str, str]], *, family: str, confidence: float
) -> list[Row]:
    """The first method of each pair minus the second, over all cases and for robust AUROC.

    The pairs were declared; those of one metric, over all cases or of robust AUROC, are one
    family, adjusted by Holm. Other pairs of the evaluation were not asked for and do not count.

    Args:
        rows: The comparisons of one finding, raw p values in `p` and `p_equivalence`.
        pairs: First and second method of each comparison.
        family: What is compared, for the rows.
        confidence: 1 - alpha of the verdicts.
    """
    kept = [
        _turned(row, first)
        for first, second in pairs
        for row in rows
        if row["kind"] == "methods"
        and {row["first"], row["second"]} == {first, second}
        and (row["group_column"] == "all" or _is_robust(row))
    ]
    families: dict[tuple[str, str], list[Row]] = {}
    for row in kept:
        if row["metric"] in METRICS and not is_missing(row["lo"]) and row["hi"] - row["lo"] >= 2:
            row |= {"lo": None, "hi": None, "reason": NO_INTERVAL}
        families.setdefault((row["metric"], row["group"]), []).append(row)
    for members in families.values():
        adjusted = holm(np.array([_float(row["p"]) for row in members]))
        equivalent = holm(np.array([_float(row["p_equivalence"]) for row in members]))
        for row, p, p_equivalence in zip(members, adjusted, equivalent, strict=True):
            row |= {"p_adjusted": _none(p), "p_equivalence_adjusted": _none(p_equivalence)}
            row |= {"adjusted_by": HOLM, "n_tests": int((~np.isnan(adjusted)).sum())}
            row["family"] = f"{family}, {row['metric']}"
            sign = -1.0 if row["metric"] in LESS_IS_BETTER else 1.0
            row["verdict"] = verdict_of_p(
                sign * _float(row["difference"]), p, p_equivalence, alpha=1 - confidence
            )
    return kept


def _is_robust(row: Row) -> bool:
    is_shortcut = str(row["group_column"]).startswith(SHORTCUT)
    return is_shortcut and row["group"] == ROBUST and row["metric"] == "auroc"


def _turned(row: Row, first: str) -> Row:
    """A copy of the comparison in which `first` is the first method."""
    if row["first"] == first:
        return dict(row)
    swapped = {}
    for name, value in row.items():
        if name.endswith("_first") or name.endswith("_second"):
            other = name.removesuffix("_first").removesuffix("_second")
            end = "_second" if name.endswith("_first") else "_first"
            swapped[other + end] = value
    minus = {
        "difference": None if row["difference"] is None else -row["difference"],
        "lo": None if row["hi"] is None else -row["hi"],
        "hi": None if row["lo"] is None else -row["lo"],
    }
    return dict(row) | swapped | minus | {"first": row["second"], "second": row["first"]}


def dice_rows(overlap: pd.DataFrame, finding: str) -> list[Row]:
    """Dice of positives over all cases, of one finding."""
    rows = plain_rows(overlap)
    return [
        row
        for row in rows
        if row["finding"] == finding and row["group_column"] == "all" and row["metric"] == "dice"
    ]


def joined_seeds(statistics: Sequence[MaskStatistics], n_folds: int) -> MaskStatistics:
    """Statistics of several seeds as if each seed had folds of its own, for `overlap_rows`."""
    parts = []
    for place, one in enumerate(statistics):
        fold = one.frame["fold"].fillna(0).astype("Int64") + place * n_folds
        parts.append(replace(one, frame=one.frame.assign(fold=fold)))
    return joined(parts)


def flat_row(name: str, found: Row, dice: Sequence[Row]) -> Row:
    """The numbers of a method in one finding as one row: name of a number to its value.

    What is missing is None, and `reason` says why.
    """
    row: Row = {}
    reasons = []
    for metric in found["metrics"]:
        if metric["method"] != name or metric["metric"] not in METRICS:
            continue
        key = metric["metric"]
        row |= {key: metric["estimate"], f"{key}_lo": metric["lo"], f"{key}_hi": metric["hi"]}
        if key == "auroc":
            row |= {"auroc_seed_min": metric["seed_min"], "auroc_seed_max": metric["seed_max"]}
            row |= {name: metric[name] for name in ("n_cases", "n_patients", "n_seeds")}
        if metric["reason"]:
            reasons.append(f"{key}: {metric['reason']}")
    for quantity in found["robust"]:
        if quantity["method"] == name and quantity["quantity"] in (ROBUST, GAP):
            key = "robust_auroc" if quantity["quantity"] == ROBUST else "aligned_minus_robust"
            row |= {key: quantity["estimate"]}
            row |= {f"{key}_lo": quantity["lo"], f"{key}_hi": quantity["hi"]}
    for difference in found["differences"]:
        if difference["first"] == name and difference["metric"] == "auroc":
            key = "difference" if difference["group"] == "all" else "robust_difference"
            row |= {key: difference["difference"]}
            row |= {f"{key}_lo": difference["lo"], f"{key}_hi": difference["hi"]}
            row |= {f"{key}_p": difference["p"], f"{key}_p_adjusted": difference["p_adjusted"]}
            row[f"{key}_verdict"] = difference["verdict"]
    worst = [w for w in found["worst"] if w["method"] == name and w["worst"] is not None]
    if worst:
        least = min(worst, key=lambda one: one["worst"])
        row |= {"worst_group": f"{least['group_column']}: {least['worst_group']}"}
        row |= {"worst_group_auroc": least["worst"]}
        row |= {"worst_group_auroc_corrected": least["worst_corrected"]}
    for one in dice:
        row |= {"dice": one["estimate"], "dice_lo": one["lo"], "dice_hi": one["hi"]}
    return row | {"reason": "; ".join(reasons)}


def plain_rows(frame: pd.DataFrame) -> list[Row]:
    """Rows as plain data; what is missing is None."""
    rows = frame.astype(object).where(frame.notna(), None).to_dict("records")
    return [{str(key): _none(value) for key, value in row.items()} for row in rows]


def _of(frame: pd.DataFrame, finding: str) -> list[Row]:
    return [row for row in plain_rows(frame) if row["finding"] == finding]


def _none(value: Any) -> Any:  # noqa: ANN401 (plain data)
    if isinstance(value, np.generic):
        value = value.item()
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _float(value: float | None) -> float:
    return float("nan") if value is None else float(value)
