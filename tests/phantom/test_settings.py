"""The knobs of the phantom: defaults per dimension, and combinations that are refused."""

import pytest
from pydantic import ValidationError

from segclf.core.config import validated
from segclf.core.errors import ConfigError
from segclf.phantom import PhantomSettings


def test_size_and_spacing_follow_the_number_of_dimensions():
    assert PhantomSettings().size_px == (96, 96)
    volume = PhantomSettings(spatial_dims=3)
    assert (volume.size_px, volume.spacing_mm) == ((48, 48, 24), (1.0, 1.0, 2.0))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"size_px": (96, 96, 4)}, r"size_px = \(96, 96, 4\) needs 2 numbers"),
        ({"size_px": (96, 8)}, "at least 16"),
        ({"spacing_mm": (1, 0)}, "needs positive numbers"),
        ({"n_held_out": 1, "n_heads": 3}, "n_held_out = 1 needs n_heads of at least 4"),
        ({"n_classes": 3, "n_unseen": 2}, "n_unseen = 2 leaves fewer than 2 of n_classes = 3"),
        ({"site": {}}, "at least 1"),
        ({"sex": {"F": 0}}, "greater than 0"),
        ({"rho": {"test": 1.5}}, "less than or equal to 1"),
    ],
)
def test_settings_that_cannot_be_drawn_are_refused_with_the_value(changes, words):
    with pytest.raises(ValidationError, match=words):
        PhantomSettings(**changes)


def test_a_misspelt_knob_is_named_with_the_nearest_one():
    with pytest.raises(ConfigError, match="unknown setting 'prevalance'") as caught:
        validated(PhantomSettings, {"prevalance": 0.1}, where="--set")
    assert "'prevalence'" in caught.value.fix


def test_validation_has_the_shortcut_of_train_unless_it_is_set():
    assert PhantomSettings().rho_of("val") == 0.9
    assert PhantomSettings(rho={"train": 0.7, "val": 0.6}).rho_of("val") == 0.6


def test_every_knob_is_explained():
    assert all(field.description for field in PhantomSettings.model_fields.values())
