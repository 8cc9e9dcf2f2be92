"""Semi-supervised trainings of a run: in one piece, or in rounds of pseudo-masks."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from segclf.console import EventSink
from segclf.core.atomic import read_json
from segclf.core.config import Recipe
from segclf.core.errors import UsageError
from segclf.core.records import MaskState
from segclf.core.scoretable import write_scores
from segclf.core.semi_settings import SemiSettings
from segclf.core.statstable import read_statistics
from segclf.experiment import Experiment, experiment_below
from segclf.manifest import CaseTable, cases_of, read_manifest
from segclf.predict import predict_cases
from segclf.pseudolabel.semi import SemiMethod, all_known, check_settings, find_method, train_semi
from segclf.segment import Start, train_segmenter
from segclf.stages import (
    OWN,
    has_segmenter,
    note_stage,
    predicted_folders,
    require_rows,
    split_frame,
)
from segclf.summarize import summarize
from segclf.training import read_card

FOLDER = "rounds"
"""Below the run: a run folder of its own for each training whose pseudo-masks are learned."""
SIDE_TABLE = "side.csv"
LEARNED = ("kept", "changed", "dropped", "quarantined")
"""Actions of the ledger that a round tells."""


@dataclass(frozen=True)
class Teaching:
    """What the training of one fold learns beside the known masks."""

    side_table: Path
    """Pseudo-masks."""
    facts: dict[str, str]
    """The model that made them."""


def teachings(
    exp: Experiment, on_event: EventSink, *, fold: int | None = None, resume: bool = False
) -> dict[int | None, Teaching]:
    """Pseudo-masks of each fold, for a method with rounds; the trainings behind them are done here.

    Round k is a run folder, `rounds/<k>/`, with its own trainings, statistics of validation cases,
    t and tau, and pseudo-masks. Round 0 learns masks (and for `two_step` consistent features), the
    others the pseudo-masks of the round before. Whatever has ended is kept. Test cases are not
    looked at.

    Args:
        exp: The run; `semi` says the method and the number of rounds.
        on_event: Gets the progress.
        fold: Only this fold; None is all.
        resume: Continue what has begun.

    Raises:
        UsageError: The method has no rounds, or there are several devices.
        DataError: The masks of all training cases are known.
    """
    check_settings(exp.recipe)
    method = find_method(str(exp.recipe.semi.method))
    if not method.has_rounds:
        return {}
    require_rows(exp)
    _require_one_device(exp.recipe)
    for each in exp.folds(fold):
        _require_unlabelled(exp, each)
    n_rounds, soft = exp.recipe.semi.rounds, exp.recipe.semi.soft or method.soft
    taught: dict[int | None, Teaching] = {}
    _tell(on_event, f"round 0 of {n_rounds}: learns known masks")
    for number in range(n_rounds):
        inner = experiment_below(exp, _recipe_of(exp.recipe, method, number), FOLDER, str(number))
        made = not all(has_segmenter(inner, each) for each in exp.folds(fold))
        for each in exp.folds(fold):
            train_fold(inner, on_event, each, taught.get(each), first=number == 0, resume=resume)
            _predict_validation(inner, on_event, each)
        _fit_area(inner)
        note_stage(inner, "segment", made=made)
        taught = {}
        for each in exp.folds(fold):
            taught[each] = _teach(inner, exp.recipe.semi.boosted, soft, on_event, each)
            record = read_json(taught[each].side_table.with_name("record.json"))
            of_fold = "" if each is None else f", fold {each}"
            _tell(on_event, f"round {number + 1} of {n_rounds}{of_fold}: {_told(record)}")
    return taught


def train_fold(
    exp: Experiment,
    on_event: EventSink | None,
    fold: int | None,
    teaching: Teaching | None,
    *,
    start: Start | None = None,
    first: bool = False,
    resume: bool = False,
) -> Path:
    """The training of one fold as `semi` says; returns the folder of the model.

    Args:
        exp: The run.
        on_event: Gets the progress.
        fold: The fold, if there are folds.
        teaching: Pseudo-masks to learn.
        start: The network that a training on masks refines.
        first: It is the first training of a method with rounds.
        resume: Continue what has begun.
    """
    folder = exp.run.stage("segment", fold=fold)
    if exp.recipe.semi.method is None:
        return train_segmenter(
            exp.table, exp.split, exp.recipe, folder, fold=fold, resume=resume, start=start,
            on_event=on_event,
        )  # fmt: skip
    return train_semi(
        exp.table if teaching is None else _with_pseudo_masks(exp, teaching),
        exp.split,
        exp.recipe,
        folder,
        fold=fold,
        known=None if teaching is None else exp.table.cases,
        facts=None if teaching is None else teaching.facts,
        first=first,
        resume=resume,
        on_event=on_event,
    )


def _with_pseudo_masks(exp: Experiment, teaching: Teaching) -> CaseTable:
    """The cases with pseudo-masks laid over them: for training alone, never for measures."""
    return read_manifest(exp.recipe, base=exp.run.path, side_tables=[teaching.side_table])


def _recipe_of(recipe: Recipe, method: SemiMethod, number: int) -> Recipe:
    """The recipe of a round: a plain one if its training learns nothing but masks."""
    if number > 0 or method.before is not None:
        return recipe
    return recipe.model_copy(update={"semi": SemiSettings()})


def _predict_validation(exp: Experiment, on_event: EventSink, fold: int | None) -> None:
    predict_cases(
        cases_of(exp.table, exp.split, "val", fold),
        exp.run.stage("segment", fold=fold),
        exp.recipe,
        exp.run.stage("predict", OWN, fold=fold),
        fold=fold,
        on_event=on_event,
    )


def _fit_area(exp: Experiment) -> None:
    """Fit t and tau on validation cases, for the filter of the pseudo-masks."""
    scores, record = summarize(
        read_statistics(predicted_folders(exp)),
        split_frame(exp.split, exp.table),
        "tau",
        exp.recipe.summarize,
        seed=exp.recipe.seed,
    )
    write_scores(exp.run.stage("summarize", "tau"), scores, record)


def _teach(
    exp: Experiment, boosted: bool, soft: bool, on_event: EventSink, fold: int | None
) -> Teaching:
    from segclf.pseudolabel import make_pseudo_masks

    folder = make_pseudo_masks(
        exp,
        filter_name="boosted" if boosted else "none",
        fold=fold,
        soft=soft,
        on_event=on_event,
    )
    card = read_card(exp.run.stage("segment", fold=fold), kind="segment")
    return Teaching(folder / SIDE_TABLE, {"semi.taught_by": card.sha256})


def _told(record: dict[str, Any]) -> str:
    """What became of the cases without a mask, and by which t and tau: `lesion kept 8, …`."""
    cut = {fit["finding"]: fit for fit in record["fitted"]}
    told = []
    for finding, actions in record["counts"].items():
        n = {action: sum(reasons.values()) for action, reasons in actions.items()}
        counts = [f"{action} {n[action]}" for action in LEARNED if n.get(action)]
        fit = cut[finding]
        at = f"t {fit['t']:.3g}, tau {fit['tau']:.4g} {fit['unit']}"
        told.append(f"{finding} {', '.join(counts) or 'no case'}; {at}")
    return " · ".join(told)


def _tell(on_event: EventSink, message: str) -> None:
    on_event({"kind": "message", "message": message})


def _require_unlabelled(exp: Experiment, fold: int | None) -> None:
    """Before a first training that needs no such case, but whose pseudo-masks would be none."""
    train = cases_of(exp.table, exp.split, "train", fold)
    if not any(mask.state is MaskState.UNKNOWN for case in train for mask in case.masks):
        raise all_known(str(exp.recipe.semi.method), len(train))


def _require_one_device(recipe: Recipe) -> None:
    if recipe.train.devices > 1:
        raise UsageError(
            f"{recipe.semi.method!r} makes pseudo-masks between its trainings, in one process.",
            where=f"train.devices = {recipe.train.devices}",
            expected="1 device for methods with rounds",
            fix="set train.devices: 1, or choose mean_teacher, cps or fixmatch",
        )
