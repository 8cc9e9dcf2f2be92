import pickle

import numpy as np
import pytest
import torch
from lightning_utilities.core.apply_func import apply_to_collection

from segclf.core.errors import CaseError, ConfigError
from segclf.core.records import MaskState
from segclf.data import CaseCache, batches, eval_batches, read_case, train_batches

STILL = {"flip_axes": [], "probability": 0.0}


def batches_of(cases, settings, *, folder=None, task="segment", **keywords):
    keywords = {"start_step": 0, "n_steps": 6, **keywords}
    cache = CaseCache(cases, settings, folder)
    return list(train_batches(cases, settings, task=task, cache=cache, **keywords))


def assert_equal(one, other):
    assert (one.step, one.case_id) == (other.step, other.case_id)
    for name in ("image", "target", "label"):
        assert torch.equal(getattr(one, name).nan_to_num(-9), getattr(other, name).nan_to_num(-9))


@pytest.mark.parametrize("patch_px", [None, [16, 12]])
@pytest.mark.parametrize("cache_gib", [1.0, 0.0])
def test_two_workers_give_bit_for_bit_what_none_gives(
    many_cases, recipe, tmp_path, patch_px, cache_gib
):
    values = {
        "image": {"cache_gib": cache_gib},
        "segment": {"patch_px": patch_px},
        "augment": {"probability": 0.8},
    }
    train = {"batch_size": 4}
    alone = batches_of(many_cases, recipe(**values, train=train))
    helped = batches_of(
        many_cases, recipe(**values, train={**train, "workers": 2}), folder=tmp_path / "cache"
    )
    assert len(alone) == len(helped) == 6
    for one, other in zip(alone, helped, strict=True):
        assert_equal(one, other)


@pytest.mark.parametrize("workers", [0, 2])
def test_starting_at_step_k_gives_what_an_uninterrupted_run_sees_there(many_cases, recipe, workers):
    settings = recipe(train={"batch_size": 4, "workers": workers})
    whole = batches_of(many_cases, settings, n_steps=9)
    rest = batches_of(many_cases, settings, start_step=5, n_steps=4)
    for one, other in zip(whole[5:], rest, strict=True):
        assert_equal(one, other)


def test_the_number_of_threads_changes_no_bit(write_case, recipe):
    image = np.random.default_rng(0).integers(0, 255, (400, 300), dtype=np.uint8)
    case = write_case("a", image, masks=((image > 250).astype(np.uint8),), labels=(1.0,))
    settings = recipe(
        image={"size_px": [256, 256], "intensity": "zscore"},
        augment={"probability": 1.0},
        train={"batch_size": 2},
    )
    before = torch.get_num_threads()
    made = []
    for n_threads in (1, 3):
        torch.set_num_threads(n_threads)
        made += batches_of([case], settings, n_steps=1)
    torch.set_num_threads(before)
    assert_equal(*made)


def test_spawned_workers_would_get_everything_they_need(many_cases, recipe, tmp_path, monkeypatch):
    def through_pickle(call, keys, *, workers, on_start):
        call, on_start = pickle.loads(pickle.dumps((call, on_start)))
        on_start(2)  # on the cache that `call` uses
        yield from map(call, keys)

    settings = recipe(train={"batch_size": 4})
    expected = batches_of(many_cases, settings)
    monkeypatch.setattr(batches, "ordered", through_pickle)
    for one, other in zip(expected, batches_of(many_cases, settings), strict=True):
        assert_equal(one, other)


def test_batches_change_with_the_seed_and_from_step_to_step(many_cases, recipe):
    settings = recipe(train={"batch_size": 12, "positive_share": None})
    first, second = batches_of(many_cases, settings, n_steps=2)
    assert not torch.equal(first.image, second.image)
    (other,) = batches_of(many_cases, settings.model_copy(update={"seed": 1}), n_steps=1)
    assert not torch.equal(first.image, other.image)


def test_ranks_share_a_batch_without_overlap_and_each_gets_positives(many_cases, recipe):
    settings = recipe(train={"batch_size": 8})
    (whole,) = batches_of(many_cases, settings, n_steps=1)
    parts = [batches_of(many_cases, settings, n_steps=1, rank=rank, world=2)[0] for rank in (0, 1)]
    assert sorted(parts[0].case_id + parts[1].case_id) == sorted(whole.case_id)
    assert [part.label.sum().item() for part in parts] == [2.0, 2.0]
    assert torch.equal(parts[1].image, whole.image[1::2])


