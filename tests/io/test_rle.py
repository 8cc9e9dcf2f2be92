"""Run lengths and polygons: pycocotools and numbers by hand as witnesses, hostile codes refused."""

import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from segclf.core.errors import CaseError
from segclf.io.polygons import draw_polygon
from segclf.io.records import Limits
from segclf.io.rle import decode_counts, decode_runs, unpack_counts

coco = pytest.importorskip("pycocotools.mask")


def drawn_by_coco(code) -> np.ndarray:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # pycocotools 2.0.11 has no `copy` for NumPy 2
        return np.asarray(coco.decode(code)).astype(bool)


def runs_of(mask: np.ndarray, *, relative: bool, by_column: bool) -> str:
    """The code of a mask, written pixel by pixel (another way than the one under test)."""
    flat = mask.T.ravel() if by_column else mask.ravel()
    pairs, end = [], 0
    index = 0
    while index < len(flat):
        if not flat[index]:
            index += 1
            continue
        stop = index
        while stop < len(flat) and flat[stop]:
            stop += 1
        pairs += [index - end if relative else index + 1, stop - index]
        end = index = stop
    return " ".join(map(str, pairs))


@st.composite
def masks(draw):
    rows, columns = draw(st.integers(1, 12)), draw(st.integers(1, 12))
    bits = draw(st.lists(st.booleans(), min_size=rows * columns, max_size=rows * columns))
    return np.array(bits).reshape(rows, columns)


def test_relative_runs_go_down_the_columns():
    """3 pixels are skipped, 2 are in; then 4 are skipped and 1 is in: rows 4, columns 3."""
    mask = decode_runs("3 2 4 1", (4, 3), where="cell")
    np.testing.assert_array_equal(
        mask, np.array([[0, 1, 0], [0, 0, 1], [0, 0, 0], [1, 0, 0]], dtype=bool)
    )


def test_absolute_runs_count_from_pixel_1():
    """The example of the left atrium contest: '2 5 9 3' is the pixels 2 to 6 and 9 to 11."""
    mask = decode_runs("2 5 9 3", (12, 1), where="cell", relative=False)
    assert (np.flatnonzero(mask[:, 0]) + 1).tolist() == [2, 3, 4, 5, 6, 9, 10, 11]
    along_rows = decode_runs("2 5", (2, 4), where="cell", relative=False, by_column=False)
    np.testing.assert_array_equal(along_rows, [[0, 1, 1, 1], [1, 1, 0, 0]])


@given(mask=masks(), relative=st.booleans(), by_column=st.booleans())
@settings(max_examples=150, deadline=None)
def test_runs_come_back(mask, relative, by_column):
    text = runs_of(mask, relative=relative, by_column=by_column)
    if text:
        kept = decode_runs(text, mask.shape, where="", relative=relative, by_column=by_column)
        np.testing.assert_array_equal(kept, mask)


@given(mask=masks())
@settings(max_examples=150, deadline=None)
def test_counts_of_coco_come_back(mask):
    packed = coco.encode(np.asfortranarray(mask.astype(np.uint8)))
    text = packed["counts"].decode()
    np.testing.assert_array_equal(decode_counts(text, mask.shape, where=""), mask)
    plain = unpack_counts(text, mask.size, where="")
    again = coco.frPyObjects({"size": list(mask.shape), "counts": plain}, *mask.shape)
    assert again["counts"] == packed["counts"]
    np.testing.assert_array_equal(decode_counts(plain, mask.shape, where=""), mask)


def test_long_counts_are_packed_as_coco_packs_them():
    mask = np.zeros((700, 900), np.uint8)
    mask[100:600, 50:70] = 1
    mask[3:9, 600:880] = 1
    text = coco.encode(np.asfortranarray(mask))["counts"].decode()
    np.testing.assert_array_equal(decode_counts(text, mask.shape, where=""), mask == 1)


def test_some_texts_of_counts_by_hand():
    """48 is 0, so '5' is 5; 35 = 3 + 1 * 32 takes two characters, the first with 'more' (32)."""
    assert unpack_counts("5", 35, where="") == [5]
    assert unpack_counts("S1", 35, where="") == [35]
    assert unpack_counts("555N", 35, where="") == [5, 5, 5, 3]  # 'N' is -2: 5 - 2


@given(mask=masks(), place=st.integers(0, 9), other=st.characters(max_codepoint=130))
@settings(max_examples=300, deadline=None)
def test_a_damaged_text_of_counts_is_decoded_as_coco_does_or_refused(mask, place, other):
    text = coco.encode(np.asfortranarray(mask.astype(np.uint8)))["counts"].decode()
    text = text[:place] + other + text[place + 1 :]
    try:
        found = decode_counts(text, mask.shape, where="annotation 3")
    except CaseError as error:
        refused = error
    else:
        theirs = drawn_by_coco({"size": list(mask.shape), "counts": text.encode()})
        np.testing.assert_array_equal(found, theirs)
        return
    assert (refused.reason, refused.where) == ("bad_rle", "annotation 3")


