import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from segclf.core.errors import UsageError
from segclf.core.units import Area, convert_px, parse_area


@pytest.mark.parametrize(
    ("text", "value", "unit"),
    [
        ("20px", 20.0, "px"),
        (" 35 mm2 ", 35.0, "mm2"),
        ("35mm²", 35.0, "mm2"),
        ("1.5mL", 1.5, "mL"),
        ("1.5ml", 1.5, "mL"),
        ("0.1%", 0.1, "%"),
        (".5PX", 0.5, "px"),
        ("1e3px", 1000.0, "px"),
        ("0px", 0.0, "px"),
    ],
)
def test_areas_are_read_as_people_write_them(text, value, unit):
    assert parse_area(text) == Area(value, unit)


@pytest.mark.parametrize("text", ["20", "px", "-3px", "20 cm2", "20px px", "", "nanpx", "1e999px"])
def test_what_is_not_an_area_is_refused_with_examples(text):
    with pytest.raises(UsageError) as caught:
        parse_area(text)
    assert caught.value.wrong == f"{text!r} is not an area."
    assert caught.value.where == "--tau"
    assert caught.value.fix == "write for example 20px, 35mm2, 1.5mL or 0.1%"


@given(
    st.floats(min_value=0, allow_nan=False, allow_infinity=False),
    st.sampled_from(["px", "mm2", "mL", "%"]),
)
def test_an_area_printed_and_read_again_is_the_same(value, unit):
    assert parse_area(str(Area(value, unit))) == Area(value, unit)


def test_an_area_is_printed_as_it_would_be_typed():
    assert [str(Area(20.0, "px")), str(Area(0.1, "%"))] == ["20px", "0.1%"]


def test_pixels_become_millimetres_millilitres_and_per_cent():
    n_px, image_px = np.array([0, 50]), np.array([100, 200])
    px_size = np.array([0.25, 2.0])

    def convert(unit):
        return convert_px(n_px, unit=unit, image_px=image_px, px_size=px_size).tolist()

    assert convert("px") == [0.0, 50.0]
    assert convert("mm2") == [0.0, 100.0]  # 50 pixels of 2 mm2
    assert convert("mL") == [0.0, 0.1]  # 50 voxels of 2 mm3 are 100 mm3
    assert convert("%") == [0.0, 25.0]


def test_an_unknown_pixel_size_gives_nan_in_millimetres_only():
    sizes = {"image_px": np.array([100]), "px_size": np.array([np.nan])}
    assert np.isnan(convert_px(np.array([5]), unit="mm2", **sizes)).all()
    assert convert_px(np.array([5]), unit="px", **sizes).tolist() == [5.0]
    assert convert_px(np.array([5]), unit="%", **sizes).tolist() == [5.0]


def test_an_unknown_unit_is_refused():
    with pytest.raises(ValueError, match="got 'cm2'"):
        convert_px(np.array([1]), unit="cm2", image_px=np.array([1]), px_size=np.array([1.0]))
