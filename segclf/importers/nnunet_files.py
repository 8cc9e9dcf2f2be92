"""Images and label maps of one case, as files of nnU-Net: a channel per file, one file ending."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from segclf.core.errors import CaseError
from segclf.core.records import Case
from segclf.importers.nnunet_codes import Export, code_map
from segclf.importers.record import LeftOut
from segclf.io import Picture, probe, read_image, write_image, write_mask


def common_ending(cases: Sequence[Case]) -> str:
    """`.png` if every image is a plain picture, else `.nii.gz`."""
    for case in cases:
        for path in case.images:
            try:
                header = probe(path)
            except CaseError:
                continue
            is_picture = len(header.shape) == 3 and header.shape[0] in (1, 3)
            is_plain = header.spacing_mm is None and case.spacing_mm is None
            allowed = (np.uint8, np.uint16) if header.shape[0] == 1 else (np.uint8,)
            if not is_picture or not is_plain or header.dtype not in allowed:
                return ".nii.gz"
    return ".png"


def common_channels(cases: Sequence[Case]) -> int:
    """Number of channels, which nnU-Net wants to be the same in all cases."""
    counts: dict[int, int] = {}
    for case in cases:
        try:
            n = sum(probe(path).shape[0] for path in case.images)
        except CaseError:
            continue
        counts[n] = counts.get(n, 0) + 1
    if not counts:
        return 1
    return max(counts, key=lambda n: counts[n])


def write_case(
    export: Export, case: Case, where: str, values: dict[int, int], ending: str, n_channels: int,
    has_mask: bool,
) -> bool:  # fmt: skip
    """Images and label map of one case; False, with the reason kept, if it cannot be written."""
    name = export.names[case.case_id]
    made: list[Path] = []
    try:
        pictures = [read_image(path) for path in case.images]
        if sum(len(p.array) for p in pictures) != n_channels:
            raise CaseError(
                "channels", f"it has {sum(len(p.array) for p in pictures)} channels.",
                where=case.case_id, expected=f"{n_channels} channels", fix="leave the case out",
            )  # fmt: skip
        spacing = pictures[0].spacing_mm or case.spacing_mm
        affine = pictures[0].affine
        for k, array in enumerate(_files(pictures, ending)):
            made.append(export.folder / f"images{where}" / f"{name}_{k:04d}{ending}")
            _save(made[-1], array, spacing, affine, ending)
        if has_mask:
            codes, inverse = np.unique(code_map(case), return_inverse=True)
            labels = np.array([values[int(code)] for code in codes], dtype=np.uint8)[inverse]
            made.append(export.folder / f"labels{where}" / f"{name}{ending}")
            made[-1].parent.mkdir(exist_ok=True)
            if ending == ".png":
                write_mask(made[-1], labels)
            else:
                write_mask(made[-1], labels, spacing_mm=spacing, affine=affine)
    except (CaseError, ValueError) as error:
        for path in made:
            path.unlink(missing_ok=True)
        reason = error.reason if isinstance(error, CaseError) else "format"
        why = error.wrong if isinstance(error, CaseError) else str(error)
        export.left_out.append(LeftOut(case.case_id, reason, why.rstrip(".")))
        return False
    return True


def _files(pictures: Sequence[Picture], ending: str) -> Iterator[np.ndarray]:
    """(channel, *space) of each file: one channel, but for a colour picture as PNG."""
    for picture in pictures:
        if ending == ".png" and len(picture.array) == 3:
            yield picture.array
        else:
            yield from (channel[None] for channel in picture.array)


def _save(
    path: Path, array: np.ndarray, spacing: tuple[float, ...] | None, affine: np.ndarray | None,
    ending: str,
) -> None:  # fmt: skip
    path.parent.mkdir(exist_ok=True)
    if ending == ".png":
        write_image(path, array)
    else:
        write_image(path, array, spacing_mm=spacing, affine=affine)