@given(text=st.text(max_size=30) | st.from_regex(r"[0-9 -]{0,40}", fullmatch=True))
@settings(max_examples=300, deadline=None)
def test_any_text_of_runs_is_decoded_or_refused(text):
    for relative in (True, False):
        try:
            reason = ""
            assert decode_runs(text, (4, 6), where="row 2", relative=relative).shape == (4, 6)
        except CaseError as error:
            reason = error.reason
        assert reason in ("", "bad_rle")


@pytest.mark.parametrize(
    ("counts", "says"),
    [
        ([10, 5], "add up to 15; the image has 20"),
        ([10, 15], "add up to 25; the image has 20"),
        ([10**18, 5], "add up to 1000000000000000005"),
        ([-5, 25], "something else than whole numbers"),
        ([True, 19], "something else than whole numbers"),
        (["20"], "something else than whole numbers"),
        ([19.0, 1], "something else than whole numbers"),
        ({"a": 1}, "something else than whole numbers"),
        ("oooooooo", "cannot be read"),
        ("PPP", "end within a number"),
        ("4\x00", "cannot be read"),
        ("é", "cannot be read"),
    ],
)
def test_counts_that_do_not_fit_are_refused_in_words(counts, says):
    with pytest.raises(CaseError, match=says) as caught:
        decode_counts(counts, (4, 5), where="annotation 7")
    assert caught.value.reason == "bad_rle"
    assert "annotation 7" in str(caught.value)
    assert "run lengths that fit the image" in str(caught.value)


@pytest.mark.parametrize(
    ("text", "relative", "says"),
    [
        ("", True, "something else than whole numbers"),
        ("-1", True, "something else than whole numbers"),
        ("3 x", True, "something else than whole numbers"),
        ("1 2 3", True, "3 numbers, which are no pairs"),
        ("10 5 3 9", True, "a run ends at pixel 27; the image has 20"),
        ("9999999999 1", True, "the code holds 9999999999"),
        ("99999999999 1", True, "something else than whole numbers"),
        ("0 4", False, "the first pixel is number 1"),
        ("3 4 5 2", False, "two runs overlap"),
        ("19 3", False, "a run ends at pixel 21"),
    ],
)
def test_runs_that_do_not_fit_are_refused_in_words(text, relative, says):
    with pytest.raises(CaseError, match=says) as caught:
        decode_runs(text, (4, 5), where="row 9", relative=relative)
    assert caught.value.reason == "bad_rle"


def test_the_size_is_checked_before_an_array_is_made():
    for decode in (
        lambda: decode_runs("1 1", (10**6, 10**6), where=""),
        lambda: decode_counts([10**12], (10**6, 10**6), where=""),
        lambda: draw_polygon([0, 0, 4, 0, 4, 4], (10**6, 10**6), where=""),
        lambda: decode_runs("1 1", (3, 3), where="", limits=Limits(area_px=8)),
    ):
        with pytest.raises(CaseError, match="the mask would have") as caught:
            decode()
        assert caught.value.reason == "too_large"


@st.composite
def polygons(draw):
    n = draw(st.integers(3, 9))
    coordinate = st.floats(-6, 40, allow_nan=False).map(lambda value: round(value, 2))
    return draw(st.lists(coordinate, min_size=2 * n, max_size=2 * n))


@given(corners=polygons(), rows=st.integers(1, 30), columns=st.integers(1, 30))
@settings(max_examples=400, deadline=None)
def test_polygons_are_drawn_as_coco_draws_them(corners, rows, columns):
    if max(map(abs, corners)) > 5 * max(rows, columns):
        return
    theirs = drawn_by_coco(coco.frPyObjects([corners], rows, columns))[..., 0]
    np.testing.assert_array_equal(draw_polygon(corners, (rows, columns), where=""), theirs)


def test_a_square_polygon_covers_its_pixels():
    mask = draw_polygon([2, 1, 6, 1, 6, 4, 2, 4], (6, 8), where="")
    assert mask.sum() == 4 * 3
    assert mask[1:4, 2:6].all()


@pytest.mark.parametrize(
    ("corners", "says"),
    [
        ([0, 0, 4, 4], "has 4 values"),
        ([0, 0, 4, 4, 2], "has 5 values"),
        ([0, 0, 4, 4, float("nan"), 2], "has 6 values"),
        ([0, 0, 4, 4, "2", 2], "has 6 values"),
        ([0, 0, 4, 4, 1e300, 2], "far outside"),
        ([0, 0, 4000, 0] * 900_000, "far outside"),
        ([0, 0, 30, 0] * 300_000, "outline is longer"),
    ],
)
def test_polygons_that_cannot_be_meant_are_refused(corners, says):
    with pytest.raises(CaseError, match=says) as caught:
        draw_polygon(corners, (8, 8), where="annotation 2")
    assert caught.value.reason == "bad_polygon"
    assert "at least three corners" in str(caught.value)
