import dataclasses
import errno
import json
import math
import os
import signal

import pytest
import torch
from torch import nn

from segclf.core.errors import MissingExtraError, StoppedError, UsageError
from segclf.training import checkpoints as checkpoints_module
from segclf.training import fit


def weights(network: nn.Module) -> list[torch.Tensor]:
    return [tensor.clone() for tensor in network.state_dict().values()]


def equal(first: list[torch.Tensor], second: list[torch.Tensor]) -> bool:
    return all(torch.equal(a, b) for a, b in zip(first, second, strict=True))


def test_a_training_learns_and_its_log_has_every_report_and_validation(tiny, tmp_path):
    run = tiny(steps=40)
    events = []
    result = fit(run.task, run.recipe, tmp_path, on_event=events.append)
    lines = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    trained = [line for line in lines if line["kind"] == "train"]
    assert [line["step"] for line in trained] == [10, 20, 30, 40]
    assert trained[-1]["loss"] < 0.7 * trained[0]["loss"]
    assert [line["step"] for line in lines if line["kind"] == "validate"] == list(range(4, 41, 4))
    assert result.validation["auroc"] == 1.0
    assert {e["kind"] for e in events} == {"train", "validate", "checkpoint"}
    assert all(e["eta_s"] >= 0 for e in events if e["kind"] == "train")


def test_the_step_is_that_of_a_plain_torch_loop(tiny, tmp_path):
    network = nn.Conv2d(1, 1, 3, padding=1)
    witness = nn.Conv2d(1, 1, 3, padding=1)
    witness.load_state_dict(network.state_dict())
    run = tiny(network=network, steps=5, validate_every=99, clip_norm=0.1, lr=0.1, warmup_steps=0)
    fit(run.task, run.recipe, tmp_path)
    optimizer = torch.optim.AdamW(witness.parameters(), lr=0.1, weight_decay=1e-2)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=5)
    for batch in run.task.batches(0, 5, 0, 1):
        optimizer.zero_grad()
        run.task.loss(witness(batch.image), batch).backward()
        nn.utils.clip_grad_norm_(witness.parameters(), 0.1)
        optimizer.step()
        schedule.step()
    torch.testing.assert_close(network.weight, witness.weight, rtol=1e-5, atol=1e-7)


def test_a_task_may_change_what_the_network_sees_and_learn_from_its_own_average(tiny, tmp_path):
    """Against a plain loop: twice the image goes in, and the average teaches beside the masks."""
    network, witness = nn.Conv2d(1, 1, 3, padding=1), nn.Conv2d(1, 1, 3, padding=1)
    witness.load_state_dict(network.state_dict())
    teacher = nn.Conv2d(1, 1, 3, padding=1)
    teacher.load_state_dict(network.state_dict())
    run = tiny(network=network, steps=5, validate_every=5, lr=0.1, warmup_steps=0, clip_norm=None)

    def taught(raw, batch, average):
        assert not any(weight.requires_grad for weight in average.parameters())
        return 0.3 * nn.functional.mse_loss(raw, average(batch.image))

    task = dataclasses.replace(
        run.task, inputs=lambda batch: 2 * batch.image, taught=taught, ema=0.5
    )
    fit(task, run.recipe, tmp_path)
    optimizer = torch.optim.AdamW(witness.parameters(), lr=0.1, weight_decay=1e-2)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=5)
    for step, batch in enumerate(run.task.batches(0, 5, 0, 1)):
        optimizer.zero_grad()
        raw = witness(2 * batch.image)
        far = (raw - teacher(batch.image).detach()).square().mean()
        (run.task.loss(raw, batch) + 0.3 * far).backward()
        optimizer.step()
        schedule.step()
        share = min(0.5, (1 + step) / (10 + step))
        for old, new in zip(teacher.parameters(), witness.parameters(), strict=True):
            old.data = share * old.data + (1 - share) * new.data
    torch.testing.assert_close(network.weight, teacher.weight, rtol=1e-5, atol=1e-6)


def test_the_average_is_torch_averaged_model_with_a_decay_that_warms_up(tiny, tmp_path):
    network = nn.Conv2d(1, 1, 1)
    run = tiny(network=network, steps=6, validate_every=6, ema=0.5, lr=0.1, warmup_steps=0)
    witness = torch.optim.swa_utils.AveragedModel(
        network, avg_fn=lambda old, new, n: old + (new - old) * (1 - min(0.5, n / (9 + n)))
    )
    draw, measure = run.task.batches, run.task.measure
    averages = []

    def batches(*span):
        for batch in draw(*span):
            witness.update_parameters(network)  # the start, then after every step but the last
            yield batch

    def measured(average, rank, world):
        witness.update_parameters(network)
        averages.append(average.weight.clone())
        return measure(average, rank, world)

    task = dataclasses.replace(run.task, batches=batches, measure=measured)
    fit(task, run.recipe, tmp_path)
    torch.testing.assert_close(averages[0], witness.module.weight)
    assert torch.equal(network.weight, averages[0])  # the average is what is kept


