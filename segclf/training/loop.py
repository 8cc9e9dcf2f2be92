"""The one training loop, for segmenters and classifiers. Read `fit` first, then `_train`."""

import time
from contextlib import closing
from pathlib import Path

import torch
from lightning_fabric import Fabric
from torch import Tensor

from segclf.core.config import Recipe
from segclf.core.randomness import seed_of
from segclf.data import Batch
from segclf.training.checkpoints import clear_parts, load_latest, load_optimizer
from segclf.training.cost import Cost
from segclf.training.identity import CHECKPOINTS, claim_folder
from segclf.training.interrupts import Interrupts, catch_interrupts
from segclf.training.log import MetricsLog
from segclf.training.milestones import (
    REPORT_EVERY,
    read_losses,
    reads_losses,
    report,
    save,
    select,
    validate,
)
from segclf.training.optim import learning_rate, make_optimizer, start_average, update_average
from segclf.training.runtime import (
    deterministic,
    full_disk_stops,
    memory_format,
    own_randomness,
    start_fabric,
    to_device,
)
from segclf.training.state import (
    Event,
    EventSink,
    FitResult,
    Progress,
    Task,
    Training,
    decay_of,
)
from segclf.training.thin import guard_thin


def fit(
    task: Task,
    recipe: Recipe,
    folder: Path,
    *,
    resume: bool = False,
    on_event: EventSink | None = None,
) -> FitResult:
    """Train `task.network` and leave the selected weights in it.

    Args:
        task: What is trained.
        recipe: `train` and `seed` are used.
        folder: Gets `metrics.jsonl`, `identity.json` and `checkpoints/`.
        resume: Continue from the latest intact checkpoint, if there is one.
        on_event: Called with plain data: `kind` is `train`, `validate`, `checkpoint`, `warning`
            or `interrupted`; those for people have a `message`.

    Raises:
        StoppedError: The loss or a weight is not finite, or the disk is full.
        UsageError: The folder holds a training and `resume` is off.
        IntegrityError: It holds another training, or no checkpoint is intact.
        KeyboardInterrupt: Ctrl-C; a checkpoint was written.
        SystemExit: SIGTERM (code 143); a checkpoint was written.
    """
    claim_folder(folder, task.identity, resume=resume)
    fabric = start_fabric(recipe.train)
    with (
        deterministic(recipe.train.deterministic),
        own_randomness(),
        full_disk_stops(folder),
        catch_interrupts() as interrupts,
    ):
        training = _prepare(task, recipe, folder, fabric, on_event or _ignore)
        try:
            if not training.progress.is_finished:
                _train(training, interrupts)
            result = select(training)
            interrupts.raise_received()  # one that came after the last step
            return result
        finally:
            if training.log is not None:
                training.log.close()


def _train(training: Training, interrupts: Interrupts) -> None:
    settings, progress, fabric = training.settings, training.progress, training.fabric
    left = settings.steps - progress.step
    batches = training.task.batches(progress.step, left, fabric.global_rank, fabric.world_size)
    with closing(batches):  # type: ignore[type-var] (generators have `close`)
        for batch in batches:
            _step(training, batch)
            progress.step += 1
            is_last = progress.step == settings.steps
            if is_last or progress.step % REPORT_EVERY == 0:
                report(training)
            is_better = False
            if is_last or progress.step % settings.validate_every == 0:
                is_better = validate(training)
            progress.is_finished = is_last or _is_out_of_patience(training)
            must_stop = _must_stop(fabric, interrupts, progress.step)
            is_due = progress.step % settings.checkpoint_every == 0
            if is_better or is_due or progress.is_finished or must_stop:
                save(training)
            if progress.is_finished:
                return
            if must_stop:
                message = f"stopped after step {progress.step}; --resume continues"
                training.say(kind="interrupted", step=progress.step, message=message)
                interrupts.raise_received()
    raise RuntimeError(f"the batches ended at step {progress.step} of {settings.steps}")


