"""Any image size in, the same size out: pad to what a network accepts, crop what it returns."""

from collections.abc import Sequence
from math import prod

from torch import Tensor
from torch.nn import functional


def padded_shape(
    space: Sequence[int], divisor_px: Sequence[int], minimum_px: Sequence[int] = ()
) -> tuple[int, ...]:
    """The smallest shape, per spatial axis, that holds an image and that a network accepts.

    The deepest feature map keeps at least two elements, since neither instance norm nor batch
    norm with one case can normalize a single one.

    Args:
        space: Shape of the image.
        divisor_px: Every axis becomes a multiple of this.
        minimum_px: Every axis becomes at least this; () for `divisor_px`.
    """
    cells = [
        -(-max(size, least) // divisor)
        for size, divisor, least in zip(space, divisor_px, minimum_px or divisor_px, strict=True)
    ]
    if prod(cells) == 1:
        cells[-1] = 2
    return tuple(n * divisor for n, divisor in zip(cells, divisor_px, strict=True))


def pad_to(image: Tensor, space: Sequence[int]) -> Tensor:
    """The image with its last row, column, … repeated up to the shape `space`.

    Repeating the edge adds no border that a network could take for a structure (zeros do), and
    unlike mirroring it works for every size.
    """
    missing = [target - size for target, size in zip(space, image.shape[2:], strict=True)]
    if not any(missing):
        return image
    return functional.pad(image, [n for m in reversed(missing) for n in (0, m)], mode="replicate")


def crop_to(features: Tensor, space: Sequence[int], padded: Sequence[int]) -> Tensor:
    """The part of feature maps of a padded image that covers the image itself.

    Args:
        features: `(batch, feature, *space)` at any resolution.
        space: Shape of the image before padding.
        padded: Shape of the image after padding.
    """
    keep = [
        -(-size * n // whole)
        for size, n, whole in zip(space, features.shape[2:], padded, strict=True)
    ]
    if keep == list(features.shape[2:]):
        return features
    return features[(..., *(slice(n) for n in keep))]
