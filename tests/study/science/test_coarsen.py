"""Changed masks against SimpleITK, SciPy and hand cases, and read again through a recipe."""

import numpy as np
import pandas as pd
import pytest
import SimpleITK
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from scipy import ndimage

from segclf.core.config import make_recipe
from segclf.core.errors import UsageError
from segclf.core.records import BOX, MaskKind, MaskSource, MaskState
from segclf.data import read_case
from segclf.manifest import read_manifest, write_side_table
from segclf.phantom import PhantomSettings, write_phantom
from segclf.study.science.changed_files import missing_masks, write_changed
from segclf.study.science.coarsen import changed_mask, n_kept_pixels


def picture(text):
    return np.array([[c == "#" for c in row.strip()] for row in text.split()])


def blobs(seed, shape=(24, 31), share=0.35):
    """A few random blobs, also at the edge of the image."""
    noise = ndimage.gaussian_filter(np.random.default_rng(seed).normal(size=shape), 2)
    return noise > np.quantile(noise, 1 - share)


VOLUME = (14, 12, 10)


def boxes_of(mask):
    """The filled boxes of all components, by SimpleITK, whose axes run the other way."""
    image = SimpleITK.GetImageFromArray(mask.astype(np.uint8))
    statistics = SimpleITK.LabelShapeStatisticsImageFilter()
    statistics.Execute(SimpleITK.ConnectedComponent(image, True))
    filled = np.zeros_like(mask)
    for number in statistics.GetLabels():
        found = statistics.GetBoundingBox(number)
        start, size = found[: mask.ndim][::-1], found[mask.ndim :][::-1]
        filled[tuple(slice(a, a + n) for a, n in zip(start, size, strict=True))] = True
    return filled


def ball(radius, n_dims):
    """Offsets of at most the radius."""
    axes = np.ogrid[tuple(slice(-radius, radius + 1) for _ in range(n_dims))]
    return sum(axis**2 for axis in axes) <= radius**2


def test_boxes_are_those_of_each_component():
    mask = picture("""
        .##.....
        .#...#..
        ......#.
        ........
        #.......
    """)
    boxes = picture("""
        .##.....
        .##..##.
        .....##.
        ........
        #.......
    """)
    np.testing.assert_array_equal(changed_mask(mask, "box"), boxes)


@pytest.mark.parametrize("shape", [(24, 31), VOLUME])
@pytest.mark.parametrize("seed", range(3))
def test_boxes_agree_with_simpleitk(shape, seed):
    mask = blobs(seed, shape, 0.1)
    np.testing.assert_array_equal(changed_mask(mask, "box"), boxes_of(mask))


@pytest.mark.parametrize("radius", [1, 2, 5])
@pytest.mark.parametrize("shape", [(24, 31), VOLUME])
def test_dilation_and_erosion_agree_with_morphology_by_scipy(shape, radius):
    of = ball(radius, len(shape))
    for seed in range(3):
        mask = blobs(seed, shape)
        larger = ndimage.binary_dilation(mask, of)
        np.testing.assert_array_equal(changed_mask(mask, f"dilated:{radius}"), larger)
        # the edge of the image is no edge: what lies beyond it counts as inside
        smaller = ndimage.binary_erosion(mask, of, border_value=1)
        ours = changed_mask(mask, f"eroded:{radius}")
        parts, n_parts = ndimage.label(mask, np.ones((3,) * mask.ndim))
        lost = [i for i in range(1, n_parts + 1) if not smaller[parts == i].any()]
        assert n_kept_pixels(mask, f"eroded:{radius}") == len(lost)
        assert (ours & ~smaller).sum() == len(lost)
        assert not (smaller & ~ours).any()
        assert [int(ours[parts == i].sum()) for i in lost] == [1] * len(lost)


def test_a_component_that_erosion_would_remove_keeps_its_deepest_pixel():
    mask = picture("""
        ...........
        .###..###..
        .###..###..
        .###..###..
        ......###..
        ......###..
        ...........
    """)
    # depths of the right one: 1 at its rim, 2 in the three pixels of its core, of which none
    # exceeds 2; the first of those is taken
    found = changed_mask(mask, "eroded:2")
    assert found[2, 2]
    assert found[2, 7]
    assert found.sum() == 2
    assert n_kept_pixels(mask, "eroded:2") == 2
    assert n_kept_pixels(mask, "dilated:2") == 0


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 50), radius=st.sampled_from([1, 2, 3.5, 6]), is_volume=st.booleans())
def test_a_shifted_mask_is_the_same_mask_elsewhere(seed, radius, is_volume):
    mask = np.zeros((40, 40, 40) if is_volume else (40, 40), bool)
    inner = blobs(seed, VOLUME if is_volume else (14, 12))
    mask[tuple(slice(13, 13 + n) for n in inner.shape)] = inner
    moved = changed_mask(mask, f"shifted:{radius}", seed=seed, case_id="c")
    assert moved.sum() == mask.sum()
    step = np.argwhere(moved)[0] - np.argwhere(mask)[0]
    np.testing.assert_array_equal(moved, np.roll(mask, step, axis=tuple(range(mask.ndim))))
    # each axis is rounded to whole pixels, so that it is off by half of one at most
    assert abs(np.linalg.norm(step) - radius) <= 0.5 * np.sqrt(mask.ndim)
    again = changed_mask(mask, f"shifted:{radius}", seed=seed, case_id="c")
    np.testing.assert_array_equal(moved, again)


