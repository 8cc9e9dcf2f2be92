"""What a training is a training of; a resumed one must agree in every point."""

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from segclf.core.atomic import hash_of, read_json, sha256_of, write_json
from segclf.core.config import Recipe
from segclf.core.errors import IntegrityError, UsageError
from segclf.core.records import Case
from segclf.core.runs import shown
from segclf.core.sameness import SHARED_SETTINGS, differences, flat_settings
from segclf.training.checkpoints import checkpoint_names
from segclf.training.runtime import pick_device, pick_precision

FILE, MODEL, CHECKPOINTS = "identity.json", "model.json", "checkpoints"
Identity = dict[str, Any]


def identity_of(
    recipe: Recipe,
    *,
    parts: Sequence[str],
    findings: Sequence[str],
    table_sha256: str,
    train: Sequence[Case],
    val: Sequence[Case],
    fold: int | None,
) -> Identity:
    """Everything that decides the trained weights, as a flat dict of plain values.

    Args:
        recipe: The experiment.
        parts: Sections or settings of the recipe that this kind of training adds (`loss`,
            `predict.overlap`, …).
        findings: Resolved findings.
        table_sha256: Hash of the manifest.
        train: Training cases, in order.
        val: Validation cases, in order.
        fold: The fold, if there are folds.
    """
    identity: Identity = flat_settings(recipe, (*SHARED_SETTINGS, *parts))
    identity["findings"] = list(findings)
    identity["train.precision"] = pick_precision(recipe.train.precision, pick_device())
    weights = recipe.network.pretrained
    if weights is not None and Path(weights).is_file():
        identity["network.pretrained"] = f"sha256:{sha256_of(Path(weights))}"
    identity["data.manifest_sha256"] = table_sha256
    identity["data.fold"] = fold
    identity["data.train_cases"] = _cases_text(train)
    identity["data.val_cases"] = _cases_text(val)
    return identity


def claim_folder(folder: Path, identity: Identity, *, resume: bool) -> bool:
    """Make `folder` the place of this training; whether a finished model is already there.

    Args:
        folder: Where the training writes.
        identity: From `identity_of`.
        resume: Whether the user asked to continue.

    Raises:
        UsageError: The folder holds a training and `resume` is off.
        IntegrityError: It holds a training of something else; every difference is listed.
    """
    path, is_finished = folder / FILE, (folder / MODEL).is_file()
    if not is_finished and not checkpoint_names(folder / CHECKPOINTS):
        write_json(path, identity)
        return False
    if not resume:
        raise UsageError(
            f"a training has already {'ended' if is_finished else 'begun'} here.",
            where=shown(folder),
            expected="an empty folder, or --resume (which continues it, and keeps a finished one)",
            fix="add --resume, or choose another run: --run NAME",
        )
    if not path.is_file():
        raise IntegrityError(
            "the folder does not say what was trained in it.",
            where=shown(folder),
            expected=f"{FILE} beside the checkpoints",
            fix="choose another run: --run NAME",
        )
    require_same(read_json(path), identity, where=shown(path))
    if is_finished:  # it may have been killed before it could delete them
        shutil.rmtree(folder / CHECKPOINTS, ignore_errors=True)
    return is_finished


def require_same(before: Mapping[str, Any], now: Mapping[str, Any], *, where: str) -> None:
    """Raise an `IntegrityError` that lists every key whose value changed."""
    lines = differences(before, now)
    if lines:
        raise IntegrityError(
            "the training was begun with another recipe or data set:\n    " + "\n    ".join(lines),
            where=where,
            expected="the same settings, cases and split as when it began",
            fix="put the old values back, or start a new run: --run NAME",
        )


def _cases_text(cases: Sequence[Case]) -> str:
    return f"{len(cases)} cases, sha256:{hash_of([case.case_id for case in cases])[:16]}"
