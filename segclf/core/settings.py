"""The settings of each stage: frozen models, every setting explained under itself."""

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from segclf.core.metric_settings import MetricSettings
from segclf.core.settings_base import Fraction, Positive, Settings, Switch


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
    seed: int | None = Field(default=None, ge=0)
    """Seed of the split; None takes the recipe's, so that another one keeps the split while the
    recipe's `seed` changes weights, batches and augmentation."""


class ImageSettings(Settings):
    """How files become arrays that a network sees."""

    spatial_dims: Literal[2, 3] = 2
    """2 for pictures, 3 for volumes."""
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
    decode_limit_s: float | None = Field(default=60.0, gt=0)
    """Time that one file may take to decode, in a process of its own; what crashes it or takes
    longer is set aside. null decodes without this protection."""


class AugmentSettings(Settings):
    """Random changes of training cases; the same for segmenter and classifier."""

    flip_axes: tuple[int, ...] = (1,)
    """Spatial axes that may be mirrored (0 is the first array axis); () for none."""
    rotate_degrees: float = Field(default=15.0, ge=0, le=180)
    """Largest angle of a random rotation, to either side; in 3D about each axis."""
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
    """Optimizer steps of the whole training, each on one batch."""
    batch_size: Positive = 16
    """Cases per step, over all devices."""
    lr: float = Field(default=1e-3, gt=0)
    """Learning rate after the warm-up; `schedule` lowers it from there."""
    optimizer: Literal["adamw", "adam", "sgd"] = "adamw"
    """Optimizer of PyTorch; `sgd` has Nesterov momentum of 0.9."""
    schedule: Literal["cosine", "constant", "poly"] = "cosine"
    """How the learning rate falls after the warm-up: as half a cosine, not at all, or as the power
    0.9 of what is left."""
    warmup_steps: int = Field(default=50, ge=0)
    """Steps over which the learning rate rises to `lr`; at most a quarter of all steps."""
    weight_decay: float = Field(default=1e-2, ge=0)
    """Weight decay: beside the gradient for `adamw`, in the gradient for `adam` and `sgd`."""
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
    """Latest resumable checkpoints that are kept; older ones are deleted, and all at the end."""
    precision: Literal["auto", "fp32", "bf16", "fp16"] = "auto"
    """`auto` picks bf16 where the hardware has it."""
    devices: Positive = 1
    """Processes, one per device; more than one are started with `torchrun`."""
    workers: int = Field(default=0, ge=0)
    """Processes that prepare cases; 0 prepares in the training process."""
    deterministic: Switch = True
    """Kernels that give the same bits each time; false may be faster on CUDA."""
    tensorboard: Switch = False
    """Also write TensorBoard event files; needs the extra `tensorboard`."""


class SegmentSettings(Settings):
    """What only the segmenter has."""

    patch_px: tuple[int, ...] | None = None
    """Train on crops of this shape; None trains on whole images."""
    foreground_share: Fraction = 0.5
    """Share of crops of positive cases that are centred on a positive pixel."""
    bias_from_prior: Switch = True
    """Start the output bias at the logit of the share of positive pixels in training masks."""
    strict_coarse: Switch = False
    """Take masks of the kinds point, box and dilated as full ones: every drawn pixel is
    foreground, every other background."""
    point_radius_px: float = Field(default=10.0, ge=0)
    """Radius around the pixels of a `point` mask within which nothing is known, in pixels of the
    input image."""
    refine_from: str | None = None
    """Run whose segmenter, trained on coarse masks, is fine-tuned with the masks that are full."""
    refine_weight: float = Field(default=10.0, ge=0)
    """With `refine_from`: weight of a pixel in which that segmenter and the full mask differ."""


class ClassifySettings(Settings):
    """The ordinary classifier on the same encoder."""

    head: str = "sigmoid"
    """`sigmoid` (findings, independent), `softmax` (findings that exclude each other, or one class
    column), `multihead` (several class columns), `metric` (an embedding: classes may be enrolled
    later) or `joint` (masks and findings together)."""
    dropout: float = Field(default=0.0, ge=0, lt=1)
    """Share of the pooled features that is dropped in each training step."""
    targets: tuple[str, ...] = ()
    """Columns `class_<head>` that are learned, by the name after `class_`; () is all of them for
    `multihead`, and the findings for `softmax`."""
    class_weights: Literal["none", "balanced"] = "none"
    """`balanced` weighs a training case of class k by n / (K n_k), so that rare classes count."""
    init_from: str | None = None
    """Run whose segmenter's encoder the training starts from; the method is then `<head>-init`."""
    joint_weight: float = Field(default=1.0, ge=0)
    """With `joint`: weight of the loss of the image labels beside that of the masks."""
    metric: MetricSettings = MetricSettings()

    @property
    def method(self) -> str:
        """Name in score tables, and of the folder below `classify/`."""
        return self.head if self.init_from is None else f"{self.head}-init"


