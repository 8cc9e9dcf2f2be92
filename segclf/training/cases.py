"""The cases of one training: read once before the first step, kept in a cache, measured."""

import json
import os
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from torch import Tensor, nn

from segclf.core.atomic import write_text
from segclf.core.config import Recipe
from segclf.core.errors import DataError, StoppedError
from segclf.core.randomness import seed_of
from segclf.core.records import Case, with_truth_only
from segclf.data import Batch, CaseCache, Plan, eval_batches, prepare_cases, train_batches
from segclf.training.identity import Identity, claim_folder, identity_of
from segclf.training.measures import MEASURES
from segclf.training.runtime import device_of, to_device
from segclf.training.state import EventSink, Task

Quarantined = tuple[str, str, str]
"""case_id, reason code, message."""
MeasureBatch = Callable[[nn.Module, Batch], np.ndarray]
"""`(network, batch on its device)` to `(case, finding, measure)`."""
QUARANTINE, CACHE = "quarantine.jsonl", "cache"


@dataclass(frozen=True)
class Prepared:
    """Cases that can be used, and where their prepared images are kept."""

    train: tuple[Case, ...]
    val: tuple[Case, ...]
    findings: tuple[str, ...]
    fold: int | None
    identity: Identity
    cache: CaseCache
    n_channels: int
    quarantined: list[Quarantined]


def begin_training(
    train: Sequence[Case],
    val: Sequence[Case],
    recipe: Recipe,
    folder: Path,
    *,
    identity_parts: Sequence[str],
    findings: tuple[str, ...],
    table_sha256: str,
    fold: int | None,
    facts: Mapping[str, str] | None = None,
    resume: bool,
    check: Callable[[], None],
    on_event: EventSink | None,
) -> Prepared | None:
    """Claim `folder` and read every case; None if the training in it has already ended.

    Cases that cannot be used are listed in `quarantine.jsonl`. In validation cases only masks that
    are truth are known: no coarse mask, and none of a network.

    Args:
        train: Training cases.
        val: Validation cases.
        recipe: The experiment.
        folder: The folder of the training.
        identity_parts: Sections or settings of the recipe that only this kind of training has.
        findings: What is looked for.
        table_sha256: Hash of the manifest.
        fold: The fold, if there are folds.
        facts: What else a resumed training must agree in, or what replaces a setting.
        resume: Whether a training that has begun may be continued.
        check: Raises if the recipe cannot be trained; called before the first case is read.
        on_event: Told the progress, and how many cases cannot be used.

    Raises:
        UsageError: A training has begun and `resume` is off.
        IntegrityError: A training of something else has begun.
        DataError: No training case or no validation case can be used.
    """
    identity = identity_of(
        recipe,
        parts=identity_parts,
        findings=findings,
        table_sha256=table_sha256,
        train=train,
        val=val,
        fold=fold,
    )
    val = [with_truth_only(case) for case in val]
    identity |= facts or {}
    if claim_folder(folder, identity, resume=resume):
        return None
    with initial_weights(recipe.seed):  # what is built to see whether it can be draws nothing
        check()
    n_ranks = int(os.environ.get("LOCAL_WORLD_SIZE", 1))
    cache = CaseCache([*train, *val], recipe, folder / CACHE, processes=n_ranks)
    good, bad = prepare_cases([*train, *val], recipe, cache, on_event)
    ids = {case.case_id for case in good}
    usable = {
        name: tuple(case for case in part if case.case_id in ids)
        for name, part in (("train", train), ("val", val))
    }
    _require_cases(usable, bad)
    write_quarantine(folder, bad)
    if bad and on_event is not None:
        n_cases = f"{len(bad)} case{'s' * (len(bad) != 1)}"
        message = f"{n_cases} cannot be used, see {QUARANTINE}; the first: {bad[0][0]}"
        on_event({"kind": "warning", "about": "quarantine", "message": f"{message} ({bad[0][1]})"})
    n_channels = len(cache.get(usable["train"][0]).image)
    return Prepared(
        usable["train"], usable["val"], findings, fold, identity, cache, n_channels, bad
    )