def test_directions_differ_between_cases_and_fill_the_circle():
    mask = np.zeros((60, 60), bool)
    mask[30, 30] = True
    ends = [np.argwhere(changed_mask(mask, "shifted:20", case_id=f"c{i}"))[0] for i in range(400)]
    steps = np.array(ends) - 30
    assert np.abs(np.linalg.norm(steps, axis=1) - 20).max() < 0.71
    # the mean of 400 directions on a circle has a length of about 20 / sqrt(400) = 1
    assert np.linalg.norm(steps.mean(axis=0)) < 3
    quadrants = {(y > 0, x > 0) for y, x in steps}
    assert len(quadrants) == 4


def test_a_mask_at_the_edge_is_moved_inwards_and_never_lost():
    mask = np.zeros((30, 30), bool)
    mask[0, 15] = True
    for i in range(30):
        moved = changed_mask(mask, "shifted:6", case_id=f"c{i}")
        assert moved.sum() == 1
        assert not moved[0, 15]
        # farther than the image is wide in both directions: it stays
        assert changed_mask(mask, "shifted:400", case_id=f"c{i}")[0, 15]


def test_empty_masks_stay_empty_and_full_ones_as_they_are():
    empty = np.zeros((9, 9), bool)
    for how in ("full", "box", "dilated:2", "eroded:2", "shifted:2"):
        assert not changed_mask(empty, how).any()
        assert changed_mask(~empty, how).sum() >= 42  # of 81; a shift leaves 7 x 7 or more
    mask = blobs(0)
    np.testing.assert_array_equal(changed_mask(mask, "full"), mask)


WRONG = (
    "", "boxes", "dilated", "dilated:0", "eroded:-1", "shifted:x", "missing:2", "missing:0",
    "box:3", "dilated:nan", "dilated:inf",
)  # fmt: skip


@pytest.mark.parametrize("how", WRONG)
def test_an_unknown_change_is_refused_with_those_there_are(how):
    with pytest.raises(UsageError, match="there is no change of masks") as caught:
        changed_mask(np.ones((3, 3), bool), how)
    assert "full, box, dilated:<px>, eroded:<px>, shifted:<px>, missing:<share>" in str(
        caught.value
    )


def test_wrong_types_are_refused():
    with pytest.raises(ValueError, match="a mask of bool is needed: got uint8"):
        changed_mask(np.ones((3, 3), np.uint8), "box")
    with pytest.raises(UsageError, match="not a share of one"):
        changed_mask(np.ones((3, 3), bool), "missing:0.5")


