"""Paths out of a table: relative, to a regular file or a series, inside an allowed folder."""

import os
import re
import stat
from collections.abc import Callable, Sequence
from pathlib import Path

from segclf.core.errors import CaseError
from segclf.io.dicom_open import is_dicom
from segclf.io.dicom_series import OF_FILE, is_series


def confine(path_text: str, roots: Sequence[Path]) -> Path:
    """The absolute path of a file, or the folder of a DICOM series, relative to one of `roots`.

    A file of a series with the ending `@series` stands for the series.

    Symbolic links are followed, and what they lead to must lie inside the same root.

    Args:
        path_text: As written in a table.
        roots: Allowed folders; the first one that has the file wins.

    Raises:
        CaseError: `outside_root` for an absolute path, `..` or a link that leaves the root;
            `missing_file`; `not_a_file` for another folder, a pipe, socket or device.
    """
    return confiner(roots)(path_text)


def confiner(roots: Sequence[Path]) -> Callable[[str], Path]:
    """`confine` for many paths: each folder is resolved once."""
    resolved = [os.path.realpath(root) for root in roots]
    folders: dict[tuple[str, str], str] = {}

    def confine_one(text: str) -> Path:
        _check_text(text)
        for root in resolved:
            folder, name = os.path.split(text.replace("\\", "/"))  # tables made on Windows
            if (root, folder) not in folders:
                folders[root, folder] = os.path.realpath(os.path.join(root, folder))
            file = name.removesuffix(OF_FILE)
            found = _file_in(os.path.join(folders[root, folder], file or name), root, text)
            if found is not None:
                return found if name in ("", file) else _series_of(found, text)
        raise CaseError(
            "missing_file",
            f"the file {text!r} does not exist.",
            where=text,
            expected="a file inside " + " or ".join(_name(root) for root in resolved),
            fix="correct the path; it is relative to data_root",
        )

    return confine_one


def _check_text(text: str) -> None:
    parts = re.split(r"[/\\]", text)
    is_absolute = text.startswith(("/", "\\")) or re.match(r"[A-Za-z]:", text) is not None
    if not is_absolute and ".." not in parts and "\0" not in text:
        return
    raise CaseError(
        "outside_root",
        f"the path {text!r} is not allowed.",
        where=text,
        expected="a relative path without '..', inside data_root",
        fix="set data_root to a folder that holds all files and write paths relative to it",
    )


def _file_in(path: str, root: str, text: str) -> Path | None:
    """`path` if it is a regular file or a series inside `root`; None if nothing is there."""
    try:
        mode = os.lstat(path).st_mode
        if stat.S_ISLNK(mode):
            path = os.path.realpath(path, strict=True)
            mode = os.stat(path).st_mode
    except (OSError, ValueError):
        return None
    if path != root and not path.startswith(root.rstrip(os.sep) + os.sep):
        raise CaseError(
            "outside_root",
            f"the path {text!r} is a link that leaves the data root.",
            where=text,
            expected=f"a file inside {_name(root)}",
            fix="set data_root to the folder that the link leads to, or copy the file",
        )
    if not stat.S_ISREG(mode) and not (stat.S_ISDIR(mode) and is_series(Path(path))):
        raise CaseError(
            "not_a_file",
            f"the path {text!r} is not a regular file.",
            where=text,
            expected="a file, not a folder (but for that of a DICOM series), pipe or device",
            fix="name the image file itself",
        )
    return Path(path)


def _series_of(file: Path, text: str) -> Path:
    """The path of the series of a file; what is no DICOM file has none."""
    if file.is_dir() or not is_dicom(file):
        raise CaseError(
            "not_a_file",
            f"the path {text!r} names the series of what is no DICOM file.",
            where=text,
            expected=f"a file of the series and the ending {OF_FILE}",
            fix="name a DICOM file, or leave the ending out",
        )
    return file.with_name(file.name + OF_FILE)


def _name(root: str) -> str:
    return repr(os.path.basename(root) + "/")
