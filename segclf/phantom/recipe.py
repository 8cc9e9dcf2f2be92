"""The recipe of the demo: the settings that the phantom was made for."""

from typing import Any

from segclf.core.config import Recipe, make_recipe
from segclf.core.strict_yaml import dump_yaml
from segclf.phantom.cases import finding_names
from segclf.phantom.settings import PhantomSettings

_HEADER = """\
# Built-in synthetic data (a phantom): a manifest, image files, and a shortcut called tube.
# It agrees with the label in {train:.0%} of the training images and {test:.0%} of the test images.
#
#   segclf train-seg --config {name}/recipe.yaml
#
"""


def phantom_recipe(settings: PhantomSettings) -> Recipe:
    """The recipe that trains on the phantom; its manifest lies beside it."""
    return make_recipe(_values(settings), where="the phantom's recipe")


def recipe_text(settings: PhantomSettings, *, name: str) -> str:
    """`phantom_recipe` as YAML with a header; settings at their default are left out.

    Args:
        settings: The knobs of the data set.
        name: Name of the folder that the recipe is written to.
    """
    phantom_recipe(settings)
    rho = {"train": settings.rho_of("train"), "test": settings.rho_of("test")}
    return _HEADER.format(name=name, **rho) + dump_yaml(_values(settings))


def _values(settings: PhantomSettings) -> dict[str, Any]:
    is_volume = settings.spatial_dims == 3
    return {
        "name": "phantom",
        "seed": settings.seed,
        "manifest": "manifest.csv",
        "data": "phantom",
        "findings": list(finding_names(settings)),
        "roles": {
            "sex": "patient",
            "age_years": "patient",
            "site": "acquisition",
            "tube": "acquisition",
            "target_size": "derived",
        },
        "image": {"spatial_dims": settings.spatial_dims},
        # Position and size of the body hardly vary: mirroring and intensity are enough.
        "augment": {"rotate_degrees": 0, "scale": 0, "shift": 0, "noise": 0},
        "network": {"name": "segresnet", "options": {"init_filters": 8}}
        if is_volume
        else {"name": "unet", "encoder": "resnet18"},
        "train": {
            "steps": 200 if is_volume else 300,
            "batch_size": 4 if is_volume else 16,
            "lr": 0.001,
            "warmup_steps": 20,
            "validate_every": 100,
        },
        "evaluate": {"by": ["sex", "site", "target_size"], "shortcut": "tube"},
    }