def make_task(
    kind: Literal["segment", "classify"],
    network: nn.Module,
    prepared: Prepared,
    recipe: Recipe,
    *,
    loss: Callable[[Tensor, Batch], Tensor],
    measure: MeasureBatch,
    select_by: str,
    plan: Plan | None = None,
    on_event: EventSink | None,
) -> Task:
    """The task for `fit`: batches of the training cases, measures of the validation cases.

    Args:
        kind: Whether batches are cropped for a segmenter.
        network: What is trained.
        prepared: The cases.
        recipe: The experiment.
        loss: Raw outputs and their batch to a scalar.
        measure: Raw network and a batch to its measures.
        select_by: `auroc` or `dice`.
        plan: Which cases each step sees; None balances them as the recipe says.
        on_event: Told what the sampling could not do.
    """

    def batches(start_step: int, n_steps: int, rank: int, world: int) -> Iterator[Batch]:
        return train_batches(
            prepared.train,
            recipe,
            task=kind,
            cache=prepared.cache,
            start_step=start_step,
            n_steps=n_steps,
            rank=rank,
            world=world,
            plan=plan,
            on_event=on_event,
        )

    return Task(
        kind=kind,
        network=network,
        spatial_dims=recipe.image.spatial_dims,
        batches=batches,
        loss=loss,
        measure=partial(_measure_cases, prepared=prepared, recipe=recipe, measure=measure),
        identity=prepared.identity,
        select_by=select_by,
    )


def _measure_cases(
    network: nn.Module,
    rank: int,
    world: int,
    *,
    prepared: Prepared,
    recipe: Recipe,
    measure: MeasureBatch,
) -> np.ndarray:
    """Measures of this rank's share of the validation cases; those of other ranks are zero."""
    cases = prepared.val
    measured = np.zeros((len(cases), len(prepared.findings), len(MEASURES)))
    row = {case.case_id: number for number, case in enumerate(cases)}
    batches = eval_batches(
        cases[rank::world],
        recipe,
        cache=prepared.cache,
        batch_size=recipe.predict.batch_size,
        workers=0,
    )
    for batch in batches:
        for case_id, _, _ in batch.quarantined:
            measured[row[case_id]] = np.nan
        if not batch.case_id:
            continue
        values = measure(network, to_device(batch, device_of(network)))
        if not np.isfinite(values[..., MEASURES.index("loss")]).all():
            raise StoppedError(
                f"the loss of the validation cases {', '.join(batch.case_id)} is not finite.",
                where="validation",
                expected="finite numbers; the latest checkpoint is kept",
                fix="look at these cases with `segclf check`, or use train.precision=fp32",
            )
        measured[[row[case_id] for case_id in batch.case_id]] = values
    return measured


def write_quarantine(folder: Path, bad: Sequence[Quarantined]) -> None:
    """Write `quarantine.jsonl`: case_id, reason and message of each case that was set aside.

    There is no such file if there is no such case.
    """
    if not bad:
        (folder / QUARANTINE).unlink(missing_ok=True)
        return
    lines = [
        json.dumps({"case_id": case_id, "reason": reason, "message": message}) + "\n"
        for case_id, reason, message in bad
    ]
    write_text(folder / QUARANTINE, "".join(lines))


def read_quarantine(folder: Path) -> set[str]:
    """Ids of the cases that a stage has set aside in its folder."""
    path = folder / QUARANTINE
    lines = path.read_text(encoding="utf-8").splitlines() if path.is_file() else []
    return {json.loads(line)["case_id"] for line in lines}


def drop_cache(folder: Path) -> None:
    """Delete the prepared images of a finished training."""
    shutil.rmtree(folder / CACHE, ignore_errors=True)


@contextmanager
def initial_weights(seed: int) -> Iterator[None]:
    """Networks built in this block start from weights that depend on the seed alone.

    The encoder is built first, so that segmenter and classifier of one seed share its start.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed_of(seed, "init"))
        yield


def _require_cases(parts: dict[str, tuple[Case, ...]], bad: Sequence[Quarantined]) -> None:
    for name, cases in parts.items():
        if not cases:
            first = f"; the first that cannot be read: {bad[0][0]} ({bad[0][1]})" if bad else ""
            raise DataError(
                f"no case of the {name} part can be used{first}.",
                where=f"the {name} part of the split",
                expected="at least one readable case",
                fix="run: segclf check MANIFEST",
            )
