"""What a report is made of."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import pandas as pd


@dataclass(frozen=True)
class Plane:
    """What each (t, tau) reaches on validation cases, for one finding and fold."""

    title: str
    t: np.ndarray
    """(t,) ascending probability thresholds of a pixel."""
    tau: np.ndarray
    """(tau,) ascending areas; a case is called positive if its area above t is larger."""
    value: np.ndarray
    """(t, tau) what the objective is worth; NaN where its target is not met."""
    value_name: str
    unit: str
    """Unit of tau: px, mm2, mL or %."""
    chosen: tuple[float, float] | None
    """The fitted t and tau."""


@dataclass(frozen=True)
class GalleryItem:
    """One wrong decision, with what is needed to show and explain it."""

    case_id: str
    method: str
    finding: str
    kind: Literal["missed", "false alarm"]
    image: np.ndarray
    """(channel, *space); three channels are shown in colour, else the first one."""
    truth: np.ndarray | None
    """(*space), not 0 inside the target; None where nobody has drawn it."""
    probability: np.ndarray | None = None
    """(*space) probability map of the finding; None for methods without one."""
    t: float = 0.5
    """Probability threshold of the predicted mask."""
    tau: float | None = None
    """Largest area above t of a negative decision; None for methods that decide by a score."""
    unit: str = "px"
    """Unit of tau."""
    score: float | None = None
    """What is compared with `threshold`, for methods without tau."""
    threshold: float | None = None
    spacing_mm: tuple[float, ...] | None = None
    """Distance of pixel centres per axis; None where the file does not say."""


@dataclass(frozen=True)
class ReportContent:
    """Everything that the page shows; tables are those that `evaluate` writes."""

    title: str
    data: Literal["user", "phantom"]
    question: str
    """What the experiment asks, in a sentence or two."""
    metrics: pd.DataFrame
    scores: pd.DataFrame
    """Score tables of all methods, one below the other; for the curves of test cases."""
    counts: pd.DataFrame = field(default_factory=pd.DataFrame)
    """Cases, patients and positives per split, shown as it is; empty for score tables from
    outside, whose test cases are then counted from `metrics`."""
    groups: Mapping[str, pd.Series] = field(default_factory=dict)
    """Group column, as in `metrics`, to the group of each case (index: `case_id`), for curves per
    group. Groups that overlap need a column each."""
    unit_name: str = "patient"
    """What `patient_id` identifies."""
    about: Sequence[str] = ()
    """What to know before the numbers: where thresholds come from, what a method is."""
    gaps: pd.DataFrame = field(default_factory=pd.DataFrame)
    """Worst group of every column."""
    comparisons: pd.DataFrame = field(default_factory=pd.DataFrame)
    """Two methods, two groups, all groups of a column, relative improvements."""
    decomposition: pd.DataFrame = field(default_factory=pd.DataFrame)
    """AUROC of the positives of one group against the negatives of another."""
    size_recall: pd.DataFrame = field(default_factory=pd.DataFrame)
    """Sensitivity over the size of the target."""
    robust: pd.DataFrame = field(default_factory=pd.DataFrame)
    """Empty without a shortcut."""
    grid: pd.DataFrame = field(default_factory=pd.DataFrame)
    overlap: pd.DataFrame = field(default_factory=pd.DataFrame)
    """Dice on positives and image false-positive rate on negatives, in the columns of `metrics`."""
    planes: Sequence[Plane] = ()
    training: Mapping[str, Sequence[Mapping[str, Any]]] = field(default_factory=dict)
    """Name of a network to the records of its `metrics.jsonl`."""
    gallery: Sequence[GalleryItem] = ()
    recipe: str = ""
    """The resolved recipe as YAML."""
    provenance: Mapping[str, Mapping[str, object]] = field(default_factory=dict)
    """Heading (versions, hashes, hardware) to names and values."""
    ledger: Mapping[str, Any] = field(default_factory=dict)
    """As the evaluation made it: exclusions, notes, thresholds, margins, prespecified analyses."""
    quarantined: Sequence[Mapping[str, Any]] = ()
    """Cases set aside: `case_id`, `reason`, `message`."""


def planes_of(record: Mapping[str, Any]) -> list[Plane]:
    """The fitted planes in the record of a rule, one per finding and fold; may be none.

    Args:
        record: As `read_record` gives it, with arrays in place.
    """
    planes = []
    for fit in record["fits"]:
        if "plane" not in fit or fit.get("reason"):
            continue
        fold = "" if fit.get("fold") is None else f", fold {fit['fold']}"
        value, name = _worth(fit)
        planes.append(
            Plane(
                title=f"{fit['finding']}{fold}, rule {record['rule']}",
                t=np.asarray(fit["plane"]["t"]),
                tau=np.asarray(fit["plane"]["tau"]),
                value=value,
                value_name=name,
                unit=str(fit["unit"]),
                chosen=(float(fit["t"]), float(fit["threshold"])),
            )
        )
    return planes


def _worth(fit: Mapping[str, Any]) -> tuple[np.ndarray, str]:
    """What the objective is worth on the grid, and its name with its unit."""
    sensitivity = np.asarray(fit["plane"]["n_true_positive"]) / fit["n_positive"]
    specificity = np.asarray(fit["plane"]["n_true_negative"]) / fit["n_negative"]
    objective = fit["objective"]
    if objective == "youden":
        return sensitivity + specificity - 1, "Youden's J"
    if objective == "cost":
        n_missed = fit["n_positive"] * (1 - sensitivity)
        n_false = fit["n_negative"] * (1 - specificity)
        cost = (fit["cost_ratio"] * n_missed + n_false) / (fit["n_positive"] + fit["n_negative"])
        return cost, "mean cost per case"
    target = fit["target"]
    if objective == "sensitivity":
        value, aimed, name = specificity, sensitivity, "specificity"
    else:
        value, aimed, name = sensitivity, specificity, "sensitivity"
    return np.where(aimed >= target, value, np.nan), f"{name} at {objective} >= {target:g}"