def test_a_batch_that_ranks_cannot_share_is_refused_with_a_size_that_works(many_cases, recipe):
    with pytest.raises(ConfigError, match=r"set train\.batch_size: 6"):
        batches_of(many_cases, recipe(train={"batch_size": 4}), world=3)


def test_image_and_target_are_changed_together(write_case, recipe):
    random = np.random.default_rng(0)
    image = np.zeros((40, 40), dtype=np.uint8)
    image[5:15, 20:30] = random.integers(200, 255, (10, 10))
    case = write_case("a", image, masks=((image > 0).astype(np.uint8),), labels=(1.0,))
    augment = {"flip_axes": [0, 1], "probability": 1.0, "intensity": 0.0, "noise": 0.0}
    settings = recipe(augment=augment, train={"batch_size": 1}, image={"intensity": "minmax"})
    starts = set()
    for batch in batches_of([case], settings, n_steps=20):
        bright = batch.image[0, 0] > 0.4
        assert (bright == (batch.target[0, 0] == 1)).float().mean() > 0.98
        starts.add(tuple(bright.nonzero()[0].tolist()))
    assert len(starts) > 10


def test_the_classifier_sees_the_segmenters_changes_but_never_a_crop(many_cases, recipe):
    settings = recipe(train={"batch_size": 4}, segment={"patch_px": [8, 8]})
    (crop,) = batches_of(many_cases, settings, n_steps=1)
    (image,) = batches_of(many_cases, settings, n_steps=1, task="classify")
    assert crop.image.shape == (4, 1, 8, 8)
    assert crop.target.shape == (4, 1, 8, 8)
    assert image.image.shape == (4, 1, 24, 24)
    (uncropped,) = batches_of(many_cases, recipe(train={"batch_size": 4}), n_steps=1)
    assert_equal(image, uncropped)


def test_crops_of_positive_cases_hold_a_target_and_small_images_are_padded(many_cases, recipe):
    settings = recipe(
        train={"batch_size": 4},
        segment={"patch_px": [10, 40], "foreground_share": 1.0},
        augment=STILL,
    )
    for batch in batches_of(many_cases, settings):
        assert batch.image.shape == (4, 1, 10, 40)
        has_target = batch.target.flatten(1).sum(dim=1) > 0
        assert torch.equal(has_target, batch.label[:, 0] == 1)
        assert (batch.image[..., :8] == 0).all()


def test_volumes_are_cropped_and_turned(write_case, recipe):
    random = np.random.default_rng(0)
    cases = []
    for index in range(4):
        volume = random.normal(size=(20, 24, 10 + index)).astype(np.float32)
        mask = np.zeros(volume.shape, dtype=np.uint8)
        mask[10:13, 12:15, 4:6] = index % 2
        cases.append(write_case(f"v{index}", volume, masks=(mask,), labels=(float(index % 2),)))
    settings = recipe(
        image={"spatial_dims": 3},
        segment={"patch_px": [16, 16, 8], "foreground_share": 1.0},
        train={"batch_size": 4},
        augment={"flip_axes": [0], "probability": 1.0},
    )
    for batch in batches_of(cases, settings, n_steps=3):
        assert batch.image.shape == (4, 1, 16, 16, 8)
        assert batch.image.isfinite().all()
        assert torch.equal(batch.target.flatten(1).sum(dim=1) > 0, batch.label[:, 0] == 1)


def test_unknown_masks_are_nan_and_unknown_labels_too(write_case, recipe):
    image = np.arange(64, dtype=np.uint8).reshape(8, 8)
    states = (MaskState.UNKNOWN, MaskState.EMPTY)
    case = write_case("a", image, masks=states, labels=(np.nan, 0.0))
    for batch in batches_of([case], recipe(train={"batch_size": 2}), n_steps=5):
        assert batch.target[:, 0].isnan().all()
        assert (batch.target[:, 1] == 0).all()
        np.testing.assert_array_equal(batch.label, [[np.nan, 0.0]] * 2)


