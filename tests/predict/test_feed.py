"""Cases to batches: grouping, limits, and what is said about a case that cannot be used."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch

import segclf.predict.engine as engine_module
import segclf.predict.feed as feed
import segclf.predict.rows as rows
from segclf.core.errors import CaseError
from segclf.core.statstable import read_statistics
from segclf.predict import predict_cases
from segclf.predict.feed import Quarantined, Ready, batches, in_thread, set_aside


def ready(index, shape):
    class OnlyImage:
        image = torch.zeros(shape)

    return Ready(index, None, OnlyImage, ())


def numbers(groups):
    return [[one.index for one in g] if isinstance(g, list) else g.case_id for g in groups]


def test_cases_of_one_shape_share_a_batch_although_others_lie_between():
    a, b = (1, 8, 8), (1, 4, 4)
    bad = Quarantined(3, "bad", "unreadable", "")
    stream = [ready(0, a), ready(1, b), ready(2, a), bad, ready(4, b), ready(5, a), ready(6, a)]
    assert numbers(batches(iter(stream), 2)) == [[0, 2], "bad", [1, 4], [5, 6]]


def test_what_is_left_over_goes_in_the_end():
    stream = [ready(0, (1, 8, 8)), ready(1, (1, 4, 4)), ready(2, (1, 8, 8))]
    assert numbers(batches(iter(stream), 16)) == [[0, 2], [1]]


def test_large_images_make_small_batches_and_few_wait(monkeypatch):
    monkeypatch.setattr(feed, "MAX_BATCH_PX", 200)
    large = [ready(i, (1, 10, 10)) for i in range(4)]
    assert numbers(batches(iter(large), 16)) == [[0, 1], [2, 3]]
    huge = [ready(i, (1, 30, 30)) for i in range(2)]
    assert numbers(batches(iter(huge), 16)) == [[0], [1]]
    mixed = [ready(i, (1, 10, 10 - i)) for i in range(4)]  # 100, 90, 80 and 70 pixels
    assert numbers(batches(iter(mixed), 16)) == [[0], [1], [2], [3]]


def test_a_thread_works_ahead_only_as_far_as_it_may():
    taken = []

    def items():
        for i in range(10):
            taken.append(i)
            yield i

    results = in_thread(lambda i: i * i, items(), n_waiting=2)
    assert next(results) == 0
    assert taken == [0, 1, 2]
    assert list(results) == [1, 4, 9, 16, 25, 36, 49, 64, 81]


def test_an_error_in_the_thread_reaches_the_caller():
    def fail(i):
        raise KeyError(i)

    with pytest.raises(KeyError, match="7"):
        list(in_thread(fail, [7], n_waiting=1))


def test_a_message_names_the_file_but_not_its_folder(some_cases, tmp_path):
    case = some_cases(1)[0]
    error = CaseError(
        "unreadable", f"{case.images[0]} is broken", where="here", expected="a file", fix="copy it"
    )
    aside = set_aside(4, case, error)
    assert aside.record() == {
        "case_id": "case0",
        "reason": "unreadable",
        "message": "case0.png is broken (here; expected: a file; fix: copy it)",
    }


def test_a_disk_error_sets_the_case_aside(monkeypatch, a_recipe, a_model, some_cases, tmp_path):
    def fail(case, recipe, **options):
        raise OSError(5, "Input/output error", str(case.images[0]))

    monkeypatch.setattr(feed, "read_case", fail)
    recipe = a_recipe()
    result = predict_cases(some_cases(2), a_model(recipe), recipe, tmp_path / "own")
    assert result.n_quarantined == 2
    text = (tmp_path / "own" / "quarantine.jsonl").read_text()
    assert "Input/output error" in text
    assert str(tmp_path) not in text


def test_images_too_large_for_one_pass_go_through_a_window(
    monkeypatch, a_recipe, a_model, some_cases, tmp_path
):
    recipe, cases = a_recipe(), some_cases(2, (96, 80))
    model = a_model(recipe)
    predict_cases(cases, model, recipe, tmp_path / "whole")
    seen = []
    forward = torch.nn.Conv2d.forward
    monkeypatch.setattr(engine_module, "LARGE_PX", {2: 96 * 80 - 1})
    monkeypatch.setattr(engine_module, "LARGE_WINDOW_PX", {2: (64, 64)})
    monkeypatch.setattr(
        torch.nn.Conv2d,
        "forward",
        lambda conv, image: seen.append(image.shape[2:]) or forward(conv, image),
    )
    predict_cases(cases, model, recipe, tmp_path / "window")
    assert max(seen) == (64, 64)
    whole, window = (read_statistics(tmp_path / name).frame for name in ("whole", "window"))
    assert window["n_px"].tolist() == [96 * 80] * 2
    assert window["mean_p"].tolist() == pytest.approx(whole["mean_p"].tolist(), rel=0.05)
    assert window["mean_p"].tolist() != whole["mean_p"].tolist()


def test_cases_with_the_same_id_under_other_files_are_other_cases(
    a_recipe, a_model, some_cases, tmp_path
):
    recipe, cases = a_recipe(), some_cases(2)
    model, folder = a_model(recipe), tmp_path / "own"
    predict_cases(cases, model, recipe, folder)
    swapped = [replace(cases[0], images=cases[1].images), cases[1]]
    assert predict_cases(swapped, model, recipe, folder).n_parts_made == 1


def test_a_large_item_has_nothing_beside_it():
    taken, done = [], []

    def items():
        for i in range(6):
            taken.append(i)
            yield i

    results = in_thread(
        lambda i: done.append(i) or i, items(), n_waiting=2, alone=lambda i: i in (3, 4)
    )
    assert next(results) == 0
    assert [next(results), next(results)] == [1, 2]
    assert taken == [0, 1, 2, 3]
    assert done == [0, 1, 2]  # 3 is not begun before 2 was taken
    assert next(results) == 3
    assert taken == [0, 1, 2, 3]
    assert next(results) == 4
    assert list(results) == [5]


def test_large_images_are_measured_alone_and_give_the_same_numbers(
    a_recipe, a_model, some_cases, tmp_path, monkeypatch
):
    recipe = a_recipe(predict={"batch_size": 1})
    cases, model = some_cases(4), a_model(recipe)
    predict_cases(cases, model, recipe, tmp_path / "usual")
    seen = []
    plain = rows.batch_statistics

    def watched(logits, truth=None, **options):
        seen.append(tuple(logits.shape))
        return plain(logits, truth, **options)

    monkeypatch.setattr(feed, "MAX_BATCH_PX", 100)
    monkeypatch.setattr(rows, "MAX_BATCH_PX", 100)
    monkeypatch.setattr(rows, "batch_statistics", watched)
    predict_cases(cases, model, recipe, tmp_path / "alone")
    usual, alone = (read_statistics(tmp_path / name) for name in ("usual", "alone"))
    pd.testing.assert_frame_equal(alone.frame, usual.frame)
    np.testing.assert_array_equal(alone.overlap_curve, usual.overlap_curve)
    assert seen == [(1, 40, 48)] * 4
    assert feed._is_large(cases[0], recipe)
    monkeypatch.setattr(feed, "MAX_BATCH_PX", 40 * 48)
    assert not feed._is_large(cases[0], recipe)
    assert not feed._is_large(replace(cases[0], images=(tmp_path / "none.png",)), recipe)
