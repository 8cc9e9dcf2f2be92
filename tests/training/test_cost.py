"""Processor seconds of a training: measured outside, and summed over its calls."""

import json
import time

import pytest

from segclf.training import fit, read_cost


def test_the_cost_is_the_processor_time_of_the_call(tiny, tmp_path):
    run = tiny()
    before = time.process_time()
    fit(run.task, run.recipe, tmp_path)
    spent = time.process_time() - before
    assert 0.3 * spent - 0.05 <= read_cost(tmp_path) <= spent + 0.05


def test_a_resumed_training_adds_to_what_was_spent(tiny, tmp_path):
    def stop(event):
        if event["kind"] == "checkpoint" and event["step"] == 6:
            raise KeyboardInterrupt

    run = tiny()
    with pytest.raises(KeyboardInterrupt):
        fit(run.task, run.recipe, tmp_path, on_event=stop)
    (tmp_path / "cost.json").write_text(json.dumps({"cpu_s": 1000.0}))
    again = tiny()
    fit(again.task, again.recipe, tmp_path, resume=True)
    assert 1000.0 < read_cost(tmp_path) < 1010.0


def test_a_new_training_starts_at_nothing(tiny, tmp_path):
    (tmp_path / "cost.json").write_text(json.dumps({"cpu_s": 1000.0}))
    run = tiny()
    fit(run.task, run.recipe, tmp_path)
    assert read_cost(tmp_path) < 100.0


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"cpu_s": null}'])
def test_a_folder_that_does_not_say_has_no_cost(tmp_path, text):
    assert read_cost(tmp_path) is None
    (tmp_path / "cost.json").write_text(text)
    assert read_cost(tmp_path) is None
