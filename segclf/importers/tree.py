"""Trees with DICOM series or a folder per patient, masks beside the images or in a folder.

A DICOM SEG belongs to the series that it refers to. Any other mask belongs to the image whose place
and name its own hold (`p1/ct_seg.nii.gz` to `p1/ct`, `masks/p1.nii.gz` to the series in `p1/`);
where that leaves several, to the one on whose grid it lies.
"""

import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from segclf.core.errors import CaseError
from segclf.importers.record import Job, Row
from segclf.importers.series import Found, Image, find_series, of_one_kind, patients
from segclf.importers.source import case_row, finding_name, stem
from segclf.io import Grid, check_grid, grid_of, probe

MASK_WORD = re.compile(
    r"(?i)(?:masks?|seg(?:mentations?)?|labels?|gt|annotations?|lesions?|rois?|contours?)\d{0,3}"
)
"""Words in a name that call a file a mask."""
BETWEEN = re.compile(r"[\W_]+|(?<=[a-z])(?=[A-Z])")
"""Where one word of a name ends: `p1/ct_seg`, `liverMask`."""

NUMBERED = re.compile(r"^\d+$|\d{3}")
"""Words that count files, such as SE0001, and say nothing of a finding."""

Given = list[tuple[Row, dict[str, list[str]]]]


@dataclass(frozen=True)
class Tree:
    """Images of one kind with their masks."""

    given: Given
    """Each row with the mask files of each finding."""
    findings: list[str]
    columns: dict[str, str]


def look(job: Job, root: str | None, masks: str | None) -> Found | None:
    """What a tree holds; None if it is no such tree: no DICOM, and no masks beside pictures."""
    found = find_series(job, root or "", without=masks)
    is_mixed = root is None and any(map(is_mask, found.pictures))
    return found if found.images or is_mixed else None


def is_mask(path: str) -> bool:
    """Whether the name of a file, or of a folder that it lies in, calls it a mask."""
    return any(MASK_WORD.fullmatch(word) for word in BETWEEN.split(_bare(path)))


def read_tree(
    job: Job, found: Found, root: str | None, masks: str | None, named: dict[str, list[str]] | None
) -> Tree:
    """Rows with their masks.

    Args:
        job: Gets the rows, and what has no place.
        found: As `look` gives it.
        root: Folder of images; None if they lie anywhere.
        masks: Folder of masks; None if they lie beside the images.
        named: Masks by id where the user gave a pattern.
    """
    base = f"{root}/" if root else ""
    pictures = [path for path in found.pictures if root is not None or not is_mask(path)]
    plain = [Image(path, path[len(base) : path.rfind("/") + 1] + stem(path)) for path in pictures]
    series = [image for image in found.images if root is not None or not is_mask(image.path)]
    images = of_one_kind(job, [*series, *plain], root or "")
    of_patient, source = patients(images)
    rows: dict[Image, Row] = {}
    for image in sorted(images, key=lambda image: image.key):
        row = case_row(job, image.key.replace("/", "_"), {"image": image.path}, image.path)
        if row is not None:
            rows[image] = row | ({"patient_id": of_patient[image]} if of_patient else {})
    job.rows.extend(rows.values())
    placed = _placed(job, [*rows], _candidates(job, found, root, masks, named), found)
    names = _findings([*placed.values()])
    of_case: dict[Image, dict[str, list[str]]] = {image: {n: [] for n in names} for image in rows}
    for path, (image, left) in placed.items():
        of_case[image][_finding(left) if len(names) > 1 else names[0]].append(path)
    columns = {"case_id": "place of the image", "image": "DICOM series and other images"}
    columns |= {"patient_id": source} if of_patient else {}
    return Tree([(row, of_case[image]) for image, row in rows.items()], names, columns)


def _candidates(
    job: Job, found: Found, root: str | None, masks: str | None, named: dict[str, list[str]] | None
) -> dict[str, list[str]]:
    """Mask file to the words of its place and name that may tell its image."""
    if named is not None:
        return {path: _words(key) for key, paths in named.items() for path in paths}
    files = [*found.segmentations]
    if masks is not None:
        inner = find_series(job, masks)
        found.segmentations.update(inner.segmentations)
        files += [*inner.segmentations, *inner.pictures]
        files += [image.path for image in inner.images if not image.files]
    elif root is None:
        files += [path for path in found.pictures if is_mask(path)]
        files += [image.path for image in found.images if is_mask(image.path)]
    base = [f"{folder}/" for folder in (root, masks) if folder]
    return {path: _words(_below(path, base)) for path in files}


