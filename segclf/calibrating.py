"""Calibration and operating points as a step of their own, on score tables that exist already."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from segclf.core.calibration import METHODS, apply_calibration, fit_calibration
from segclf.core.catalog import lookup
from segclf.core.config import load_recipe
from segclf.core.errors import UsageError
from segclf.core.operating import fit_points, point_line
from segclf.core.runs import find_run, shown
from segclf.core.scoretable import RECORD, read_record, read_scores, write_scores
from segclf.core.settings import SummarizeSettings

RECORDS = (RECORD, "classifier.json")
"""What stages call the record beside their scores."""


def tables_of(run: str | None, rule: str) -> list[Path]:
    """The folders of one method's scores in a run; with folds, a classifier has several.

    Scores of another manifest's cases, which have no validation cases, are not among them.

    Raises:
        UsageError: There is no such run, or it has no such scores.
    """
    found = find_run(
        Path(run) if run else None, needs="*/*/**/scores.parquet", made_by="segclf summarize"
    )
    names = ("scores.parquet", "fold*/scores.parquet")
    paths = sorted(
        path
        for stage in ("summarize", "classify")
        for name in names
        for path in (found.path / stage / rule).glob(name)
    )
    if paths:
        return [path.parent for path in paths]
    known = {
        path.name: path
        for stage in ("summarize", "classify")
        for path in found.path.glob(f"{stage}/*")
    }
    lookup(rule, known, kind="method")  # raises, with near names
    raise UsageError(
        f"the method {rule!r} has no scores yet.",
        where=shown(known[rule]),
        expected="scores.parquet",
        fix=f"run: segclf summarize --rule {rule}",
    )


def settings_asked(
    config: Path | None,
    run: str | None,
    overrides: Sequence[str],
    method: str | None,
    points: dict[str, str],
) -> tuple[str | None, str | None, dict[str, str]]:
    """Run, method and operating points, with what a recipe or `--set` adds to the options.

    A recipe names its run. What is not given as an option is `summarize.calibrate` and
    `summarize.operating_points`, if there is a recipe or a setting.

    Raises:
        ConfigError: The recipe or a setting cannot be used.
    """
    if config is None and not overrides:
        return run, method, points
    recipe = load_recipe(config, tuple(overrides))
    if run is None and config is not None:
        run = recipe.name
    settings = recipe.summarize
    return run, method or settings.calibrate, settings.operating_points | points


def calibrate_table(
    path: Path,
    *,
    method: str | None = None,
    points: Mapping[str, str] | None = None,
    out: Path | None = None,
) -> tuple[Path, list[dict[str, Any]]]:
    """Fit on the rows whose split is `val`, write the table anew with the record appended.

    Scores, thresholds and decisions stay as they are; `probability` is filled by `method`.

    Args:
        path: A score table, or the folder of one.
        method: `platt`, `isotonic`, `temperature` or `none`; None leaves probabilities alone.
        points: Operating points by name, such as `{"rule_out": "sensitivity=0.95"}`.
        out: Folder of the new table; None writes it in the place of the old one.

    Returns:
        The folder, and one record per method, finding, fold and seed.

    Raises:
        UsageError: Nothing is asked for, the method is unknown, or the table is not one that
            segclf wrote and `out` is missing.
        ConfigError: An operating point names no objective.
        DataError: The table cannot be used.
    """
    if method is None and not points:
        raise UsageError(
            "nothing is asked for.",
            where="segclf calibrate",
            expected="--method, --operating-point, or both",
            fix="for example --method platt --operating-point rule_out=sensitivity=0.95",
        )
    if method is not None:
        lookup(method, {**METHODS, "none": None}, kind="calibration")
    scores = read_scores(path)
    folder = path if path.is_dir() else path.parent
    name = next((each for each in RECORDS if (folder / each).is_file()), None)
    is_own = name is not None and (path.is_dir() or path.stem == "scores")
    if not is_own and out is None:
        raise UsageError(
            "the table was not written by segclf, and is left as it is.",
            where=shown(path),
            expected="--out FOLDER for the calibrated table",
            fix="add for example --out calibrated",
        )
    settings = SummarizeSettings(operating_points=dict(points or {}))
    record = read_record(folder, name) if name and is_own else {"fits": []}
    fits = [_fit_group(scores, rows, method, settings) for rows in _groups(scores)]
    step = {"method": method, "operating_points": dict(points or {}), "fitted_on": "val"}
    record = record | {
        "fits": _merged(record.get("fits", []), fits),
        "calibrated": [*record.get("calibrated", []), step],
    }
    out = out or folder
    write_scores(out, scores, record, record_name=name if name and is_own else RECORD)
    return out, fits


def calibrated_text(fits: Sequence[Mapping[str, Any]]) -> str:
    """What was fitted: one line per curve and per operating point."""
    lines = []
    for fit in fits:
        fold = "" if fit["fold"] is None else f", fold {fit['fold']}"
        name = f"{fit['method']} · {fit['finding']}{fold}"
        curve = fit.get("calibration")
        if curve is not None:
            reason = curve["reason"]
            lines.append(
                f"{name}: {curve['method']} on {curve['n']} validation cases, "
                f"{curve['n_positive']} positive"
                if reason is None
                else f"{name}: no probability, because {reason}"
            )
        lines += [f"{name}: {point_line(*each)}" for each in fit["operating_points"].items()]
    return "\n".join(lines)


def _groups(scores: pd.DataFrame) -> list[np.ndarray]:
    """Positions of the rows of each method, finding, fold and seed."""
    keys = ["method", "finding", "fold", "seed"]
    number = scores.groupby(keys, sort=False, dropna=False).ngroup().to_numpy()
    return [np.flatnonzero(number == k) for k in range(number.max() + 1 if len(number) else 0)]


def _fit_group(
    scores: pd.DataFrame, rows: np.ndarray, method: str | None, settings: SummarizeSettings
) -> dict[str, Any]:
    """Fit one group, and fill its probabilities in `scores`."""
    part = scores.iloc[rows]
    is_val = (part["split"] == "val").to_numpy()
    label = part["label"].to_numpy()[is_val]
    first = part.iloc[0]
    fit: dict[str, Any] = {
        "method": str(first["method"]),
        "finding": str(first["finding"]),
        "fold": None if pd.isna(first["fold"]) else int(first["fold"]),
        "seed": None if pd.isna(first["seed"]) else int(first["seed"]),
    }
    if method is not None:
        score = part["score"].to_numpy()
        fit["calibration"] = fit_calibration(score[is_val], label, method)
        column = scores.columns.get_loc("probability")
        scores.iloc[rows, column] = apply_calibration(score, fit["calibration"])
    value = part["decision_value"].to_numpy()[is_val]
    return {**fit, "operating_points": fit_points(value, label, settings)}


def _merged(
    before: Sequence[Mapping[str, Any]], now: Sequence[Mapping[str, Any]]
) -> list[dict[str, Any]]:
    """The fits of the record with what was fitted now; points of other names stay."""
    keys = ("finding", "fold", "method", "seed")
    merged = [dict(fit) for fit in before]
    for fit in now:
        same = [
            old for old in merged if all(key not in old or old[key] == fit[key] for key in keys)
        ]
        if len(same) != 1:
            merged.append(dict(fit))
            continue
        points = (same[0].get("operating_points") or {}) | fit["operating_points"]
        same[0].update({**fit, "operating_points": points})
    return merged
