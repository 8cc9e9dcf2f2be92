"""Images of a tree as a hospital exports it: DICOM series in any folders, and other pictures."""

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import PurePosixPath

from segclf.core.errors import CaseError
from segclf.importers.record import Job
from segclf.importers.source import inside, walk
from segclf.io import DICOM_SUFFIXES, FORMATS, OF_FILE, identify, probe, stem_of, suffix_of


@dataclass(frozen=True)
class Image:
    """One picture or volume."""

    path: str
    """Relative to SRC, as a manifest names it: a file, the folder of a series, `FILE@series`."""
    key: str
    """Its place below the folder of images, without suffix: `p1/ct`."""
    series: str = ""
    """Equal in images of one DICOM series."""
    patient: str = ""
    """Equal in images of one patient by their headers; empty where nothing is said."""
    files: tuple[str, ...] = ()
    """The files of a series that has several."""


@dataclass(frozen=True)
class Found:
    """What a folder holds."""

    images: list[Image] = field(default_factory=list)
    segmentations: dict[str, str] = field(default_factory=dict)
    """DICOM SEG to the series that it refers to, empty where that is not known."""
    pictures: list[str] = field(default_factory=list)
    """Files of other formats."""


def find_series(job: Job, root: str, *, without: str | None = None) -> Found:
    """DICOM series, segmentations and other pictures in a folder of SRC and the folders below.

    Args:
        job: Gets what is no image, with the reason.
        root: The folder, '' for SRC.
        without: A folder inside that is passed over.
    """
    found = Found()
    groups: dict[tuple[str, str], list[tuple[str, str, int]]] = defaultdict(list)
    for path in walk(job, root):
        if without is not None and path.startswith(f"{without}/"):
            continue
        suffix = suffix_of(path)
        if suffix in FORMATS and suffix not in DICOM_SUFFIXES:
            found.pictures.append(path)
            continue
        try:
            file = job.source / inside(job, path)
            about = identify(file) if file.is_file() else None
        except CaseError as error:
            if suffix in DICOM_SUFFIXES:
                job.leave_out(path, error.reason, error.wrong)
            continue
        if about is None or about.kind == "none":
            if suffix in DICOM_SUFFIXES:
                job.leave_out(path, "unreadable", "it is named as DICOM and is none")
        elif about.kind == "segmentation":
            found.segmentations[path] = about.of_series
        elif about.kind == "other":
            job.leave_out(path, "no_image", "a DICOM object that is no image")
        else:
            place = (path.rpartition("/")[0], about.series or path)
            groups[place].append((path, about.patient, about.n_frames))
    n_series = defaultdict(int)
    for folder, _ in groups:
        n_series[folder] += 1
    for (folder, series), files in groups.items():
        found.images.extend(_images(job, root, folder, series, files, n_series[folder] == 1))
    return found


def _images(
    job: Job, root: str, folder: str, series: str, files: list[tuple[str, str, int]], is_only: bool
) -> list[Image]:
    """The volume of a series' files in a folder; files of several frames are one each."""
    patient = files[0][1]
    singles = [path for path, _, n_frames in files if n_frames == 1]
    alone = [path for path, _, n_frames in files if n_frames > 1]
    if len(singles) == 1:
        alone, singles = [*alone, *singles], []
    images = [Image(path, _key(path, root), series, patient) for path in alone]
    if singles:
        is_whole = is_only and not alone and _is_sound(job, folder)
        path = (folder or ".") if is_whole else singles[0] + OF_FILE
        key = _below(folder, root) or job.source.name if is_whole else _key(singles[0], root)
        images.append(Image(path, key, series, patient, tuple(singles)))
    return images


def _is_sound(job: Job, folder: str) -> bool:
    """Whether the folder itself may stand in a manifest for the series in it."""
    try:
        inside(job, folder or ".")
    except CaseError:
        return False
    return not any(where.rpartition("/")[0] == folder for where in _left_files(job))


def _left_files(job: Job) -> list[str]:
    return [each.where for each in job.left_out if each.reason == "unreadable"]


def _key(path: str, root: str) -> str:
    inner = _below(path, root)
    return inner[: inner.rfind("/") + 1] + stem_of(inner.rpartition("/")[2])


def _below(path: str, root: str) -> str:
    return str(PurePosixPath(path).relative_to(root)) if root and path else path


def of_one_kind(job: Job, images: Sequence[Image], root: str) -> list[Image]:
    """The volumes, if any series can be read as one, else the pictures; the others are left out."""
    shapes = {image: _n_axes(job, image) for image in images}
    if any(n_axes == 3 for n_axes, _ in shapes.values()):
        wanted, other = 3, "a picture among volumes, such as a localizer"
    else:  # several views of a radiograph are one series and no volume
        wanted, other = 2, "a volume among pictures"
        singles = [
            replace(image, path=path, key=_key(path, root), files=())
            for image in images
            for path in image.files
        ]
        shapes = {image: shapes[image] for image in images if not image.files}
        shapes |= {image: _n_axes(job, image) for image in singles}
    for image, (n_axes, error) in shapes.items():
        if error is not None:
            job.leave_out(image.path, error.reason, error.wrong)
        elif n_axes != wanted:
            job.leave_out(image.path, "dimensions", other)
    return [image for image, (n_axes, _) in shapes.items() if n_axes == wanted]


def _n_axes(job: Job, image: Image) -> tuple[int, CaseError | None]:
    try:
        return len(probe(job.source / inside(job, image.path)).shape) - 1, None
    except CaseError as error:
        return 0, error


def patients(images: Sequence[Image]) -> tuple[dict[Image, str], str]:
    """The patient of each image, and where that comes from; {} where nothing says it.

    Numbers of patients in headers are compared and never shown: a patient is called as the folder
    that holds all of its images and no other, else `patient_1` and so on. Headers that all state
    one number, as some tools write it to hide them, say nothing; then the first folder does.
    """
    first = {image: _first_folder(image) for image in images}
    stated = {image: image.patient for image in images}
    if len({*stated.values()} - {""}) > 1:
        who: dict[Image, str] = {i: stated[i] or f"/{first[i] or i.key}" for i in images}
        if len({*who.values()}) == len(images) and not all(first.values()):
            return {}, ""  # each image is a patient of its own, as without a column
        folders, inner = _groups(images, who.get, first.get), _groups(images, first.get, who.get)
        names: dict[str, str] = {}
        for image in images:
            one = who[image]
            if one not in names:
                is_own = first[image] and len(folders[one]) == 1 and len(inner[first[image]]) == 1
                names[one] = first[image] if is_own else _new(f"patient_{len(names) + 1}", first)
        return {i: names[who[i]] for i in images}, "equal patient numbers in the headers"
    if len({*first.values()}) in (1, len(images)) or not all(first.values()):
        return {}, ""
    return first, "the first folder on the way to the image"


def _first_folder(image: Image) -> str:
    """Of the folders on the way to an image, and that of a series, the first; '' without one."""
    first, _, rest = image.key.partition("/")
    is_folder = bool(image.files) and not image.path.endswith(OF_FILE)
    return first if rest or is_folder else ""


def _groups(
    images: Sequence[Image], outer: Callable[[Image], object], inner: Callable[[Image], object]
) -> dict[object, set[object]]:
    found: dict[object, set[object]] = defaultdict(set)
    for image in images:
        found[outer(image)].add(inner(image))
    return found


def _new(name: str, first: dict[Image, str]) -> str:
    while name in first.values():
        name += "_"
    return name
