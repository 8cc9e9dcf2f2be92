"""What predictions were made from; a folder never mixes two models, recipes or versions."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from segclf.core.atomic import hash_of
from segclf.core.config import Recipe
from segclf.core.errors import IntegrityError
from segclf.core.records import Case
from segclf.core.runs import shown
from segclf.core.settings import ImageSettings
from segclf.core.statstable import SCHEMA_VERSION, read_identity
from segclf.io import file_stamp
from segclf.segment.infer import window_px
from segclf.training import ModelCard

Identity = dict[str, Any]
WITHOUT_EFFECT = {"batch_size", "workers", "precision"}
"""Prediction settings that may change between calls; precision is kept as what it came out as."""


def identity_of(card: ModelCard, recipe: Recipe, *, precision: str, fold: int | None) -> Identity:
    """Everything, apart from the cases, that decides the statistics; plain values."""
    predict = recipe.predict.model_dump(mode="json", exclude=WITHOUT_EFFECT)
    return {
        "schema": SCHEMA_VERSION,
        "data": recipe.data,
        "model_sha256": card.sha256,
        "findings": list(card.findings),
        "exclusive": card.exclusive,
        "fold": fold,
        "image": image_settings(recipe.image),
        **recipe.slices.in_use,
        **({"nominal_spacing": True} if recipe.nominal_spacing else {}),
        "predict": {
            **predict,
            "precision": precision,
            "patch_px": list(window) if (window := window_px(recipe)) else None,
            "flip_axes": list(recipe.augment.flip_axes) if recipe.predict.flip_tta else [],
        },
    }


def image_settings(settings: ImageSettings) -> dict[str, Any]:
    """The settings by which files become what the network sees."""
    return settings.model_dump(mode="json", exclude={"cache_gib", "decode_limit_s"})


def check_same(folder: Path, identity: Identity) -> None:
    """Refuse a folder whose predictions come from something else.

    Raises:
        IntegrityError: Another model, recipe or version made them; the message names what differs.
    """
    before = read_identity(folder)
    if before is None or before["hash"] == hash_of(identity):
        return
    raise IntegrityError(
        "the folder holds predictions of another model or recipe: "
        + "; ".join(differences(before["identity"], identity))
        + ".",
        where=shown(folder),
        expected="one model and one recipe in a prediction folder",
        fix="use another run name (--run), or delete this folder to predict anew",
    )


def differences(before: Identity, now: Identity, prefix: str = "") -> list[str]:
    """One text for each value that differs, e.g. `predict.overlap is 0.25 there, 0.5 now`."""
    found = []
    for key in sorted({*before, *now}):
        old, new = before.get(key), now.get(key)
        if isinstance(old, dict) and isinstance(new, dict):
            found += differences(old, new, f"{prefix}{key}.")
        elif hash_of(old) != hash_of(new):
            found.append(f"{prefix}{key} is {_short(old)} there, {_short(new)} now")
    return found


def _short(value: Any) -> str:  # noqa: ANN401
    text = str(value)
    return text if len(text) <= 40 else text[:12] + "…"


def input_hash(cases: Sequence[Case]) -> str:
    """A hash of the cases of a part: ids, spacing, mask states, and size and time of each file.

    File contents are not read, since a call that has nothing to do should not read every image.
    """
    return hash_of([_case_stamp(case) for case in cases])


def _case_stamp(case: Case) -> list[Any]:
    masks = [
        [mask.state.value, mask.values, mask.path and _file_stamp(mask.path), *mask.stamp]
        for mask in case.masks
    ]
    images = [_file_stamp(path) for path in case.images]
    more = ["any place"] if case.any_place else []
    more += [case.cut.stamp] if case.cut else []
    return [case.case_id, images, masks, case.spacing_mm, *more]


def _file_stamp(path: Path) -> list[Any]:
    name = f"{path.parent.name}/{path.name}"
    try:
        return [name, *file_stamp(path)]
    except OSError:
        return [name, None]
