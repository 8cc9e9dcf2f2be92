"""Does the feeding part of a recipe fit together? Asked once, before any file is read."""

from segclf.core.config import Recipe
from segclf.core.errors import ConfigError


def check_feeding(recipe: Recipe) -> None:
    """Refuse settings of image, augmentation and crops that contradict each other.

    Raises:
        ConfigError: A shape or spacing has another number of axes than `image.spatial_dims`, a
            value in it is not positive, a flip axis does not exist, or the intensity window is
            missing or empty.
    """
    n_axes = recipe.image.spatial_dims
    per_axis = {
        "image.size_px": recipe.image.size_px,
        "image.spacing_mm": recipe.image.spacing_mm,
        "segment.patch_px": recipe.segment.patch_px,
    }
    for key, value in per_axis.items():
        if value is not None and (len(value) != n_axes or min(value) <= 0):
            raise ConfigError(
                f"{key} = {list(value)} does not fit images with {n_axes} axes.",
                where=key,
                expected=f"{n_axes} positive numbers",
                fix=f"give one number per axis, or set image.spatial_dims: {len(value)}",
            )
    if recipe.slices.cut and n_axes != 2:
        raise ConfigError(
            "slices are pictures, but the recipe asks for volumes.",
            where=f"slices.cut = true, image.spatial_dims = {n_axes}",
            expected="image.spatial_dims: 2, the network's own; the files are volumes",
            fix="set image.spatial_dims: 2, or slices.cut: false for a 3D network",
        )
    flips = recipe.augment.flip_axes
    if any(not 0 <= axis < n_axes for axis in flips):
        raise ConfigError(
            f"augment.flip_axes = {list(flips)} names an axis that images do not have.",
            where="augment.flip_axes",
            expected=f"axes from 0 to {n_axes - 1}",
            fix="leave that axis out",
        )
    if recipe.image.intensity == "window":
        _check_window(recipe.image.window)


def _check_window(window: tuple[float, float] | None) -> None:
    if window is None or not window[0] < window[1]:
        raise ConfigError(
            f"image.window = {None if window is None else list(window)} is not a window.",
            where="image.window",
            expected="a lower and a higher intensity, for image.intensity: window",
            fix="write for example image.window: [0, 80]",
        )
