"""Raw intensities to the range that networks expect, per image and per channel."""

from collections.abc import Sequence

import numpy as np
import torch
from monai.transforms.intensity.array import NormalizeIntensity, ScaleIntensityRange

from segclf.core.settings import ImageSettings

PERCENTILES = (0.5, 99.5)


def scale_intensity(
    image: torch.Tensor,
    settings: ImageSettings,
    limits: Sequence[tuple[float, float]] | None = None,
) -> torch.Tensor:
    """`image` with every channel scaled as `settings.intensity` says, float32.

    `minmax` maps the range to [0, 1]; `percentile` maps the 0.5th and 99.5th percentile to 0 and
    1 and clips nothing, because a target smaller than 0.5 % of the image may be all that lies
    beyond; `window` maps its limits to [0, 1] and clips there; `zscore` gives mean 0 and standard
    deviation 1. A channel without any contrast becomes 0. Where both percentiles coincide (an
    almost empty image) the full range is used.

    Args:
        image: (channel, *space) float32, finite.
        settings: The mode, and the limits of the window.
        limits: Per channel, `intensity_limits` of the image that it is a part of; None takes its
            own.
    """
    limits = limits or [intensity_limits(channel.numpy(), settings) for channel in image]
    return torch.stack(
        [
            _scale_channel(channel, settings, *ends)
            for channel, ends in zip(image, limits, strict=True)
        ]
    )


def intensity_limits(values: np.ndarray, settings: ImageSettings) -> tuple[float, float]:
    """What becomes 0 and 1; for `zscore` the mean and the standard deviation."""
    # NumPy's reductions run in one thread, so the result does not depend on how many torch has.
    if settings.intensity == "zscore":
        return float(values.mean(dtype=np.float64)), float(values.std(dtype=np.float64))
    if settings.intensity == "window":
        lower, upper = settings.window or (0.0, 0.0)
    elif settings.intensity == "percentile":
        lower, upper = (float(value) for value in np.percentile(values, PERCENTILES))
    else:
        lower, upper = float(values.min()), float(values.max())
    return (float(values.min()), float(values.max())) if lower == upper else (lower, upper)


def _scale_channel(
    channel: torch.Tensor, settings: ImageSettings, lower: float, upper: float
) -> torch.Tensor:
    if settings.intensity == "zscore":
        mean, sd = np.asarray(lower), np.asarray(upper)
        return _plain(NormalizeIntensity(subtrahend=mean, divisor=sd)(channel))
    if lower == upper:
        return torch.zeros_like(channel)
    clip = settings.intensity == "window"
    return _plain(ScaleIntensityRange(lower, upper, 0.0, 1.0, clip=clip)(channel))


def _plain(image: object) -> torch.Tensor:
    """A tensor without MONAI's metadata, which nothing here uses and every step would copy."""
    return torch.as_tensor(image).as_subclass(torch.Tensor)