class PredictSettings(Settings):
    """From a trained network to mask statistics."""

    batch_size: Positive = 16
    """Cases that the network sees at once; the classifier scores with it as well."""
    part_size: Positive = 512
    """Cases per Parquet part; a part is the unit of work that is committed or repeated."""
    patch_px: tuple[int, ...] | None = None
    """Sliding window of this shape; None uses the training crop for 3D, whole images in 2D."""
    overlap: float = Field(default=0.25, ge=0, lt=1)
    """Share of its side by which a sliding window overlaps its neighbour."""
    flip_tta: Switch = False
    """Average the logits over mirrored copies."""
    precision: Literal["auto", "fp32", "bf16", "fp16"] = "auto"
    """`auto` picks bf16 where the hardware has it."""
    component_t: float = 0.5
    """Probability threshold at which connected components are counted and outlines are compared;
    a value of the grid."""
    statistics: tuple[str, ...] = ()
    """Installed plug-ins (`segclf.mask_statistics`) that measure each map as well."""
    surface_tolerance_mm: float = Field(default=2.0, ge=0)
    """Distance up to which outlines agree, for the surface Dice. Take it from the disagreement
    between human readers, not from the results."""
    workers: int = Field(default=0, ge=0)
    """Processes that read cases; 0 reads in a thread beside the network."""


def _calibration_name(value: object) -> object:
    """`true` and `false`, which recipes had before there were several methods."""
    return {True: "platt", False: "none"}[value] if isinstance(value, bool) else value


Calibration = Annotated[
    Literal["platt", "isotonic", "temperature", "none"], BeforeValidator(_calibration_name)
]


class SummarizeSettings(Settings):
    """From mask statistics to a score and a decision."""

    objective: Literal["youden", "sensitivity", "specificity", "cost"] = "youden"
    """What a fitted threshold maximizes on validation cases."""
    target: Fraction | None = None
    """The sensitivity or specificity to reach, for those objectives."""
    cost_ratio: float = Field(default=1.0, gt=0)
    """Cost of a missed positive over the cost of a false alarm, for `cost`."""
    tau_unit: Literal["px", "mm2", "mL", "%"] = "px"
    """Unit of a fitted tau; a tau that is given brings its own."""
    calibrate: Calibration = "platt"
    """Curve from score to `probability`, fitted on validation cases: a logistic one (`platt`), a
    rising staircase (`isotonic`), one parameter on the logit of a score that is a probability
    (`temperature`), or `none`; true and false mean `platt` and `none`."""
    operating_points: dict[str, str] = Field(default_factory=dict)
    """More thresholds by name, fitted on validation cases and recorded: `rule_out:
    sensitivity=0.95`, `rule_in: specificity=0.98`, `youden`, `cost=10`. Decisions follow
    `objective`."""
    top_fraction: float = 0.01
    """Share of the most probable pixels that `topk` averages: 0.0001, 0.001, 0.01 or 0.1."""
    share_of: tuple[str, ...] = ()
    """Findings among which `share` shares; () for all."""
    fit_on: Literal["train", "val"] = "train"
    """Cases that a trained summarizer is fitted on. `val` uses labels of validation cases, half of
    whose patients then choose weights, threshold and calibration alone."""
    out_of_fold: Switch = False
    """Fit on maps of training cases from inner segmenters that did not train on them."""
    inner_folds: int = Field(default=3, ge=2)
    """Number of those inner segmenters; each leaves out its share of the training patients."""
    steps: Positive | None = None
    """Optimizer steps of a trained summarizer; None takes `train.steps`."""
    grid_px: Positive = 32
    """Side of the fixed grid that `fc` reads; feature maps are never kept finer than it."""
    with_image: Switch = False
    """`squeezenet` and `resnet50` read the image beside the probability maps."""
    store_gib: float = Field(default=8.0, gt=0)
    """Most disk space that maps or embeddings may take while a summarizer is trained."""


class EvaluateSettings(Settings):
    """Groups, intervals, comparisons and shortcuts."""

    by: tuple[str, ...] = ()
    """Columns to compare groups by; `age_years:[0,40),[40,60),[60,)` or `age_years:quantiles=4`
    cuts a number, `sex*site` intersects, `tube+wire` makes slices that may overlap."""
    shortcut: str | None = None
    """Column of a feature that should not matter; 1 = present. `tube` or `tube=1`."""
    unit: Literal["patient", "volume", "case"] = "patient"
    """What is drawn independently: patients, the column `volume_id`, or every case."""
    interval: Literal["auto", "percentile", "bca", "delong"] = "auto"
    """`auto` takes the formulas whose coverage was simulated, and the percentile bootstrap for the
    rest; `percentile` and `bca` resample for all; `delong` ignores patients, as other tools do."""
    n_boot: Positive = 1000
    """Bootstrap resamples of the patients, and permutations of heterogeneity tests."""
    confidence: float = Field(default=0.95, gt=0, lt=1)
    """Level of the intervals."""
    min_group: Positive = 5
    """Fewest positive and negative patients for an estimate; below it the row says why."""
    threshold_from: str | None = None
    """Choose decision thresholds anew: `val`, `val:specificity=0.9`; None keeps the tables' own."""
    exploratory: Switch = False
    """Allow thresholds chosen on test cases; every output is then marked."""
    deploy_prevalence: float | None = Field(default=None, gt=0, lt=1)
    """Share of positives where the method will be used, for PPV, NPV, Brier and net benefit."""
    net_benefit_at: tuple[Annotated[float, Field(gt=0, lt=1)], ...] = (0.05, 0.1, 0.2, 0.3, 0.5)
    """Threshold probabilities of the net benefit."""
    margins: dict[str, Annotated[float, Field(gt=0)]] = Field(default_factory=dict)
    """Smallest difference of a metric that would matter, set before the results: `auroc: 0.03`."""
    prespecified: tuple[str, ...] = ()
    """Columns of `by` whose comparisons form one declared family, adjusted by Holm together."""
