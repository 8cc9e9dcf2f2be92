"""Volumes: a 3D network against a 2D network on all slices, and agreement of volumes in mL.

Run by `python -m segclf.study.experiments ct_ich_volumes hippocampus_volumes`, fold by fold;
finished trainings are kept.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from segclf import pipeline, stages
from segclf.console import progress
from segclf.core.maskstats import MaskStatistics, threshold_index
from segclf.core.scoretable import read_scores
from segclf.core.statstable import read_statistics
from segclf.core.units import convert_px
from segclf.evaluate import evaluate_scores, overlap_rows
from segclf.evaluate.inference.multiplicity import holm
from segclf.experiment import Experiment, new_experiment
from segclf.training import read_cost
from segclf.volumes import summarize_volumes, volume_experiment

Entry = dict[str, Any]
RULES = ("mean", "max", "tau")
"""Stated before the results; p values of their differences are adjusted by Holm."""
T = 0.5
"""Probability above which a voxel counts for Dice and mL."""
PLAN = "{plan: {patch_px: [96, 96, 32], spacing_mm: [2.06, 2.06, 5]}, filters: [8, 16, 32, 64, 64]}"


@dataclass(frozen=True)
class Arm:
    """One network of the comparison."""

    config: str
    overrides: tuple[str, ...] = ()
    in_slices: bool = False


ON_CT_3D = (
    "nominal_spacing=true",
    "network.name=dynunet",
    f"network.options={PLAN}",
    "train.steps=240",
    "train.validate_every=120",
)
ARMS = {"3D": Arm("ct_ich_3d", ON_CT_3D), "slices": Arm("ct_ich_slices", in_slices=True)}
HIPPOCAMPUS = Arm("hippocampus_3d")


def run_ct(folder: Path, n_folds: int) -> Entry:
    """Train both networks on the first folds, and compare their scores of volumes.

    Args:
        folder: Its name begins the names of the runs.
        n_folds: Number of folds.
    """
    opened = {
        name: train_folds(arm, f"{folder.name}-{name.lower()}", n_folds)
        for name, arm in ARMS.items()
    }
    tables: dict[str, dict[str, pd.DataFrame]] = {rule: {} for rule in RULES}
    overlap = {}
    for name, (exp, own) in opened.items():
        for rule in RULES:
            if ARMS[name].in_slices:
                path = summarize_volumes(exp, rule)[1]
            else:
                path, _ = pipeline.summarize_masks(exp, rule)
            tables[rule][name] = read_scores(path / "scores.parquet").assign(method=name)
        overlap[name] = dice_of(own)
    exp = opened["3D"][0]
    entry = {"n_folds": n_folds, "rules": {}, "dice": overlap, "cpu_s": costs(opened, n_folds)}
    entry["overrides"] = {name: list(arm.overrides) for name, arm in ARMS.items()}
    entry["steps"] = {name: found[0].recipe.train.steps for name, found in opened.items()}
    entry["rules"] = {rule: compared(exp, list(tables[rule].values())) for rule in RULES}
    p = np.array([row["p"] if row["p"] is not None else np.nan for row in entry["rules"].values()])
    for row, adjusted in zip(entry["rules"].values(), holm(p), strict=True):
        row["p_adjusted"] = plain(adjusted)
    return entry


def train_folds(arm: Arm, name: str, n_folds: int) -> tuple[Experiment, Experiment]:
    """The run with its first folds trained and predicted, and the run of its whole volumes."""
    exp = new_experiment(Path(f"configs/{arm.config}.yaml"), None, name, arm.overrides)
    for fold in exp.folds()[:n_folds]:
        with progress(f"{name} fold {fold}") as on_event:
            pipeline.train_seg(exp, on_event, fold=fold, resume=True)
    if not arm.in_slices:
        return exp, exp
    summarize_volumes(exp, RULES[0])
    return exp, volume_experiment(exp)


def costs(opened: dict[str, tuple[Experiment, Experiment]], n_folds: int) -> dict[str, list[Any]]:
    """Processor seconds of each training, by network."""
    return {
        name: [read_cost(exp.run.stage("segment", fold=f)) for f in exp.folds()[:n_folds]]
        for name, (exp, _) in opened.items()
    }


def compared(exp: Experiment, tables: list[pd.DataFrame]) -> Entry:
    """AUROC of each method with its interval, and their paired difference, on volumes of both."""
    evaluation = evaluate_scores(
        pd.concat(tables, ignore_index=True), exp.table.frame, settings=exp.recipe.evaluate,
        roles=exp.table.roles, seed=exp.recipe.seed, metrics=("auroc",),
        unit_name=exp.recipe.unit_name,
    )  # fmt: skip
    rows = evaluation.metrics.query("group_column == 'all' and metric == 'auroc'")
    pairs = evaluation.comparisons.query("kind == 'methods' and metric == 'auroc'")
    pair = pairs[pairs["group_column"] == "all"].iloc[0]
    numbers = ("estimate", "lo", "hi", "n_cases", "n_positive_patients", "n_negative_patients")
    entry: Entry = {
        str(row["method"]): {key: plain(row[key]) for key in numbers}
        | {"reason": str(row["reason"] or "")}
        for row in rows.to_dict("records")
    }
    entry["difference"] = {"first": str(pair["first"]), "second": str(pair["second"])}
    entry["difference"] |= {key: plain(pair[key]) for key in ("difference", "lo", "hi")}
    entry["difference"] |= {"reason": str(pair["reason"] or "")}
    return entry | {"p": plain(pair["p"])}


def dice_of(exp: Experiment) -> dict[str, Entry]:
    """Mean Dice of positives per finding on the test volumes of the folds that have run."""
    rows = overlap_rows(
        read_statistics(stages.predicted_folders(exp)),
        stages.split_frame(exp.split, exp.table),
        T,
        settings=exp.recipe.evaluate,
        seed=exp.recipe.seed,
        unit_name=exp.recipe.unit_name,
    ).query("metric == 'dice' and group_column == 'all'")
    keys = ("estimate", "lo", "hi", "n_positive")
    return {
        str(row["finding"]): {key: plain(row[key]) for key in keys}
        for row in rows.to_dict("records")
    }


def run_hippocampus(folder: Path, n_folds: int) -> Entry:
    """Train the first folds; Dice and agreement in mL of each finding on their test volumes."""
    exp, _ = train_folds(HIPPOCAMPUS, folder.name, n_folds)
    statistics = read_statistics(stages.predicted_folders(exp))
    return {
        "n_folds": n_folds,
        "steps": exp.recipe.train.steps,
        "dice": dice_of(exp),
        "ml": {finding: agreement_of(exp, statistics, finding) for finding in exp.table.findings},
        "cpu_s": costs({"3D": (exp, exp)}, n_folds),
    }


def agreement_of(exp: Experiment, statistics: MaskStatistics, finding: str) -> Entry:
    """Agreement of predicted and drawn volumes of test cases whose mask is known."""
    test = exp.split.loc[exp.split["split"] == "test", ["case_id", "fold"]]
    frame = statistics.frame.assign(place=np.arange(len(statistics.frame)))
    own = pd.DataFrame(frame.loc[frame["finding"] == finding])
    rows = own.merge(test.astype({"case_id": "string", "fold": "Int64"}), on=["case_id", "fold"])
    rows = pd.DataFrame(rows.loc[rows["true_px"].notna()])
    sizes = {"image_px": rows["n_px"].to_numpy(), "px_size": rows["px_size"].to_numpy()}
    above = statistics.area_curve[rows["place"], threshold_index(T)]
    predicted = convert_px(above, unit="mL", **sizes)
    true = convert_px(rows["true_px"].to_numpy(dtype=float), unit="mL", **sizes)
    return agreement(predicted, true)


def agreement(predicted: np.ndarray, true: np.ndarray) -> Entry:
    """Bias and limits of agreement of two measurements of the same things.

    Args:
        predicted: (case,).
        true: (case,).

    Returns:
        `n`, `mean` of `true`, `bias` (mean of predicted - true) with a 95 % interval by Student's
        t, and the limits of agreement, bias -/+ 1.96 standard deviations. Numbers are None with
        fewer than 2 cases.

    Source:
        Bland and Altman, Lancet 327 (1986) 307.
    """
    difference = np.asarray(predicted, dtype=float) - np.asarray(true, dtype=float)
    n = len(difference)
    if n < 2:
        return {"n": n} | dict.fromkeys(("mean", "bias", "lo", "hi", "lower", "upper"))
    from scipy.stats import t as student

    bias, sd = float(difference.mean()), float(difference.std(ddof=1))
    half = float(student.ppf(0.975, n - 1)) * sd / np.sqrt(n)
    return {
        "n": n, "mean": float(np.mean(true)), "bias": bias, "lo": bias - half, "hi": bias + half,
        "lower": bias - 1.96 * sd, "upper": bias + 1.96 * sd,
    }  # fmt: skip


def plain(value: Any) -> Any:  # noqa: ANN401 (a cell of a table)
    """A number of a table as JSON holds it; what is missing is None."""
    if pd.isna(value):
        return None
    return int(value) if isinstance(value, int | np.integer) else float(value)
