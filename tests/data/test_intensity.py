import numpy as np
import pytest
import torch
from sklearn.preprocessing import MinMaxScaler, StandardScaler

from segclf.core.settings import ImageSettings
from segclf.data.intensity import scale_intensity

RAMP = torch.arange(201, dtype=torch.float32).reshape(1, 3, 67)


@pytest.mark.parametrize(
    ("mode", "witness"), [("minmax", MinMaxScaler()), ("zscore", StandardScaler())]
)
def test_each_channel_is_scaled_alone_as_scikit_learn_scales_columns(mode, witness):
    image = np.random.default_rng(0).normal([[[3]], [[900]]], [[[1]], [[50]]], (2, 9, 7))
    image = image.astype(np.float32)
    expected = witness.fit_transform(image.reshape(2, -1).T).T.reshape(image.shape)
    scaled = scale_intensity(torch.from_numpy(image), ImageSettings(intensity=mode))
    np.testing.assert_allclose(scaled.numpy(), expected, atol=2e-5)


def test_percentiles_of_a_ramp_from_0_to_200_are_1_and_199_and_nothing_is_clipped():
    scaled = scale_intensity(RAMP, ImageSettings(intensity="percentile")).flatten()
    np.testing.assert_allclose(scaled[[0, 1, 199, 200]], [-1 / 198, 0, 1, 199 / 198], atol=1e-6)


def test_a_target_of_a_thousandth_of_the_image_stays_brighter_than_everything_else():
    image = torch.rand(1, 100, 100, generator=torch.Generator().manual_seed(0))
    image[0, :2, :5] = 3.0
    scaled = scale_intensity(image, ImageSettings())
    assert scaled[0, 0, 0] > 2 * scaled[0, 50:].max()


def test_a_window_maps_its_limits_to_0_and_1_and_clips_there():
    settings = ImageSettings(intensity="window", window=(50, 150))
    scaled = scale_intensity(RAMP, settings).flatten()
    np.testing.assert_allclose(scaled[[0, 50, 75, 100, 150, 200]], [0, 0, 0.25, 0.5, 1, 1])


@pytest.mark.parametrize("mode", ["minmax", "zscore", "percentile"])
def test_a_channel_without_contrast_becomes_zero(mode):
    image = torch.full((1, 4, 4), 7.0)
    assert torch.equal(scale_intensity(image, ImageSettings(intensity=mode)), torch.zeros(1, 4, 4))


def test_an_almost_empty_image_falls_back_to_its_full_range():
    image = torch.zeros(1, 30, 30)
    image[0, 3, 3] = 5.0  # both percentiles are 0
    scaled = scale_intensity(image, ImageSettings())
    assert scaled.max() == 1.0
    assert scaled.sum() == 1.0


def test_sixteen_bits_keep_their_range():
    image = torch.arange(2**16, dtype=torch.float32).reshape(1, 256, 256)
    scaled = scale_intensity(image, ImageSettings(intensity="minmax"))
    assert len(scaled.unique()) == 2**16
