"""Score tables of other tools: evaluated and shown without a run and without images."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from segclf.core.atomic import sha256_of
from segclf.core.config import assign, load_recipe
from segclf.core.errors import UsageError
from segclf.evaluate import (
    Evaluation,
    evaluate_scores,
    read_evaluation,
    read_outside,
    write_evaluation,
)
from segclf.evaluate.output import TABLES


def evaluate_tables(
    paths: Sequence[Path],
    columns: Mapping[str, str],
    out: Path,
    by: Sequence[str],
    shortcut: str | None,
    overrides: Sequence[str] = (),
) -> Evaluation:
    """The evaluation of score tables, written into a folder of its own.

    Columns of the tables that are not of a score table describe the cases: groups and shortcuts
    are taken from them.

    Args:
        paths: CSV or Parquet files.
        columns: Column of the score table to the column of the files that holds it.
        out: Folder of the results; one that holds anything else than results is refused.
        by: Columns to group by.
        shortcut: Column of a feature that should not matter.
        overrides: `evaluate.n_boot=2000`-style settings, `seed=1`, `unit_name=study`.

    Raises:
        DataError: A table cannot be used.
        UsageError: A column does not exist or fit, or the folder holds something else.
    """
    _check_folder(out)
    values: dict[str, Any] = {}
    assign(values, overrides)
    foreign = sorted(values.keys() - {"evaluate", "seed", "unit_name"})
    if foreign:
        raise UsageError(
            f"the setting {foreign[0]!r} says nothing about score tables.",
            where="--set",
            expected="settings of the evaluation: evaluate.NAME=VALUE",
            fix="leave it out, or name the run that it belongs to with --run",
        )
    recipe = load_recipe(None, tuple(overrides))
    settings = recipe.evaluate
    tables = read_outside(paths, columns)
    groups, feature = tuple(by) or settings.by, shortcut or settings.shortcut
    evaluation = evaluate_scores(
        tables.scores,
        tables.cases,
        by=groups,
        shortcut=feature,
        settings=settings,
        roles=tables.roles,
        seed=recipe.seed,
        unit_name=recipe.unit_name,
        n_threads=os.cpu_count() or 1,
    )
    evaluation.ledger["notes"] += [*tables.notes, *_shared_patients(tables.scores)]
    evaluation.ledger["score_tables"] = {path.name: sha256_of(path) for path in paths}
    write_evaluation(out, evaluation)
    return evaluation


def report_tables(folder: Path) -> Path:
    """The page of such an evaluation, in its folder.

    Raises:
        UsageError: The folder holds no finished evaluation.
    """
    from segclf.report import ReportContent, write_report  # figures: a second, paid here alone

    found = read_evaluation(folder)
    ledger, scores = found["ledger"], found["scores"]
    names = " and ".join(scores["method"].unique())
    question = f"How well do the methods {names} do, overall and by group?"
    if ledger["shortcut"]:
        question += f" Do they lean on {ledger['shortcut']}?"
    content = ReportContent(
        title=", ".join(Path(name).stem for name in ledger["score_tables"]),
        data="user",
        question=question,
        counts=_counts(scores),
        about=ledger["notes"],
        unit_name=ledger["unit"] if ledger["unit"] != "image" else "patient",
        **found,
    )
    return write_report(folder, content)


def _shared_patients(scores: pd.DataFrame) -> list[str]:
    """A note if patients of test cases are also in another split of the same fold."""
    is_test = scores["split"] == "test"
    owner = scores[["patient_id"]].assign(fold=scores["fold"].fillna(-1))
    test, rest = owner[is_test].drop_duplicates(), owner[~is_test].drop_duplicates()
    n_both = len(test.merge(rest)["patient_id"].drop_duplicates())
    text = (
        f"{n_both} patients of test cases have cases in another split as well: what was fitted "
        "there has seen them"
    )
    return [text] if n_both else []


def _counts(scores: pd.DataFrame) -> pd.DataFrame:
    """Cases, patients and positives per split and finding; each case counts once."""
    once = scores.drop_duplicates(["finding", "split", "case_id"])
    counts = once.groupby(["finding", "split"], sort=True).agg(
        cases=("case_id", "nunique"),
        patients=("patient_id", "nunique"),
        positive=("label", "sum"),
        unknown=("label", lambda label: int(label.isna().sum())),
    )
    return counts.rename(columns={"unknown": "label not known"}).reset_index()


def _check_folder(out: Path) -> None:
    ours = {
        f"{name}.{kind}" for name in (*TABLES, "scores", "groups") for kind in ("csv", "parquet")
    }
    ours |= {"evaluation.json", "ledger.json", "index.html"}
    if out.exists() and not out.is_dir():
        raise UsageError(
            f"{out.name!r} is a file.",
            where="--out",
            expected="a folder",
            fix="name another folder: --out my_evaluation",
        )
    found = sorted(path.name for path in out.iterdir()) if out.exists() else []
    foreign = [name for name in found if name not in ours and not name.endswith((".svg", ".part"))]
    if foreign:
        raise UsageError(
            f"the folder {out.name!r} holds something else: {foreign[0]!r}.",
            where="--out",
            expected="a new or empty folder, or one of an earlier evaluation",
            fix="name another folder: --out my_evaluation",
        )
