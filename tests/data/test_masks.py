import numpy as np
import pytest

from segclf.core.errors import CaseError
from segclf.core.records import Case, MaskSource, MaskState
from segclf.data import read_truth
from segclf.data.masks import finding_planes

IMAGE = np.zeros((2, 3), dtype=np.uint8)
MAP = np.array([[0, 1, 2], [2, 2, 0]], dtype=np.uint8)


def test_the_three_states_are_a_plane_zeros_and_none(write_case):
    mask = np.array([[0, 255, 0], [0, 0, 255]], dtype=np.uint8)
    states = (mask, MaskState.EMPTY, MaskState.UNKNOWN)
    case = write_case("a", IMAGE, masks=states, labels=(1.0, 0.0, float("nan")))
    drawn, empty, unknown = read_truth(case, (2, 3))
    np.testing.assert_array_equal(drawn, [[0, 1, 0], [0, 0, 1]])
    assert drawn.dtype == np.uint8
    np.testing.assert_array_equal(empty, np.zeros((2, 3)))
    assert unknown is None


def test_one_integer_map_gives_a_plane_per_finding(write_case):
    case = write_case("a", IMAGE, masks=(MAP,), values=((1,),))
    path = case.masks[0].path
    sources = tuple(MaskSource(MaskState.DRAWN, path, values) for values in ((1,), (2,), (1, 2)))
    both = Case("a", case.images, sources, (1.0, 1.0, 1.0), "a")
    one, two, either = read_truth(both, (2, 3))
    np.testing.assert_array_equal(one, MAP == 1)
    np.testing.assert_array_equal(two, MAP == 2)
    np.testing.assert_array_equal(either, MAP > 0)


def test_a_mask_that_is_not_binary_is_refused_with_its_values(write_case):
    case = write_case("a", IMAGE, masks=(MAP,))
    with pytest.raises(CaseError, match=r"values 0, 1, 2\.") as caught:
        read_truth(case, (2, 3))
    assert caught.value.reason == "mask_values"
    assert "mask_values: {1: lesion}" in str(caught.value)


def test_a_value_that_the_recipe_does_not_name_is_refused(write_case):
    case = write_case("a", IMAGE, masks=(MAP,), values=((1,),))
    assert finding_planes(case, (2, 3), named=(1, 2))[0].sum() == 1
    with pytest.raises(CaseError, match=r"only the named values \[0, 1\]"):
        finding_planes(case, (2, 3), named=(1,))


def test_a_mask_of_another_shape_is_refused_with_both_shapes(write_case):
    case = write_case("a", IMAGE, masks=(MAP,), values=((1,),))
    with pytest.raises(CaseError, match=r"\(2, 3\), the image \(4, 4\)") as caught:
        read_truth(case, (4, 4))
    assert caught.value.reason == "shape_mismatch"
    assert "case a, mask a_mask0.png" in str(caught.value)
