"""A manifest's cases in the layout of nnU-Net 2: imagesTr, labelsTr, imagesTs, dataset.json.

Training and validation cases go to imagesTr, test cases to imagesTs with their maps in labelsTs,
which nnU-Net does not read. With folds all cases are in imagesTr; nnU-Net's `val` of a fold, on
which it reports, is our test part of it, and its `train` our train and val. Findings that
overlap are written as regions; of a case in which something is unknown, those pixels get the
label `ignore`; a case of which no mask is known goes to imagesTs.

Source: documentation/dataset_format.md, region_based_training.md, ignore_label.md and
manual_data_splits.md of github.com/MIC-DKFZ/nnUNet.
"""

import csv
import io
import os
import re
import shutil
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from segclf.core.atomic import write_json, write_text
from segclf.core.errors import CaseError, DataError, UsageError
from segclf.core.records import Case, MaskKind, MaskSource, MaskState
from segclf.core.text import guarded
from segclf.importers.record import LeftOut
from segclf.io import Picture, placed_on, probe, read_image, read_mask, write_image, write_mask
from segclf.manifest import CaseTable, cases_of

SAFE = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,99}")
UNKNOWN = -1
"""Code of a pixel of which a finding is not known; else a bit per finding."""
MAX_FINDINGS = 30
UNCERTAIN = 2


@dataclass
class Export:
    """One export while it runs."""

    folder: Path
    findings: tuple[str, ...]
    names: dict[str, str] = field(default_factory=dict)
    """Case id to the name of its files."""
    left_out: list[LeftOut] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def export_nnunet(
    table: CaseTable,
    split: pd.DataFrame | None,
    folder: Path,
    *,
    channels: Sequence[str] = (),
) -> dict[str, Any]:
    """Write the cases as a raw data set of nnU-Net; returns counts, notes and what is not carried.

    Args:
        table: The cases.
        split: From `make_split`; None puts all cases with masks into imagesTr.
        folder: A new folder, by custom `Dataset123_Name`; it appears whole.
        channels: Names of the channels; 'CT' makes nnU-Net scale by the intensities of the set.

    Raises:
        UsageError: The folder exists, or the names are not as many as the channels.
        DataError: No case has a mask.
    """
    if os.path.lexists(folder):
        raise UsageError(
            f"{folder.name!r} exists.",
            where="--out",
            expected="the name of a new folder",
            fix="choose another name",
        )
    if len(table.findings) > MAX_FINDINGS:
        raise UsageError(
            f"there are {len(table.findings)} findings.",
            where="findings",
            expected=f"at most {MAX_FINDINGS}",
            fix="name fewer of them in the recipe",
        )
    part = folder.with_name(f".{folder.name}.{uuid.uuid4().hex[:8]}.part")
    part.mkdir(parents=True)
    try:
        export = Export(part, table.findings)
        result = _write(export, table, split, channels)
        os.replace(part, folder)
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return result


def export_text(result: dict[str, Any]) -> str:
    """The result of `export_nnunet` for a terminal."""
    lines = [f"nnunet: {result['n_train']} cases in imagesTr, {result['n_test']} in imagesTs"]
    lines += [f"  label {name}: {value}" for name, value in result["labels"].items()]
    if result["left_out"]:
        lines.append(f"not written: {len(result['left_out'])}")
        lines += [f"  {e['where']}: {e['why']} ({e['reason']})" for e in result["left_out"][:20]]
    lines += [f"not carried: {text}" for text in result["not_carried"]]
    return "\n".join([*lines, *(f"note: {note}" for note in result["notes"])])


def _write(
    export: Export, table: CaseTable, split: pd.DataFrame | None, channels: Sequence[str]
) -> dict[str, Any]:
    for case in table.cases:
        export.names[case.case_id] = _file_name(case.case_id, set(export.names.values()))
    codes = _codes(export, table.cases)
    training, test = _parts(export, table, split, codes)
    if not training:
        raise DataError(
            "no case for imagesTr has a mask.",
            where=f"{len(table.cases)} cases",
            expected="masks that are drawn, or empty by their label",
            fix="draw some, or look at segclf check",
        )
    labels, values, regions = _labels(export, codes.values())
    ending = _ending([*training, *test])
    n_channels = _check_channels(export, [*training, *test], ending)
    written: dict[str, list[str]] = {"Tr": [], "Ts": []}
    for where, cases in (("Tr", training), ("Ts", test)):
        for case in cases:
            if _write_case(export, case, where, values, ending, n_channels, case.case_id in codes):
                written[where].append(case.case_id)
    data = {
        "channel_names": _channel_names(export, table, n_channels, channels),
        "labels": {"background": 0, **labels},
        **({"regions_class_order": regions} if regions else {}),
        "numTraining": len(written["Tr"]),
        "file_ending": ending,
    }
    write_json(export.folder / "dataset.json", data)
    _write_splits(export, split, written["Tr"])
    renamed = {c: n for c, n in export.names.items() if c != n}
    if renamed:
        _write_names(export, renamed)
    return {
        "n_train": len(written["Tr"]),
        "n_test": len(written["Ts"]),
        "labels": labels,
        "left_out": [{"where": e.where, "reason": e.reason, "why": e.why} for e in export.left_out],
        "not_carried": _not_carried(table, codes),
        "notes": export.notes,
    }


