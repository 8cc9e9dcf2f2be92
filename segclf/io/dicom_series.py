"""The files of a DICOM series in a folder, and whether they belong together."""

import os
from pathlib import Path
from typing import TYPE_CHECKING

from segclf.io.dicom_open import DIRECTORY, dicom_kind, is_dicom, n_frames, n_samples, photometric
from segclf.io.records import bad_file

if TYPE_CHECKING:
    from pydicom.dataset import FileDataset

DICOM_SUFFIXES = (".dcm", ".dicom", ".ima")
MAX_SNIFFED = 20


def is_series(folder: Path) -> bool:
    """Whether one of the first files of a folder is DICOM."""
    names = sorted(entry.name for entry in os.scandir(folder) if _is_candidate(entry))
    return any(is_dicom(folder / name) for name in names[:MAX_SNIFFED])


def series_files(path: Path) -> list[Path]:
    """The file itself, or the DICOM files of the folder, by name; others are passed over.

    So are DICOM objects that are no images, such as a report, beside images.

    Raises:
        CaseError: `outside_root` for a link in the folder, `unreadable` for a file of a DICOM
            suffix that is none, or for a folder without DICOM files.
    """
    if not path.is_dir():
        return [path]
    entries = sorted(os.scandir(path), key=lambda entry: entry.name)
    if any(entry.is_symlink() for entry in entries if not entry.name.startswith(".")):
        raise bad_file(
            "outside_root",
            path,
            "the folder of the series holds symbolic links.",
            expected="the files of one series",
            fix="copy the files into the folder",
        )
    files = [path / entry.name for entry in entries if _is_candidate(entry)]
    found = [file for file in files if is_dicom(file)]
    broken = {*files} - {*found}
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
            fix="keep each series in a folder of its own",
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
