"""Where a map lies, against where its image lies; files written by nibabel."""

from dataclasses import replace

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk
import tifffile

from segclf.core.errors import CaseError
from segclf.core.records import Case, MaskSource, MaskState
from segclf.io import read_image
from segclf.summarize.maps.find import CaseFiles
from segclf.summarize.maps.read import Meaning, read_maps


def nifti(path, array, start=0.0):
    place = np.eye(4)
    place[2, 3] = start
    nib.save(nib.Nifti1Image(array, place), path)
    return path


@pytest.fixture
def case(tmp_path):
    """A volume of seven slices, 1 mm apart."""
    image = nifti(tmp_path / "v.nii.gz", np.ones((5, 6, 7), np.int16))
    return Case("a", (image,), (MaskSource(MaskState.UNKNOWN),), (1.0,), "a")


def test_a_label_map_of_some_slices_covers_the_whole_image(tmp_path, case):
    nifti(tmp_path / "m.nii.gz", np.ones((5, 6, 2), np.uint8), start=3)
    maps = read_maps(tmp_path, CaseFiles("m.nii.gz"), case, Meaning(("lesion",), {}, "labels"))
    np.testing.assert_array_equal(maps.planes[0].sum((0, 1)), [0, 0, 0, 30, 30, 0, 0])


@pytest.mark.parametrize(("dtype", "hold"), [(np.float32, "auto"), (np.uint8, "labels")])
def test_a_map_in_another_place_is_refused_unless_it_is_allowed(tmp_path, case, dtype, hold):
    nifti(tmp_path / "m.nii.gz", np.zeros((5, 6, 7), dtype), start=2)
    files, meaning = CaseFiles("m.nii.gz"), Meaning(("lesion",), {}, hold)
    with pytest.raises(CaseError, match="up to 2 mm away from the image") as caught:
        read_maps(tmp_path, files, case, meaning)
    assert caught.value.reason == "affine_mismatch"
    read_maps(tmp_path, files, replace(case, any_place=True), meaning)


@pytest.mark.parametrize("suffix", [".nrrd", ".mha", ".tif", ".nii.gz"])
def test_an_array_of_nnunet_lies_on_the_volume_that_itk_reads(tmp_path, suffix):
    """Each side is of one length, so that no shape would give a wrong order of axes away."""
    volume = np.random.default_rng(0).integers(0, 99, (4, 4, 4)).astype(np.int16)
    image = sitk.GetImageFromArray(volume)  # (z, y, x), as nnU-Net has it
    if suffix == ".tif":
        tifffile.imwrite(tmp_path / "v.tif", volume, photometric="minisblack")
    else:
        image.SetDirection((-1, 0, 0, 0, 1, 0, 0, 0, 1))
        sitk.WriteImage(image, tmp_path / f"v{suffix}")
    case = Case("a", (tmp_path / f"v{suffix}",), (MaskSource(MaskState.UNKNOWN),), (1.0,), "a")
    share = (volume / 100).astype(np.float32)
    np.savez(tmp_path / "m.npz", probabilities=np.stack([1 - share, share]))
    maps = read_maps(tmp_path, CaseFiles("m.npz"), case, Meaning(("lesion",), {}, "auto"))
    np.testing.assert_allclose(maps.planes[0], read_image(case.images[0]).array[0] / 100, rtol=1e-6)
