"""What each kind of coarse mask says about each pixel, drawn by hand; and that it stays so."""

from dataclasses import replace
from pathlib import Path

import nibabel
import numpy as np
import pytest
import torch
from PIL import Image
from scipy import ndimage

from segclf.core.errors import CaseError
from segclf.core.records import MaskKind, MaskSource, MaskState, with_truth_only
from segclf.data import CaseCache, read_case, read_truth
from segclf.data.augment import Draw, affine_matrix, resample
from segclf.data.batches import training_example
from segclf.data.coarse import coarse_plane
from segclf.data.crop import Window, draw_window, keep_whole_boxes, whole
from segclf.data.resize import resize_target

NAN = float("nan")


def picture(text):
    """# or 1 foreground, . background, ? not known, o inside a box."""
    signs = {"#": 1.0, ".": 0.0, "?": NAN, "o": -1.0}
    return np.array([[signs[sign] for sign in row] for row in text.split()], np.float32)


def plane(text, kind, *, radius_px=None, point_radius_px=1.0, label=1.0):
    source = MaskSource(MaskState.DRAWN, Path("m.png"), kind=kind, radius_px=radius_px)
    mask = (picture(text) == 1).astype(np.uint8)
    return coarse_plane(mask, source, point_radius_px=point_radius_px, label=label)


def test_a_point_is_foreground_a_ring_is_not_known_and_the_rest_is_background():
    drawn = ".......\n.......\n.......\n...#...\n.......\n......."
    found = plane(drawn, MaskKind.POINT, point_radius_px=2)
    expected = ".......\n...?...\n..???..\n.??#??.\n..???..\n...?..."
    np.testing.assert_array_equal(found, picture(expected))
    np.testing.assert_array_equal(plane(drawn, MaskKind.POINT, point_radius_px=0), picture(drawn))


def test_the_bounding_box_of_each_mark_is_a_box_whether_it_is_filled_or_not():
    drawn = "#..#...\n.......\n#..#..#\n.......\n....###"
    found = plane(drawn, MaskKind.BOX)
    np.testing.assert_array_equal(found, picture("o..o...\n.......\no..o..o\n.......\n....ooo"))
    outline = "####...\n#..#...\n####...\n.......\n....##."
    expected = "oooo...\noooo...\noooo...\n.......\n....oo."
    np.testing.assert_array_equal(plane(outline, MaskKind.BOX), picture(expected))


def test_the_band_that_a_dilation_added_is_not_known():
    truth = np.zeros((15, 15), bool)
    truth[5:10, 5:10] = True
    row, column = np.mgrid[-2:3, -2:3]
    disc = np.hypot(row, column) <= 2
    drawn = ndimage.binary_dilation(truth, disc)
    source = MaskSource(MaskState.DRAWN, Path("m.png"), kind=MaskKind.DILATED, radius_px=2)
    found = coarse_plane(drawn.astype(np.uint8), source, point_radius_px=1, label=1)
    np.testing.assert_array_equal(found == 1, truth)
    np.testing.assert_array_equal(np.isnan(found), drawn & ~truth)
    np.testing.assert_array_equal(found == 0, ~drawn)


def test_a_dilated_mask_without_a_core_is_a_box_and_the_edge_of_the_image_is_no_edge():
    drawn = "#####\n#####\n#####\n.....\n..#.."
    found = plane(drawn, MaskKind.DILATED, radius_px=1)
    np.testing.assert_array_equal(found, picture("#####\n#####\n?????\n.....\n..o.."))


def test_a_point_or_box_without_a_pixel_is_an_error_unless_the_label_is_0():
    empty = "...\n..."
    for kind in (MaskKind.POINT, MaskKind.BOX):
        np.testing.assert_array_equal(plane(empty, kind, label=0), np.zeros((2, 3)))
        with pytest.raises(CaseError, match=f"mask of kind {kind} has no pixel") as caught:
            plane(empty, kind, label=NAN)
        assert caught.value.reason == "empty_coarse_mask"
        assert "label 0" in str(caught.value)
    np.testing.assert_array_equal(plane(empty, MaskKind.DILATED, radius_px=1), np.zeros((2, 3)))


def of_kind(case, kind, **more):
    (source,) = case.masks
    return replace(case, masks=(replace(source, kind=kind, **more),))


IMAGE = np.arange(24, dtype=np.uint8).reshape(4, 6) * 10


def test_a_file_of_a_pseudo_mask_is_read_as_what_it_says(write_case, recipe):
    values = np.array([[0, 1, 2, 2, 1, 0]] * 4, np.uint8)
    case = of_kind(write_case("a", IMAGE, masks=(values,), labels=(1.0,)), MaskKind.UNCERTAIN)
    found = read_case(case, recipe()).target[0].numpy()
    np.testing.assert_array_equal(found, [[0, 1, NAN, NAN, 1, 0]] * 4)
    bad = write_case("b", IMAGE, masks=(np.array([[0, 9] * 3] * 4, np.uint8),), labels=(1.0,))
    with pytest.raises(CaseError, match=r"holds the values 0, 9\.") as caught:
        read_case(of_kind(bad, MaskKind.UNCERTAIN), recipe())
    assert caught.value.reason == "mask_values"


