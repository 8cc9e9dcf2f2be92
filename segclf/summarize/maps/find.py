"""Which files of a folder hold the maps of which case."""

import os
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from segclf.core.errors import CaseError, DataError
from segclf.core.mapfiles import file_name
from segclf.core.runs import shown
from segclf.io import FORMATS, suffix_of


@dataclass(frozen=True)
class CaseFiles:
    """The map files of one case, relative to the folder of maps."""

    whole: str | None = None
    """One file for all findings."""
    by_finding: dict[str, str] = field(default_factory=dict)
    """One file for each finding."""
    reference: str | None = None
    """The segmentation beside an .npz, which says how its array lies."""
    problem: CaseError | None = None
    """Why these files cannot be used."""

    def paths(self) -> list[str]:
        """All files of the case."""
        return [p for p in (self.whole, self.reference, *self.by_finding.values()) if p is not None]


@dataclass(frozen=True)
class FoundMaps:
    """The maps of a folder, matched to cases."""

    of_case: dict[str, CaseFiles]
    """Case id to files; cases without a map are absent."""
    unmatched: list[str]
    """Files that belong to no case."""


def find_maps(folder: Path, case_ids: Iterable[str], findings: Sequence[str]) -> FoundMaps:
    """Match files to cases by name, without opening any.

    A map of case `a` and finding `f` is `a.<suffix>` (all findings in one file), `a_f.<suffix>` or
    `a/f.<suffix>`, as `predict --save-maps` writes it. `a.npz` with `a.nii.gz` (or .png …) beside
    it is nnU-Net's; its .pkl is never opened.

    Args:
        folder: Searched, with its direct subfolders; links are checked when a file is read.
        case_ids: Ids of the manifest.
        findings: Names of the findings.

    Raises:
        DataError: The folder does not exist, or holds no map of any case.
    """
    files = _scan(folder)
    owners: dict[str, list[str]] = defaultdict(list)
    of_case: dict[str, CaseFiles] = {}
    ids = list(case_ids)
    for case_id in ids:
        found = _files_of(case_id, files, findings)
        if found is not None:
            of_case[case_id] = found
            for path in found.paths():
                owners[path].append(case_id)
    for path, cases in owners.items():
        if len(cases) > 1:
            for case_id in cases:
                of_case[case_id] = CaseFiles(
                    problem=_ambiguous(path, f"may belong to {' or '.join(sorted(cases))}")
                )
    if not of_case:
        example = next((path for paths in files.values() for path in paths), None)
        raise DataError(
            f"no file is named after a case: {'it is empty' if example is None else example}.",
            where=shown(folder),
            expected=f"for example {ids[0] if ids else 'CASE'}.npz, .nii.gz or .png",
            fix="rename the maps, or set columns.case_id to the column they are named after",
        )
    unmatched = [path for paths in files.values() for path in paths if path not in owners]
    return FoundMaps(of_case, unmatched)


def _scan(folder: Path) -> dict[str, list[str]]:
    """Path without suffix to the relative paths that share it; other files are left out."""
    if not folder.is_dir():
        raise DataError(
            "the folder of maps does not exist.",
            where=shown(folder),
            expected="a folder of probability maps or masks",
            fix="correct --maps",
        )
    files: dict[str, list[str]] = defaultdict(list)
    for entry in sorted(os.scandir(folder), key=lambda entry: entry.name):
        if not entry.is_dir(follow_symlinks=False):
            _add(files, entry.name)
        else:
            for name in sorted(os.listdir(entry.path)):
                _add(files, f"{entry.name}/{name}")
    return files


def _add(files: dict[str, list[str]], path: str) -> None:
    suffix = suffix_of(path)
    if suffix in FORMATS and not path.rpartition("/")[2].startswith("."):
        files[path[: len(path) - len(suffix)]].append(path)


def _files_of(
    case_id: str, files: dict[str, list[str]], findings: Sequence[str]
) -> CaseFiles | None:
    names = dict.fromkeys((case_id, file_name(case_id)))
    whole = [path for name in names for path in files.get(name, ())]
    each = {
        finding: [
            path
            for name in names
            for label in dict.fromkeys((finding, file_name(finding)))
            for stem in (f"{name}_{label}", f"{name}/{label}")
            for path in files.get(stem, ())
        ]
        for finding in findings
    }
    npz = [path for path in whole if path.lower().endswith(".npz")]
    others = [path for path in whole if path not in npz]
    some = [path for paths in each.values() for path in paths]
    if not whole and not some:
        return None
    if whole and some:
        return CaseFiles(problem=_ambiguous(whole[0], f"stands beside {some[0]}"))
    twice = next((paths for paths in each.values() if len(paths) > 1), None)
    if twice is not None:
        return CaseFiles(problem=_ambiguous(twice[0], f"stands beside {twice[1]}"))
    if len(npz) > 1 or len(others) > 1:
        return CaseFiles(problem=_ambiguous(whole[0], f"stands beside {whole[1]}"))
    if npz:
        return CaseFiles(whole=npz[0], reference=others[0] if others else None)
    if others:
        return CaseFiles(whole=others[0])
    missing = [finding for finding, paths in each.items() if not paths]
    if missing:
        return CaseFiles(
            problem=CaseError(
                "missing_map",
                f"the case has no map of {', '.join(missing)}.",
                where=some[0],
                expected=f"a map of each of {', '.join(findings)}",
                fix="add the files, or name only the findings that were predicted",
            )
        )
    return CaseFiles(by_finding={finding: paths[0] for finding, paths in each.items()})


def _ambiguous(path: str, wrong: str) -> CaseError:
    return CaseError(
        "ambiguous_map",
        f"the file {path} {wrong}.",
        where=path,
        expected="one file for a case, or one for each of its findings",
        fix="keep one of them, or rename the files",
    )