def test_images_of_different_shape_in_a_batch_name_both_cases_and_the_fix(write_case, recipe):
    cases = [
        write_case("small", np.eye(4, dtype=np.uint8)),
        write_case("large", np.eye(9, dtype=np.uint8)),
    ]
    with pytest.raises(CaseError, match=r"set image\.size_px") as caught:
        batches_of(cases, recipe(train={"batch_size": 2, "positive_share": None}))
    assert "small" in str(caught.value)
    assert "large" in str(caught.value)


@pytest.mark.parametrize("workers", [0, 2])
def test_a_bad_training_case_is_an_error_with_its_id(many_cases, recipe, workers):
    many_cases[4].images[0].write_bytes(b"")
    with pytest.raises(CaseError, match="case c04"):
        batches_of(many_cases, recipe(train={"batch_size": 12, "workers": workers}))


def test_a_note_tells_why_batches_are_not_balanced(many_cases, recipe):
    events = []
    batches_of(many_cases[::3], recipe(train={"batch_size": 2}), on_event=events.append)
    assert [(event["kind"], event["about"]) for event in events] == [("warning", "sampling")]
    assert "batches are drawn uniformly" in events[0]["message"]


def test_fabric_can_move_a_batch(many_cases, recipe):
    (batch,) = batches_of(many_cases, recipe(train={"batch_size": 2}), n_steps=1)
    moved = apply_to_collection(batch, torch.Tensor, torch.Tensor.double)  # its way of moving
    assert moved.image.dtype == moved.label.dtype == torch.float64
    assert moved.case_id == batch.case_id


@pytest.mark.parametrize("workers", [0, 2])
def test_evaluation_sees_every_case_once_in_order_and_unchanged(many_cases, recipe, workers):
    groups = list(eval_batches(many_cases, recipe(), batch_size=5, workers=workers))
    assert [len(batch.case_id) for batch in groups] == [5, 5, 2]
    assert [i for batch in groups for i in batch.case_id] == [c.case_id for c in many_cases]
    for batch in groups:
        for k, case_id in enumerate(batch.case_id):
            sample = read_case(many_cases[int(case_id[1:])], recipe())
            assert torch.equal(batch.image[k], sample.image)
            assert torch.equal(batch.target[k], sample.target)
            assert torch.equal(batch.label[k], sample.label)
            assert batch.input_shape[k] == (24, 24)


def test_neighbours_of_equal_shape_share_a_batch(write_case, recipe):
    sides = [4, 4, 6, 6, 6, 4]
    cases = [write_case(f"c{k}", np.eye(n, dtype=np.uint8)) for k, n in enumerate(sides)]
    groups = list(eval_batches(cases, recipe(), batch_size=5))
    assert [batch.case_id for batch in groups] == [["c0", "c1"], ["c2", "c3", "c4"], ["c5"]]
    assert groups[1].image.shape == (3, 1, 6, 6)


@pytest.mark.parametrize("workers", [0, 2])
def test_a_bad_case_is_quarantined_and_the_others_go_on(many_cases, recipe, workers):
    for index in (1, 10, 11):
        many_cases[index].images[0].write_bytes(b"")
    cache = CaseCache(many_cases, recipe(), None)
    groups = list(eval_batches(many_cases, recipe(), cache=cache, batch_size=5, workers=workers))
    assert [len(batch.case_id) for batch in groups] == [4, 5, 0]
    (bad,) = groups[0].quarantined
    assert bad[0] == "c01"
    assert bad[1] in ("unreadable", "truncated", "empty_file")
    assert "case c01" in bad[2]
    assert groups[1].quarantined == []
    assert [case_id for case_id, _, _ in groups[2].quarantined] == ["c10", "c11"]


def test_prediction_can_leave_masks_unread(many_cases, recipe):
    many_cases[0].masks[0].path.unlink()
    (batch,) = eval_batches(many_cases, recipe(), batch_size=12, with_target=False)
    assert batch.target.shape == (12, 0, 24, 24)
    assert batch.quarantined == []


def test_training_reads_no_case_but_those_given(many_cases, recipe):
    for case in many_cases[8:]:
        case.images[0].write_bytes(b"")
    assert len(batches_of(many_cases[:8], recipe(train={"batch_size": 8}), n_steps=3)) == 3