def test_soft_masks_are_a_share_of_the_largest_value_or_real_numbers(write_case, recipe, tmp_path):
    gray = np.array([[0, 51, 255, 102, 0, 0]] * 4, np.uint8)
    soft = of_kind(write_case("a", IMAGE, masks=(gray,), labels=(1.0,)), MaskKind.SOFT)
    found = read_case(soft, recipe()).target[0].numpy()
    np.testing.assert_allclose(found[0], [0, 0.2, 1, 0.4, 0, 0], atol=1e-7)
    Image.fromarray(gray.astype(np.uint16) * 257).save(tmp_path / "a_mask0.png")
    np.testing.assert_allclose(read_case(soft, recipe()).target[0].numpy(), found, atol=1e-7)
    volume = np.random.default_rng(0).random((4, 5, 6)).astype(np.float32)
    case = write_case("v", volume, masks=(MaskState.UNKNOWN,), labels=(1.0,))
    nibabel.save(nibabel.Nifti1Image(volume, np.eye(4)), tmp_path / "p.nii.gz")
    drawn = MaskSource(MaskState.DRAWN, tmp_path / "p.nii.gz", kind=MaskKind.SOFT)
    three = recipe(image={"spatial_dims": 3}, augment={"flip_axes": []})
    found = read_case(replace(case, masks=(drawn,)), three).target[0].numpy()
    np.testing.assert_array_equal(found, volume)
    nibabel.save(nibabel.Nifti1Image(volume * 3, np.eye(4)), tmp_path / "p.nii.gz")
    with pytest.raises(CaseError, match=r"1 channels of float32 from [\d.e-]+ to 2\.\d+\."):
        read_case(replace(case, masks=(drawn,)), three)


def test_strict_coarse_reads_every_drawn_pixel_as_foreground(write_case, recipe):
    mask = np.array([[0, 0, 0, 255, 0, 0]] * 4, np.uint8)
    case = write_case("a", IMAGE, masks=(mask,), labels=(1.0,))
    strict = recipe(segment={"strict_coarse": True})
    for kind in (MaskKind.POINT, MaskKind.BOX, MaskKind.DILATED):
        coarse = of_kind(case, kind, radius_px=3.0)
        np.testing.assert_array_equal(read_case(coarse, strict).target[0], mask == 255)
        assert not np.array_equal(read_case(coarse, recipe()).target[0], mask == 255)


def test_only_a_full_drawn_mask_is_truth(write_case):
    mask = np.array([[0, 0, 0, 255, 0, 0]] * 4, np.uint8)
    case = write_case("a", IMAGE, masks=(mask,), labels=(1.0,))
    np.testing.assert_array_equal(read_truth(case, (4, 6))[0], mask == 255)
    assert with_truth_only(case) is case
    for change in ({"is_pseudo": True}, {"kind": MaskKind.BOX}, {"kind": MaskKind.SOFT}):
        other = replace(case, masks=(replace(case.masks[0], **change),))
        assert read_truth(other, (4, 6)) == (None,)
        assert with_truth_only(other).masks == (MaskSource(MaskState.UNKNOWN),)
        assert with_truth_only(other).labels == case.labels


def test_what_is_not_known_never_becomes_background_on_a_coarser_grid():
    random = np.random.default_rng(0)
    fine = random.choice(np.array([0, 1, NAN], np.float32), (24, 36), p=(0.9, 0.02, 0.08))
    coarse = resize_target(fine, (8, 12))
    blocks = fine.reshape(8, 3, 12, 3).transpose(0, 2, 1, 3).reshape(8, 12, 9)
    touched = np.isnan(blocks).any(2)
    assert touched.any()
    assert not (coarse[touched] == 0).any()
    assert (coarse[(blocks == 0).all(2)] == 0).all()
    assert (coarse[(blocks == 1).sum(2) > 4.5] == 1).all()


def test_a_tiny_point_and_a_tiny_box_survive_a_coarser_grid_and_a_finer_one():
    fine = np.zeros((24, 24), np.float32)
    fine[5, 5], fine[13:15, 16] = 1, -1
    small = resize_target(fine, (8, 8))
    assert (small == 1).sum() == 1
    assert (small == -1).any()
    large = resize_target(fine, (48, 48))
    assert ((large == 1).sum(), (large == -1).sum()) == (4, 8)


