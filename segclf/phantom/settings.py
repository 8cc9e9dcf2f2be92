"""The knobs of the phantom data set, each explained under itself."""

from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from segclf.core.settings import Fraction, Positive, Settings

Split = Literal["train", "val", "test"]
SPLITS: tuple[Split, ...] = ("train", "val", "test")
Shares = Annotated[dict[str, Annotated[float, Field(gt=0)]], Field(min_length=1)]


class SplitSizes(Settings):
    """Number of images per split."""

    train: Positive = 320
    val: Positive = 120
    test: Positive = 400
    """Large enough that every sex, site and shortcut cell can be estimated."""


class ShortcutShares(Settings):
    """rho = P(shortcut = label) per split; 0.5 makes them independent."""

    train: Fraction = 0.9
    val: Fraction | None = None
    """None takes the value of train: whoever picks a model does not see the shift either."""
    test: Fraction = 0.5


class PhantomSettings(Settings):
    """The whole phantom data set; the defaults are the 2D data of the demo."""

    seed: int = Field(default=0, ge=0)
    """Every pixel and every table entry follows from it."""
    n_cases: SplitSizes = SplitSizes()
    """Number of images per split; a case is the same whatever these are."""
    images_per_patient: Positive = 2
    """Images of one patient share anatomy, sex, site and age; the last patient of a split may
    have fewer."""
    spatial_dims: Literal[2, 3] = 2
    """2 writes 8-bit PNG, 3 writes NIfTI."""
    size_px: tuple[int, ...] = ()
    """Shape of every image, at least 16 per axis; default 96 x 96, or 48 x 48 x 24 in 3D."""
    spacing_mm: tuple[float, ...] = ()
    """Distance of pixel centres; default 1 mm in the plane, 2 mm between the slices of 3D.
    PNG cannot hold it, so in 2D the manifest does."""
    n_findings: int = Field(default=1, ge=1, le=4)
    """What is looked for: lesion, edema, cyst, calcification, in this order; they may overlap."""
    prevalence: float = Field(default=0.5, gt=0, lt=1)
    """P(label = 1) per image and finding; labels of one patient's images are alike."""
    area_fraction: float = Field(default=0.005, ge=0.001, le=0.2)
    """Median share of the image that a lesion takes."""
    area_spread: float = Field(default=0.6, ge=0, le=2)
    """Standard deviation of the log of that share, which is cut to 0.1 % to 3 %, or to
    twice the median where that is above 3 %."""
    elongation: float = Field(default=1, ge=1, le=20)
    """Length of a lesion over its width, beside a little chance. Above 1 it lies at any angle, so
    that its bounding box is mostly background."""
    contrast: float = Field(default=0.36, gt=0, le=1)
    """Intensity that a lesion adds, where the whole range of the image is 1."""
    noise: float = Field(default=0.05, ge=0, le=0.5)
    """Standard deviation of the correlated noise, on the same range."""
    noise_px: float = Field(default=1.3, ge=0, le=10)
    """Correlation length of the noise: close to the lesion's radius it hides lesions best."""
    tube_contrast: float = Field(default=0.45, gt=0, le=1)
    """Intensity that the shortcut, a thin tube, adds."""
    rho: ShortcutShares = ShortcutShares()
    """How often the shortcut agrees with the label of the first finding."""
    sex: Shares = Field(default={"F": 0.5, "M": 0.5})
    """Frequency of each sex; the first one has the smaller body."""
    site: Shares = Field(default={"A": 0.5, "B": 0.3, "C": 0.2})
    """Frequency of each site; each has its own gamma and noise."""
    n_heads: int = Field(default=0, ge=0, le=8)
    """Exclusive heads of three categories (`class_density`, …), each visible in the image."""
    n_held_out: int = Field(default=0, ge=0, le=6)
    """Combinations of texture, habitus and stripes that occur in the test split alone."""
    n_classes: int = Field(default=0, ge=0, le=32)
    """Categories of `class_kind`, drawn as a disc whose rings spell the category; 0 for none."""
    n_unseen: int = Field(default=0, ge=0)
    """How many of them, the last ones, occur in the test split alone."""
    missing_masks: Fraction = 0.0
    """Share of the drawn masks of training cases that are left out (blank in the manifest)."""
    missing_labels: Fraction = 0.0
    """Share of the labels and categories of training cases that are left out."""

    @model_validator(mode="before")
    @classmethod
    def _fill(cls, values: Any) -> Any:  # noqa: ANN401
        if not isinstance(values, dict):
            return values
        is_volume = values.get("spatial_dims", 2) == 3
        size_px, spacing_mm = (
            ((48, 48, 24), (1.0, 1.0, 2.0)) if is_volume else ((96, 96), (1.0, 1.0))
        )
        return {"size_px": size_px, "spacing_mm": spacing_mm} | values

    @model_validator(mode="after")
    def _check(self) -> Self:
        for name in ("size_px", "spacing_mm"):
            if len(value := getattr(self, name)) != self.spatial_dims:
                raise ValueError(f"{name} = {value} needs {self.spatial_dims} numbers")
        if min(self.size_px) < 16:
            raise ValueError(f"size_px = {self.size_px} needs at least 16 per axis")
        if min(self.spacing_mm) <= 0:
            raise ValueError(f"spacing_mm = {self.spacing_mm} needs positive numbers")
        if self.n_held_out and self.n_heads < 4:
            raise ValueError(f"n_held_out = {self.n_held_out} needs n_heads of at least 4")
        if self.n_unseen and self.n_unseen > self.n_classes - 2:
            raise ValueError(
                f"n_unseen = {self.n_unseen} leaves fewer than 2 of n_classes = {self.n_classes}"
            )
        return self

    def rho_of(self, split: Split) -> float:
        """P(shortcut = label) in `split`."""
        rho = getattr(self.rho, split)
        return self.rho.train if rho is None else rho
