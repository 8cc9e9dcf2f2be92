"""The recipe: all settings of an experiment, read from YAML and `--set`."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, TypeVar, cast

from pydantic import BaseModel, Field, ValidationError

from segclf.core.catalog import unknown_name
from segclf.core.errors import ConfigError
from segclf.core.expectations import expectation
from segclf.core.export_settings import ExportSettings
from segclf.core.pseudolabel_settings import PseudolabelSettings
from segclf.core.semi_settings import SemiSettings
from segclf.core.settings import (
    AugmentSettings,
    ClassifySettings,
    EvaluateSettings,
    ImageSettings,
    LossSettings,
    NetworkSettings,
    PredictSettings,
    SegmentSettings,
    Settings,
    SplitSettings,
    SummarizeSettings,
    Switch,
    TrainSettings,
)
from segclf.core.slice_settings import SliceSettings
from segclf.core.strict_yaml import dump_yaml, parse_yaml, read_yaml

__all__ = [
    "AugmentSettings",
    "ClassifySettings",
    "EvaluateSettings",
    "ExportSettings",
    "ImageSettings",
    "LossSettings",
    "NetworkSettings",
    "PredictSettings",
    "PseudolabelSettings",
    "Recipe",
    "Role",
    "SegmentSettings",
    "SemiSettings",
    "Settings",
    "SliceSettings",
    "SplitSettings",
    "SummarizeSettings",
    "TrainSettings",
    "assign",
    "load_recipe",
    "make_recipe",
    "recipe_yaml",
    "validated",
]

Role = Literal["id", "patient", "acquisition", "derived", "ignored"]
S = TypeVar("S", bound=BaseModel)


class Recipe(Settings):
    """Everything that defines an experiment; one YAML file."""

    name: str = Field(
        default="run", pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$", examples=["my_run-2"]
    )
    """Name of the run folder under `runs/`: letters, digits, `.`, `_` and `-`, at most 64, a letter
    or digit first."""
    seed: int = Field(default=0, ge=0)
    """Split, first weights, batches, augmentation and resamples follow from it."""
    manifest: str | None = None
    """CSV or Parquet, one row per case; `${NAME}` environment variables are expanded."""
    data_root: str | None = None
    """Folder that every path of the manifest stays inside; default: the manifest's folder."""
    side_tables: tuple[str, ...] = ()
    """Tables keyed by `case_id`, in the manifest's folder or below it or in a run (`runs/NAME/…`),
    whose filled cells are laid over the manifest in this order: masks, labels, metadata."""
    data: Literal["user", "phantom"] = "user"
    """`phantom` marks every output as made from the built-in synthetic data."""
    columns: dict[str, str] = Field(default_factory=dict)
    """Role to header, e.g. `label.lesion: lesion_present`, `patient_id: subject`; wins over
    names."""
    findings: tuple[str, ...] | None = None
    """What is looked for; default: the suffixes of `mask_*` and `label_*`, else `target`."""
    exclusive: Switch = False
    """Findings exclude each other at a pixel (softmax with background) instead of independent."""
    mask_values: dict[int, str] = Field(default_factory=dict)
    """Pixel value to finding, for integer maps; binary masks need none. The name `background` is
    that of values of no finding; without it that is 0."""
    mask_class: str | None = None
    """Column whose category the mask pixels take (the mask outlines the lesion whatever it is)."""
    mask_class_empty: tuple[str, ...] = ()
    """Categories of `mask_class` whose mask is empty, e.g. `normal`."""
    allow_affine_mismatch: Switch = False
    """Take masks and channels by their shape alone, whatever place and spacing their headers
    state; otherwise a case whose files lie in different places is not used."""
    roles: dict[str, Role] = Field(default_factory=dict)
    """Role of metadata columns; `derived` ones are made from the answer."""
    nominal_spacing: Switch = False
    """The spacing in the files is not the real one: no size in mm2, mm3 or mL and no distance in mm
    is made from it."""
    unit_name: str = "patient"
    """What `patient_id` really identifies, for the words of the report."""
    split: SplitSettings = SplitSettings()
    image: ImageSettings = ImageSettings()
    slices: SliceSettings = SliceSettings()
    augment: AugmentSettings = AugmentSettings()
    network: NetworkSettings = NetworkSettings()
    loss: LossSettings = LossSettings()
    train: TrainSettings = TrainSettings()
    segment: SegmentSettings = SegmentSettings()
    semi: SemiSettings = SemiSettings()
    classify: ClassifySettings = ClassifySettings()
    predict: PredictSettings = PredictSettings()
    pseudolabel: PseudolabelSettings = PseudolabelSettings()
    summarize: SummarizeSettings = SummarizeSettings()
    evaluate: EvaluateSettings = EvaluateSettings()
    export: ExportSettings = ExportSettings()
    export: ExportSettings = ExportSettings()