@pytest.fixture(scope="module", params=[2, 3])
def phantom(request, tmp_path_factory):
    home = tmp_path_factory.mktemp("changed")
    size = (24, 24) if request.param == 2 else (20, 18, 16)
    made = PhantomSettings.model_validate(
        {
            "spatial_dims": request.param,
            "size_px": size,
            "n_cases": {"train": 8, "val": 4, "test": 4},
            "area_fraction": 0.03,
        }
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("os.fsync", lambda _descriptor: None)
        write_phantom(home, made)
    return home, request.param


def read(phantom, side=(), **more):
    home, n_dims = phantom
    texts = {"manifest": "manifest.csv", "findings": ["lesion"], "side_tables": list(side)}
    image = {"image": {"spatial_dims": n_dims}}
    recipe = make_recipe({**texts, **image, **more}, where="test")
    return read_manifest(recipe, base=home), recipe


def own_masks(phantom, table):
    """The masks of training and validation positives as the files hold them."""
    _, recipe = read(phantom)
    return {
        case.case_id: read_case(case, recipe).target[0].numpy() == 1
        for case in table.cases
        if case.labels == (1.0,)
    }


def learned(phantom, how, **more):
    """Targets that a recipe with the side table of a change trains on, and the cases."""
    home, _ = phantom
    table, _ = read(phantom)
    ids = [c.case_id for c in table.cases if not c.case_id.startswith("test")]
    name = how.replace(":", "")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("os.fsync", lambda _descriptor: None)
        frame = write_changed(table, ids, how, home / name, 5)
        write_side_table(home / name / "side.parquet", frame)
    after, recipe = read(phantom, [f"{name}/side.parquet"], **more)
    target = {
        c.case_id: read_case(c, recipe).target[0].numpy() for c in after.cases if c.labels == (1.0,)
    }
    return target, {case.case_id: case for case in after.cases}, frame


def test_boxes_are_read_as_boxes_and_in_the_strict_way_as_full_masks(phantom):
    before, _ = read(phantom)
    own = own_masks(phantom, before)
    target, cases, frame = learned(phantom, "box")
    strict, _, _ = learned(phantom, "box", segment={"strict_coarse": True})
    changed = set(frame["case_id"])
    assert changed == {i for i in own if not i.startswith("test")}
    for case_id, mask in own.items():
        if case_id in changed:
            box = boxes_of(mask)
            np.testing.assert_array_equal(target[case_id], np.where(box, BOX, 0))
            np.testing.assert_array_equal(strict[case_id], box)
            assert cases[case_id].masks[0].kind is MaskKind.BOX
        else:
            np.testing.assert_array_equal(target[case_id], mask)
    untouched = [c for c in before.cases if c.case_id not in changed]
    assert [cases[c.case_id] for c in untouched] == untouched


@pytest.mark.parametrize("how", ["full", "eroded:1", "shifted:2", "dilated:2"])
def test_other_changes_are_read_as_they_were_made(phantom, how):
    own = own_masks(phantom, read(phantom)[0])
    target, cases, frame = learned(phantom, how, segment={"strict_coarse": True})
    assert frame.attrs["notes"]["n_changed"] == len(frame)
    kept = 0
    for case_id in frame["case_id"]:
        expected = changed_mask(own[case_id], how, seed=5, case_id=case_id)
        np.testing.assert_array_equal(target[case_id], expected)
        assert (target[case_id] != own[case_id]).any() == (how != "full")
        source = cases[case_id].masks[0]
        assert source.is_truth == (how != "dilated:2")
        assert source.radius_px == (2.0 if how == "dilated:2" else None)
        kept += n_kept_pixels(own[case_id], how)
    assert frame.attrs["notes"]["n_kept_pixels"] == kept


def test_missing_masks_are_known_nowhere_and_smaller_shares_are_inside_larger_ones(phantom):
    table, _ = read(phantom)
    own = {i for i in own_masks(phantom, table) if not i.startswith("test")}
    target, _, frame = learned(phantom, "missing:0.5")
    gone = set(frame["case_id"])
    assert gone < own
    assert len(gone) == int(len(own) / 2 + 0.5)
    for case_id in own:
        assert np.isnan(target[case_id]).all() == (case_id in gone)
    before: set[str] = set()
    for share in (0.2, 0.5, 0.8, 1.0):
        now = missing_masks(table, sorted(own), share, 5)
        assert before <= now
        before = set(now)
    assert before == own
    assert missing_masks(table, sorted(own), 0.5, 5) == gone
    assert missing_masks(table, sorted(own), 0.5, 6) != gone


def test_masks_that_are_no_truth_stay_as_they_are(tmp_path):
    rows = []
    for i, kind in enumerate(("", "box", "")):
        mask = np.zeros((12, 12), np.uint8)
        mask[3:6, 3 : 5 + i] = i < 2  # the last one is empty, as a negative's may be
        Image.fromarray(mask).save(tmp_path / f"m{i}.png")
        Image.fromarray(np.full((12, 12), 9, np.uint8)).save(tmp_path / f"i{i}.png")
        rows.append((f"c{i}", f"i{i}.png", f"m{i}.png", int(i < 2), kind))
    names = ["case_id", "image", "mask", "label", "mask_kind"]
    pd.DataFrame(rows, columns=names).to_csv(tmp_path / "manifest.csv", index=False)
    recipe = make_recipe({"manifest": "manifest.csv", "findings": ["lesion"]}, where="test")
    table = read_manifest(recipe, base=tmp_path)
    frame = write_changed(table, ["c0", "c1", "c2"], "dilated:1", tmp_path / "out", 0)
    assert list(frame["case_id"]) == ["c0"]
    assert list(frame.columns) == ["case_id", "mask_lesion", "mask_kind_lesion"]
    assert frame.loc[0, "mask_kind_lesion"] == "dilated:1"
    written = [p for p in (tmp_path / "out").rglob("*") if p.is_file()]
    assert [p.relative_to(tmp_path / "out").as_posix() for p in written] == [
        frame.loc[0, "mask_lesion"]
    ]
    source = MaskSource(MaskState.DRAWN, tmp_path / "m0.png")
    assert table.cases[0].masks[0] == source
