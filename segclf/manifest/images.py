"""A folder of images, or a tree of studies, as cases of which nothing is known."""

import csv
import io
import os
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

from segclf.core.errors import CaseError, DataError
from segclf.core.records import Case, MaskSource, MaskState
from segclf.core.runs import shown
from segclf.io import (
    DICOM_SUFFIXES,
    FORMATS,
    OF_FILE,
    confine,
    identify,
    probe,
    stem_of,
    suffix_of,
)
from segclf.io.guard import default_limit

CHANNEL = re.compile(r"(?P<case>.+)_(?P<channel>\d{4})")
"""The name of a file that holds a channel of a case, as nnU-Net names it."""
ALONE = "alone"
"""In the place of a series: a file of several frames, which is a volume by itself."""


def image_cases(
    folder: Path, n_findings: int, *, spatial_dims: int = 2, n_channels: int | None = None
) -> list[Case]:
    """A case for each image in a folder and the folders below, by path; nothing is known of it.

    Args:
        folder: As `image_paths` searches it.
        n_findings: Findings of the run.
        spatial_dims: With 3, the DICOM files of a series are one volume.
        n_channels: Of an image of the run, where that is known; see `channel_paths`.

    Raises:
        DataError: As `channel_paths`, or an image is a link that leaves the folder.
    """
    return [
        Case(
            case_id=case_id,
            images=tuple(_inside(folder, text) for text in texts),
            masks=(MaskSource(MaskState.UNKNOWN),) * n_findings,
            labels=(float("nan"),) * n_findings,
            patient_id=case_id,
        )
        for case_id, texts in channel_paths(folder, spatial_dims, n_channels).items()
    ]


def _inside(folder: Path, text: str) -> Path:
    try:
        return confine(text, [folder]).resolve()
    except CaseError as error:
        raise DataError(
            error.wrong, where=error.where, expected=error.expected, fix=error.fix
        ) from None


def folder_table(folder: Path, spatial_dims: int, n_channels: int | None = None) -> bytes:
    """The images of a folder as the CSV of a manifest: `case_id` and `image`, or one per channel.

    Raises:
        DataError: As `channel_paths`.
    """
    paths = channel_paths(folder, spatial_dims, n_channels)
    n_files = max(map(len, paths.values()))
    names = ["image"] if n_files == 1 else [f"image_{k:04d}" for k in range(n_files)]
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(["case_id", *names])
    writer.writerows([case_id, *texts] for case_id, texts in paths.items())
    return text.getvalue().encode()