def load_recipe(path: Path | None, overrides: tuple[str, ...] = (), **fixed: Any) -> Recipe:  # noqa: ANN401
    """The recipe in a YAML file with `--set` overrides applied.

    Args:
        path: YAML file; None starts from the defaults.
        overrides: `train.lr=1e-3`-style texts; values are read as YAML.
        fixed: Top-level values that win over both; None is skipped.

    Raises:
        ConfigError: A key is unknown or a value does not fit; the message names the key.
    """
    where = str(path) if path else "--set"
    values = (read_yaml(path) or {}) if path else {}
    if not isinstance(values, dict):
        raise ConfigError(
            "the recipe is not a mapping.",
            where=where,
            expected="`key: value` lines",
            fix="start from `segclf init`",
        )
    assign(values, overrides)
    values.update({key: value for key, value in fixed.items() if value is not None})
    return validated(Recipe, values, where=where, overrides=overrides)


def make_recipe(values: Mapping[str, Any], *, where: str) -> Recipe:
    """A checked recipe from plain data; every problem is named with its key."""
    return validated(Recipe, values, where=where)


def validated(
    kind: type[S], values: Mapping[str, Any], *, where: str, overrides: Sequence[str] = ()
) -> S:
    """Settings of `kind` from plain data.

    Args:
        kind: The model.
        values: Plain data, `overrides` already assigned.
        where: Where they come from, for the message.
        overrides: The `--set` texts; one that brought the wrong key or value is named instead.

    Raises:
        ConfigError: A key is unknown or a value does not fit; the message names the key.
    """
    try:
        return kind.model_validate(dict(values))
    except ValidationError as error:
        first, n_others = error.errors()[0], len(error.errors()) - 1
        key = ".".join(str(part) for part in first["loc"])
        override = _cause(key, overrides)
        where = f"--set {override}" if override else where
        if first["type"] == "extra_forbidden":
            *parents, last = (str(part) for part in first["loc"])
            known = list(_model_at(kind, parents).model_fields)
            prefix = ".".join([*parents, ""]) if override else ""
            cause = unknown_name(last, known, kind="setting", prefix=prefix)
            raise ConfigError(
                f"unknown setting {key!r}.", where=where, expected=cause.expected, fix=cause.fix
            ) from None
        wrong = f"{key} = {first.get('input')!r} does not fit"
        if first["type"] == "value_error":  # a check of several settings together says it all
            wrong = str(first["ctx"]["error"]) if "ctx" in first else first["msg"]
        raise ConfigError(
            wrong + (f" (and {n_others} more)." if n_others else "."),
            where=where,
            expected=expectation(kind, first),
            fix=f"correct {key or 'one of them'}",
        ) from None


def _cause(key: str, overrides: Sequence[str]) -> str | None:
    """The last of the `--set` texts that wrote `key`, a part of it, or a group around it."""
    for text in reversed(overrides):
        name = text.partition("=")[0].strip()
        if f"{key}.".startswith(f"{name}.") or name.startswith(f"{key}."):
            return text
    return None


def recipe_yaml(recipe: Recipe) -> str:
    """The resolved recipe as YAML text."""
    return dump_yaml(recipe.model_dump(mode="json"))


def assign(values: dict[str, Any], overrides: Iterable[str]) -> None:
    """Set `a.b=c`-style texts in nested plain data; values are read as YAML.

    Raises:
        ConfigError: A text is not an assignment, or goes through a value.
    """
    for text in overrides:
        key, equals, value = text.partition("=")
        if not equals or not key.strip():
            raise ConfigError(
                f"{text!r} is not an assignment.",
                where="--set",
                expected="key=value",
                fix="write for example --set train.lr=1e-3",
            )
        *parents, last = key.strip().split(".")
        inner = values
        for part in parents:
            inner = inner.setdefault(part, {})
            if not isinstance(inner, dict):
                raise ConfigError(
                    f"{part!r} holds a value, not settings.",
                    where=f"--set {text}",
                    expected="a group of settings",
                    fix="shorten the key",
                )
        inner[last] = parse_yaml(value, where=f"--set {text}")


def _model_at(model: type[BaseModel], location: Sequence[str]) -> type[BaseModel]:
    for part in location:
        model = cast(type[BaseModel], model.model_fields[part].annotation)
    return model
