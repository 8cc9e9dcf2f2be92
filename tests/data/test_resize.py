import numpy as np
import pytest
import torch
from monai.data import MetaTensor
from monai.transforms import GaussianSmooth, Resize, Spacing
from scipy import ndimage

from segclf.core.settings import ImageSettings
from segclf.data.resize import prepared_shape, resize_image, resize_mask


def drawn(picture):
    rows = [row.strip() for row in picture.split()]
    return np.array([[character == "#" for character in row] for row in rows], dtype=np.uint8)


def test_the_shape_at_a_new_spacing_is_that_of_monai_spacing_with_scale_extent():
    shape, old, new = (30, 41, 17), (0.7, 0.7, 5.0), (1.0, 1.3, 2.5)
    settings = ImageSettings(spatial_dims=3, spacing_mm=new)
    volume = MetaTensor(torch.zeros(1, *shape), affine=torch.diag(torch.tensor([*old, 1.0])))
    expected = Spacing(new, scale_extent=True, align_corners=True)(volume).shape[1:]
    assert prepared_shape(shape, old, settings) == tuple(expected)


def test_size_px_wins_over_the_spacing_and_neither_keeps_the_shape():
    both = ImageSettings(size_px=(8, 9), spacing_mm=(1.0, 1.0))
    assert prepared_shape((30, 40), (2.0, 2.0), both) == (8, 9)
    assert prepared_shape((30, 40), None, ImageSettings()) == (30, 40)


def test_a_thin_axis_keeps_at_least_one_pixel():
    settings = ImageSettings(spacing_mm=(10.0, 10.0))
    assert prepared_shape((3, 100), (1.0, 1.0), settings) == (1, 10)


@pytest.mark.parametrize(
    ("shape", "size", "mode"),
    [((60, 48), (20, 16), "bilinear"), ((24, 30, 44), (12, 10, 11), "trilinear")],
)
def test_away_from_the_rim_shrinking_is_monai_resize_with_anti_aliasing(shape, size, mode):
    image = torch.rand(2, *shape, generator=torch.Generator().manual_seed(0))
    sigma = [(old / new - 1) / 2 for old, new in zip(shape, size, strict=True)]
    smoother = GaussianSmooth(sigma, approx="sampled")
    smooth = smoother(image) / smoother(torch.ones_like(image))  # its kernel does not sum to 1
    expected = np.asarray(Resize(size, mode=mode)(smooth))
    inner = (slice(None), *(slice(4, -4) for _ in size))
    resized = resize_image(image, size)[inner]
    np.testing.assert_allclose(resized, expected[inner], atol=1e-5)
    # MONAI's default kernel is the same Gaussian integrated over each pixel.
    integrated = Resize(size, mode=mode, anti_aliasing=True)(image)
    np.testing.assert_allclose(resized, np.asarray(integrated)[inner], atol=0.03)


def test_the_rim_of_a_flat_image_is_not_darkened():
    shrunk = resize_image(torch.ones(1, 64, 64), (16, 16))
    np.testing.assert_allclose(shrunk, 1.0, atol=1e-6)


def test_a_fine_checkerboard_shrinks_to_grey_instead_of_a_false_pattern():
    board = torch.from_numpy(np.indices((60, 60)).sum(axis=0) % 2).float()[None]
    np.testing.assert_allclose(resize_image(board, (15, 15)), 0.5, atol=0.02)


def test_growing_is_bilinear_at_pixel_centres_as_scipy_computes_it():
    image = np.random.default_rng(0).random((6, 5)).astype(np.float32)
    centres = [(np.arange(n) + 0.5) * old / n - 0.5 for n, old in ((12, 6), (15, 5))]
    expected = ndimage.map_coordinates(
        image, np.meshgrid(*centres, indexing="ij"), order=1, mode="nearest"
    )
    grown = resize_image(torch.from_numpy(image)[None], (12, 15))[0]
    np.testing.assert_allclose(grown, expected, atol=1e-6)


def test_an_image_of_the_right_shape_is_handed_on_untouched():
    image = torch.rand(1, 5, 5)
    assert resize_image(image, (5, 5)) is image


def test_large_targets_shrink_by_their_covered_area():
    mask = drawn("""
        ####....
        ####....
        ####....
        ####....
        ........
        ........
    """)
    expected = drawn("""
        ##..
        ##..
        ....
    """)
    np.testing.assert_array_equal(resize_mask(mask, (3, 4)), expected)


def test_a_target_smaller_than_a_pixel_survives_beside_a_large_one():
    mask = np.zeros((40, 40), dtype=np.uint8)
    mask[:20, :20] = 1
    mask[33, 37] = 1  # a twenty-fifth of a pixel of the coarse grid
    shrunk = resize_mask(mask, (8, 8))
    expected = np.zeros((8, 8))
    expected[:4, :4] = 1
    expected[6, 7] = 1
    np.testing.assert_array_equal(shrunk, expected)


def test_a_thin_line_stays_connected():
    mask = np.zeros((50, 50), dtype=np.uint8)
    mask[24, 5:45] = 1
    shrunk = resize_mask(mask, (16, 16))
    assert ndimage.label(shrunk, structure=np.ones((3, 3)))[1] == 1
    assert shrunk.any(axis=0).sum() >= 12


def test_a_thin_line_is_not_reduced_to_its_thickest_spot():
    mask = np.zeros((50, 50), dtype=np.uint8)
    mask[24, 5:45] = 1  # a fifth of each pixel of the coarse grid
    mask[23, 22] = 1
    np.testing.assert_array_equal(resize_mask(mask, (10, 10))[4], [0] + [1] * 8 + [0])


@pytest.mark.parametrize("seed", range(20))
def test_no_target_of_any_position_and_shape_ever_vanishes(seed):
    random = np.random.default_rng(seed)
    n_axes = int(random.integers(2, 4))
    shape = tuple(random.integers(10, 40, n_axes))
    size = tuple(int(n) for n in random.integers(2, 30, n_axes))
    mask = np.zeros(shape, dtype=np.uint8)
    mask[tuple(random.integers(0, n) for n in shape)] = 1
    resized = resize_mask(mask, size)
    assert resized.shape == size
    assert resized.any()
    assert set(np.unique(resized)) <= {0, 1}


def test_an_empty_mask_stays_empty_and_a_full_one_full():
    assert not resize_mask(np.zeros((9, 9), dtype=np.uint8), (4, 4)).any()
    assert resize_mask(np.ones((9, 9), dtype=np.uint8), (4, 4)).all()


def test_growing_repeats_pixels():
    mask = drawn("""
        #.
        .#
    """)
    np.testing.assert_array_equal(resize_mask(mask, (4, 6)), np.kron(mask, np.ones((2, 3))))
