"""LOSSES: every loss by name, and the checks that all of them share."""

import inspect
from collections.abc import Callable

import torch
from torch import Tensor

from segclf.core.catalog import lookup, unknown_name
from segclf.core.config import LossSettings
from segclf.core.errors import ConfigError
from segclf.losses.box import box_loss, without_boxes
from segclf.losses.overlap import dice, dice_ce, tversky
from segclf.losses.pixelwise import ce, focal

LOSSES: dict[str, Callable[..., Tensor]] = {
    "ce": ce,
    "dice": dice,
    "dice_ce": dice_ce,
    "focal": focal,
    "tversky": tversky,
}
"""Name to function: `(logits, target, *, exclusive, **options) -> scalar`."""

OWN = ("logits", "target", "exclusive")


def build_loss(settings: LossSettings, *, exclusive: bool) -> Callable[[Tensor, Tensor], Tensor]:
    """The loss of a recipe as a function `(logits, target) -> scalar`.

    It computes in float32 whatever the precision of the training step. It never waits for the
    device: whether something is known is decided by weights, not by branches. Where the target is
    -1 (inside boxes), the loss sees nothing known, and `box_loss` is added.

    Args:
        settings: Name and options.
        exclusive: Findings exclude each other; logits then have background as first output.

    Raises:
        UsageError: No loss has that name.
        ConfigError: The loss has no such option, or its value is not a number or a switch.
    """
    function = lookup(settings.name, LOSSES, kind="loss", group="segclf.losses")
    _check_options(settings, function)

    def loss(logits: Tensor, target: Tensor) -> Tensor:
        shape = (target.shape[0], target.shape[1] + int(exclusive), *target.shape[2:])
        if logits.shape != shape:
            raise ValueError(
                f"logits of shape {shape} expected for a target of shape {tuple(target.shape)} "
                f"with exclusive={exclusive}: got {tuple(logits.shape)}."
            )
        with torch.autocast(logits.device.type, enabled=False):
            # float64 stays what it is
            logits = logits.to(torch.promote_types(logits.dtype, torch.float32))
            target = target.to(logits.dtype)
            of_boxes = box_loss(logits, target, exclusive=exclusive)
            pixels = without_boxes(target)
            return function(logits, pixels, exclusive=exclusive, **settings.options) + of_boxes

    return loss


def _check_options(settings: LossSettings, function: Callable[..., Tensor]) -> None:
    known = [name for name in inspect.signature(function).parameters if name not in OWN]
    where = f"loss.name = {settings.name!r}"
    for name, value in settings.options.items():
        if name not in known:
            near = unknown_name(name, known, kind="option")
            raise ConfigError(
                f"the loss {settings.name!r} has no option {name!r}.",
                where=where,
                expected=near.expected,
                fix=near.fix,
            )
        if not (value is None or isinstance(value, (bool, int, float))):
            raise ConfigError(
                f"loss.options.{name} = {value!r} is not a number.",
                where=where,
                expected="a number, true, false or null",
                fix=f"correct loss.options.{name}",
            )