def test_the_selected_weights_are_those_of_the_best_validation(tiny, tmp_path):
    run = tiny(steps=12, lr=0.02)
    seen = {}

    def measure(network, rank, world):
        measured = original(network, rank, world)
        step = 4 * (len(seen) + 1)
        seen[step] = weights(network)
        measured[:, 0, 1] = measured[:, 0, 2] * {4: 0.0, 8: 1.0, 12: -1.0}[step]
        return measured

    original = run.task.measure
    task = dataclasses.replace(run.task, measure=measure)
    result = fit(task, run.recipe, tmp_path)
    assert result.best_step == 8
    assert equal(weights(run.task.network), seen[8])
    assert not equal(seen[8], seen[12])


def test_of_two_equal_auroc_the_smaller_loss_wins(tiny, tmp_path):
    run = tiny(steps=12)
    losses = iter([0.3, 0.1, 0.2])

    def measure(network, rank, world):
        measured = original(network, rank, world)
        measured[:, 0, 0] = next(losses)
        measured[:, 0, 1] = measured[:, 0, 2]
        return measured

    original = run.task.measure
    task = dataclasses.replace(run.task, measure=measure)
    assert fit(task, run.recipe, tmp_path).best_step == 8


def test_training_stops_when_patience_is_over(tiny, tmp_path):
    run = tiny(steps=100, validate_every=2, patience=3)

    def measure(network, rank, world):
        return constant

    with torch.no_grad():
        constant = run.task.measure(run.task.network.eval(), 0, 1)
    task = dataclasses.replace(run.task, measure=measure)
    result = fit(task, run.recipe, tmp_path)
    assert (result.best_step, result.n_steps) == (2, 8)


def test_without_both_labels_the_last_weights_are_kept_with_the_reason(tiny, tmp_path):
    run = tiny(steps=8)
    original = run.task.measure

    def measure(network, rank, world):
        measured = original(network, rank, world)
        measured[:, 0, 2] = 1.0
        return measured

    task = dataclasses.replace(run.task, measure=measure)
    events = []
    result = fit(task, run.recipe, tmp_path, on_event=events.append)
    assert result.best_step == 8
    assert result.validation["auroc"] is None
    message = next(e["message"] for e in events if e["kind"] == "warning")
    assert "no validation case is labelled negative" in message


def test_a_nan_loss_stops_with_the_cases_and_the_last_good_state(tiny, poisoned_at, tmp_path):
    run = tiny(poison=poisoned_at(7))
    with pytest.raises(StoppedError) as caught:
        fit(run.task, run.recipe, tmp_path)
    assert "the loss is nan at step 8" in str(caught.value)
    assert "s7-c0, s7-c1, s7-c2, s7-c3" in str(caught.value)
    assert "s6-c0" not in str(caught.value)
    assert caught.value.exit_code == 6
    latest, problems = checkpoints_module.load_latest(tmp_path / "checkpoints")
    assert latest.state["step"] == 6
    assert "the last good state is step-00000006" in caught.value.expected
    assert not problems
    assert all(t.isfinite().all() for t in latest.tensors["model"].values())
    healthy = tiny()
    resumed = fit(healthy.task, healthy.recipe, tmp_path, resume=True)
    straight = tiny()
    fit(straight.task, straight.recipe, tmp_path / "straight")
    assert resumed.n_steps == 12
    assert equal(weights(healthy.task.network), weights(straight.task.network))


def test_weights_that_are_not_finite_are_never_saved(tiny, tmp_path):
    class Explodes(torch.autograd.Function):
        @staticmethod
        def forward(ctx, value):
            return value.clone()

        @staticmethod
        def backward(ctx, gradient):
            return gradient * math.inf

    run = tiny(steps=6, checkpoint_every=2, validate_every=99)
    original = run.task.loss

    def loss(raw, batch):
        return original(Explodes.apply(raw) if batch.step == 3 else raw, batch)

    task = dataclasses.replace(run.task, loss=loss)
    with pytest.raises(StoppedError, match="a weight is not finite after step 4"):
        fit(task, run.recipe, tmp_path)
    assert checkpoints_module.checkpoint_names(tmp_path / "checkpoints") == ["step-00000002"]


