"""Test cases with their labels and scores, per method, and which of them are in a group."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from segclf.report.rows import Row

Curve = tuple[np.ndarray, np.ndarray]


@dataclass(frozen=True)
class Scored:
    """Scores of one method on test cases whose label is known."""

    case_id: np.ndarray
    network: np.ndarray
    """(row,) fold and seed as one number; rows of different networks are never ranked together."""
    label: np.ndarray
    """(row,) 1.0 or 0.0."""
    score: np.ndarray
    probability: np.ndarray
    """(row,) NaN without a recorded calibration."""
    decision: np.ndarray
    """(row,) 1.0 or 0.0; NaN where there is none."""

    def keep(self, rows: np.ndarray) -> "Scored":
        """Some of the rows."""
        return Scored(*(getattr(self, name)[rows] for name in self.__dataclass_fields__))

    def networks(self) -> list["Scored"]:
        """The rows of each network."""
        found = np.unique(self.network)
        return [self] if len(found) == 1 else [self.keep(self.network == one) for one in found]

    @property
    def has_probability(self) -> bool:
        """Whether some case has a probability."""
        return bool(np.isfinite(self.probability).any())


def scored_cases(scores: pd.DataFrame, finding: str, methods: Sequence[str]) -> dict[str, Scored]:
    """The test cases of every method with a label and a score; no rows where there are none.

    Args:
        scores: Score tables of all methods.
        finding: Which finding.
        methods: Their order.
    """
    is_shown = (scores["finding"] == finding) & (scores["split"] == "test")
    is_known = np.isfinite(scores["label"].to_numpy(np.float64, na_value=np.nan))
    is_known &= np.isfinite(scores["score"].to_numpy(np.float64, na_value=np.nan))
    rows = scores.loc[is_shown.to_numpy(bool) & is_known]
    network = rows.groupby(["fold", "seed"], dropna=False).ngroup().to_numpy()
    numbers = [_numbers(rows, name) for name in ("label", "score", "probability", "decision")]
    every = Scored(rows["case_id"].astype(str).to_numpy(object), network, *numbers)
    return {method: every.keep((rows["method"] == method).to_numpy(bool)) for method in methods}


def named(cases: Mapping[str, Scored], names: pd.Series) -> dict[str, np.ndarray]:
    """The group of each row, per method; blank where a case has none.

    Args:
        cases: Of all groups.
        names: Group by `case_id`.
    """
    known = names.dropna()
    found = pd.Series(known.astype(str).to_numpy(object), index=known.index.astype(str))
    found = found.loc[~found.index.duplicated()]
    return {
        method: found.reindex(own.case_id).fillna("").to_numpy(object)
        for method, own in cases.items()
    }


def members(
    cases: Mapping[str, Scored],
    names: Mapping[str, np.ndarray],
    group: str,
    *,
    all_negatives: bool,
) -> dict[str, Scored]:
    """The cases of one group, per method.

    Args:
        cases: Of all groups.
        names: From `named`.
        group: Which one.
        all_negatives: The group cuts positives only and is compared with all negatives.
    """
    found = {}
    for method, own in cases.items():
        is_in = names[method] == group
        found[method] = own.keep(is_in | (own.label == 0) if all_negatives else is_in)
    return found


def is_against_all(rows: Sequence[Row]) -> bool:
    """Whether the groups of these rows are compared with all negatives."""
    return any(row.get("negatives") == "all" for row in rows)


def _numbers(rows: pd.DataFrame, name: str) -> np.ndarray:
    if name not in rows.columns:
        return np.full(len(rows), np.nan)
    return rows[name].to_numpy(np.float64, na_value=np.nan)