def _file_name(case_id: str, taken: set[str]) -> str:
    """The case's id where it is a file name, else one that resembles it."""
    name = case_id if SAFE.fullmatch(case_id) else re.sub(r"[^A-Za-z0-9_.-]+", "_", case_id)[:80]
    name = name.strip("._-") or "case"
    number, unique = 1, name
    while unique.lower() in {each.lower() for each in taken}:
        number += 1
        unique = f"{name}_v{number}"
    return unique


def _codes(export: Export, cases: Sequence[Case]) -> dict[str, set[int]]:
    """Which combinations of findings each case's mask holds; cases without any mask are absent."""
    codes: dict[str, set[int]] = {}
    for case in cases:
        if not any(_is_usable(mask) for mask in case.masks):
            continue
        try:
            codes[case.case_id] = {int(code) for code in np.unique(_code_map(case))}
        except CaseError as error:
            export.left_out.append(LeftOut(error.where, error.reason, error.wrong.rstrip(".")))
    return codes


def _is_usable(mask: MaskSource) -> bool:
    kinds = (MaskKind.FULL, MaskKind.UNCERTAIN)
    return mask.state is not MaskState.UNKNOWN and mask.kind in kinds and not mask.is_pseudo


def _code_map(case: Case) -> np.ndarray:
    """(*space) codes of the findings at each pixel of the image.

    Raises:
        CaseError: A file cannot be read, or the mask does not lie on the image.
    """
    image = probe(case.images[0])
    space = image.shape[1:]
    codes = np.zeros(space, dtype=np.int64)
    is_unknown = np.zeros(space, dtype=bool)
    for k, source in enumerate(case.masks):
        if not _is_usable(source):
            is_unknown[:] = True
        elif source.state is MaskState.DRAWN and source.path is not None:
            values = placed_on(read_mask(source.path), image).array
            if values.shape != space:
                raise CaseError(
                    "shape_mismatch",
                    f"the mask has shape {values.shape}, the image {space}.",
                    where=f"mask {source.path.name}",
                    expected="a mask on the grid of its image",
                    fix="export the mask at the size of the image",
                )
            if source.kind is MaskKind.UNCERTAIN:
                is_unknown |= values == UNCERTAIN
                values = values == 1
            is_in = values > 0 if source.values is None else np.isin(values, source.values)
            codes |= is_in.astype(np.int64) << k
    codes[is_unknown & (codes == 0)] = UNKNOWN
    return codes


def _parts(
    export: Export, table: CaseTable, split: pd.DataFrame | None, codes: dict[str, set[int]]
) -> tuple[list[Case], list[Case]]:
    """Cases of imagesTr and of imagesTs."""
    held_out: set[str] = set()
    if split is not None and not len(split["fold"].dropna()):
        held_out = {case.case_id for case in cases_of(table, split, "test")}
    training = [c for c in table.cases if c.case_id in codes and c.case_id not in held_out]
    test = [c for c in table.cases if c.case_id in held_out or c.case_id not in codes]
    failed = {e.where for e in export.left_out}
    n_unlabelled = sum(c.case_id not in held_out for c in test)
    if n_unlabelled:
        export.notes.append(f"{n_unlabelled} cases whose masks are not known are in imagesTs")
    return training, [c for c in test if c.case_id not in failed]


