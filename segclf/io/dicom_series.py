"""The files of a DICOM series in a folder, and whether they belong together.

A path is that of the folder, if it holds one series, or that of any file of the series with the
ending `@series`, if it holds several: `dump/IM0001@series`.
"""

import hashlib
import os
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from segclf.core.errors import CaseError
from segclf.io.dicom_open import (
    DIRECTORY,
    SEGMENTATION,
    dicom_kind,
    is_dicom,
    n_frames,
    n_samples,
    photometric,
    reading,
)
from segclf.io.records import DEFAULT_LIMITS, DicomFile, Limits, bad_file

if TYPE_CHECKING:
    from pydicom.dataset import FileDataset

DICOM_SUFFIXES = (".dcm", ".dicom", ".ima")
MAX_SNIFFED = 20
OF_FILE = "@series"
"""Ending of a path that stands for all files of the series that a file belongs to."""
MAX_SHOWN = 6


def series_start(path: Path) -> Path | None:
    """The file whose series a path with the ending `@series` stands for; None for other paths."""
    name = path.name.removesuffix(OF_FILE)
    return path.with_name(name) if name and name != path.name else None


def series_folder(path: Path) -> Path | None:
    """The folder with the files of a series; None for a path that is a single file's."""
    start = series_start(path)
    return start.parent if start is not None else path if path.is_dir() else None


def identify(path: Path, _limits: Limits) -> DicomFile:
    """What a DICOM file is, by its header; a damaged one counts as an image of no series."""
    kind = dicom_kind(path)
    if kind is None:
        return DicomFile("none", "", 1)
    status = path.stat()
    try:
        with reading(path):
            found = _identified(str(path), status.st_size, status.st_mtime_ns)
    except CaseError:
        return DicomFile(kind, "", 1)
    is_mask = kind == "other" and found.kind == "segmentation"
    return found if is_mask or kind == "image" else DicomFile(kind, "", 1)


@lru_cache(maxsize=2**14)
def _identified(path: str, _size: int, _time_ns: int) -> DicomFile:
    """What the header says; numbers of series and patients, nobody's to read, as hashes."""
    from pydicom import dcmread

    fields = ["SOPClassUID", "SeriesInstanceUID", "NumberOfFrames", "PatientID"]
    fields.append("ReferencedSeriesSequence")
    dataset = dcmread(path, stop_before_pixels=True, specific_tags=[*fields])
    series, n = _hashed(dataset.get("SeriesInstanceUID")), n_frames(dataset)
    patient = str(dataset.get("PatientID") or "").strip()
    patient = _hashed(patient) if patient else ""
    if str(dataset.get("SOPClassUID")) not in SEGMENTATION:
        return DicomFile("image", series, n, patient)
    named = dataset.get("ReferencedSeriesSequence") or ()
    referred = {_hashed(item.get("SeriesInstanceUID")) for item in named}
    of_series = referred.pop() if len(referred) == 1 else ""
    return DicomFile("segmentation", series, n, patient, of_series)


def _hashed(number: object) -> str:
    return hashlib.sha256(str(number).encode()).hexdigest()[:16]


def is_series(folder: Path) -> bool:
    """Whether one of the first files of a folder is DICOM."""
    names = sorted(entry.name for entry in os.scandir(folder) if _is_candidate(entry))
    return any(is_dicom(folder / name) for name in names[:MAX_SNIFFED])


