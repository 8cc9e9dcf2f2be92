"""What `separability` draws, trains and compares; fixed before the results."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from segclf.core.atomic import hash_of
from segclf.phantom import PhantomSettings

HARD, CLEAR = "hard", "clear"
MARGIN = 0.25
"""A measured exponent is that of the prediction if its whole interval lies this near to it."""
MARGIN_SHARE = 0.15
"""The same for other numbers, relative to what is predicted."""


@dataclass(frozen=True)
class Separability:
    """The study; a cell is one phantom, drawn or trained on."""

    n_seeds: int = 5
    """Each is another phantom, and other weights."""
    areas: tuple[float, ...] = (0.002, 0.004, 0.008, 0.015, 0.03)
    """Area of the lesion as a share of the image."""
    n_images: int = 400
    n_draws: int = 30000
    """Most draws of each law that an estimate uses."""
    rho: float = 0.9
    """How often the tube agrees with the label where there is a shortcut."""
    prevalences: tuple[float, ...] = (0.5, 0.2, 0.05, 0.01)
    mixed: tuple[float, ...] = (0.03, 0.1, 0.3, 0.6)
    """Shares of target pixels at which the weight of the shortcut is measured; pixels are mixed
    again for it, since lesions of the phantom take 3 % at most."""
    phantom: Mapping[str, Any] = field(
        default_factory=lambda: {
            "size_px": [96, 96],
            "area_spread": 0.0,
            "images_per_patient": 1,
            "site": {"A": 1.0},
            "noise": 0.04,
            "tube_contrast": 0.12,
            "rho": {"train": 0.5, "val": 0.5, "test": 0.5},
        }
    )
    contrasts: Mapping[str, float] = field(default_factory=lambda: {HARD: 0.05, CLEAR: 0.2})
    """Per regime: a bit more than one standard deviation of the noise, and five of them."""
    trained_areas: tuple[float, ...] = (0.004, 0.01, 0.03)
    """At each of them networks are trained without the shortcut; at the middle one also with it."""
    trained_phantom: Mapping[str, Any] = field(
        default_factory=lambda: {
            "size_px": [64, 64],
            "area_spread": 0.0,
            "images_per_patient": 1,
            "n_cases": {"train": 300, "val": 120, "test": 400},
        }
    )
    overrides: tuple[str, ...] = (
        "train.steps=220",
        "train.validate_every=110",
        "train.warmup_steps=20",
        "network.options={encoder_depth: 3, decoder_channels: [48, 24, 16]}",
    )

    def drawn_phantom(self, regime: str, area: float, seed: int) -> PhantomSettings:
        """The phantom whose pixels are drawn; settings were tried out on other seeds."""
        own = {"seed": 300 + seed, "area_fraction": area, "contrast": self.contrasts[regime]}
        return PhantomSettings.model_validate({**self.phantom, **own})

    def network_phantom(self, area: float, rho: float, seed: int) -> PhantomSettings:
        """The phantom that networks are trained on; the shortcut is the same in every split."""
        own = {"seed": 200 + seed, "area_fraction": area}
        shares = dict.fromkeys(("train", "val", "test"), rho)
        return PhantomSettings.model_validate({**self.trained_phantom, **own, "rho": shares})

    def stamp(self) -> str:
        """Hash of what a cell's numbers depend on, beside its own name."""
        named = ("n_seeds", "areas", "trained_areas")
        values = {name: value for name, value in asdict(self).items() if name not in named}
        return hash_of(values)[:16]
