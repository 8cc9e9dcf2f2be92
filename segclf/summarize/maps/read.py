"""One case's map files to one plane per finding, on the grid of its image."""

import math
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from segclf.core.errors import CaseError
from segclf.core.pixel_values import known_values
from segclf.core.records import Case
from segclf.io import (
    Header,
    Picture,
    bad_file,
    check_grid,
    confine,
    decoding,
    grid_of,
    placed_on,
    probe,
    read_image,
    read_mask,
    suffix_of,
    turn_like,
)
from segclf.io.guard import default_limit
from segclf.summarize.maps.find import CaseFiles

Hold = Literal["auto", "probability", "labels"]
RASTER = (".png", ".tif", ".tiff", ".bmp", ".jpg", ".jpeg")
NIFTI = (".nii", ".nii.gz")
ROUNDING = 1e-3
"""How far above 1 a sum of float16 probabilities may lie."""


@dataclass(frozen=True)
class Meaning:
    """What the numbers of map files stand for."""

    findings: tuple[str, ...]
    mask_values: Mapping[int, str]
    """Pixel value or class index to finding; empty: class k + 1 is finding k."""
    hold: Hold
    """`auto`: floats and PNG or TIFF levels are probabilities, other integers are labels."""


@dataclass(frozen=True)
class CaseMaps:
    """The maps of one case."""

    planes: list[np.ndarray]
    """Per finding (*space): float probabilities, uint8 or uint16 levels, or bool."""
    spacing_mm: tuple[float, ...] | None


@default_limit()
def read_maps(folder: Path, files: CaseFiles, case: Case, meaning: Meaning) -> CaseMaps:
    """The maps of one case, checked against the size of its image.

    Raises:
        CaseError: A file leaves the folder or cannot be read; a map has another size than the
            image (`map_size_differs`), other classes (`classes_differ`) or numbers that are no
            probabilities (`not_probability`) or labels (`mask_values`).
    """
    if files.problem is not None:
        raise files.problem
    image = probe(case.images[0])
    spacing_mm = case.spacing_mm if image.spacing_mm is None else image.spacing_mm
    if files.whole is not None:
        path = confine(files.whole, [folder])
        planes = [(path, plane) for plane in _whole(path, files, folder, case, meaning)]
    else:
        planes = []
        for finding in meaning.findings:
            path = confine(files.by_finding[finding], [folder])
            one = Meaning((finding,), {}, meaning.hold)
            planes.append((path, *_planes(path, image, one, any_place=case.any_place)))
    for path, plane in planes:
        _check_size(path, plane.shape, image)
    return CaseMaps([_checked(path, plane) for path, plane in planes], spacing_mm)


def _whole(
    path: Path, files: CaseFiles, folder: Path, case: Case, meaning: Meaning
) -> list[np.ndarray]:
    if suffix_of(path) == ".npz" and _is_nnunet(path):
        reference = confine(files.reference, [folder]) if files.reference else case.images[0]
        size, image = probe(path).shape[1:], probe(case.images[0])
        if math.prod(size) != math.prod(image.shape[1:]):  # before the array is read
            _check_size(path, size, image)
        place, is_any = grid_of(probe(reference)), case.any_place
        if place.shape == image.shape[1:]:
            check_grid(place, grid_of(image), reference, any_place=is_any)
        return class_planes(path, _nnunet(path, reference), meaning)
    if files.reference is not None:
        raise bad_file(
            "ambiguous_map",
            path,
            f"the file stands beside {Path(files.reference).name}.",
            expected="one file, or nnU-Net's array 'probabilities' beside its segmentation",
            fix="keep one of them",
        )
    return _planes(path, probe(case.images[0]), meaning, any_place=case.any_place)


def _is_nnunet(path: Path) -> bool:
    with decoding(path, "NumPy"), zipfile.ZipFile(path) as archive:
        names = archive.namelist()
    if "softmax.npy" in names:
        raise bad_file(
            "unreadable",
            path,
            "the array 'softmax' is that of nnU-Net 1, which is cropped; how is in its .pkl.",
            expected="the array 'probabilities' of nnU-Net 2 (--save_probabilities)",
            fix="predict with nnU-Net 2, or export the probabilities as NIfTI",
        )
    return "probabilities.npy" in names


def _nnunet(path: Path, reference: Path) -> np.ndarray:
    """(class, *space) on the canonical grid of the segmentation.

    nnU-Net stores the axes of its reader, (class, z, y, x): the reverse of the file's own axes,
    or of those in RAS+ order with its reorienting reader. A 2D picture is (class, 1, row, column).
    """
    array = read_image(path).array
    if array.ndim != 4:
        raise bad_file(
            "unreadable",
            path,
            f"the array 'probabilities' has the axes {array.shape}.",
            expected="(class, z, y, x), as nnU-Net writes it",
            fix="export the probabilities again",
        )
    is_picture = array.shape[1] == 1 and suffix_of(reference) not in NIFTI
    if is_picture:
        return array[:, 0]
    stored = array.transpose(0, 3, 2, 1)
    try:
        return turn_like(reference, stored).array
    except CaseError:
        if stored.shape[1:] == probe(reference).shape[1:]:  # the reorienting reader's RAS+ order
            return stored
        raise


