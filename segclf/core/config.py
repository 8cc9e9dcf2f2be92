"""The recipe: one frozen model per stage, every setting explained under itself."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from segclf.core.catalog import unknown_name
from segclf.core.errors import ConfigError
from segclf.core.strict_yaml import dump_yaml, parse_yaml, read_yaml

Fraction = Annotated[float, Field(ge=0, le=1)]
Positive = Annotated[int, Field(ge=1)]
Role = Literal["id", "patient", "acquisition", "derived", "ignored"]


S = TypeVar("S", bound=BaseModel)


class Settings(BaseModel):
    """Base of all settings: frozen, and unknown keys are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


class SplitSettings(Settings):
    """Which patients train, validate and test."""

    fractions: tuple[Fraction, Fraction, Fraction] = (0.6, 0.2, 0.2)
    """Shares of patients in train, val and test; used without folds."""
    folds: int | None = Field(default=None, ge=2)
    """Number of cross-validation folds; each fold is once the test set."""
    fold_file: str | None = None
    """CSV with `patient_id` and `fold` that fixes the folds; path like `manifest`."""
    val_fraction: Fraction = 0.2
    """With folds: share of the remaining patients that validate."""


class ImageSettings(Settings):
    """How files become arrays that a network sees."""

    spatial_dims: Literal[2, 3] = 2
    size_px: tuple[int, ...] | None = None
    """Every image is resized to this shape (rows, columns or x, y, z); None keeps its own."""
    spacing_mm: tuple[float, ...] | None = None
    """Resample to this spacing first; needs a spacing in the file or the manifest."""
    intensity: Literal["minmax", "zscore", "percentile", "window"] = "percentile"
    """`percentile` maps the 0.5th to the 99.5th percentile of each image to [0, 1]."""
    window: tuple[float, float] | None = None
    """Lower and upper intensity for `intensity: window`."""
    cache_gib: float = Field(default=2.0, ge=0)
    """Prepared cases are kept in memory up to this budget, beyond it on disk in the run."""


class AugmentSettings(Settings):
    """Random changes of training cases; the same for segmenter and classifier."""

    flip_axes: tuple[int, ...] = (1,)
    """Spatial axes that may be mirrored (0 is the first array axis); () for none."""
    rotate_degrees: float = Field(default=15.0, ge=0, le=180)
    scale: float = Field(default=0.1, ge=0, lt=1)
    """Zoom drawn from 1 - scale to 1 + scale."""
    shift: float = Field(default=0.05, ge=0, lt=1)
    """Shift as a share of the image side."""
    intensity: float = Field(default=0.15, ge=0, lt=1)
    """Contrast and brightness drawn from 1 -/+ intensity."""
    noise: float = Field(default=0.02, ge=0)
    """Standard deviation of Gaussian noise, on intensities scaled to about [0, 1]."""
    probability: Fraction = 0.5
    """Chance that each kind of change is applied to a case."""


class NetworkSettings(Settings):
    """The segmentation network, and the encoder that the classifier shares with it."""

    name: str = "unet"
    """SMP architecture (`unet`, `fpn`, …) or `monai_unet`, `basicunet`, `dynunet`, `segresnet`,
    `attentionunet`, `swinunetr`."""
    encoder: str = "resnet18"
    """SMP encoder; MONAI networks have their own and ignore it."""
    pretrained: str | None = None
    """None trains from scratch; `imagenet`, or the path of a safetensors file, loads encoder
    weights, the same for segmenter and classifier."""
    options: dict[str, Any] = Field(default_factory=dict)
    """Keyword arguments handed to the library's constructor."""


class LossSettings(Settings):
    """What the segmenter minimizes."""

    name: str = "dice_ce"
    """`ce` (BCE, or cross-entropy of exclusive findings), `dice`, `dice_ce`, `focal`,
    `tversky`."""
    options: dict[str, Any] = Field(default_factory=dict)
    """Keyword arguments of the loss."""


class TrainSettings(Settings):
    """The training loop; segmenter and classifier use the same."""

    steps: Positive = 800
    batch_size: Positive = 16
    lr: float = Field(default=1e-3, gt=0)
    optimizer: Literal["adamw", "adam", "sgd"] = "adamw"
    schedule: Literal["cosine", "constant", "poly"] = "cosine"
    warmup_steps: int = Field(default=50, ge=0)
    weight_decay: float = Field(default=1e-2, ge=0)
    clip_norm: float | None = Field(default=1.0, gt=0)
    """Largest norm of the gradient; None does not clip."""
    ema: float | None = Field(default=None, gt=0, lt=1)
    """Decay of the moving average of weights that is validated and kept; None for none."""
    positive_share: Fraction | None = 0.5
    """Share of each batch drawn from cases with a positive label; None samples uniformly."""
    validate_every: Positive = 100
    """Steps between validations."""
    patience: int | None = Field(default=None, ge=1)
    """Stop after this many validations without a better one; None trains to the end."""
    select_by: Literal["auroc", "dice"] = "auroc"
    """Validation quantity that picks the kept weights: AUROC of the image score, or Dice."""
    checkpoint_every: Positive = 100
    """Steps between resumable checkpoints."""
    keep_checkpoints: Positive = 2
    precision: Literal["auto", "fp32", "bf16", "fp16"] = "auto"
    """`auto` picks bf16 where the hardware has it."""
    devices: Positive = 1
    workers: int = Field(default=0, ge=0)
    """Processes that prepare cases; 0 prepares in the training process."""
    deterministic: bool = True


class SegmentSettings(Settings):
    """What only the segmenter has."""

    patch_px: tuple[int, ...] | None = None
    """Train on crops of this shape; None trains on whole images."""
    foreground_share: Fraction = 0.5
    """Share of crops of positive cases that are centred on a positive pixel."""
    bias_from_prior: bool = True
    """Start the output bias at the logit of the share of positive pixels in training masks."""


