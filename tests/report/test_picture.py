"""Outlines and pictures, checked against areas, decoded PNG and drawings."""

import base64
import io
import re
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from segclf.report import GalleryItem, explain_error
from segclf.report.picture import draw_item, outline


def loops(path):
    """The corner points (x, y) of each closed line of SVG path data."""
    for piece in re.findall(r"M([^MZ]*)Z", path):
        yield np.array([[float(n) for n in point.split()] for point in piece.split("L")])


def shoelace(points):
    x, y = points.T
    return 0.5 * float(np.dot(x, np.roll(y, -1)) - np.dot(y, np.roll(x, -1)))


def decoded(panel):
    assert panel.png.startswith("data:image/png;base64,")
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(panel.png.split(",")[1]))))


def test_one_pixel_is_outlined_by_its_four_corners():
    mask = np.zeros((3, 4), bool)
    mask[1, 2] = True
    (points,) = loops(outline(mask))
    assert {tuple(p) for p in points} == {(2, 1), (3, 1), (3, 2), (2, 2)}
    (stretched,) = loops(outline(mask, (2.0, 1.0)))
    assert {tuple(p) for p in stretched} == {(2, 2), (3, 2), (3, 4), (2, 4)}


def test_nothing_is_outlined_in_an_empty_mask():
    assert outline(np.zeros((3, 3), bool)) == ""


def test_a_hole_is_outlined_too_and_the_other_way_round():
    mask = np.ones((5, 5), bool)
    mask[2, 2] = False
    areas = sorted(shoelace(points) for points in loops(outline(mask)))
    assert sorted(map(abs, areas)) == [1.0, 25.0]
    assert areas[0] * areas[1] < 0


@pytest.mark.parametrize("seed", range(10))
def test_the_outlines_enclose_as_many_pixels_as_the_mask_has(seed):
    mask = np.random.default_rng(seed).random((9, 11)) < 0.5  # with holes and touching corners
    assert abs(sum(shoelace(points) for points in loops(outline(mask)))) == mask.sum()


def test_the_picture_shows_the_image_and_both_outlines(missed):
    picture = draw_item(missed, explain_error(missed))
    assert decoded(picture.whole).shape == (12, 16)
    assert decoded(picture.whole).min() == 0
    assert decoded(picture.whole).max() == 255
    assert (picture.whole.width, picture.whole.height) == (16, 12)
    assert sum(abs(shoelace(p)) for p in loops(picture.whole.truth)) == 4
    assert sum(abs(shoelace(p)) for p in loops(picture.whole.predicted)) == 1
    assert picture.zoom is None  # the image is small
    assert picture.view == ""


def test_a_large_image_gets_an_enlarged_part_around_the_missed_region():
    truth = np.zeros((900, 700), np.uint8)
    truth[894:898, 100:104] = 1
    image = np.random.default_rng(0).random((1, 900, 700)).astype(np.float32)
    item = GalleryItem(
        case_id="a", method="tau", finding="f", kind="missed", image=image, truth=truth,
        probability=np.zeros((900, 700)), tau=1.0,
    )  # fmt: skip
    picture = draw_item(item, explain_error(item))
    assert max(decoded(picture.whole).shape) <= 512
    left, top, width, height = picture.frame
    assert (width, height) == (28, 28)
    assert left <= 100 <= 104 <= left + width
    assert top + height == 900  # pushed inside the image
    assert decoded(picture.zoom).shape == (28, 28)
    assert sum(abs(shoelace(p)) for p in loops(picture.zoom.truth)) == 16


def test_colour_images_stay_in_colour_and_missing_values_are_black(missed):
    image = np.zeros((3, 12, 16), np.float32)
    image[0, :6] = 1.0
    image[:, 11, 15] = np.nan
    picture = draw_item(replace(missed, image=image), explain_error(missed))
    pixels = decoded(picture.whole)
    assert pixels.shape == (12, 16, 3)
    assert pixels[0, 0].tolist() == [255, 0, 0]
    assert pixels[11, 15].tolist() == [0, 0, 0]


def test_of_a_volume_the_slice_of_the_missed_region_is_shown_from_the_feet():
    image = np.zeros((1, 20, 30, 6), np.float32)
    truth = np.zeros((20, 30, 6), np.uint8)
    truth[2:5, 25:28, 4] = 1  # low x (left in RAS+ means -x), high y (front)
    image[0, 2:5, 25:28, 4] = 1
    item = GalleryItem(
        case_id="v", method="tau", finding="f", kind="missed", image=image, truth=truth,
        probability=np.zeros(truth.shape), tau=0.1, unit="mL", spacing_mm=(1.0, 2.0, 5.0),
    )  # fmt: skip
    picture = draw_item(item, explain_error(item))
    assert picture.view.startswith("axial slice 5 of 6; right side of the patient on the left")
    assert (picture.whole.width, picture.whole.height) == (20, 60)  # rows are 2 mm, columns 1 mm
    rows, columns = np.nonzero(decoded(picture.whole))
    assert rows.max() < 10  # the front is up
    assert columns.min() >= 10  # small x, the patient's left, is on the right


def test_of_a_volume_without_regions_the_middle_slice_is_shown():
    shape = (8, 8, 9)
    item = GalleryItem(
        case_id="v", method="c", finding="f", kind="false alarm", truth=None,
        image=np.zeros((1, *shape)), score=1.0, threshold=0.5,
    )  # fmt: skip
    assert draw_item(item, explain_error(item)).view.startswith("axial slice 5 of 9")