def _labels(
    export: Export,
    codes: Sequence[set[int]] | Any,  # noqa: ANN401
) -> tuple[dict[str, Any], dict[int, int], list[int]]:
    """Labels of dataset.json, code to pixel value, and the order of regions ([] without them)."""
    present: set[int] = set().union(*codes) - {0}
    has_unknown = UNKNOWN in present
    present -= {UNKNOWN}
    bits = {1 << k: name for k, name in enumerate(export.findings)}
    if present <= set(bits):
        values = {0: 0, **{bit: k + 1 for k, bit in enumerate(bits)}}
        labels: dict[str, Any] = {name: values[bit] for bit, name in bits.items()}
        order: list[int] = []
    else:
        ordered = sorted(present, key=lambda code: (code.bit_count(), code))
        values = {0: 0, **{code: k + 1 for k, code in enumerate(ordered)}}
        of_finding = {n: [c for c in ordered if c & bit] for bit, n in bits.items()}
        # encompassing regions first: those in most combinations
        sizes = sorted((n for n in of_finding if of_finding[n]), key=lambda n: -len(of_finding[n]))
        labels = {n: [values[c] for c in of_finding[n]] for n in sizes}
        order = _region_order([of_finding[n] for n in sizes], values)
        missing = [name for name, found in of_finding.items() if not found]
        if missing:
            export.notes.append(f"no case has {', '.join(missing)}: not among the regions")
        export.notes.append("findings overlap: they are written as regions")
        if len(present) > len(order):
            export.notes.append(
                "nnU-Net's own maps of integers cannot show every overlap of these regions; "
                "predict with --save_probabilities"
            )
    if has_unknown:
        values[UNKNOWN] = len(values)
        labels["ignore"] = values[UNKNOWN]
    return labels, values, order


def _region_order(regions: Sequence[Sequence[int]], values: dict[int, int]) -> list[int]:
    """The label that stands for each region: its combination of fewest findings not yet taken."""
    order: list[int] = []
    for codes in regions:
        free = [values[code] for code in codes if values[code] not in order]
        order.append(free[0] if free else values[codes[0]])
    return order


def _ending(cases: Sequence[Case]) -> str:
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


def _check_channels(export: Export, cases: Sequence[Case], ending: str) -> int:
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


def _write_case(
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
            codes, inverse = np.unique(_code_map(case), return_inverse=True)
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


def _channel_names(
    export: Export, table: CaseTable, n_channels: int, channels: Sequence[str]
) -> dict[str, str]:
    if channels and len(channels) != n_channels:
        raise UsageError(
            f"{len(channels)} channels are named, the images have {n_channels}.",
            where="--channel",
            expected=f"{n_channels} names",
            fix="repeat --channel for each",
        )
    names = list(channels) or [f"channel_{k}" for k in range(n_channels)]
    if not channels:
        export.notes.append("channels have no names here; --channel CT makes nnU-Net scale as CT")
    return {str(k): name for k, name in enumerate(names)}


def _write_splits(export: Export, split: pd.DataFrame | None, training: Sequence[str]) -> None:
    """splits_final.json: the folds, or the one split into train and val."""
    if split is None:
        return
    kept, splits = set(training), []
    for fold in sorted(split["fold"].dropna().unique()) or [None]:
        rows = split if fold is None else split.loc[split["fold"] == fold]
        part = dict(zip(rows["case_id"], rows["split"], strict=True))
        val = "val" if fold is None else "test"
        names = {
            "train": sorted(export.names[c] for c in kept if part[c] not in (val, "test")),
            "val": sorted(export.names[c] for c in kept if part[c] == val),
        }
        splits.append(names)
    write_json(export.folder / "splits_final.json", splits)
    export.notes.append(
        "splits_final.json has its place in nnUNet_preprocessed/DATASET, after planning"
    )


def _write_names(export: Export, renamed: dict[str, str]) -> None:
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(["case_id", "nnunet_name"])
    writer.writerows((guarded(case_id), name) for case_id, name in renamed.items())
    write_text(export.folder / "case_names.csv", stream.getvalue())
    export.notes.append(f"{len(renamed)} ids are no file names; theirs are in case_names.csv")


def _not_carried(table: CaseTable, codes: dict[str, set[int]]) -> list[str]:
    """What the layout has no place for."""
    lost: list[str] = []
    n_labels = sum(
        any(not np.isnan(label) for label in case.labels) and case.case_id not in codes
        for case in table.cases
    )
    if n_labels:
        lost.append(f"labels of {n_labels} cases without masks")
    own = ("case_id", "patient_id", "split", "fold")
    columns = [c for c in table.frame if c not in own and not str(c).startswith("label_")]
    if columns:
        lost.append(f"columns {', '.join(map(str, columns))}")
    if table.has_patients:
        lost.append("patient_id (nnU-Net's own folds would divide patients: use splits_final.json)")
    coarse = sum(
        source.state is MaskState.DRAWN and not _is_usable(source)
        for case in table.cases
        for source in case.masks
    )
    if coarse:
        lost.append(f"{coarse} masks that are coarse or of a network: taken as unknown")
    return lost
