"""Small cases on disk, written by Pillow and nibabel, not by the code under test."""

from pathlib import Path

import nibabel
import numpy as np
import pytest
from PIL import Image

from segclf.core.config import make_recipe
from segclf.core.records import Case, MaskSource, MaskState


@pytest.fixture
def recipe():
    """A recipe from plain data."""
    return lambda **values: make_recipe(values, where="test")


@pytest.fixture
def write_case(tmp_path):
    """Write arrays as files; returns the case. Masks are arrays (drawn) or states."""

    def write_file(name: str, array: np.ndarray, spacing_mm) -> Path:
        if array.ndim == 3 and array.shape[-1] > 4:
            path = tmp_path / f"{name}.nii.gz"
            affine = np.diag([*(spacing_mm or (1, 1, 1)), 1.0])
            nibabel.save(nibabel.Nifti1Image(array, affine), path)
        else:
            path = tmp_path / f"{name}.png"
            Image.fromarray(array).save(path)
        return path

    def write(
        case_id="a",
        *images,
        masks=(MaskState.EMPTY,),
        labels=(0.0,),
        spacing_mm=None,
        values=None,
        file_spacing_mm=None,
    ):
        sources = []
        for index, mask in enumerate(masks):
            if isinstance(mask, MaskState):
                sources.append(MaskSource(mask))
                continue
            path = write_file(f"{case_id}_mask{index}", mask, file_spacing_mm)
            sources.append(MaskSource(MaskState.DRAWN, path, values and values[index]))
        paths = [
            write_file(f"{case_id}_image{index}", image, file_spacing_mm)
            for index, image in enumerate(images)
        ]
        return Case(
            case_id=case_id,
            images=tuple(paths),
            masks=tuple(sources),
            labels=tuple(labels),
            patient_id=case_id,
            spacing_mm=spacing_mm,
        )

    return write


@pytest.fixture
def many_cases(write_case):
    """Twelve 24 x 24 cases of noise; every third is positive with a drawn 3 x 3 target."""
    random = np.random.default_rng(0)
    cases = []
    for index in range(12):
        image = random.integers(0, 255, (24, 24), dtype=np.uint8)
        mask = np.zeros((24, 24), dtype=np.uint8)
        is_positive = index % 3 == 0
        if is_positive:
            row, column = random.integers(0, 21, 2)
            mask[row : row + 3, column : column + 3] = 255
        state = mask if is_positive else MaskState.EMPTY
        cases.append(
            write_case(f"c{index:02}", image, masks=(state,), labels=(float(is_positive),))
        )
    return cases