def series_files(path: Path) -> list[Path]:
    """The file itself, or the DICOM files of the folder or series, by name; others are passed over.

    So are DICOM objects that are no images, such as a report, beside images.

    Raises:
        CaseError: `outside_root` for a link in the folder, `unreadable` for a file of a DICOM
            suffix that is none, or for a folder without DICOM files.
    """
    start, folder = series_start(path), series_folder(path)
    if folder is None:
        return [path]
    entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
    if any(entry.is_symlink() for entry in entries if not entry.name.startswith(".")):
        raise bad_file(
            "outside_root",
            path,
            "the folder of the series holds symbolic links.",
            expected="the files of one series",
            fix="copy the files into the folder",
        )
    files = [folder / entry.name for entry in entries if _is_candidate(entry)]
    found = [file for file in files if is_dicom(file)]
    broken = {*files} - {*found}
    if start is not None:
        return _of_series(start, found, path)
    if not found or any(file.suffix.lower() in DICOM_SUFFIXES for file in broken):
        raise bad_file(
            "unreadable",
            path,
            f"{len(broken)} of {len(files)} files in the folder are not DICOM.",
            expected="a folder with the DICOM files of one series",
            fix="export the series again, or name the folder that holds its files",
        )
    images = [file for file in found if dicom_kind(file) == "image"]
    return images or found


def _of_series(start: Path, files: list[Path], path: Path) -> list[Path]:
    """The images among `files` that belong to the series of `start`."""
    own = identify(start, DEFAULT_LIMITS) if start in files else DicomFile("none", "", 1)
    if own.kind != "image" or not own.series:
        raise bad_file(
            "unreadable",
            path,
            "the path names the series of what is no DICOM image beside it, or of a damaged one.",
            expected=f"FILE{OF_FILE} with the name of a DICOM image in that folder",
            fix="name another file of the series",
        )
    kinds = {file: identify(file, DEFAULT_LIMITS) for file in files}
    return [
        file for file in files if (kinds[file].kind, kinds[file].series) == ("image", own.series)
    ]


def check_alike(datasets: "list[FileDataset]", path: Path) -> None:
    """Refuse files that are not slices of one series.

    Raises:
        CaseError: `mixed_series`, or `series_geometry` for several sizes or orientations.
    """
    n_series = len({str(dataset.get("SeriesInstanceUID")) for dataset in datasets})
    n_kinds = len({str(dataset.get("SOPClassUID")) for dataset in datasets})
    n_many = sum(n_frames(dataset) > 1 for dataset in datasets)
    if n_series > 1 or n_kinds > 1 or n_many:
        raise bad_file(
            "mixed_series",
            path,
            f"the folder holds {n_series} series of {n_kinds} kinds in {len(datasets)} files, "
            f"{n_many} of them with several frames.",
            expected="the slices of one series, or one multi-frame file",
            fix=_choice(datasets, path),
        )
    sizes = {(int(dataset.Rows), int(dataset.Columns)) for dataset in datasets}
    meanings = {(n_samples(dataset), photometric(dataset)) for dataset in datasets}
    if len(sizes) > 1 or len(meanings) > 1:
        raise bad_file(
            "series_geometry",
            path,
            "the slices have different sizes: "
            + ", ".join(f"{rows} x {columns}" for rows, columns in sorted(sizes)[:6])
            + " pixels."
            if len(sizes) > 1
            else "the slices are grey and coloured.",
            expected="slices of one size and colour space",
            fix="keep localizers and other series in folders of their own",
        )


def _is_candidate(entry: "os.DirEntry[str]") -> bool:
    is_shown = not entry.name.startswith(".") and entry.name.upper() != DIRECTORY
    return is_shown and entry.is_file(follow_symlinks=False)


def _choice(datasets: "list[FileDataset]", path: Path) -> str:
    """How to name one of several series; files are named, and no number of a series."""
    files: dict[str, list[str]] = {}
    for dataset in datasets:
        name = Path(str(dataset.filename)).name
        files.setdefault(str(dataset.get("SeriesInstanceUID")), []).append(name)
    if len(files) < 2 or series_start(path) is not None:
        return "keep each series in a folder of its own, and each multi-frame file a case"
    names = [f"{names[0]}{OF_FILE} ({len(names)} files)" for names in files.values()]
    more = f", and {len(names) - MAX_SHOWN} more" if len(names) > MAX_SHOWN else ""
    return f"name one of them by any of its files: {', '.join(names[:MAX_SHOWN])}{more}"
