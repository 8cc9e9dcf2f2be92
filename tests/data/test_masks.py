from dataclasses import replace

import nibabel
import numpy as np
import pytest

from segclf.core.config import make_recipe
from segclf.core.errors import CaseError
from segclf.core.records import Case, MaskSource, MaskState
from segclf.data import read_case, read_truth
from segclf.data.masks import finding_planes
from segclf.io import Grid
from segclf.manifest import check_manifest, read_manifest
from segclf.predict.feed import read_ahead
from segclf.study.advise.look import area_shares

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
    assert finding_planes(case, Grid((2, 3)), named=(0, 1, 2))[0].sum() == 1
    with pytest.raises(CaseError, match=r"only the named values \[0, 1\]"):
        finding_planes(case, Grid((2, 3)), named=(0, 1))


def test_a_mask_of_another_shape_is_refused_with_both_shapes(write_case):
    case = write_case("a", IMAGE, masks=(MAP,), values=((1,),))
    with pytest.raises(CaseError, match=r"\(2, 3\), that of the image \(4, 4\)") as caught:
        read_truth(case, (4, 4))
    assert caught.value.reason == "shape_mismatch"
    assert "case a, a_mask0.png" in str(caught.value)


def nifti(path, array, *, step=1.0, start=0.0):
    """`array` with its last axis `step` mm apart, from `start` on."""
    affine = np.diag([1, 1, step, 1.0])
    affine[2, 3] = start
    nibabel.save(nibabel.Nifti1Image(array, affine), path)
    return path


@pytest.fixture
def volume_case(tmp_path):
    """A volume whose mask of two slices was written from `start` mm on."""

    def make(n_slices=2, **place):
        drawn = np.zeros((5, 6, n_slices), np.uint8)
        drawn[1, 2, :2] = 1
        image = nifti(tmp_path / "v.nii.gz", np.ones((5, 6, 7), np.int16))
        mask = MaskSource(MaskState.DRAWN, nifti(tmp_path / "m.nii.gz", drawn, **place))
        return Case("a", (image,), (mask,), (1.0,), "a")

    return make


def test_a_mask_of_some_slices_is_learned_and_judged_on_the_whole_image(volume_case, recipe):
    case = volume_case(start=3.0)
    settings = recipe(image={"spatial_dims": 3, "intensity": "minmax"})
    sample = read_case(case, settings)
    (truth,) = read_truth(
        case, sample.input_shape, spacing_mm=sample.spacing_mm, affine=sample.affine
    )
    expected = np.zeros((5, 6, 7))
    expected[1, 2, 3:5] = 1
    np.testing.assert_array_equal(truth, expected)
    np.testing.assert_array_equal(sample.target[0], expected)
    (ready,) = read_ahead([case], settings, n_channels=1, with_truth=True)
    np.testing.assert_array_equal(ready.truth[0], expected)
    assert area_shares(case.masks, case.images[0]) == [pytest.approx(2 / (5 * 6 * 7))]


@pytest.mark.parametrize(
    ("place", "reason", "shown"),
    [
        ({"n_slices": 7, "start": 2.0}, "affine_mismatch", r"at (0, 0, 2) mm, that of the image"),
        ({"n_slices": 7, "step": 3.0}, "affine_mismatch", r"up to 12 mm away"),
        ({"start": 6.0}, "shape_mismatch", r"(5, 6, 2), that of the image (5, 6, 7)"),
    ],
)
def test_a_mask_in_another_place_is_set_aside_unless_it_is_allowed(
    volume_case, recipe, place, reason, shown
):
    case, settings = volume_case(**place), recipe(image={"spatial_dims": 3})
    with pytest.raises(CaseError) as caught:
        read_case(case, settings)
    assert caught.value.reason == reason
    assert shown in str(caught.value)
    (aside,) = read_ahead([case], settings, n_channels=1, with_truth=True)
    assert (aside.reason, shown in aside.message) == (reason, True)
    allowed = replace(case, any_place=True)
    if reason == "affine_mismatch":
        assert read_case(allowed, settings).target.sum() == 2
    else:
        with pytest.raises(CaseError, match="shape"):
            read_case(allowed, settings)


LOW, HIGH = -32768, 32767


def signed_case(folder, values, mask_values):
    """A table of one case whose mask holds these values."""
    np.savez(folder / "i.npz", array=np.arange(6.0).reshape(2, 3))
    np.savez(folder / "m.npz", array=np.array(values, np.int16))
    (folder / "manifest.csv").write_text("case_id,image,mask\na,i.npz,m.npz\n")
    settings = {"manifest": "manifest.csv", "mask_values": mask_values}
    recipe = make_recipe(settings, where="test")
    return read_manifest(recipe, base=folder), recipe


@pytest.mark.parametrize(
    ("values", "mask_values"),
    [
        ([[LOW, HIGH, LOW], [HIGH, LOW, LOW]], {LOW: "background", HIGH: "lesion"}),
        ([[255, 0, 255], [0, 255, 255]], {255: "background", 0: "lesion"}),
        ([[0, 1, 0], [1, 0, 0]], {0: "background", 1: "lesion"}),
    ],
)
def test_a_background_that_is_named_may_have_any_value(tmp_path, values, mask_values):
    table, recipe = signed_case(tmp_path, values, mask_values)
    by_hand = [[0, 1, 0], [1, 0, 0]]
    assert table.findings == ("lesion",)
    report = check_manifest(table, workers=1)
    assert report.n_errors == 0
    assert report.summary["findings"]["lesion"]["area_fraction"]["max"] == pytest.approx(2 / 6)
    (truth,) = read_truth(table.cases[0], (2, 3))
    np.testing.assert_array_equal(truth, by_hand)
    np.testing.assert_array_equal(read_case(table.cases[0], recipe).target[0], by_hand)


@pytest.mark.parametrize(
    ("values", "mask_values", "shown"),
    [
        ([[LOW, HIGH, LOW], [HIGH, LOW, LOW]], {HIGH: "lesion"}, "-32768, 32767"),
        ([[LOW, HIGH, 0], [HIGH, LOW, LOW]], {LOW: "background", HIGH: "lesion"}, "-32768, 0, 32"),
        ([[LOW, HIGH, LOW], [HIGH, LOW, LOW]], {}, "-32768, 32767"),
    ],
)
def test_values_beside_a_named_background_have_to_be_named(tmp_path, values, mask_values, shown):
    table, recipe = signed_case(tmp_path, values, mask_values)
    (problem,) = [p for p in check_manifest(table, workers=1).problems if p.severity == "error"]
    assert problem.reason == "mask_values"
    assert f"holds the values {shown}" in problem.wrong
    assert "-1: background" in problem.fix
    with pytest.raises(CaseError, match=f"holds the values {shown}"):
        read_case(table.cases[0], recipe)
