"""Enroll a class: its images enter the gallery, and nothing is trained."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

from segclf.classify.metric.classes import class_of
from segclf.classify.metric.decide import classify
from segclf.classify.metric.gallery import Gallery, add_class, read_gallery
from segclf.classify.metric.leaving import cases_that_leave
from segclf.classify.metric.network import embed_cases, load_embedder
from segclf.classify.metric.score import RECORD, Held, class_table, read_vectors
from segclf.classify.metric.score import write_results as write_tables
from segclf.core.atomic import read_json
from segclf.core.config import ClassifySettings, Recipe
from segclf.core.errors import DataError
from segclf.core.records import Case
from segclf.manifest import CaseTable, cases_of
from segclf.training import ModelCard
from segclf.training.cases import Quarantined
from segclf.training.state import EventSink


def enroll(
    folder: Path,
    name: str,
    images: Sequence[Case],
    table: CaseTable,
    split: pd.DataFrame,
    recipe: Recipe,
    *,
    fold: int | None = None,
    on_event: EventSink | None = None,
) -> list[str]:
    """Add a class to the gallery in `folder` and write its tables anew; returns all classes.

    No weight and no threshold of `unknown` changes. Cases of the run that were enrolled leave its
    tables, with all cases of their patients and all that show the same image: what the gallery
    knows is not judged.

    Args:
        folder: Of a trained metric head.
        name: The new class.
        images: Its images, from `image_cases` or a manifest.
        table: The cases of the run.
        split: The run's split.
        recipe: The run's recipe.
        fold: The fold of `folder`, if there are folds.
        on_event: Gets the progress as plain data.

    Raises:
        UsageError: The class is known already.
        DataError: There is no image, or one cannot be read or is in the gallery already.
        IntegrityError: The gallery or the weights are not those that the training wrote.
    """
    network, card = load_embedder(folder)
    gallery = read_gallery(folder, model_sha256=card.sha256)
    held = _held(folder, table, split, gallery, fold)
    ids = [case.case_id for case in images]
    room = np.zeros((len(images), gallery.vectors.shape[1]), np.float32)
    add_class(gallery, name, room, ids)  # what is refused is refused before an image is read
    read, vectors, bad = embed_cases(network, images, recipe, on_event)
    if bad:
        raise _unreadable(bad, len(images))
    gallery = add_class(gallery, name, vectors, [case.case_id for case in read])
    n_bad = read_json(folder / RECORD)["n_quarantined"]
    recipe = _as_trained(recipe, card)
    run_cases = [case for part in held for case in part.cases]
    run_vectors = np.concatenate([part.vectors for part in held])
    left = gallery.left | cases_that_leave(run_cases, run_vectors, read, vectors, recipe)
    gallery = replace(gallery, left=left)
    write_tables(folder, gallery, held, recipe, fold=fold, n_bad=n_bad)
    return gallery.names


def classify_cases(
    folder: Path,
    cases: Sequence[Case],
    recipe: Recipe,
    *,
    findings: Sequence[str] = (),
    on_event: EventSink | None = None,
) -> tuple[pd.DataFrame, list[Quarantined]]:
    """The class of each case by the gallery in `folder`, as in `classes.parquet`.

    Args:
        folder: Of a trained metric head.
        cases: What is classified.
        recipe: The run's recipe.
        findings: Names of the cases' labels, for their truth.
        on_event: Gets the progress as plain data.

    Returns:
        The table, and the cases that could not be read.

    Raises:
        IntegrityError: The gallery or the weights are not those that the training wrote.
    """
    network, card = load_embedder(folder)
    gallery = read_gallery(folder, model_sha256=card.sha256)
    read, vectors, bad = embed_cases(network, cases, recipe, on_event)
    truth = [class_of(case, gallery.target, findings) for case in read]
    verdicts = classify(vectors, gallery, recipe.classify.metric)
    return class_table(Held("test", read, vectors, truth), verdicts), bad


def _held(
    folder: Path, table: CaseTable, split: pd.DataFrame, gallery: Gallery, fold: int | None
) -> list[Held]:
    """The val and test cases with the embeddings that the training kept."""
    held = []
    for part, (ids, vectors) in read_vectors(folder).items():
        case_of = {case.case_id: case for case in cases_of(table, split, part, fold)}
        cases = [case_of[case_id] for case_id in ids]
        truth = [class_of(case, gallery.target, table.findings) for case in cases]
        held.append(Held(part, cases, vectors, truth))
    return held


def _as_trained(recipe: Recipe, card: ModelCard) -> Recipe:
    """The recipe with the head that was trained, but the rule that it has now."""
    trained = ClassifySettings.model_validate(card.recipe["classify"])
    now = recipe.classify.metric
    metric = trained.metric.model_copy(update={"rule": now.rule, "k": now.k})
    return recipe.model_copy(update={"classify": trained.model_copy(update={"metric": metric})})


def _unreadable(bad: Sequence[Quarantined], n_images: int) -> DataError:
    case_id, reason, message = bad[0]
    return DataError(
        f"{len(bad)} of the {n_images} images cannot be used; the first: {case_id} ({reason}).",
        where="--images",
        expected="images that can all be read, so that nobody believes in more than there are",
        fix=f"correct it or leave it out: {message.splitlines()[0]}",
    )
