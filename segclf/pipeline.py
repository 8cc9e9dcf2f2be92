"""The whole flow, stage by stage. Read this first.

Each function is one stage: it reads the files of earlier stages from the run folder and writes
its own, so that any stage can be run again alone. `run_all` is the flow in one piece.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from segclf.classify import Start, find_start, joint_segmenter, train_classifier, whole_images
from segclf.classify.metric import enroll
from segclf.console import EventSink
from segclf.core.atomic import write_json
from segclf.core.errors import UsageError
from segclf.core.maskstats import joined
from segclf.core.runs import named_run
from segclf.core.scoretable import write_scores
from segclf.core.statstable import read_statistics
from segclf.experiment import Experiment
from segclf.judging import evaluate, write_head_rows, write_joint_masks
from segclf.manifest import cases_of
from segclf.other import as_test, new_cases, other_name, other_table, renamed
from segclf.predict import PredictResult, predict_cases
from segclf.rounds import teachings, train_fold
from segclf.segment import find_segmenter
from segclf.stages import (
    OWN,
    gallery_method,
    has_segmenter,
    note_stage,
    predicted_folders,
    split_frame,
)
from segclf.summarize import find_summarizer, summarize
from segclf.summarize.decide import refuse_area
from segclf.summarize.trained import is_trained
from segclf.training.runtime import is_first_rank


def run_all(exp: Experiment, rules: Sequence[str], on_event: EventSink) -> Path:
    """Train, predict, summarize, compare with a classifier, evaluate; returns the report."""
    from segclf.reporting import make_report

    train_seg(exp, on_event)
    train_clf(exp, on_event)
    for rule in rules:
        summarize_masks(exp, rule)
    evaluate(exp)
    return make_report(exp, on_event)


def train_seg(
    exp: Experiment, on_event: EventSink, *, fold: int | None = None, resume: bool = False
) -> list[PredictResult]:
    """Train the segmenter of each fold and predict its validation and test cases.

    With `semi.method`, training cases without a mask join in (docs/semi.md).
    """
    semi = exp.recipe.semi.method is not None
    taught = teachings(exp, on_event, fold=fold, resume=resume) if semi else {}
    results, made = [], False
    for each in exp.folds(fold):
        start = refined_of(exp, each)
        made = made or not has_segmenter(exp, each)
        train_fold(exp, on_event, each, taught.get(each), start=start, resume=resume)
        if is_first_rank():
            results.append(predict_own(exp, on_event, fold=each))
            made = made or results[-1].n_parts_made > 0
    note_stage(exp, "segment", made=made)
    return results


def train_clf(
    exp: Experiment, on_event: EventSink, *, fold: int | None = None, resume: bool = False
) -> None:
    """Train the classifier of each fold on the same cases; it scores validation and test."""
    made = False
    for each in exp.folds(fold):
        folder = exp.run.stage("classify", exp.recipe.classify.method, fold=each)
        made = made or not (folder / "model.json").is_file()
        train_classifier(
            exp.table, exp.split, exp.recipe, folder, fold=each, resume=resume,
            start=start_of(exp, each), on_event=on_event,
        )  # fmt: skip
        if exp.recipe.classify.head == "joint" and is_first_rank():
            predict_joint(exp, on_event, fold=each)
    if is_first_rank():
        if exp.recipe.classify.head != "metric":  # which writes its own classes, with unknown ones
            write_head_rows(exp)
        if exp.recipe.classify.head == "joint":
            write_joint_masks(exp)
    note_stage(exp, "classify", made=made)


def start_of(exp: Experiment, fold: int | None) -> Start | None:
    """The segmenter that `classify.init_from` names, if it does."""
    name = exp.recipe.classify.init_from
    if name is None:
        return None
    run = exp.run if name == exp.run.path.name else named_run(Path(name), exp.run.path.parent)
    return find_start(run, exp.recipe, exp.split, fold=fold)


def refined_of(exp: Experiment, fold: int | None) -> Start | None:
    """The segmenter that `segment.refine_from` names, if it does.

    Raises:
        UsageError: It is that of this run.
    """
    name, setting = exp.recipe.segment.refine_from, "segment.refine_from"
    if name is None:
        return None
    run = named_run(Path(name), exp.run.path.parent)
    if run.path.resolve() == exp.run.path.resolve():
        raise UsageError(
            f"the run {name!r} would be refined from itself.",
            where=f"{setting} = {name!r}",
            expected="the run of a segmenter that was trained on coarse masks",
            fix="give the refined segmenter a run of its own: --run NAME",
        )
    return find_segmenter(run, exp.recipe, exp.split, fold=fold, setting=setting)


def predict_joint(exp: Experiment, on_event: EventSink, *, fold: int | None = None) -> None:
    """Mask statistics of the test cases by the masks of a joint classifier."""
    folder = exp.run.stage("classify", exp.recipe.classify.method)
    predict_cases(
        cases_of(exp.table, exp.split, "test", fold),
        joint_segmenter(exp.run.stage("classify", folder.name, fold=fold)),
        whole_images(exp.recipe),
        exp.run.stage("classify", folder.name, "masks", fold=fold),
        fold=fold,
        on_event=on_event,
    )


def enroll_class(
    exp: Experiment,
    name: str,
    images: Path,
    on_event: EventSink,
    *,
    method: str | None = None,
    fold: int | None = None,
) -> tuple[str, list[str]]:
    """Add a class to the gallery of a metric head, without training; its tables are made anew.

    Returns the method and the classes of its gallery.

    Args:
        exp: A run with a trained metric head.
        name: The class.
        images: A folder of images, or a manifest.
        on_event: Gets the progress.
        method: `metric`, `metric-init`; None is the recipe's, else the only one of the run.
        fold: Only this fold; None is all.

    Raises:
        UsageError: The method is not there, or several are and none is named.
    """
    method = gallery_method(exp, method)
    cases = new_cases(exp, images)
    classes: set[str] = set()
    for each in exp.folds(fold):
        folder = exp.run.stage("classify", method, fold=each)
        classes |= {
            *enroll(
                folder, name, cases, exp.table, exp.split, exp.recipe, fold=each, on_event=on_event
            )
        }
    note_stage(exp, f"classify/{method}")
    return method, sorted(classes)


def predict_own(
    exp: Experiment, on_event: EventSink, *, fold: int | None = None, save_maps: str | None = None
) -> PredictResult:
    """Mask statistics of the run's validation and test cases in one fold."""
    held_out = [
        *cases_of(exp.table, exp.split, "val", fold),
        *cases_of(exp.table, exp.split, "test", fold),
    ]
    return predict_cases(
        held_out,
        exp.run.stage("segment", fold=fold),
        exp.recipe,
        exp.run.stage("predict", OWN, fold=fold),
        fold=fold,
        save_maps=save_maps,
        on_event=on_event,
    )