def test_a_full_disk_stops_and_keeps_the_checkpoint_before(tiny, tmp_path, monkeypatch):
    run = tiny()
    write = checkpoints_module._write_synced

    def fill_up(path, data):
        if "step-00000006" in str(path):
            raise OSError(errno.ENOSPC, "No space left on device", str(path))
        write(path, data)

    monkeypatch.setattr(checkpoints_module, "_write_synced", fill_up)
    with pytest.raises(StoppedError) as caught:
        fit(run.task, run.recipe, tmp_path)
    assert "the disk is full" in str(caught.value)
    assert "--resume" in str(caught.value)
    assert sorted(p.name for p in (tmp_path / "checkpoints").iterdir()) == [
        "LATEST", "step-00000003", "step-00000004"
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("number", "error", "code"),
    [(signal.SIGTERM, SystemExit, 143), (signal.SIGINT, KeyboardInterrupt, None)],
)
def test_a_signal_ends_the_step_saves_and_can_be_resumed(tiny, tmp_path, number, error, code):
    handler = signal.getsignal(number)

    def send(batch):
        if batch.step == 4:
            os.kill(os.getpid(), number)
        return batch

    run = tiny(poison=send)
    events = []
    with pytest.raises(error) as caught:
        fit(run.task, run.recipe, tmp_path, on_event=events.append)
    assert getattr(caught.value, "code", None) == code
    assert signal.getsignal(number) is handler
    assert events[-1]["message"] == "stopped after step 5; --resume continues"
    again, straight = tiny(), tiny()
    fit(again.task, again.recipe, tmp_path, resume=True)
    fit(straight.task, straight.recipe, tmp_path / "straight")
    assert equal(weights(again.task.network), weights(straight.task.network))
    log, witness = (folder / "metrics.jsonl" for folder in (tmp_path, tmp_path / "straight"))
    assert log.read_text() == witness.read_text()


def test_patience_goes_on_counting_after_an_interruption(tiny, tmp_path):
    def send(batch):
        if batch.step == 4:
            os.kill(os.getpid(), signal.SIGTERM)
        return batch

    run = tiny(steps=100, validate_every=2, patience=3, poison=send)
    with torch.no_grad():
        constant = run.task.measure(run.task.network.eval(), 0, 1)
    task = dataclasses.replace(run.task, measure=lambda *_: constant)
    with pytest.raises(SystemExit):
        fit(task, run.recipe, tmp_path)
    again = tiny(steps=100, validate_every=2, patience=3)
    task = dataclasses.replace(again.task, measure=lambda *_: constant)
    result = fit(task, again.recipe, tmp_path, resume=True)
    assert (result.best_step, result.n_steps) == (2, 8)


def test_a_signal_after_the_last_step_is_not_lost(tiny, tmp_path):
    def send(event):
        if event["kind"] == "checkpoint" and event["step"] == event["of"]:
            os.kill(os.getpid(), signal.SIGTERM)

    run = tiny()
    with pytest.raises(SystemExit):
        fit(run.task, run.recipe, tmp_path, on_event=send)
    assert fit(run.task, run.recipe, tmp_path, resume=True).n_steps == 12


def test_a_finished_training_is_not_trained_again(tiny, tmp_path):
    run = tiny()
    first = fit(run.task, run.recipe, tmp_path)
    again = tiny(poison=lambda batch: pytest.fail("a batch was asked for"))
    assert fit(again.task, again.recipe, tmp_path, resume=True) == first
    assert equal(weights(again.task.network), weights(run.task.network))


def test_beginning_again_over_a_training_tells_how_to_go_on(tiny, poisoned_at, tmp_path):
    run = tiny(poison=poisoned_at(5))
    with pytest.raises(StoppedError):
        fit(run.task, run.recipe, tmp_path)
    with pytest.raises(UsageError, match="a training has already begun here") as caught:
        fit(run.task, run.recipe, tmp_path)
    assert "--resume" in caught.value.fix


def test_the_callers_settings_and_randomness_are_left_alone(tiny, tmp_path):
    torch.manual_seed(3)
    expected = torch.rand(3)
    torch.manual_seed(3)
    run = tiny(steps=2)
    fit(run.task, run.recipe, tmp_path)
    assert torch.equal(torch.rand(3), expected)
    assert not torch.are_deterministic_algorithms_enabled()
    assert torch.utils.deterministic.fill_uninitialized_memory


def test_tensorboard_that_is_not_installed_is_one_line(tiny, tmp_path):
    run = tiny(tensorboard=True)
    with pytest.raises(MissingExtraError) as caught:
        fit(run.task, run.recipe, tmp_path)
    assert str(caught.value).splitlines()[0] == (
        "train.tensorboard needs the package 'tensorboard': install segclf[tensorboard]"
    )
