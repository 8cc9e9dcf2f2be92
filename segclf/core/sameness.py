"""Which settings decide what is trained, and what differs between two recipes."""

from collections.abc import Iterable, Mapping
from typing import Any

from segclf.core.config import Recipe

DATA_SETTINGS = (
    "seed", "data", "side_tables", "columns", "findings", "exclusive", "mask_values", "mask_class",
    "mask_class_empty", "allow_affine_mismatch", "split", "slices",
)  # fmt: skip
"""What the cases and the split are."""
SHARED_SETTINGS = (
    "seed", "exclusive", "columns", "mask_values", "mask_class", "mask_class_empty", "image",
    "augment", "network", "train", "slices",
)  # fmt: skip
"""What every training depends on; the same for all networks of a run, so that they compare."""
WITHOUT_EFFECT = (
    "image.cache_gib",
    "image.decode_limit_s",
    "train.workers",
    "train.keep_checkpoints",
    "train.checkpoint_every",
    "train.tensorboard",
    "classify.metric.rule",
    "classify.metric.k",
)
"""Settings that may change: the weights do not depend on them."""


LATER = (
    "segment.strict_coarse", "segment.point_radius_px", "segment.refine_from",
    "segment.refine_weight", "slices.cut", "slices.axis", "slices.neighbours", "slices.edge",
)  # fmt: skip
"""Settings that count only where they are not the default, so that what was trained before they
existed is still the same training."""


def flat_settings(recipe: Recipe, names: Iterable[str]) -> dict[str, Any]:
    """The named sections or settings as `section.key` to plain value, but `WITHOUT_EFFECT`.

    Nor `LATER` ones at their default.
    """
    plain = recipe.model_dump(mode="json")
    flat: dict[str, Any] = {}
    for name in names:
        section, _, key = name.partition(".")
        _flatten(name, plain[section][key] if key else plain[section], flat)
    default = Recipe().model_dump(mode="json")
    for key in LATER:
        section, _, name = key.partition(".")
        if key in flat and flat[key] == default[section][name]:
            del flat[key]
    return {key: value for key, value in flat.items() if key not in WITHOUT_EFFECT}


def differences(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """One line per key whose value changed, `key: before -> now`."""
    return [
        f"{key}: {before.get(key, '(absent)')!r} -> {now.get(key, '(absent)')!r}"
        for key in sorted({*before, *now})
        if before.get(key) != now.get(key)
    ]


def _flatten(name: str, value: Any, into: dict[str, Any]) -> None:  # noqa: ANN401 (plain data)
    if isinstance(value, dict) and value:
        for key, inner in value.items():
            _flatten(f"{name}.{key}", inner, into)
    else:
        into[name] = value