def predict_other(
    exp: Experiment,
    manifest: Path,
    on_event: EventSink,
    *,
    fold: int | None = None,
    save_maps: str | None = None,
) -> tuple[list[PredictResult], int]:
    """Mask statistics of all cases of another manifest, by the segmenter of each fold.

    Returns:
        A result per fold, and the number of rows that name no usable case; why is in
        `skipped_rows.json`.
    """
    table, name = other_table(exp, manifest), other_name(manifest)
    skipped = [p.as_dict() for p in table.problems if p.severity == "error"]
    write_json(exp.run.stage("predict", name) / "skipped_rows.json", skipped)
    results = [
        predict_cases(
            table.cases,
            exp.run.stage("segment", fold=each),
            exp.recipe,
            exp.run.stage("predict", name, fold=each),
            fold=each,
            save_maps=save_maps,
            on_event=on_event,
        )
        for each in exp.folds(fold)
    ]
    return results, len({problem["row"] for problem in skipped})


def summarize_masks(
    exp: Experiment,
    rule: str,
    *,
    t: float | None = None,
    tau: str | None = None,
    manifest: Path | None = None,
    on_event: EventSink | None = None,
) -> tuple[Path, dict[str, Any]]:
    """Score every case by a rule; returns the folder of the scores and what was fitted.

    Thresholds come from the run's own validation cases. With `manifest`, the cases of that
    table are scored instead of the run's own. A trained summarizer is fitted where needed.
    """
    if is_trained(rule):
        refuse_area(rule, t, tau)
        return _summarize_trained(exp, rule, manifest, on_event)
    name, _ = find_summarizer(rule)
    statistics = read_statistics(predicted_folders(exp))
    frame = split_frame(exp.split, exp.table)
    if manifest is not None:
        own, frame = renamed(statistics), frame.assign(case_id="own/" + frame["case_id"])
        other = read_statistics(predicted_folders(exp, other_name(manifest)))
        statistics = joined([own, other])
        frame = as_test(frame, other_table(exp, manifest), exp.folds())
    scores, record = summarize(
        statistics, frame, rule, exp.recipe.summarize, t=t, tau=tau, seed=exp.recipe.seed
    )
    parts = ["summarize", name]
    if manifest is not None:
        parts.append(other_name(manifest))
        scores = scores.query("split == 'test'").reset_index(drop=True)
    folder = exp.run.stage(*parts)
    write_scores(folder, scores, record)
    note_stage(exp, "/".join(parts))
    return folder, record


def _summarize_trained(
    exp: Experiment, rule: str, manifest: Path | None, on_event: EventSink | None
) -> tuple[Path, dict[str, Any]]:
    from segclf.summarize.trained.run import Job, score_other, score_own

    job = Job(rule, exp.recipe, exp.run, on_event)
    parts = ["summarize", job.method] + ([other_name(manifest)] if manifest else [])
    folder = exp.run.stage(*parts)
    if manifest is None:
        scores, record = score_own(job, exp.table, exp.split, exp.folds())
    else:
        scores, record = score_other(job, other_table(exp, manifest), exp.folds(), folder)
    write_scores(folder, scores, record)
    note_stage(exp, "/".join(parts))
    return folder, record
