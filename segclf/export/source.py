"""The DICOM series that masks are of: its files in order, and whether the masks lie on its grid.

This is the one place that uses whole headers. What identifies the patient is carried over into
DICOM objects, which need it, and nowhere else: not into names, logs, records or errors.
"""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from segclf.core.errors import CaseError, MissingExtraError
from segclf.core.mapfiles import file_name
from segclf.io import Header, bad_file, on_stored_grid, probe, whole_headers
from segclf.io.dicom_geometry import planes_of, stack
from segclf.io.dicom_open import SEGMENTATION, is_dicom, n_frames, reading
from segclf.io.dicom_series import is_series, series_start

if TYPE_CHECKING:
    from pydicom.dataset import FileDataset

MAX_APART_PX = 0.1
"""Farthest that a corner of the mask may lie from that of the series."""
MAY_BE_EMPTY = (
    "PatientID", "PatientName", "PatientBirthDate", "PatientSex", "AccessionNumber", "StudyID",
    "StudyDate", "StudyTime", "ReferringPhysicianName",
)  # fmt: skip
NEEDED = ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID", "SOPClassUID", "Modality")
SHARED = ("StudyInstanceUID", "FrameOfReferenceUID", "PatientID")
QUIET = ("highdicom", "pydicom")


@dataclass(frozen=True)
class Source:
    """The files of a series, without their pixels, sorted as their slices lie."""

    datasets: "list[FileDataset]"
    header: Header
    frames: list[int]
    """Of a multi-frame file: its frames, sorted as they lie."""

    @property
    def n_slices(self) -> int:
        """Slices of the grid."""
        return max(len(self.datasets), len(self.frames))

    def planes(self, array: np.ndarray) -> np.ndarray:
        """(finding, *space) on the grid of the series, as (frame, row, column, finding)."""
        stored, _ = on_stored_grid(array, self.header)
        sorted_planes = stored.transpose(3, 2, 1, 0)
        planes = np.empty_like(sorted_planes)
        planes[self.frames or slice(None)] = sorted_planes
        return np.ascontiguousarray(planes)


def need_highdicom() -> None:
    """Refuse to begin without the package that writes DICOM objects.

    Raises:
        MissingExtraError: highdicom is not installed.
    """
    try:
        import highdicom  # noqa: F401 (only whether it is there)
    except ImportError:
        raise MissingExtraError(
            "highdicom", extra="dicom", needed_for="--format dicom (DICOM SEG and SR)"
        ) from None


def find_source(case_id: str, image: Path, series: Path | None) -> Path:
    """The file or folder of a case's series: of that name in `series`, else its own image.

    Raises:
        CaseError: `not_dicom`: the image is no DICOM; `missing_file`: the series is not there.
    """
    if series is None:
        first = series_start(image) or image
        is_one = is_series(first) if first.is_dir() else first.is_file() and is_dicom(first)
        if is_one:
            return image
        raise bad_file(
            "not_dicom",
            image,
            "the image of the case is not DICOM, so there is no series for DICOM SEG to refer to.",
            expected="the DICOM file or series that the image was made from",
            fix="name it with --series FOLDER, in which it is called like the case, or write "
            "--format nifti",
        )
    names = dict.fromkeys((file_name(case_id), f"{file_name(case_id)}.dcm"))
    found = [series / name for name in names if (series / name).exists()]
    if len(found) != 1 or found[0].is_symlink():
        raise CaseError(
            "missing_file" if not found else "ambiguous_map",
            f"the folder of series has {len(found)} usable entries for the case.",
            where=series.name,
            expected=f"one file or folder called {' or '.join(names)}, not a link",
            fix="copy the series there",
        )
    return found[0]


def read_source(path: Path, image: Header) -> Source:
    """The series in `path`, checked to lie on the grid of the image that was predicted.

    Args:
        path: A DICOM file, or the folder of a series.
        image: Header of the image.

    Raises:
        CaseError: As `read_image`; `series_differs` for another grid; `unreadable` for headers
            without identifiers, or of several studies.
    """
    header = probe(path)
    _check_grid(path, header, image)
    with quiet(path):
        datasets = _datasets(path)
        _check_headers(datasets, path)
        planes = [plane for dataset in datasets for plane in planes_of(dataset) or ()]
        n_slices = n_frames(datasets[0]) if len(datasets) == 1 else len(datasets)
        order = [*range(n_slices)]
        if n_slices > 1 and len(planes) == n_slices:
            order, _ = stack(planes, path)
        if n_slices > 1 or header.affine is not None:
            _check_frame_of_reference(datasets[0], header, path)
        for dataset in datasets:
            _fill_in(dataset)
        if len(datasets) == 1:
            return Source(datasets, header, order)
        return Source([datasets[k] for k in order], header, [])


