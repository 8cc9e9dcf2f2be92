"""Losses by name, for targets that may be tiny, empty or partly unknown."""

from segclf.losses.box import box_loss
from segclf.losses.labels import exclusive_loss, independent_loss
from segclf.losses.overlap import dice, dice_ce, tversky
from segclf.losses.pixelwise import ce, focal
from segclf.losses.table import LOSSES, build_loss

__all__ = [
    "LOSSES",
    "box_loss",
    "build_loss",
    "ce",
    "dice",
    "dice_ce",
    "exclusive_loss",
    "focal",
    "independent_loss",
    "tversky",
]
