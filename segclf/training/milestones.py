"""What happens now and then in the loop: reading the loss, validating, saving, selecting."""

import math
import time
from dataclasses import asdict

import torch

from segclf.core.errors import StoppedError
from segclf.core.runs import shown
from segclf.training.checkpoints import (
    Tensors,
    checkpoint_names,
    folder_name,
    optimizer_tensors,
    prune,
    read_checkpoint,
    save_checkpoint,
)
from segclf.training.measures import selection_key
from segclf.training.state import FitResult, Training

REPORT_EVERY = 10
"""Steps between reports of the loss; on accelerators also between reading it from the device."""


def reads_losses(training: Training) -> bool:
    """Whether the losses are read in this step: reading makes the processor wait for the device.

    They are always read before weights can be validated, saved or reported.
    """
    settings, step = training.settings, training.progress.step + 1
    if training.fabric.device.type == "cpu" and training.fabric.world_size == 1:
        return True
    milestones = (REPORT_EVERY, settings.validate_every, settings.checkpoint_every)
    return step == settings.steps or any(step % every == 0 for every in milestones)


def read_losses(training: Training) -> None:
    """Move the losses of the latest steps to `progress.losses`.

    Raises:
        StoppedError: One is not finite.
    """
    fabric, unread = training.fabric, training.unread
    losses = torch.stack([loss.float() for loss, _ in unread])
    values: list[float] = fabric.all_reduce(losses, reduce_op="mean").tolist()  # type: ignore[union-attr]
    bad = next((i for i, value in enumerate(values) if not math.isfinite(value)), None)
    if bad is not None:
        step = training.progress.step + 2 - len(values) + bad
        raise _not_finite(training, f"the loss is {values[bad]} at step {step}", unread[bad][1])
    training.progress.losses += values
    training.last_case_ids = unread[-1][1]
    unread.clear()


def weights_are_finite(training: Training) -> bool:
    """Whether no weight and no normalization statistic is NaN or infinite."""
    state = training.root_network.state_dict().values()
    norm = torch.nn.utils.get_total_norm([t for t in state if t.is_floating_point()])
    return bool(torch.isfinite(norm))


def report(training: Training) -> None:
    """Tell the mean loss since the last report, the speed and the time left."""
    progress, settings = training.progress, training.settings
    loss = sum(progress.losses) / len(progress.losses)
    progress.losses = []
    if training.log is None:
        return
    rate = training.optimizer.param_groups[0]["lr"]
    line = {"kind": "train", "step": progress.step, "loss": loss, "lr": rate}
    training.log.write(line, durable=False)
    begun_s, begun_step = training.begun
    step_s = (time.monotonic() - begun_s) / (progress.step - begun_step)
    training.say(
        **line,
        of=settings.steps,
        images_per_s=settings.batch_size / step_s,
        eta_s=step_s * (settings.steps - progress.step),
    )


def validate(training: Training) -> bool:
    """Measure the weights on validation cases; whether they are the best so far."""
    fabric, progress, task = training.fabric, training.progress, training.task
    network = training.average or training.root_network
    network.eval()
    with torch.inference_mode(), fabric.autocast():
        measured = task.measure(network, fabric.global_rank, fabric.world_size)
    training.root_network.train()
    if fabric.world_size > 1:
        shared = fabric.all_reduce(fabric.to_device(torch.from_numpy(measured)), reduce_op="sum")
        measured = shared.cpu().numpy()  # type: ignore[union-attr]
    numbers = task.numbers(measured)
    key = selection_key(numbers, task.select_by)
    is_better = key is not None and (progress.best_key is None or key > progress.best_key)
    progress.last = numbers
    if is_better:
        progress.best_step, progress.best_key, progress.best = progress.step, key, numbers
        progress.n_without_better = 0
    elif key is not None:
        progress.n_without_better += 1
    if training.log is not None:
        line = {"kind": "validate", "step": progress.step, **numbers, "is_best": is_better}
        training.log.write(line, durable=True)
    training.say(
        kind="validate",
        step=progress.step,
        of=training.settings.steps,
        val_loss=numbers["loss"],
        dice_positives=numbers["dice_positives"],
        false_positive_rate=numbers["false_positive_rate"],
        auroc=numbers["auroc"],
        is_best=is_better,
    )
    return is_better


def save(training: Training) -> None:
    """Write a checkpoint of this step and delete those that are no longer needed.

    Raises:
        StoppedError: A weight is not finite; the checkpoint before stays the latest.
    """
    fabric, progress = training.fabric, training.progress
    if not weights_are_finite(training):
        wrong = f"a weight is not finite after step {progress.step}"
        raise _not_finite(training, wrong, training.last_case_ids)
    if fabric.is_global_zero:
        parts: dict[str, Tensors] = {
            "model": training.root_network.state_dict(),
            "optimizer": optimizer_tensors(training.optimizer),
        }
        if training.average is not None:
            parts["ema"] = training.average.state_dict()
        state = {
            "step": progress.step,
            "best_step": progress.best_step,
            "progress": asdict(progress),
            "scaler": fabric.strategy.precision.state_dict(),
            "identity": training.task.identity,
        }
        save_checkpoint(training.root, progress.step, parts, state)
        training.cost.write()
        prune(training.root, keep=training.settings.keep_checkpoints)
        training.say(kind="checkpoint", step=progress.step, of=training.settings.steps)
    fabric.barrier()


def select(training: Training) -> FitResult:
    """Load the best weights into the network; the last ones if selection was undefined."""
    progress, task = training.progress, training.task
    best_step = progress.best_step if progress.best_step is not None else progress.step
    numbers = progress.best or progress.last or {}
    if progress.best_step is None:
        cause = "; ".join(numbers.get("undefined", {}).values()) or "no validation took place"
        message = f"no weights could be selected by {task.select_by}, the last are kept: {cause}"
        training.say(kind="warning", about="selection", message=message)
    part = "ema" if training.average is not None else "model"
    checkpoint = read_checkpoint(training.root / folder_name(best_step), only=(part,))
    training.root_network.load_state_dict(checkpoint.tensors[part])
    training.root_network.eval()
    return FitResult(progress.step, best_step, numbers, task.identity["train.precision"])


def _not_finite(training: Training, wrong: str, case_ids: list[str]) -> StoppedError:
    names = checkpoint_names(training.root)
    kept = f"the last good state is {names[-1]}" if names else "no checkpoint had been written yet"
    return StoppedError(
        f"{wrong}; the batch held the cases {', '.join(case_ids)}.",
        where=shown(training.root),
        expected=f"finite numbers; {kept}",
        fix="look at these cases with `segclf check`; or train again with a smaller train.lr or "
        "train.clip_norm, or with train.precision=fp32",
    )
