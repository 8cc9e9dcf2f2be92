"""The studies on volumes: agreement by hand, sections that read, and one tiny run of each."""

import numpy as np
import pytest

from segclf.study import volumes_proof
from segclf.study.volumes_proof import agreement
from segclf.study.volumes_section import ct_section, hippocampus_section


def test_bias_and_limits_of_agreement_are_those_by_hand():
    predicted, true = np.array([1.0, 2.0, 3.0, 6.0]), np.array([1.0, 1.0, 1.0, 3.0])
    # differences 0, 1, 2, 3: mean 1.5, standard deviation 1.29099; t(0.975, 3) = 3.18245
    found = agreement(predicted, true)
    assert found["n"] == 4
    assert found["mean"] == 1.5
    assert found["bias"] == 1.5
    assert found["lo"] == pytest.approx(1.5 - 3.18245 * 1.29099 / 2, abs=1e-4)
    assert found["hi"] == pytest.approx(1.5 + 3.18245 * 1.29099 / 2, abs=1e-4)
    assert found["lower"] == pytest.approx(1.5 - 1.96 * 1.29099, abs=1e-4)
    assert found["upper"] == pytest.approx(1.5 + 1.96 * 1.29099, abs=1e-4)
    assert agreement(predicted[:1], true[:1])["bias"] is None


def row(estimate, lo=None, hi=None):
    return {
        "estimate": estimate, "lo": lo, "hi": hi, "n_cases": 75, "n_positive": 36,
        "n_positive_patients": 36, "n_negative_patients": 39, "reason": "",
    }  # fmt: skip


def ct_entry(first="slices"):
    pair = {"first": first, "second": "x", "difference": 0.1, "lo": -0.02, "hi": 0.22, "reason": ""}
    one = {"3D": row(0.7, 0.6, 0.8), "slices": row(0.8, 0.7, 0.9), "difference": pair}
    return {
        "n_folds": 5, "rules": {"max": one | {"p": 0.1, "p_adjusted": 0.3}},
        "dice": {"3D": {"haemorrhage": row(0.2, 0.1, 0.3)}}, "cpu_s": {"3D": [60.0, 120.0]},
        "overrides": {"3D": ["train.steps=2"], "slices": []}, "steps": {"3D": 2},
    }  # fmt: skip


def test_the_section_tells_3d_minus_slices_whatever_comes_first():
    text = ct_section("Title", ct_entry())
    assert (
        "| max | 0.700 (0.600 to 0.800) | 0.800 (0.700 to 0.900) | -0.100 (-0.220 to +0.020) "
        "| 0.300 |" in text
    )
    assert "| +0.100 (" not in text
    assert "+0.100 (-0.020 to +0.220)" in ct_section("Title", ct_entry("3D"))
    assert "1.5 CPU-minutes per fold (2 steps)" in text
    assert "| 3D | 0.200 (0.100 to 0.300) | 36 |" in text
    assert "hardly agree" not in text


def test_networks_that_have_not_learned_are_said_to_show_little():
    poor = {"3D": {"haemorrhage": row(0.05)}, "slices": {"haemorrhage": row(0.1)}}
    text = ct_section("Title", ct_entry() | {"dice": poor})
    assert "(Dice below 0.2): with this budget the comparison says little" in text


def test_sections_say_what_has_not_run():
    assert "Not run." in ct_section("Title", None)
    assert "Not run." in hippocampus_section("Title", None)


def test_the_hippocampus_tells_ml_and_no_auroc():
    ml = {"n": 44, "mean": 1.6, "bias": -0.1, "lo": -0.2, "hi": 0.0, "lower": -0.5, "upper": 0.3}
    entry = {
        "n_folds": 2, "steps": 200, "dice": {"anterior": row(0.8, 0.7, 0.9)},
        "ml": {"anterior": ml}, "cpu_s": {"3D": [60.0, None]},
    }  # fmt: skip
    text = hippocampus_section("Title", entry)
    assert (
        "| anterior | 44 | 0.800 (0.700 to 0.900) | 1.60 | -0.10 (-0.20 to +0.00) | -0.50 to +0.30"
        in text
    )
    assert "So far 2 of five folds." in text
    assert "AUROC |" not in text


def test_the_networks_of_the_study_can_be_built():
    from pathlib import Path

    from segclf.core.config import load_recipe
    from segclf.networks import check_network

    root = Path(__file__).parents[2] / "configs"
    for arm in (*volumes_proof.ARMS.values(), volumes_proof.HIPPOCAMPUS):
        recipe = load_recipe(root / f"{arm.config}.yaml", arm.overrides)
        check_network(recipe.network, spatial_dims=recipe.image.spatial_dims)
