"""Operating points: named thresholds beside the one that decides, chosen on validation cases."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from segclf.core.errors import ConfigError
from segclf.core.settings import SummarizeSettings
from segclf.core.text import guarded
from segclf.core.thresholds import fit_threshold, make_objective

POINTS_FILE = "operating_points.csv"
COLUMNS = (
    "finding", "fold", "method", "seed", "point", "objective", "target", "cost_ratio",
    "decision_value", "unit", "t", "threshold", "sensitivity", "specificity", "target_reached",
    "n", "n_positive", "n_negative", "reason",
)  # fmt: skip
"""Columns of the file; sensitivity, specificity and n are those on validation cases."""


def point_settings(name: str, text: str, settings: SummarizeSettings) -> SummarizeSettings:
    """The objective that an operating point names: `sensitivity=0.95`, `cost=10`, `youden`.

    Raises:
        ConfigError: It names none, or the number does not fit.
    """
    kind, _, number = (part.strip() for part in text.partition("="))
    values: dict[str, Any] = {"objective": kind, "target": None}
    try:
        if kind in ("sensitivity", "specificity"):
            values["target"] = float(number)
        elif kind == "cost":
            values["cost_ratio"] = float(number)
        elif kind != "youden" or number:
            raise ValueError(kind)
        point = SummarizeSettings.model_validate(settings.model_dump() | values)
    except ValueError:
        raise ConfigError(
            f"the operating point {name!r} is {text!r}.",
            where=f"summarize.operating_points.{name}",
            expected="sensitivity=SHARE, specificity=SHARE, cost=RATIO or youden",
            fix=f"for example {name}: sensitivity=0.95",
        ) from None
    make_objective(point, n_positive=1, n_negative=1)  # a ratio that cannot be counted
    return point


def fit_points(
    decision_value: np.ndarray, label: np.ndarray, settings: SummarizeSettings
) -> dict[str, dict[str, Any]]:
    """Name to the record of each operating point; see `fit_threshold` for the arguments.

    Raises:
        ConfigError: A point names no objective.
    """
    records = {}
    for name, text in settings.operating_points.items():
        point = point_settings(name, text, settings)
        threshold, record = fit_threshold(decision_value, label, point)
        records[name] = {**record, "threshold": threshold}
    return records


def points_table(fits: list[Mapping[str, Any]]) -> pd.DataFrame:
    """One row per operating point of the `fits` of a record; no rows where there are none."""
    rows = [
        {column: (fit | dict(point) | {"point": name}).get(column) for column in COLUMNS}
        | {"decision_value": fit.get("decision_value")}
        for fit in map(dict, fits)
        for name, point in (fit.get("operating_points") or {}).items()
    ]
    table = pd.DataFrame(rows, columns=pd.Index(COLUMNS))
    for column in ("finding", "method", "point"):
        table[column] = table[column].map(lambda text: guarded(text) if text else text)
    return table


def point_line(name: str, point: Mapping[str, Any]) -> str:
    """One operating point and what it reaches on validation cases."""
    if point["reason"] is not None:
        return f"{name} has no threshold, because {point['reason']}"
    missed = "; the target is not reached" if point["target_reached"] is False else ""
    above = f"above {point['threshold']:.4g}"
    if (point["sensitivity"], point["specificity"]) == (1.0, 0.0):
        above = "calls every case positive, its threshold lies below all scores"
    return (
        f"{name} {above} (on {point['n']} validation cases: sensitivity "
        f"{point['sensitivity']:.3f}, specificity {point['specificity']:.3f}{missed})"
    )
