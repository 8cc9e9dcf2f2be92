"""Masks of scored cases as files, case by case; stopped at any moment, it can be called again."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from segclf.console import EventSink
from segclf.core.atomic import sha256_of
from segclf.core.catalog import unknown_name
from segclf.core.errors import CaseError, UsageError
from segclf.core.maskstats import LOGIT_THRESHOLDS_FLOAT32, THRESHOLDS, threshold_index
from segclf.core.scoretable import RECORD
from segclf.experiment import Experiment
from segclf.export.codes import check_codes
from segclf.export.dicom import DicomWriter
from segclf.export.files import SUFFIXES, write_masks
from segclf.export.folder import Write, finish, is_done, keep_same, stamp_of, write_case
from segclf.export.plan import Asked, make_jobs
from segclf.export.records import Job, Prediction
from segclf.export.source import need_highdicom
from segclf.io.guard import time_limit
from segclf.other import other_name, other_table, other_than_own
from segclf.predict.engine import Engine, Group, load_engine, logit_groups
from segclf.predict.feed import Quarantined
from segclf.stages import OWN

DICOM = "dicom"
FORMATS = (*SUFFIXES, DICOM)
SAME_PX, SAME_SHARE = 2, 0.01
"""Pixels by which a mask may differ from the statistics: sums in another order round otherwise."""


@dataclass(frozen=True)
class Aside:
    """Why a case was set aside."""

    reason: str
    message: str


@dataclass(frozen=True)
class Exported:
    """What `export_masks` left in its folder."""

    folder: Path
    n_cases: int
    n_made: int
    """Cases that this call made; the others were there."""
    n_quarantined: int


def check_format(name: str, spatial_dims: int | None = None) -> None:
    """Refuse a format that is not known, lacks its package or cannot hold the masks.

    Raises:
        UsageError: One of these.
    """
    if name not in FORMATS:
        raise unknown_name(name, FORMATS, kind="format of masks", where="--format")
    if name == DICOM:
        need_highdicom()
    if name == "png" and spatial_dims == 3:
        raise UsageError(
            "a volume does not fit a png file.",
            where="--format",
            expected="nifti, nrrd, mha or dicom for image.spatial_dims: 3",
            fix="use --format nifti",
        )


def export(
    exp: Experiment,
    asked: Asked,
    *,
    kind: str,
    manifest: Path | None = None,
    out: Path | None = None,
    series: Path | None = None,
    fractional: bool = False,
    on_event: EventSink,
) -> Exported:
    """Write the masks of scored cases to `<folder>/<case>/`, and an index of them.

    A case counts as done if its record, written last, vouches for its files and the case is the
    same. A case that cannot be written is set aside and does not stop the others.

    Args:
        exp: The run.
        asked: Which method, cases, fold and t.
        kind: One of `FORMATS`.
        manifest: Another manifest, whose cases were scored; None is the run's own.
        out: Where the files go; None is `export/<method>/[<other>/]<format>/` in the run.
        series: Of DICOM: folder of the series, each called like its case; None is the images.
        fractional: Of DICOM: probabilities instead of masks.
        on_event: Told the progress.

    Raises:
        UsageError: The format, a case, fold or threshold does not fit.
        DataError: There are no scores of these cases.
        IntegrityError: The folder holds masks of something else.
    """
    check_format(kind, exp.recipe.image.spatial_dims)
    check_codes(exp.recipe.export.codes, exp.table.findings)
    other = other_than_own(exp, manifest)
    table = exp.table if other is None else other_table(exp, other)
    parts = [asked.method] if other is None else [asked.method, other_name(other)]
    scores = exp.run.stage("summarize", *parts)
    jobs = make_jobs(exp, table, OWN if other is None else parts[1], scores, asked)
    folder = out or exp.run.stage("export", *parts, kind)
    keep_same(folder, _identity(exp, scores, asked, kind, fractional))
    stamps = {job.case.case_id: stamp_of(job.case, series) for job in jobs}
    left = [job for job in jobs if not is_done(folder, job.case, stamps[job.case.case_id])]
    aside: list[dict[str, str]] = []
    n_done = len(jobs) - len(left)
    with time_limit(exp.recipe.image.decode_limit_s):
        for job, found, write in _each(exp, left, asked, kind, series, fractional):
            case_id = job.case.case_id
            try:
                if isinstance(found, Prediction):
                    write_case(folder, found, write, stamps[case_id])
            except CaseError as error:
                found = Aside(error.reason, str(error))
            if isinstance(found, Aside):
                aside.append({"case_id": case_id, "reason": found.reason, "message": found.message})
            n_done += 1
            on_event({"kind": "export", "step": n_done, "of": len(jobs)})
    finish(folder, aside)
    return Exported(folder, len(jobs) - len(aside), len(left) - len(aside), len(aside))


def _each(
    exp: Experiment, jobs: Sequence[Job], asked: Asked, kind: str, series: Path | None,
    fractional: bool,
) -> Iterator[tuple[Job, Prediction | Aside, Write]]:  # fmt: skip
    """The masks of each case by the network of its fold, and what writes them."""
    for fold in dict.fromkeys(job.fold for job in jobs):
        engine = load_engine(exp.run.stage("segment", fold=fold), exp.recipe)
        write: Write = partial(write_masks, kind=kind)
        if kind == DICOM:
            write = DicomWriter(
                engine.card.sha256, asked.method, exp.recipe.export.codes, series, fractional
            )
        for job, found in _predictions(engine, [job for job in jobs if job.fold == fold]):
            yield job, found, write


def _predictions(engine: Engine, jobs: Sequence[Job]) -> Iterator[tuple[Job, Prediction | Aside]]:
    """Masks on the grids of the images, or why there are none."""
    for group in logit_groups(engine, [job.case for job in jobs], with_truth=False):
        if isinstance(group, Quarantined):
            yield jobs[group.index], Aside(group.reason, group.message)
        else:
            yield from _of_group(group, jobs)


def _of_group(group: Group, jobs: Sequence[Job]) -> Iterator[tuple[Job, Prediction | Aside]]:
    for ready, logits in zip(group.cases, group.logits, strict=True):
        job = jobs[ready.index]
        cuts = [LOGIT_THRESHOLDS_FLOAT32[threshold_index(score.t)] for score in job.scores]
        planes = logits.float().cpu().numpy()
        mask = np.stack([plane > cut for plane, cut in zip(planes, cuts, strict=True)])
        probability = logits.float().sigmoid().cpu().numpy()
        yield (
            job,
            _differs(job, mask) or Prediction(job, mask, probability, ready.sample.spacing_mm),
        )


def _differs(job: Job, mask: np.ndarray) -> Aside | None:
    """Why the mask is not the one that was scored."""
    for score, plane in zip(job.scores, mask, strict=True):
        n_px, expected = int(np.count_nonzero(plane)), score.expected_px
        if expected is None or abs(n_px - expected) <= max(SAME_PX, SAME_SHARE * expected):
            continue
        error = CaseError(
            "mask_differs",
            f"the mask of {score.finding} has {n_px} pixels now, {expected} when it was scored.",
            where=f"case {job.case.case_id}",
            expected="the image and the network that were scored",
            fix="predict and summarize again, then export into another folder",
        )
        return Aside(error.reason, str(error))
    return None


def _identity(
    exp: Experiment, scores: Path, asked: Asked, kind: str, fractional: bool
) -> dict[str, Any]:
    """What, apart from the cases, decides the files; plain values."""
    models = [exp.run.stage("segment", fold=fold) / "model.safetensors" for fold in exp.folds()]
    return {
        "format": kind,
        "fractional": fractional,
        "method": asked.method,
        "t": None if asked.t is None else float(THRESHOLDS[threshold_index(asked.t)]),
        "scores": sha256_of(scores / "scores.parquet"),
        "record": sha256_of(scores / RECORD),
        "models": [sha256_of(path) if path.is_file() else None for path in models],
        "codes": dict(exp.recipe.export.codes),
    }