def _below(path: str, bases: Sequence[str]) -> str:
    return _bare(next((path[len(base) :] for base in bases if path.startswith(base)), path))


def _bare(path: str) -> str:
    return path[: path.rfind("/") + 1] + stem(path)


def _words(text: str) -> list[str]:
    """Words in lower case without those for masks: `P1/masks/ct_seg` is p1, ct."""
    words = [word for word in BETWEEN.split(text) if word and not MASK_WORD.fullmatch(word)]
    return [word.lower() for word in words]


def _placed(
    job: Job, images: Sequence[Image], candidates: dict[str, list[str]], found: Found
) -> dict[str, tuple[Image, str]]:
    """Mask to its image, and what its name says beside that."""
    by_name: dict[str, list[Image]] = defaultdict(list)
    by_series: dict[str, list[Image]] = defaultdict(list)
    for image in images:
        by_series[image.series].append(image)
        for name in {*_names(image)}:
            by_name[name].append(image)
    placed = {}
    for path, words in candidates.items():
        of_series = found.segmentations.get(path, "")
        chosen = by_series.get(of_series) if of_series else None
        if chosen is None:
            if of_series:
                job.notes.append(f"{path} refers to a series that is not here")
            chosen = _by_name(words, by_name) or (images if not words else [])
        one = _choose(job, path, chosen)
        if one is not None:
            own = {*_words(one.key)}
            left = [word for word in words if word not in own and not NUMBERED.search(word)]
            placed[path] = (one, "_".join(left))
    return placed


def _names(image: Image) -> Iterator[str]:
    """Texts that name an image: its place, folders on the way to it, and its own name."""
    parts = image.key.split("/")
    for n in range(1, len(parts) + 1):
        yield _norm("/".join(parts[:n]))
    yield _norm(parts[-1])


def _norm(text: str) -> str:
    return " ".join(_words(text))


def _by_name(words: Sequence[str], by_name: dict[str, list[Image]]) -> list[Image]:
    """Of the images that words of a mask's place and name name, those that share most of them."""
    runs = {
        " ".join(words[start:end])
        for start in range(len(words))
        for end in range(start + 1, len(words) + 1)
    }
    named = {image for run in runs for image in by_name.get(run, ())}
    shared = {image: len({*words} & {*_words(image.key)}) for image in named}
    most = max(shared.values(), default=0)
    return [image for image in shared if shared[image] == most]


def _choose(job: Job, path: str, images: Sequence[Image]) -> Image | None:
    """The only image, or the only one on whose grid the mask lies; None with the reason kept."""
    if len(images) == 1:
        return images[0]
    if not images:
        job.leave_out(path, "missing_file", "no image has this place or name")
        return None
    try:
        grid = grid_of(probe(job.source / path))
    except CaseError as error:
        job.leave_out(path, error.reason, error.wrong)
        return None
    fitting = [image for image in images if _fits(job, path, grid, image)]
    if len(fitting) != 1:
        shown = ", ".join(image.path for image in (fitting or images)[:4])
        job.leave_out(
            path, "ambiguous_mask",
            f"it may belong to {len(fitting or images)} images ({shown}, ...) and lies on the grid "
            f"of {len(fitting) or 'none'}; name it as its image",
        )  # fmt: skip
    return fitting[0] if len(fitting) == 1 else None


def _fits(job: Job, path: str, grid: Grid, image: Image) -> bool:
    try:
        check_grid(grid, grid_of(probe(job.source / image.path)), job.source / path)
    except CaseError:
        return False
    return True


def _findings(placed: Sequence[tuple[Image, str]]) -> list[str]:
    """Names of findings: what names of masks add to those of images, if cases have several."""
    different = [*dict.fromkeys(left for _, left in placed)]
    n_cases = len({image for image, _ in placed})
    if len({*placed}) == n_cases or len(different) * 2 > len(placed):
        return ["target"]
    return [*dict.fromkeys(map(_finding, different))]


def _finding(left: str) -> str:
    return finding_name(left) if left else "target"
