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
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from segclf.core.atomic import write_json, write_text
from segclf.core.errors import CaseError, DataError, UsageError
from segclf.core.records import Case, MaskState
from segclf.core.text import guarded
from segclf.importers.nnunet_codes import Export, code_map, is_usable, labels_of
from segclf.importers.nnunet_files import common_channels, common_ending, write_case
from segclf.importers.record import LeftOut
from segclf.manifest import CaseTable, cases_of

SAFE = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,99}")
MAX_FINDINGS = 30
MAX_LABELS = 256


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
    taken: set[str] = set()
    for case in table.cases:
        export.names[case.case_id] = _file_name(case.case_id, taken)
    codes = _codes(export, table.cases)
    training, test = _parts(export, table, split, codes)
    if not training:
        raise DataError(
            "no case for imagesTr has a mask.",
            where=f"{len(table.cases)} cases",
            expected="masks that are drawn, or empty by their label",
            fix="draw some, or look at segclf check",
        )
    labels, values, regions = labels_of(export, codes.values())
    if len(values) > MAX_LABELS:
        raise DataError(
            f"the findings overlap in {len(values) - 1} ways.",
            where=f"findings {', '.join(export.findings)}",
            expected=f"at most {MAX_LABELS - 1} labels",
            fix="export fewer findings at a time",
        )
    ending = common_ending([*training, *test])
    n_channels = common_channels([*training, *test])
    written: dict[str, list[str]] = {"Tr": [], "Ts": []}
    for where, cases in (("Tr", training), ("Ts", test)):
        for case in cases:
            if write_case(export, case, where, values, ending, n_channels, case.case_id in codes):
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
    while unique.lower() in taken:
        number += 1
        unique = f"{name}_v{number}"
    taken.add(unique.lower())
    return unique


def _codes(export: Export, cases: Sequence[Case]) -> dict[str, set[int]]:
    """Which combinations of findings each case's mask holds; cases without any mask are absent."""
    codes: dict[str, set[int]] = {}
    for case in cases:
        if not any(is_usable(mask) for mask in case.masks):
            continue
        try:
            codes[case.case_id] = {int(code) for code in np.unique(code_map(case))}
        except CaseError as error:
            export.left_out.append(LeftOut(case.case_id, error.reason, error.wrong.rstrip(".")))
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
        source.state is MaskState.DRAWN and not is_usable(source)
        for case in table.cases
        for source in case.masks
    )
    if coarse:
        lost.append(f"{coarse} masks that are coarse or of a network: taken as unknown")
    return lost
