"""Statistics meet cases: which split, fold, patient and label a mask belongs to."""

from typing import Any

import numpy as np
import pandas as pd

from segclf.core.catalog import unknown_name
from segclf.core.errors import DataError
from segclf.core.maskstats import MaskStatistics
from segclf.summarize.pixels import rows_of

KEY = ["case_id", "fold"]


def join_cases(statistics: MaskStatistics, frame: pd.DataFrame, finding: str) -> pd.DataFrame:
    """Cases that have statistics of one finding: split, fold, patient, label, and where they are.

    Statistics without a fold (masks made elsewhere) belong to every fold; cases without a fold
    meet the statistics of every fold.

    Args:
        statistics: Of many masks.
        frame: One row per case and fold: `case_id`, `split`, `patient_id`, and where known
            `fold` and `label_<finding>`.
        finding: Which finding.

    Returns:
        `case_id`, `fold`, `split`, `patient_id`, `label` (1, 0, NaN), and `position` among the
        finding's rows of the statistics.

    Raises:
        DataError: A column is missing, or a case appears twice in a fold.
    """
    found = statistics.frame.iloc[rows_of(statistics, finding)][KEY].reset_index(drop=True)
    found = found.assign(position=np.arange(len(found)))
    cases = _cases(frame, finding)
    _refuse_repeated(found, f"mask statistics of {finding!r}")
    _refuse_repeated(cases, "the table of cases and splits")
    if _have_folds(found, cases):
        return cases.merge(found, on=KEY, how="inner")
    joined = cases.merge(found, on="case_id", how="inner", suffixes=("", "_of_mask"))
    joined["fold"] = joined["fold"].fillna(joined.pop("fold_of_mask"))
    return joined


def count_unmatched(statistics: MaskStatistics, frame: pd.DataFrame) -> dict[str, Any]:
    """Validation and test cases without statistics, and masks without a case, as plain data.

    These were set aside by prediction, or never predicted. They have no score; a metric that
    leaves them out has to say so.
    """
    found = statistics.frame.loc[:, KEY].drop_duplicates()
    cases = _cases(frame, "")
    key = KEY if _have_folds(found, cases) else ["case_id"]
    of_masks, of_cases = (pd.MultiIndex.from_frame(rows.loc[:, key]) for rows in (found, cases))
    split = cases["split"].to_numpy()
    ids = {
        part: cases.loc[(split == part) & ~of_cases.isin(of_masks), "case_id"].to_list()
        for part in ("val", "test")
    }
    return {
        "cases_without_statistics": {
            part: {"n": len(missing), "first_case_ids": missing[:5]}
            for part, missing in ids.items()
            if missing
        },
        "n_masks_without_case": int((~of_masks.isin(of_cases)).sum()),
    }


def _cases(frame: pd.DataFrame, finding: str) -> pd.DataFrame:
    for name in ("case_id", "split", "patient_id"):
        if name not in frame.columns:
            error = unknown_name(name, map(str, frame.columns), kind="column")
            raise DataError(
                error.wrong,
                where="the table of cases and splits",
                expected="case_id, split, patient_id, fold, label_<finding>",
                fix=error.fix,
            )
    fold = frame["fold"] if "fold" in frame.columns else pd.Series(pd.NA, index=frame.index)
    label = f"label_{finding}"
    known = frame[label] if label in frame.columns else pd.Series(np.nan, index=frame.index)
    return pd.DataFrame(
        {
            "case_id": frame["case_id"].astype("string"),
            "fold": fold.astype("Int64"),
            "split": frame["split"],
            "patient_id": frame["patient_id"],
            "label": known.astype("float64"),
        }
    ).reset_index(drop=True)


def _have_folds(found: pd.DataFrame, cases: pd.DataFrame) -> bool:
    return bool(found["fold"].notna().any() and cases["fold"].notna().any())


def _refuse_repeated(rows: pd.DataFrame, where: str) -> None:
    again = rows.duplicated(KEY)
    if again.any():
        first = rows[again].iloc[0]
        fold = "" if pd.isna(first["fold"]) else f" in fold {first['fold']}"
        raise DataError(
            f"{int(again.sum())} rows repeat a case; the first is {first['case_id']!r}{fold}.",
            where=where,
            expected="each case once per fold",
            fix="predict into a fresh folder, or remove the repeated rows",
        )
