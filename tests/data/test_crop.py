import numpy as np
import pytest
import torch

from segclf.data.augment import Draw, affine_matrix, resample
from segclf.data.crop import Window, cut, draw_window, pad, whole


def one_pixel(shape, place):
    target = torch.zeros(1, *shape)
    target[0][place] = 1
    return target


def windows(target, patch, share, n=300, matrix=None):
    return [draw_window(target, patch, matrix, share, 0, epoch, "a") for epoch in range(n)]


@pytest.mark.parametrize(("shape", "place"), [((40, 30), (31, 7)), ((20, 18, 14), (8, 9, 6))])
def test_a_centred_window_always_holds_the_positive_pixel_and_lies_inside(shape, place):
    target = one_pixel(shape, place)
    patch = (8,) * len(shape)
    drawn = windows(target, patch, 1.0)
    assert all(cut(target, window).sum() == 1 for window in drawn)
    assert all(window.size == patch for window in drawn)
    starts = np.array([window.start for window in drawn])
    assert (starts >= 0).all()
    assert (starts + 8 <= shape).all()
    assert len({window.start for window in drawn}) > 10  # jittered


def test_the_share_of_centred_windows_is_the_one_asked_for():
    target = one_pixel((200, 200), (100, 100))
    share = np.mean([cut(target, w).sum() for w in windows(target, (10, 10), 0.5, n=1000)])
    # Of the other half, a window of 10 x 10 among 191 x 191 places meets the pixel by chance.
    assert share == pytest.approx(0.5 + 0.5 * 100 / 191**2, abs=0.05)


def test_other_windows_lie_anywhere_with_equal_chance():
    rows = [window.start[0] for window in windows(torch.zeros(1, 13, 4), (4, 4), 1.0, n=2000)]
    counts = np.bincount(rows, minlength=10)
    assert len(counts) == 10
    assert counts.min() > 0.7 * 200
    assert counts.max() < 1.3 * 200


def test_a_rare_small_finding_is_centred_as_often_as_a_large_one():
    target = torch.zeros(3, 100, 100)
    target[0, :50] = 1
    target[1, 90, 90] = 1
    target[2] = torch.nan
    share = np.mean([cut(target, w)[1].sum() for w in windows(target, (6, 6), 1.0, n=400)])
    assert share == pytest.approx(0.5, abs=0.1)


def test_a_centred_window_follows_the_pixel_through_the_affine_change():
    target = torch.zeros(1, 61, 61)
    target[0, 14:17, 40:43] = 1
    draw = Draw(is_affine=True, rotate_rad=(0.7,), zoom=1.3, shift=(0.1, -0.05))
    matrix = affine_matrix(draw, (61, 61))
    assert resample(target, target, matrix, whole((61, 61)))[1].sum() > 0  # still in the field
    for window in windows(target, (9, 9), 1.0, n=50, matrix=matrix):
        assert resample(target, target, matrix, window)[1].sum() > 0


def test_a_window_depends_on_its_key_alone():
    target = one_pixel((40, 40), (5, 5))
    assert windows(target, (8, 8), 0.5) == windows(target, (8, 8), 0.5)


def test_an_axis_shorter_than_the_crop_is_taken_whole_and_padded_on_both_sides():
    image = torch.arange(1.0, 7.0).reshape(1, 2, 3)
    target = torch.stack([torch.ones(2, 3), torch.full((2, 3), torch.nan)])
    window = draw_window(target, (4, 2), None, 0.0, 0, 0, "a")
    assert window.size == (2, 2)
    padded = pad(cut(image, Window((0, 1), (2, 2))), (4, 2))
    np.testing.assert_array_equal(padded[0], [[0, 0], [2, 3], [5, 6], [0, 0]])
    known, unknown = pad(cut(target, Window((0, 1), (2, 2))), (4, 2))
    np.testing.assert_array_equal(known, [[0, 0], [1, 1], [1, 1], [0, 0]])
    assert unknown.isnan().all()