def _datasets(path: Path) -> "list[FileDataset]":
    """Headers by name of the files: foreign bytes are parsed where files are decoded."""
    from pydicom import dcmread

    found = whole_headers(path)
    data = found.array.tobytes()
    starts = (0, *found.ends[:-1])
    return [dcmread(BytesIO(data[a:b])) for a, b in zip(starts, found.ends, strict=True)]


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """What highdicom refuses is a fault of the series, told without its words, which quote it."""
    try:
        with quiet(path):
            yield
    except CaseError as error:
        if error.reason not in ("unreadable", "truncated"):
            raise
        kind = error.wrong.rpartition(": ")[2].rstrip(".")
        raise bad_file(
            "dicom_refused",
            path,
            f"no DICOM object can be made for this series: highdicom ends with {kind}.",
            expected="headers that follow the standard",
            fix="check the files, for example with dciodvfy, or write --format nifti",
        ) from None


@contextmanager
def quiet(path: Path) -> Iterator[None]:
    """Errors become those of the case; nothing that quotes a header reaches a log or a terminal."""
    loggers = [logging.getLogger(name) for name in QUIET]
    before = [logger.disabled for logger in loggers]
    children = [
        logger
        for name, logger in logging.root.manager.loggerDict.items()
        if name.startswith(tuple(f"{parent}." for parent in QUIET))
        and isinstance(logger, logging.Logger)
        and not logger.disabled
    ]
    for logger in (*loggers, *children):
        logger.disabled = True
    try:
        with reading(path):
            yield
    finally:
        for logger, was in zip(loggers, before, strict=True):
            logger.disabled = was
        for logger in children:
            logger.disabled = False


def _check_grid(path: Path, series: Header, image: Header) -> None:
    space, n_axes = image.shape[1:], len(image.shape) - 1
    is_same = series.shape[1:] == space
    if is_same and series.affine is not None and image.affine is not None:
        corners = np.array([[0, 0, 0], *np.diag([*space, 1][:3])], dtype=np.float64)[: n_axes + 1]
        corners = np.column_stack([corners, np.ones(len(corners))])
        apart = np.linalg.norm((corners @ (series.affine - image.affine).T)[:, :3], axis=1)
        is_same = bool(apart.max() <= MAX_APART_PX * min(series.spacing_mm or (1.0,)))
    elif is_same and n_axes == 3:
        is_same = series.affine is None and image.affine is None
    if not is_same:
        raise bad_file(
            "series_differs",
            path,
            f"the series has {' x '.join(map(str, series.shape[1:]))} pixels, the image that was "
            f"predicted {' x '.join(map(str, space))}"
            + (", and they do not lie in one place." if series.shape[1:] == space else "."),
            expected="the series that the image was made from, whole and on the same grid",
            fix="name the right series, or predict again with the series itself as the image",
        )


def _check_headers(datasets: "list[FileDataset]", path: Path) -> None:
    first = datasets[0]
    missing = [name for name in NEEDED if any(not dataset.get(name) for dataset in datasets)]
    several = [name for name in SHARED if len({str(d.get(name)) for d in datasets}) > 1]
    if missing or several or str(first.get("SOPClassUID")) in SEGMENTATION:
        wrong = f"files without {', '.join(missing)}" if missing else "files that are a mask"
        wrong = f"files that differ in {', '.join(several)}" if several else wrong
        raise bad_file(
            "unreadable",
            path,
            f"the series has {wrong}, so that no DICOM object can refer to it.",
            expected="images of one study, patient and frame of reference, with their identifiers",
            fix="export the series again",
        )


def _check_frame_of_reference(first: "FileDataset", header: Header, path: Path) -> None:
    """A picture without a position needs none; masks of slices could not be placed without one."""
    if first.get("FrameOfReferenceUID") and header.affine is not None:
        return
    raise bad_file(
        "no_frame_of_reference",
        path,
        "the slices have no frame of reference or no positions, so that masks cannot be placed "
        "on them.",
        expected="slices with FrameOfReferenceUID and positions, or a single radiograph or photo",
        fix="export the series again with its geometry, or write --format nifti",
    )


def _fill_in(dataset: "FileDataset") -> None:
    """Empty values for what DICOM wants stated though it may be unknown, or that breaks its rules.

    An impossible sex, date or time would make every object that repeats it invalid.
    """
    from pydicom.valuerep import DA, TM

    def is_legal(name: str) -> bool:
        text = str(dataset.get(name) or "")
        try:
            if name.endswith("Date"):
                DA(text)
            if name.endswith("Time"):
                TM(text)
        except ValueError:
            return False
        return name != "PatientSex" or text in ("", "M", "F", "O")

    for name in MAY_BE_EMPTY:
        if dataset.get(name) is None or not is_legal(name):
            setattr(dataset, name, "")
    for name in ("SliceThickness", "SpacingBetweenSlices", "PixelSpacing", "ImagerPixelSpacing"):
        if name in dataset and not dataset.get(name):
            delattr(dataset, name)  # stated and empty: highdicom would take it for a number
