"""A folder of images, or a tree of studies, as cases of which nothing is known."""

import csv
import io
import os
from collections.abc import Iterator
from pathlib import Path

from segclf.core.errors import CaseError, DataError
from segclf.core.records import Case, MaskSource, MaskState
from segclf.core.runs import shown
from segclf.io import DICOM_SUFFIXES, FORMATS, dicom_kind, probe, stem_of, suffix_of
from segclf.io.guard import DECODE_LIMIT_S, time_limit


def image_cases(folder: Path, n_findings: int, *, spatial_dims: int = 2) -> list[Case]:
    """A case for each image in a folder and the folders below, by path; nothing is known of it.

    Args:
        folder: As `image_paths` searches it.
        n_findings: Findings of the run.
        spatial_dims: With 3, the DICOM files of a folder are one volume.

    Raises:
        DataError: As `image_paths`.
    """
    return [
        Case(
            case_id=case_id,
            images=((folder / text).resolve(),),
            masks=(MaskSource(MaskState.UNKNOWN),) * n_findings,
            labels=(float("nan"),) * n_findings,
            patient_id=case_id,
        )
        for case_id, text in image_paths(folder, spatial_dims).items()
    ]


@time_limit(DECODE_LIMIT_S)
def folder_table(folder: Path, spatial_dims: int) -> bytes:
    """The images of a folder as the CSV of a manifest: `case_id` and `image`.

    Raises:
        DataError: As `image_paths`.
    """
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(["case_id", "image"])
    writer.writerows(image_paths(folder, spatial_dims).items())
    return text.getvalue().encode()


def image_paths(folder: Path, spatial_dims: int) -> dict[str, str]:
    """Case id to the path of an image in `folder`, sorted; the id is the path without its suffix.

    Files of the known suffixes and DICOM files of any name are found, also in folders below; files
    of other kinds, hidden ones, links to folders, DICOMDIR, and DICOM objects that are no images
    (segmentations, reports, plans) are passed over.

    Args:
        folder: Where to search.
        spatial_dims: With 3, several DICOM files in one folder are the slices of one volume,
            and the path is that of their folder; with 2 each is a picture.

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
    slices, others = [], []
    for name in names:
        suffix = suffix_of(name)
        if suffix in FORMATS and suffix not in DICOM_SUFFIXES:
            others.append(name)
            continue
        kind = dicom_kind(folder / place / name)
        if kind == "image" or (kind is None and suffix in DICOM_SUFFIXES):  # a broken one counts
            slices.append(name)
    is_many = spatial_dims == 3 and len(slices) > 1
    if is_many and not _is_volume(folder / place / min(slices)):
        return [*(os.path.normpath(Path(place, name)) for name in others), place]
    return [os.path.normpath(Path(place, name)) for name in (*others, *slices)]


def _is_volume(file: Path) -> bool:
    """Whether a DICOM file has several frames, so that it is no slice of a series."""
    try:
        return len(probe(file).shape) == 4
    except CaseError:
        return False


def _without_suffix(text: str) -> str:
    name = os.path.basename(text)
    return text[: len(text) - len(name)] + stem_of(name)