@default_limit()
def channel_paths(
    folder: Path, spatial_dims: int, n_channels: int | None = None
) -> dict[str, tuple[str, ...]]:
    """Case id to the files of its channels.

    A file is a case, as in `image_paths`, unless the run needs more channels than a file has: then
    `CASE_0000`, `CASE_0001` and so on, the names of nnU-Net, are the channels of CASE.

    Args:
        folder: As `image_paths`.
        spatial_dims: As `image_paths`.
        n_channels: What the run needs; None leaves each file a case.

    Raises:
        DataError: As `image_paths`; the names do not say which files belong together, or a case
            lacks a channel.
    """
    paths = image_paths(folder, spatial_dims)
    n_own = None if n_channels is None else _channels_of_a_file(folder, paths.values())
    if n_channels is None or n_own is None or n_own >= n_channels:
        return {case_id: (text,) for case_id, text in paths.items()}
    found = {case_id: CHANNEL.fullmatch(case_id) for case_id in paths}
    groups: dict[str, dict[int, str]] = {}
    for case_id, match in found.items():
        if match is not None:
            groups.setdefault(match["case"], {})[int(match["channel"])] = paths[case_id]
    wanted = [*range(n_channels // n_own)]
    unnamed = [case_id for case_id, match in found.items() if match is None]
    partial = [case for case, files in groups.items() if sorted(files) != wanted]
    if not unnamed and not partial:
        return {case: tuple(files[k] for k in wanted) for case, files in groups.items()}
    wrong = (
        f"the name {unnamed[0]!r}, which does not say of which case and channel it is"
        if unnamed
        else f"the channels {[f'{k:04d}' for k in sorted(groups[partial[0]])]} of {partial[0]!r}"
    )
    raise DataError(
        f"the folder has {wrong}; the run needs {n_channels} channels, and a file has {n_own}.",
        where=shown(folder),
        expected="for each case CASE_0000, CASE_0001 and so on, as nnU-Net names channels: "
        f"{len(wanted)} files",
        fix="name the files so, or give a manifest with a column per channel (image_NAME)",
    )


def _channels_of_a_file(folder: Path, texts: Iterable[str]) -> int | None:
    """Channels of the first file whose header can be read."""
    for text in texts:
        try:
            return probe(confine(text, [folder])).shape[0]
        except CaseError:
            continue
    return None


@default_limit()
def image_paths(folder: Path, spatial_dims: int) -> dict[str, str]:
    """Case id to the path of an image in `folder`, sorted; the id is the path without its suffix.

    Files of the known suffixes and DICOM files of any name are found, also in folders below; files
    of other kinds, hidden ones, links to folders, DICOMDIR, and DICOM objects that are no images
    (segmentations, reports, plans) are passed over.

    Args:
        folder: Where to search.
        spatial_dims: With 3, several DICOM files of one series are the slices of one volume. The
            path is that of their folder, or `FILE@series` if it holds several series. With 2 each
            file is a picture.

    Raises:
        DataError: There is no image, or two have the same id.
    """
    texts = [
        text
        for place, names in _places(folder)
        for text in _of_place(folder, place, names, spatial_dims)
    ]
    paths: dict[str, str] = {}
    for text in sorted(texts):
        case_id = text if (folder / text).is_dir() else _without_suffix(text)
        case_id = folder.resolve().name if text == "." else case_id
        if case_id in paths:
            raise _unusable(folder, f"two images called {case_id!r}", "rename one of them")
        paths[case_id] = text
    if not paths:
        fix = "choose another folder, or a manifest"
        raise _unusable(folder, "no image that can be read", fix)
    return paths


def _unusable(folder: Path, wrong: str, fix: str) -> DataError:
    return DataError(
        f"the folder has {wrong}.",
        where=shown(folder),
        expected=f"images, each with a name of its own: {', '.join(sorted(FORMATS))}",
        fix=fix,
    )


def _places(folder: Path) -> Iterator[tuple[str, list[str]]]:
    """Each folder with the names of its regular files, as paths relative to `folder`."""
    for place, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        kept = [name for name in names if not name.startswith(".")]
        yield os.path.relpath(place, folder), [n for n in kept if Path(place, n).is_file()]


def _of_place(folder: Path, place: str, names: list[str], spatial_dims: int) -> list[str]:
    """The paths of the images in one folder."""
    others: list[str] = []
    broken: list[str] = []
    series: dict[str, list[str]] = {}
    for name in names:
        suffix = suffix_of(name)
        if suffix in FORMATS and suffix not in DICOM_SUFFIXES:
            others.append(name)
            continue
        key = _series(folder / place / name, is_named=suffix in DICOM_SUFFIXES)
        if key is None:
            continue
        if key == "":
            broken.append(name)
        elif key == ALONE or spatial_dims != 3:
            others.append(name)
        else:
            series.setdefault(key, []).append(name)
    if len(series) == 1 and broken:  # slices of it, as far as anyone can say: it is set aside
        return [*(os.path.normpath(Path(place, name)) for name in others), place]
    found = [os.path.normpath(Path(place, name)) for name in (*others, *broken)]
    for files in series.values():
        first = os.path.normpath(Path(place, min(files)))
        is_all = len(series) == 1 and len(files) > 1
        found.append(place if is_all else first + OF_FILE if len(files) > 1 else first)
    return found


def _series(file: Path, *, is_named: bool) -> str | None:
    """The series of a DICOM image, `ALONE` for one of several frames; None for anything else.

    A file that is broken, or named as DICOM and is none, is of the series '': it becomes a case
    that is set aside when it is read.
    """
    try:
        found = identify(file)
    except CaseError:
        return ""
    if found.kind == "none":
        return "" if is_named else None
    if found.kind != "image":
        return None
    return ALONE if found.n_frames > 1 else found.series


def _without_suffix(text: str) -> str:
    name = os.path.basename(text)
    return text[: len(text) - len(name)] + stem_of(name)
