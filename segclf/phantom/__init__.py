"""The built-in synthetic data set, 2D and 3D, with known truth."""

from segclf.phantom.cases import PhantomCase, draw_case, finding_names, target_size
from segclf.phantom.recipe import phantom_recipe
from segclf.phantom.settings import PhantomSettings
from segclf.phantom.write import write_phantom

__all__ = [
    "PhantomCase",
    "PhantomSettings",
    "draw_case",
    "finding_names",
    "phantom_recipe",
    "target_size",
    "write_phantom",
]