class ClassifySettings(Settings):
    """The ordinary classifier on the same encoder."""

    head: str = "sigmoid"
    """`sigmoid` (one independent output per finding) or `softmax` (exclusive)."""
    dropout: float = Field(default=0.0, ge=0, lt=1)


class PredictSettings(Settings):
    """From a trained network to mask statistics."""

    batch_size: Positive = 16
    part_size: Positive = 512
    """Cases per Parquet part; a part is the unit of work that is committed or repeated."""
    patch_px: tuple[int, ...] | None = None
    """Sliding window of this shape; None uses the training crop for 3D, whole images in 2D."""
    overlap: float = Field(default=0.25, ge=0, lt=1)
    flip_tta: bool = False
    """Average the logits over mirrored copies."""
    precision: Literal["auto", "fp32", "bf16", "fp16"] = "auto"
    component_t: float = 0.5
    """Probability threshold at which connected components are counted; a value of the grid."""
    workers: int = Field(default=0, ge=0)


class SummarizeSettings(Settings):
    """From mask statistics to a score and a decision."""

    objective: Literal["youden", "sensitivity", "specificity", "cost"] = "youden"
    """What a fitted threshold maximizes on validation cases."""
    target: Fraction | None = None
    """The sensitivity or specificity to reach, for those objectives."""
    cost_ratio: float = Field(default=1.0, gt=0)
    """Cost of a missed positive over the cost of a false alarm, for `cost`."""


class EvaluateSettings(Settings):
    """Groups, intervals and shortcuts."""

    by: tuple[str, ...] = ()
    """Columns to compare groups by; `age_years:[0,40),[40,60),[60,)` cuts a number."""
    shortcut: str | None = None
    """Column of a feature that should not matter; 1 = present. `tube` or `tube=1`."""
    n_boot: Positive = 1000
    confidence: float = Field(default=0.95, gt=0, lt=1)
    min_group: Positive = 5
    """Fewest positive and negative patients for an estimate; below it the row says why."""


class Recipe(Settings):
    """Everything that defines an experiment; one YAML file."""

    name: str = Field(default="run", pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")
    """Name of the run folder under `runs/`."""
    seed: int = Field(default=0, ge=0)
    manifest: str | None = None
    """CSV or Parquet, one row per case; `${NAME}` environment variables are expanded."""
    data_root: str | None = None
    """Folder that every path of the manifest stays inside; default: the manifest's folder."""
    data: Literal["user", "phantom"] = "user"
    """`phantom` marks every output as made from the built-in synthetic data."""
    columns: dict[str, str] = Field(default_factory=dict)
    """Role to header, e.g. `label.lesion: lesion_present`, `patient_id: subject`; wins over
    names."""
    findings: tuple[str, ...] | None = None
    """What is looked for; default: the suffixes of `mask_*` and `label_*`, else `target`."""
    exclusive: bool = False
    """Findings exclude each other at a pixel (softmax with background) instead of independent."""
    mask_values: dict[int, str] = Field(default_factory=dict)
    """Pixel value to finding, for integer maps; binary masks need none."""
    mask_class: str | None = None
    """Column whose category the mask pixels take (the mask outlines the lesion whatever it is)."""
    mask_class_empty: tuple[str, ...] = ()
    """Categories of `mask_class` whose mask is empty, e.g. `normal`."""
    roles: dict[str, Role] = Field(default_factory=dict)
    """Role of metadata columns; `derived` ones are made from the answer."""
    unit_name: str = "patient"
    """What `patient_id` really identifies, for the words of the report."""
    split: SplitSettings = SplitSettings()
    image: ImageSettings = ImageSettings()
    augment: AugmentSettings = AugmentSettings()
    network: NetworkSettings = NetworkSettings()
    loss: LossSettings = LossSettings()
    train: TrainSettings = TrainSettings()
    segment: SegmentSettings = SegmentSettings()
    classify: ClassifySettings = ClassifySettings()
    predict: PredictSettings = PredictSettings()
    summarize: SummarizeSettings = SummarizeSettings()
    evaluate: EvaluateSettings = EvaluateSettings()


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
    return make_recipe(values, where=where)


def make_recipe(values: Mapping[str, Any], *, where: str) -> Recipe:
    """A checked recipe from plain data; every problem is named with its key."""
    return validated(Recipe, values, where=where)


def validated(kind: type[S], values: Mapping[str, Any], *, where: str) -> S:
    """Settings of `kind` from plain data.

    Raises:
        ConfigError: A key is unknown or a value does not fit; the message names the key.
    """
    try:
        return kind.model_validate(dict(values))
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"])
        if first["type"] == "extra_forbidden":
            parent = _fields_at(kind, first["loc"][:-1])
            cause = unknown_name(str(first["loc"][-1]), parent, kind="setting")
            raise ConfigError(
                f"unknown setting {key!r}.", where=where, expected=cause.expected, fix=cause.fix
            ) from None
        others = len(error.errors()) - 1
        raise ConfigError(
            f"{key} = {first.get('input')!r} does not fit"
            + (f" (and {others} more problems)." if others else "."),
            where=where,
            expected=first["msg"],
            fix=f"correct {key}",
        ) from None


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


def _fields_at(model: type[BaseModel], location: tuple[int | str, ...]) -> list[str]:
    for part in location:
        field = model.model_fields.get(str(part))
        annotation = field.annotation if field else None
        if not (isinstance(annotation, type) and issubclass(annotation, BaseModel)):
            return []
        model = annotation
    return list(model.model_fields)
