"""Cases of another manifest, read as a run reads its own."""

import hashlib
from dataclasses import replace
from pathlib import Path

import pandas as pd

from segclf.core.errors import CaseError, DataError
from segclf.core.maskstats import MaskStatistics
from segclf.core.records import Case
from segclf.core.runs import safe_name
from segclf.experiment import Experiment
from segclf.io import probe
from segclf.io.guard import time_limit
from segclf.manifest import CaseTable, folder_table, image_cases, read_manifest
from segclf.manifest.sources import expand, read_bytes


def other_table(exp: Experiment, manifest: Path) -> CaseTable:
    """Another manifest, or a folder of images, read with the run's recipe.

    Its files lie below its own folder, or in the run's data root if it lies beside the run's own
    manifest, as the table of new images that an import writes. Rows that cannot be used are left
    out.
    """
    manifest = manifest.resolve()
    recipe = exp.recipe.model_copy(
        update={
            "manifest": manifest.name,
            "data_root": _data_root(exp, manifest),
            "side_tables": (),
            "findings": exp.table.findings,
        }
    )
    n_channels = _n_channels(exp) if manifest.is_dir() else None
    return read_manifest(
        recipe, base=manifest.parent, strict=False, need_truth=False, n_channels=n_channels
    )


def _n_channels(exp: Experiment) -> int | None:
    """Channels of the first of the run's own cases whose headers can be read."""
    with time_limit(exp.recipe.image.decode_limit_s):
        for case in exp.table.cases:
            try:
                return sum(probe(path).shape[0] for path in case.images)
            except CaseError:
                continue
    return None


def _data_root(exp: Experiment, manifest: Path) -> str | None:
    """The root of the run's files for a table in the folder of the run's manifest; else None."""
    if exp.recipe.data_root is None or exp.recipe.manifest is None or manifest.is_dir():
        return None
    own = exp.run.path / expand(exp.recipe.manifest, where="manifest")
    return str(exp.table.root) if own.resolve().parent == manifest.parent else None


def new_cases(exp: Experiment, images: Path) -> tuple[Case, ...]:
    """The cases of a folder of images, or of another manifest, all of whose rows must be usable.

    Raises:
        DataError: There is no image, or a row names none that can be used.
    """
    if images.is_dir():
        n_axes = exp.recipe.image.spatial_dims
        n_findings, n_channels = len(exp.table.findings), _n_channels(exp)
        with time_limit(exp.recipe.image.decode_limit_s):
            return tuple(
                image_cases(images, n_findings, spatial_dims=n_axes, n_channels=n_channels)
            )
    table = other_table(exp, images)
    errors = [problem for problem in table.problems if problem.severity == "error"]
    if errors:
        first = errors[0]
        raise DataError(
            f"{len(errors)} rows name no usable image; the first: {first.wrong}",
            where=f"{images.name}, row {first.row}",
            expected=first.expected,
            fix=first.fix,
        )
    return table.cases


def other_than_own(exp: Experiment, manifest: Path | None) -> Path | None:
    """`manifest`, or None if it is the one that the run was trained with."""
    is_own = manifest is not None and _sha256(manifest) == exp.table.manifest_sha256
    return None if is_own else manifest


def other_name(manifest: Path) -> str:
    """Folder name for the predictions of another manifest; another content is another name."""
    content = _sha256(manifest)[:8]
    manifest = manifest.resolve()
    return safe_name(f"{manifest.resolve().parent.name}-{manifest.stem}-{content}")


def as_test(frame: pd.DataFrame, other: CaseTable, folds: list[int | None]) -> pd.DataFrame:
    """The run's validation rows and every case of `other` as test rows of each fold."""
    rows = [
        other.frame.assign(split="test", fold=pd.array([fold] * len(other.frame), dtype="Int64"))
        for fold in folds
    ]
    return pd.concat([frame.query("split == 'val'"), *rows], ignore_index=True)


def renamed(own: MaskStatistics) -> MaskStatistics:
    """Statistics whose case ids cannot be those of another manifest."""
    return replace(own, frame=own.frame.assign(case_id="own/" + own.frame["case_id"]))


def _sha256(manifest: Path) -> str:
    """Of the table as it is read, with the message of a table that cannot be read.

    Of a folder, of the pictures in it, so that one that is added makes other predictions.
    """
    if manifest.is_dir():
        return hashlib.sha256(folder_table(manifest, spatial_dims=2)).hexdigest()
    return hashlib.sha256(read_bytes(manifest)).hexdigest()