def test_soft_truth_is_averaged_over_the_area():
    fine = np.random.default_rng(0).random((12, 12)).astype(np.float32)
    expected = fine.reshape(4, 3, 4, 3).mean((1, 3))
    np.testing.assert_allclose(resize_target(fine, (4, 4)), expected, atol=1e-6)


@pytest.mark.parametrize("on_disk", [False, True])
def test_the_cache_gives_back_every_kind_of_pixel(write_case, recipe, tmp_path, on_disk):
    mask = np.array([[0, 0, 255, 255, 0, 0]] * 4, np.uint8)
    case = write_case("a", IMAGE, masks=(mask,), labels=(1.0,))
    settings = recipe(segment={"point_radius_px": 1.0}, image={"cache_gib": 0 if on_disk else 1})
    wanted = {
        MaskKind.POINT: (8, 16),
        MaskKind.BOX: (1, 24),  # the one that the box promises
        MaskKind.SOFT: (8, 24),
    }
    for kind, counts in wanted.items():
        each = of_kind(case, kind)
        if kind is MaskKind.SOFT:
            Image.fromarray(mask // 255 * 153).save(tmp_path / "a_mask0.png")
        cache = CaseCache([each], settings, tmp_path / "cache")
        for _ in range(2):
            np.testing.assert_array_equal(cache.get(each).target, read_case(each, settings).target)
        found = cache.foreground_px(each)[0], cache.known_px(each)[0]
        assert found == (counts[0], counts[1])
        cache.get(each).target.fill_(5)
        np.testing.assert_array_equal(cache.get(each).target, read_case(each, settings).target)


def test_a_warp_keeps_what_is_not_known_and_no_pixel_gets_a_new_value():
    target = torch.from_numpy(np.tile(picture("..?#?.\n..???.\noo....\noo...."), (1, 2, 2)))
    draw = Draw(is_affine=True, rotate_rad=(0.4,), zoom=1.1, shift=(0.05, -0.1))
    matrix = affine_matrix(draw, target.shape[1:])
    _, found = resample(target, target, matrix, whole(target.shape[1:]))
    assert {str(v) for v in np.unique(found)} == {"-1.0", "0.0", "1.0", "nan"}


def test_a_crop_that_cuts_a_box_leaves_its_pixels_unknown():
    target = torch.from_numpy(picture("oo...#\noo...#\n......")[None])
    whole_box, cut_box = Window((0, 0), (2, 4)), Window((0, 1), (3, 5))
    for window, value in ((whole_box, -1.0), (cut_box, NAN)):
        rows, columns = (slice(s, s + n) for s, n in zip(window.start, window.size, strict=True))
        part = target[:, rows, columns]
        found = keep_whole_boxes(target, part, None, window).numpy()
        expected = np.where(part.numpy() == -1, value, part.numpy())
        np.testing.assert_array_equal(found, expected)
    assert (target == -1).sum() == 4  # the case itself is as it was


def test_a_warp_that_moves_a_box_out_of_the_image_leaves_the_rest_unknown():
    target = torch.zeros(1, 20, 20)
    target[:, :4, :4] = -1
    for shift, kept in ((0.1, True), (-0.1, False)):
        draw = Draw(is_affine=True, rotate_rad=(0.0,), shift=(-shift, -shift))
        matrix = affine_matrix(draw, (20, 20))
        window = whole((20, 20))
        _, moved = resample(target, target, matrix, window)
        assert (moved == -1).any()
        found = keep_whole_boxes(target, moved, matrix, window)
        assert bool((found == -1).any()) is kept
        assert bool(found.isnan().any()) is not kept


def test_crops_are_centred_on_boxes_and_on_probable_pixels():
    for value in (-1.0, 0.7):
        target = torch.zeros(1, 40, 40)
        target[0, 3, 36] = value
        for key in range(5):
            start = draw_window(target, (8, 8), None, 1.0, key).start
            assert start[0] <= 3
            assert start[1] >= 29
    target = torch.full((1, 40, 40), NAN)
    starts = {draw_window(target, (8, 8), None, 1.0, key).start for key in range(5)}
    assert len(starts) == 5


def test_a_training_crop_through_a_box_promises_nothing(write_case, recipe):
    mask = np.zeros((24, 24), np.uint8)
    mask[2:22, 2:22] = 1
    image = np.random.default_rng(0).integers(0, 255, (24, 24), dtype=np.uint8)
    case = of_kind(write_case("a", image, masks=(mask,), labels=(1.0,)), MaskKind.BOX)
    settings = recipe(segment={"patch_px": [12, 12]})
    sample = read_case(case, settings)
    assert (sample.target == -1).sum() == 400
    _, target = training_example(case, sample, settings, (12, 12), 0)
    assert not (target == -1).any()
    assert target.isnan().any()
    _, target = training_example(case, sample, recipe(augment={"probability": 0.0}), None, 0)
    assert (target == -1).sum() == 400
