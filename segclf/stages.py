"""Where the stages of a run keep what they make, and what is noted about it."""

import json
from pathlib import Path

import pandas as pd

from segclf.core.atomic import read_json
from segclf.core.catalog import lookup
from segclf.core.errors import UsageError
from segclf.core.provenance import record_stage
from segclf.experiment import Experiment
from segclf.manifest import CaseTable

OWN = "own"
"""Name of the predictions of a run's own validation and test cases."""


def split_frame(split: pd.DataFrame, table: CaseTable) -> pd.DataFrame:
    """The split joined with labels and metadata: one row per case and fold."""
    metadata = table.frame.drop(columns=["patient_id", "split", "fold"], errors="ignore")
    return split.merge(metadata, on="case_id", how="left", validate="many_to_one")


def predicted_folders(exp: Experiment, cases: str = OWN) -> list[Path]:
    """Where the statistics of a set of cases lie, for the folds that were predicted."""
    folders = [exp.run.stage("predict", cases, fold=fold) for fold in exp.folds()]
    return [folder for folder in folders if any(folder.glob("part-*.json"))]


def set_aside(exp: Experiment, *folders: str) -> int:
    """How many cases the stages in these folders of the run set aside; each counts once."""
    files = [file for name in folders for file in exp.run.path.glob(f"{name}/**/quarantine.jsonl")]
    lines = [line for file in files for line in file.read_text(encoding="utf-8").splitlines()]
    return len({json.loads(line)["case_id"] for line in lines})


def gallery_method(exp: Experiment, method: str | None = None) -> str:
    """The metric head that is meant: the named one, else the recipe's, else the only one.

    Raises:
        UsageError: It has no gallery, or several have one and none is meant.
    """
    galleries = exp.run.path.glob("classify/metric*/**/gallery.json")
    depth = len(exp.run.stage("classify").parts)
    known = {path.parts[depth]: path for path in sorted(galleries)}
    if method is None and exp.recipe.classify.method in known:
        return exp.recipe.classify.method
    if method is None and len(known) > 1:
        raise UsageError(
            f"the run has {len(known)} galleries: {' and '.join(known)}.",
            where="segclf enroll without --method",
            expected="the one that the class enters",
            fix=f"add --method {min(known)}",
        )
    name = method or next(iter(known), "metric")
    lookup(name, known, kind="gallery")
    return name


def note_stage(exp: Experiment, stage: str, *, made: bool = True) -> None:
    """Note in `run.json` which recipe, versions, seed and hardware made a stage.

    Args:
        exp: The run.
        stage: Its name.
        made: False if all of it was there already: then an old note stays as it is.
    """
    path = exp.run.path / "run.json"
    if made or not path.is_file() or stage not in read_json(path)["stages"]:
        record_stage(path, exp.recipe, manifest_sha256=exp.table.sha256, stage=stage)


def has_segmenter(exp: Experiment, fold: int | None) -> bool:
    """Whether the training of a segmenter has ended."""
    return (exp.run.stage("segment", fold=fold) / "model.json").is_file()


def require_rows(exp: Experiment) -> None:
    """Refuse cases that are no rows of the manifest, over which side tables are laid.

    Raises:
        UsageError: Volumes are cut into slices.
    """
    if exp.recipe.slices.cut:
        raise UsageError(
            "slices of volumes get no pseudo-masks: a side table names rows of the manifest.",
            where="slices.cut = true",
            expected="a case per row",
            fix="use a 3D network (image.spatial_dims: 3), or a manifest of slices as files",
        )
