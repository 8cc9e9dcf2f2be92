"""Views of an image that differ in what the network sees, not in where things are."""

import torch
from torch import Tensor


def perturbed(image: Tensor, *, strength: float, noise: float) -> Tensor:
    """The image with another contrast and brightness per case, and noise per pixel.

    Draws from torch's own generator, which the training loop seeds anew in every step, so that a
    resumed training sees the same views. Nothing moves: masks keep their place.

    Args:
        image: (case, channel, *space).
        strength: Contrast (around the channel's mean) and brightness are drawn from 1 -/+ this.
        noise: Standard deviation of Gaussian noise, cut at twice that.
    """
    space = tuple(range(2, image.ndim))
    size = (len(image), *(1,) * (image.ndim - 1))
    contrast, brightness = (
        1 + strength * (2 * torch.rand(size, device=image.device) - 1) for _ in range(2)
    )
    change = (noise * torch.randn_like(image)).clamp(-2 * noise, 2 * noise)
    mean = image.mean(space, keepdim=True)
    return (mean + (image - mean) * contrast) * brightness + change
