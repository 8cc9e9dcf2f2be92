"""The settings of semi-supervised training."""

from pydantic import Field

from segclf.core.settings_base import Fraction, Positive, Settings, Switch


class SemiSettings(Settings):
    """Training cases without a mask join the training of the segmenter (docs/semi.md)."""

    method: str | None = None
    """`mean_teacher`, `uncertainty_mean_teacher`, `cps`, `fixmatch`, `two_step` or `pseudo`; None
    trains on masks alone."""
    boosted: Switch = False
    """Image labels correct what the unlabelled cases teach: see the rules of the method."""
    rounds: Positive = 1
    """Of `pseudo` and `two_step`: trainings from scratch, each on masks of the one before."""
    ratio: float = Field(default=0.5, gt=0, lt=1)
    """Share of each batch drawn from cases in which the mask of a finding is not known."""
    weight: float = Field(default=1.0, ge=0)
    """Weight of the unlabelled loss beside the loss of the masks, once the ramp has ended."""
    ramp: Fraction = 0.4
    """Share of the steps over which that weight rises; 0 starts with the full weight."""
    ema: float = Field(default=0.99, ge=0, lt=1)
    """Decay of the teacher's weights (`mean_teacher`, `uncertainty_mean_teacher`)."""
    noise: float = Field(default=0.05, ge=0)
    """Standard deviation of the Gaussian noise of a perturbed view, on intensities scaled to about
    [0, 1]; cut at twice that."""
    strength: float = Field(default=0.5, ge=0, lt=1)
    """Contrast and brightness of the strongly changed view are drawn from 1 -/+ strength
    (`fixmatch`, `two_step`)."""
    passes: Positive = 8
    """Passes of the noisy teacher (`uncertainty_mean_teacher`)."""
    confidence: float | None = Field(default=None, ge=0.5, lt=1)
    """Pixels whose more probable side is at most this probable are left out; None takes 0.95 for
    `fixmatch` and 0.65 elsewhere (`two_step`; `boosted` where the label is not known)."""
    soft: Switch = False
    """Of `pseudo`: learn probabilities instead of hard masks; `two_step` always does."""
    least_area: Fraction = 0.0
    """With `boosted`: a target whose share of the image is at most this misses a finding that the
    label says is there, and teaches nothing (`mean_teacher` to `fixmatch`)."""
