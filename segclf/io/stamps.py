"""Whether the files behind a path changed, without reading them."""

import os
from pathlib import Path
from typing import Any

from segclf.core.errors import CaseError
from segclf.io.dicom_series import series_folder
from segclf.io.metaimage import parse as parse_metaimage
from segclf.io.nrrd import parse as parse_nrrd
from segclf.io.tiff_stack import sidecar

DETACHED = {".mhd": parse_metaimage, ".nhdr": parse_nrrd}


def file_stamp(path: Path) -> list[Any]:
    """Size and time of change in ns; then those of the files that belong to it, by name.

    These are the files in the folder of a series, the voxels beside a `.mhd` or `.nhdr` header, and
    the JSON file with the spacing of a TIFF.

    Raises:
        OSError: There is no such file.
    """
    folder = series_folder(path)
    if folder is not None:
        entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
        kind = "folder" if folder == path else "series"
        return [kind, *([entry.name, *_stamp(entry)] for entry in entries)]
    status = path.stat()
    own = [status.st_size, status.st_mtime_ns]
    other = _other(path)
    return own if other is None else [*own, other.name, *_stamp(other)]


def _other(path: Path) -> Path | None:
    suffix = path.suffix.lower()
    if suffix in (".tif", ".tiff"):
        return sidecar(path)
    if suffix not in DETACHED:
        return None
    try:
        return DETACHED[suffix](path).file
    except (CaseError, ValueError, KeyError, EOFError):  # reading it will say what is wrong
        return None


def _stamp(file: "Path | os.DirEntry[str]") -> list[int]:
    status = file.stat(follow_symlinks=False)
    return [status.st_size, status.st_mtime_ns]
