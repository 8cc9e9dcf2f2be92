import numpy as np
import pytest

from segclf.core.errors import UsageError
from segclf.core.maskstats import THRESHOLDS
from segclf.summarize.area import area_above, component_area, largest_component

FALLING = np.arange(129)[::-1]  # 128 pixels above the first t, 64 above 0.5, 0 above the last


def test_the_area_is_read_from_the_curve_at_t(statistics):
    stats = statistics([{"area": FALLING}, {"area": 3}])
    assert area_above(stats, finding="lesion", t=0.5).tolist() == [64.0, 3.0]
    assert area_above(stats, finding="lesion", t=float(THRESHOLDS[100])).tolist() == [28.0, 3.0]
    assert area_above(stats, finding="lesion", t=None).tolist() == [64.0, 3.0]


def test_a_t_off_the_grid_is_refused_with_its_neighbours(statistics):
    with pytest.raises(UsageError, match=r"use 0\.473 or 0\.5"):
        area_above(statistics([{}]), finding="lesion", t=0.49)


def test_the_area_is_given_in_the_unit_asked_for(statistics):
    stats = statistics([{"area": 50, "n_px": 200, "px_size": 0.5}])
    assert area_above(stats, finding="lesion", t=0.5, unit="mm2").tolist() == [25.0]
    assert area_above(stats, finding="lesion", t=0.5, unit="%").tolist() == [25.0]
    volume = statistics([{"area": 50, "px_size": 20.0, "is_volume": True}])
    assert area_above(volume, finding="lesion", t=0.5, unit="mL").tolist() == [1.0]


@pytest.mark.parametrize(
    ("unit", "is_volume", "wrong"),
    [
        ("mm2", True, "2 of 2 cases are volumes, which have no size in mm2."),
        ("mL", False, "2 of 2 cases are 2D images, which have no size in mL."),
    ],
)
def test_a_unit_of_another_dimension_is_refused(statistics, unit, is_volume, wrong):
    with pytest.raises(UsageError) as caught:
        area_above(statistics([{"is_volume": is_volume}] * 2), finding="lesion", t=0.5, unit=unit)
    assert caught.value.wrong == wrong
    assert caught.value.fix == f"give tau in {'mL' if is_volume else 'mm2'}, px or %"


def test_millimetres_without_a_pixel_size_say_how_many_cases_lack_it(statistics):
    stats = statistics([{"px_size": np.nan}, {}, {"px_size": np.nan}])
    with pytest.raises(UsageError) as caught:
        area_above(stats, finding="lesion", t=0.5, unit="mm2")
    assert caught.value.wrong == "2 of 3 cases have no known pixel size."
    assert "spacing_mm" in caught.value.fix
    assert area_above(stats, finding="lesion", t=0.5, unit="px").tolist() == [0.0] * 3


def test_another_finding_does_not_need_a_pixel_size(statistics):
    stats = statistics([{"area": 4}, {"finding": "other", "px_size": np.nan}])
    assert area_above(stats, finding="lesion", t=0.5, unit="mm2").tolist() == [4.0]


def test_the_largest_component_is_scored_in_pixels_and_compared_in_any_unit(statistics):
    stats = statistics([{"largest_component_px": 7, "px_size": 0.5}, {}])
    assert largest_component(stats, finding="lesion").tolist() == [7.0, 0.0]
    assert component_area(stats, finding="lesion", unit="mm2").tolist() == [3.5, 0.0]
    assert component_area(stats, finding="lesion", t=0.5).tolist() == [7.0, 0.0]


def test_the_largest_component_at_another_t_needs_another_prediction(statistics):
    with pytest.raises(UsageError) as caught:
        component_area(statistics([{}]), finding="lesion", t=float(THRESHOLDS[80]))
    assert caught.value.wrong == "the largest component was counted at t = 0.5, not at 0.849."
    assert caught.value.fix.endswith("--set predict.component_t=0.849")


def test_components_counted_at_several_t_are_refused(statistics):
    stats = statistics([{}, {"component_t": float(THRESHOLDS[80])}])
    with pytest.raises(UsageError, match=r"counted at t = 0\.5, 0\.849\."):
        component_area(stats, finding="lesion")