def _planes(path: Path, image: Header, meaning: Meaning, *, any_place: bool) -> list[np.ndarray]:
    header, grid = probe(path), grid_of(image)
    is_level = suffix_of(path) in RASTER and header.dtype.name in ("uint8", "uint16")
    is_float = header.dtype.kind == "f"
    is_label = meaning.hold == "labels" or (
        meaning.hold == "auto" and not is_level and not is_float
    )
    if not is_label or header.affine is None or image.affine is None:
        _check_size(path, header.shape[1:], image)  # before any pixel is read
    if is_label:
        mask = placed_on(read_mask(path), grid)
        _check_size(path, mask.array.shape, image)
        check_grid(grid_of(mask, has_channels=False), grid, path, any_place=any_place)
        return label_planes(path, mask, meaning)
    check_grid(grid_of(header), grid, path, any_place=any_place)
    if not is_level and not is_float:
        raise bad_file(
            "not_probability",
            path,
            f"the file holds {header.dtype} numbers.",
            expected="floats from 0 to 1, or PNG or TIFF of 8 or 16 bits",
            fix="--maps-hold labels if they are masks",
        )
    return class_planes(path, read_image(path).array, meaning)


def class_planes(path: Path, array: np.ndarray, meaning: Meaning) -> list[np.ndarray]:
    """The plane of each finding out of (class, *space).

    As many classes as findings are the findings themselves (regions, or one map). One class more
    puts the background first. With `mask_values` the class index is the pixel value; findings of
    several values add them up.
    """
    n_classes, findings = len(array), meaning.findings
    if n_classes == len(findings):
        return list(array)
    of = {
        finding: [value for value, name in meaning.mask_values.items() if name == finding]
        or [position + 1]
        for position, finding in enumerate(findings)
    }
    highest = max(value for values in of.values() for value in values)
    is_complete = bool(meaning.mask_values) or n_classes == len(findings) + 1
    if highest >= n_classes or not is_complete:
        raise bad_file(
            "classes_differ",
            path,
            f"the file holds {n_classes} classes for {len(findings)} findings "
            f"({', '.join(findings)}).",
            expected="one map per finding, or the background and then the findings",
            fix="name the class of each finding in the recipe, e.g. mask_values: {1: lesion}",
        )
    return [_added(array, of[finding]) for finding in findings]


def _added(array: np.ndarray, classes: Sequence[int]) -> np.ndarray:
    """The plane of one class, or the sum of several that exclude each other."""
    if len(classes) == 1:
        return array[classes[0]]
    if array.dtype.kind == "f":
        return array[list(classes)].sum(axis=0, dtype=np.float32)
    top = np.iinfo(array.dtype).max
    return (array[list(classes)].sum(axis=0) / np.float32(top)).astype(np.float32)


def label_planes(path: Path, mask: Picture, meaning: Meaning) -> list[np.ndarray]:
    """A binary plane for each finding out of a hard mask."""
    values = mask.array
    present = {int(value) for value in np.unique(values)}
    if meaning.mask_values:
        known = known_values(meaning.mask_values)
        expected = f"only the named values {sorted(known)}"
    else:
        known = {0, 1} if present <= {0, 1} else {0, 255}
        expected = "a binary mask of 0 and 1, or of 0 and 255"
    if not present <= known or (not meaning.mask_values and len(meaning.findings) > 1):
        raise bad_file(
            "mask_values",
            path,
            f"the mask holds {sorted(present)[:8]} for {', '.join(meaning.findings)}.",
            expected=expected,
            fix="name each value in the recipe, e.g. mask_values: {1: lesion}",
        )
    if not meaning.mask_values:
        return [values > 0]
    return [
        np.isin(values, [value for value, name in meaning.mask_values.items() if name == finding])
        for finding in meaning.findings
    ]


def _check_size(path: Path, space: tuple[int, ...], image: Header) -> None:
    if tuple(space) != image.shape[1:]:
        size, wanted = (" x ".join(map(str, each)) for each in (space, image.shape[1:]))
        raise bad_file(
            "map_size_differs",
            path,
            f"the map has {size} pixels, the image {wanted}.",
            expected="a map on the grid of its image",
            fix="export the map at the size of the image",
        )


def _checked(path: Path, plane: np.ndarray) -> np.ndarray:
    """The plane, if its floats are probabilities."""
    if plane.dtype.kind != "f":
        return plane
    low, high = plane.min(), plane.max()
    if not (low >= 0 and high <= 1 + ROUNDING):  # NaN fails as well
        raise bad_file(
            "not_probability",
            path,
            f"the numbers reach from {low:g} to {high:g}.",
            expected="probabilities from 0 to 1, none missing",
            fix="export probabilities instead of logits; --maps-hold labels if they are masks",
        )
    return np.minimum(plane, plane.dtype.type(1)) if high > 1 else plane
