"""What a gallery says about the val and test cases of a run: its two tables, and their vectors."""

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import safetensors
import safetensors.numpy

from segclf.classify.metric.classes import FINDINGS, NONE, finding_name
from segclf.classify.metric.decide import Verdicts, classify, margins
from segclf.classify.metric.gallery import Gallery, write_gallery
from segclf.classify.score import score_table
from segclf.core.atomic import atomic_path, write_bytes
from segclf.core.config import Recipe
from segclf.core.errors import IntegrityError
from segclf.core.records import Case
from segclf.core.runs import shown
from segclf.core.scoretable import empty_scores, write_scores

RECORD, CLASSES, EMBEDDINGS = "classifier.json", "classes.parquet", "embeddings.safetensors"


@dataclass(frozen=True)
class Held:
    """The cases of one part that could be read, in order."""

    part: str
    """`val` or `test`."""
    cases: Sequence[Case]
    vectors: np.ndarray
    """(case, dim), norm 1."""
    truth: Sequence[str | None]
    """Their classes; None if not known."""

    def without(self, case_ids: set[str]) -> "Held":
        """The part without some cases."""
        keep = [i for i, case in enumerate(self.cases) if case.case_id not in case_ids]
        cases, truth = [self.cases[i] for i in keep], [self.truth[i] for i in keep]
        return Held(self.part, cases, self.vectors[keep], truth)


def write_results(
    folder: Path,
    gallery: Gallery,
    held: Sequence[Held],
    recipe: Recipe,
    *,
    fold: int | None,
    n_bad: int,
) -> None:
    """Write the gallery, `embeddings.safetensors`, `classes.parquet` and the score table.

    Cases that enrolled images give away (`gallery.left`) are in neither table.

    Args:
        folder: Of the head.
        gallery: What is known.
        held: The val and the test cases.
        recipe: Rule of the classes; how thresholds of the score table are fitted.
        fold: The fold, if there are folds.
        n_bad: Cases that could not be used.
    """
    write_gallery(folder, gallery)
    write_vectors(folder, held)
    held = [part.without({*gallery.left, *gallery.case_ids}) for part in held]
    verdicts = [classify(part.vectors, gallery, recipe.classify.metric) for part in held]
    tables = [class_table(*pair) for pair in zip(held, verdicts, strict=True)]
    with atomic_path(folder / CLASSES) as path:
        pd.concat(tables, ignore_index=True).to_parquet(path, index=False)
    scores, fits = _scores(held, verdicts, gallery, recipe, fold=fold)
    record = {
        "method": recipe.classify.method,
        "head": recipe.classify.head,
        "rule": recipe.classify.metric.rule,
        "unknown": gallery.unknown,
        "enrolled": list(gallery.enrolled),
        "n_left": dict(Counter(gallery.left.values())),
        "fits": fits,
        "n_quarantined": n_bad,
    }
    write_scores(folder, scores, record, record_name=RECORD)


def write_vectors(folder: Path, held: Sequence[Held]) -> None:
    """Write `embeddings.safetensors`: per part its embeddings, and in the header its case ids."""
    vectors = {part.part: np.ascontiguousarray(part.vectors) for part in held}
    ids = {part.part: json.dumps([case.case_id for case in part.cases]) for part in held}
    write_bytes(folder / EMBEDDINGS, safetensors.numpy.save(vectors, metadata=ids))


def read_vectors(folder: Path) -> dict[str, tuple[list[str], np.ndarray]]:
    """Per part the ids of the cases that could be read and their embeddings (case, dim).

    Raises:
        IntegrityError: The file is missing or damaged.
    """
    path = folder / EMBEDDINGS
    try:
        with safetensors.safe_open(path, framework="numpy") as file:
            header = file.metadata() or {}
            return {k: (json.loads(header[k]), file.get_tensor(k)) for k in ("val", "test")}
    except (OSError, ValueError, KeyError, safetensors.SafetensorError) as error:
        raise IntegrityError(
            f"the embeddings cannot be read: {error.__class__.__name__}.",
            where=shown(path),
            expected="the file that `segclf train-clf` wrote",
            fix="train again, or copy the whole folder anew",
        ) from None


def class_table(held: Held, verdicts: Verdicts) -> pd.DataFrame:
    """Truth, predicted class, and nearest case with its similarity, one row per case."""
    return pd.DataFrame(
        {
            "case_id": pd.array([case.case_id for case in held.cases], dtype="str"),
            "split": pd.array([held.part] * len(held.cases), dtype="str"),
            "truth": pd.array(list(held.truth), dtype="str"),
            "predicted": pd.array(list(verdicts.predicted), dtype="str"),
            "similarity": verdicts.similarity,
            "nearest": pd.array(list(verdicts.nearest), dtype="str"),
        }
    )


def _scores(
    held: Sequence[Held],
    verdicts: Sequence[Verdicts],
    gallery: Gallery,
    recipe: Recipe,
    *,
    fold: int | None,
) -> tuple[pd.DataFrame, list[dict[str, Any]]]:
    """One row per case and class: how much more there is for the class than for any other."""
    columns = [
        (place, name)
        for place, name in enumerate(gallery.names)
        if gallery.target != FINDINGS or name != NONE
    ]
    if not columns:
        return empty_scores(), []
    seen = {name for part in held for name in part.truth}
    scores: dict[str, np.ndarray] = {}
    parts: dict[str, list[Case]] = {}
    for part, said in zip(held, verdicts, strict=True):
        margin = margins(said.evidence)[:, [place for place, _ in columns]]
        scores |= zip([case.case_id for case in part.cases], margin, strict=True)
        parts[part.part] = [
            replace(case, labels=tuple(_label(truth, name, seen) for _, name in columns))
            for case, truth in zip(part.cases, part.truth, strict=True)
        ]
    names = [finding_name(gallery.target, name) for _, name in columns]
    return score_table(scores, parts, names, recipe, fold=fold)


def _label(truth: str | None, name: str, seen: set[str | None]) -> float:
    """Not known for a case without a class, and for a class that no manifest has named."""
    return float("nan") if truth is None or name not in seen else float(truth == name)
