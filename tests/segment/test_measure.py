"""Measures of validation masks and the prior, where single pixels are not known; by hand."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn

from segclf.core.config import make_recipe
from segclf.core.errors import DataError
from segclf.data import Batch
from segclf.segment.measure import measure_masks, pixel_prior
from segclf.training import MEASURES

NAN = float("nan")


def measured(raw, target, label):
    raw, target = torch.tensor(raw)[:, None], torch.tensor(target)[:, None]
    batch = Batch(raw, target, torch.tensor(label)[:, None], ["a"] * len(raw), 0)
    values = measure_masks(
        nn.Identity(), batch, recipe=make_recipe({}, where="test"), loss=lambda r, _: r.sum() * 0
    )
    return {name: values[:, 0, k].tolist() for k, name in enumerate(MEASURES)}


def test_pixels_that_are_not_known_count_neither_as_true_nor_as_predicted():
    raw = [[[4.0, 4.0, -4.0, 4.0, 4.0, -4.0]]]
    found = measured(raw, [[[1.0, 0.0, 1.0, NAN, -1.0, NAN]]], [1.0])
    assert (found["overlap_px"], found["predicted_px"], found["true_px"]) == ([1.0], [2.0], [2.0])


def test_a_label_follows_from_a_mask_only_if_the_mask_settles_it():
    raw = [[[1.0, 1.0]]] * 5
    target = [[[0.0, 1.0]], [[0.0, 0.0]], [[NAN, 1.0]], [[NAN, 0.0]], [[NAN, NAN]]]
    found = measured(raw, target, [NAN] * 5)
    np.testing.assert_array_equal(found["label"], [1, 0, 1, NAN, NAN])
    np.testing.assert_array_equal(found["true_px"], [1, 0, 1, 0, NAN])
    assert measured(raw, target, [1.0] * 5)["label"] == [1.0] * 5


def test_the_prior_is_the_share_among_known_pixels():
    counts = {"a": ((4, 2), (100, 50)), "b": ((None, 1), (None, 100)), "c": ((6, 0), (100, 50))}
    cache = SimpleNamespace(
        foreground_px=lambda case: counts[case][0], known_px=lambda case: counts[case][1]
    )
    assert pixel_prior("abc", cache, ("x", "y")) == (10 / 200, 3 / 200)
    with pytest.raises(DataError, match=r"'x' has no positive pixel .* none of its masks is known"):
        pixel_prior("b", cache, ("x", "y"))