def _step(training: Training, batch: Batch) -> None:
    settings, fabric, step = training.settings, training.fabric, training.progress.step
    # one seed per step, so that dropout draws the same after an interruption
    torch.manual_seed(seed_of(training.seed, "step", step, fabric.global_rank))
    for group in training.optimizer.param_groups:
        group["lr"] = learning_rate(step, settings)
    batch = to_device(batch, fabric.device)
    training.optimizer.zero_grad()
    loss = _loss(training, batch)
    training.unread.append((loss.detach(), list(batch.case_id)))
    if reads_losses(training):
        read_losses(training)  # before the update: the weights are still good if it stops here
    fabric.backward(loss)
    if settings.clip_norm is not None:
        fabric.clip_gradients(
            training.network,  # type: ignore[arg-type] (it is Fabric's wrapper)
            training.optimizer,
            max_norm=settings.clip_norm,
            error_if_nonfinite=False,  # the check would wait for the device in every step
        )
    training.optimizer.step()
    if training.average is not None and training.decay is not None:
        update_average(training.average, training.root_network, decay=training.decay, step=step)


def _loss(training: Training, batch: Batch) -> Tensor:
    task = training.task
    raw = training.network(task.inputs(batch))
    loss = task.loss(raw, batch)
    if task.taught is None or training.average is None:
        return loss
    with training.fabric.autocast():
        return loss + task.taught(raw, batch, training.average)


def _prepare(
    task: Task, recipe: Recipe, folder: Path, fabric: Fabric, on_event: EventSink
) -> Training:
    """The training at its beginning, or where its latest intact checkpoint left it."""
    settings, root = recipe.train, folder / CHECKPOINTS
    if fabric.is_global_zero:
        root.mkdir(parents=True, exist_ok=True)
        clear_parts(root)
    fabric.barrier()
    checkpoint, problems = load_latest(root)
    fabric.barrier()  # every rank has read before the first one writes
    guard_thin(task.network)
    layout = memory_format(task.spatial_dims, fabric.device)
    task.network.to(fabric.device).to(memory_format=layout).train()
    average = start_average(task.network) if decay_of(task, settings) is not None else None
    is_scaled = task.identity["train.precision"] == "fp16"
    optimizer = make_optimizer(task.network, settings, fused=not is_scaled)
    progress = Progress()
    if checkpoint:
        task.network.load_state_dict(checkpoint.tensors["model"])
        load_optimizer(optimizer, checkpoint.tensors["optimizer"])
        if average is not None:
            average.load_state_dict(checkpoint.tensors["ema"])
        fabric.strategy.precision.load_state_dict(checkpoint.state["scaler"])
        progress = Progress(**checkpoint.state["progress"])
    network, wrapped = fabric.setup(task.network, optimizer)
    log = None
    if fabric.is_global_zero:
        log = MetricsLog(
            folder / "metrics.jsonl", step=progress.step, tensorboard=settings.tensorboard
        )
    training = Training(
        task, settings, recipe.seed, root, fabric, network, wrapped, average, progress,
        on_event, log, begun=(time.monotonic(), progress.step),
        cost=Cost(folder, goes_on=progress.step > 0),
    )  # fmt: skip
    for problem in problems:
        message = f"a checkpoint was passed over ({problem}); resuming from step {progress.step}"
        training.say(kind="warning", about="checkpoint", message=message)
    return training


def _is_out_of_patience(training: Training) -> bool:
    patience = training.settings.patience
    return patience is not None and training.progress.n_without_better >= patience


def _must_stop(fabric: Fabric, interrupts: Interrupts, step: int) -> bool:
    """Whether a signal asks to stop; several ranks agree on it at the steps of a report."""
    if fabric.world_size > 1:
        if step % REPORT_EVERY != 0:
            return False
        mine = torch.tensor(float(interrupts.received or 0), device=fabric.device)
        interrupts.received = int(fabric.all_reduce(mine, reduce_op="max")) or None  # type: ignore[arg-type]
    return interrupts.received is not None


def _ignore(_event: Event) -> None:
    """The sink of events when nobody listens."""
