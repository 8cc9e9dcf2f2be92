"""A network on whole images: in one piece, or through a sliding window."""

from collections.abc import Sequence

from monai.inferers.utils import sliding_window_inference
from torch import Tensor, nn

from segclf.core.config import Recipe


def infer_logits(
    network: nn.Module,
    image: Tensor,
    *,
    patch_px: Sequence[int] | None = None,
    overlap: float = 0.25,
    batch_size: int = 4,
) -> Tensor:
    """Raw outputs for whole images, float32, `(batch, output, *space)`.

    Where windows overlap, their outputs are averaged with Gaussian weights, since a network
    knows least about the border of what it sees.

    Args:
        network: In evaluation mode, on the device of `image`.
        image: `(batch, channel, *space)`.
        patch_px: Shape of the window; None gives the network the whole image. Images smaller
            than the window are padded with their edge.
        overlap: Share of the window that neighbours have in common, per axis.
        batch_size: Windows that the network sees at once.
    """
    if patch_px is None:
        return network(image).float()
    return sliding_window_inference(
        image,
        tuple(patch_px),
        batch_size,
        lambda window: network(window).float(),
        overlap=overlap,
        mode="gaussian",
        padding_mode="replicate",
    )  # type: ignore[return-value] (a tensor, since the network gives one)


def window_px(recipe: Recipe) -> tuple[int, ...] | None:
    """Shape of the window for inference: as the recipe says, else in 3D the training crop."""
    if recipe.predict.patch_px is not None or recipe.image.spatial_dims == 2:
        return recipe.predict.patch_px
    return recipe.segment.patch_px
