import pytest
import torch
from monai.transforms.croppad.array import DivisiblePad

from segclf.networks.padding import crop_to, pad_to, padded_shape


@pytest.mark.parametrize(
    ("space", "divisor_px", "minimum_px", "expected"),
    [
        ((64, 96), (32, 32), (), (64, 96)),
        ((65, 96), (32, 32), (), (96, 96)),
        ((1, 1), (32, 32), (), (32, 64)),  # one deep element cannot be normalized
        ((32, 32), (32, 32), (), (32, 64)),
        ((33, 20), (16, 16), (128, 128), (128, 128)),
        ((130, 20), (16, 16), (128, 128), (144, 128)),
        ((20, 9, 5), (8, 8, 4), (), (24, 16, 8)),
    ],
)
def test_an_image_is_padded_to_the_next_shape_that_fits(space, divisor_px, minimum_px, expected):
    assert padded_shape(space, divisor_px, minimum_px) == expected


def test_padding_repeats_the_edge_at_the_end_of_each_axis():
    image = torch.arange(2 * 3 * 5 * 2, dtype=torch.float32).reshape(1, 2, 3, 5, 2)
    ours = pad_to(image, (4, 8, 4))[0]
    theirs = DivisiblePad((4, 8, 4), mode="edge", method="end")(image[0])
    assert torch.equal(ours, torch.as_tensor(theirs.array))


def test_an_image_that_fits_is_not_copied():
    image = torch.rand(1, 1, 32, 64)
    assert pad_to(image, (32, 64)) is image
    assert crop_to(image, (32, 64), (32, 64)) is image


def test_feature_maps_are_cropped_to_the_cells_that_the_image_touches():
    # 37 of 64 pixels: 37 pixels at full resolution, 10 of 16 cells of 4 pixels, 2 of 2 of 32
    for n_cells, kept in ((64, 37), (16, 10), (2, 2)):
        features = torch.arange(n_cells).reshape(1, 1, n_cells, 1)
        cropped = crop_to(features, (37, 1), (64, 1))
        assert cropped.flatten().tolist() == list(range(kept))
