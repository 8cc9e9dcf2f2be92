"""Which cases a head is fitted on, and by which segmenter their maps are made."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from segclf.core.config import Recipe
from segclf.core.errors import DataError, UsageError
from segclf.core.records import Case
from segclf.core.runs import Run
from segclf.core.settings import SummarizeSettings
from segclf.manifest import CaseTable, cases_of, deal, patient_labels
from segclf.segment import train_segmenter
from segclf.training.state import EventSink


@dataclass(frozen=True)
class Parts:
    """The cases of one fold; no patient is in two of its parts."""

    fit: tuple[tuple[Path, tuple[Case, ...]], ...]
    """Folder of a segmenter, and the cases whose maps it makes."""
    val: tuple[Case, ...]
    """Weights, threshold and calibration are chosen on these."""
    test: tuple[Case, ...]
    """Only scored."""


def method_name(rule: str, settings: SummarizeSettings) -> str:
    """Name in score tables and of the folder: the rule, `<rule>-val` or `<rule>-oof`.

    Raises:
        UsageError: Both ways to fit were asked for.
    """
    if settings.fit_on == "val" and settings.out_of_fold:
        raise UsageError(
            "validation cases were never in the training, so they have no folds to be out of.",
            where="--fit-on val with --out-of-fold",
            expected="one of them",
            fix="leave --out-of-fold out, or use --fit-on train",
        )
    suffix = {"val": "-val", "train": "-oof" if settings.out_of_fold else ""}
    return rule + suffix[settings.fit_on]


def plan_parts(
    table: CaseTable,
    split: pd.DataFrame,
    recipe: Recipe,
    run: Run,
    fold: int | None,
    on_event: EventSink | None,
) -> Parts:
    """The parts of one fold, as `summarize.fit_on` and `summarize.out_of_fold` say.

    `fit_on: val` deals the validation patients to two halves: one is fitted on, the other is
    `val`. `out_of_fold` trains the inner segmenters that are not there yet.
    """
    own = run.stage("segment", fold=fold)
    train, val, test = (cases_of(table, split, part, fold) for part in ("train", "val", "test"))
    if recipe.summarize.out_of_fold:
        fit = train_inner(table, split, recipe, own, fold, on_event)
        return Parts(fit, val, test)
    if recipe.summarize.fit_on == "train":
        return Parts(((own, train),), val, test)
    halves = _deal_cases(table, val, ("fit", "select"), recipe.seed, "fit_on_val", fold)
    return Parts(((own, halves["fit"]),), halves["select"], test)


def train_inner(
    table: CaseTable,
    split: pd.DataFrame,
    recipe: Recipe,
    folder: Path,
    fold: int | None,
    on_event: EventSink | None,
) -> tuple[tuple[Path, tuple[Case, ...]], ...]:
    """Segmenters that each leave out a share of the training patients, and who is left out.

    All validate on the validation part; none sees a test case. One that is finished is kept, one
    that was interrupted is continued.

    Args:
        table: The cases.
        split: From `make_split`.
        recipe: `summarize.inner_folds` says how many.
        folder: Of the run's own segmenter; they go to `inner<i>` in it.
        fold: The fold, if there are folds.
        on_event: Told the progress.
    """
    names = tuple(f"inner{i}" for i in range(recipe.summarize.inner_folds))
    train = cases_of(table, split, "train", fold)
    left_out = _deal_cases(table, train, names, recipe.seed, "inner", fold)
    rows = split.query("split != 'test'")
    rows = rows if fold is None else rows.query("fold == @fold")
    found = []
    for name, cases in left_out.items():
        ids = {case.case_id for case in cases}  # noqa: F841 (named in the query)
        inner = rows.query("case_id not in @ids")
        train_segmenter(
            table, inner, recipe, folder / name, fold=fold, resume=True, on_event=on_event
        )
        found.append((folder / name, cases))
    return tuple(found)


def _deal_cases(
    table: CaseTable,
    cases: Sequence[Case],
    names: Sequence[str],
    seed: int,
    key: str,
    fold: int | None,
) -> dict[str, tuple[Case, ...]]:
    """Cases in equal shares of their patients, stratified on findings."""
    patients = {case.patient_id for case in cases}
    if len(patients) < len(names):
        raise DataError(
            f"{len(patients)} patients cannot be dealt to {len(names)} parts.",
            where="summarize.fit_on = val"
            if key == "fit_on_val"
            else f"summarize.inner_folds = {len(names)}",
            expected="at least one patient in each part",
            fix="use --fit-on train without --out-of-fold, or more patients",
        )
    labels = {p: known for p, known in patient_labels(table).items() if p in patients}
    shares = dict.fromkeys(names, 1 / len(names))
    part_of = deal(labels, shares, seed, key, -1 if fold is None else fold)
    return {
        name: tuple(case for case in cases if part_of[case.patient_id] == name) for name in names
    }
