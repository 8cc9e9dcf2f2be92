"""Read every file of a case table and report everything that is wrong or worth knowing."""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from segclf.core.config import Recipe
from segclf.core.records import Case, MaskState
from segclf.io.guard import time_limit
from segclf.manifest.examine import Examined, Job, examine
from segclf.manifest.parallel import map_threads
from segclf.manifest.records import CaseTable, Problem
from segclf.manifest.split import patient_labels
from segclf.manifest.summary import summarize_table

Progress = Callable[[dict[str, Any]], None]


@dataclass(frozen=True)
class CheckReport:
    """What a check found, and what the data look like."""

    problems: tuple[Problem, ...]
    """Errors first, then warnings, then notes; each in the order of the table."""
    summary: dict[str, Any]
    """Plain data: counts, prevalence, areas, groups, suggested roles."""

    @property
    def n_errors(self) -> int:
        """Problems that make a case or the table unusable."""
        return sum(problem.severity == "error" for problem in self.problems)

    def as_dict(self) -> dict[str, Any]:
        """Plain data, for JSON."""
        return {
            "n_errors": self.n_errors,
            "problems": [problem.as_dict() for problem in self.problems],
            "summary": self.summary,
        }


def check_manifest(
    table: CaseTable, *, workers: int = 1, progress: Progress | None = None
) -> CheckReport:
    """Every problem of the table and of its files, and a summary of the data.

    Args:
        table: From `read_manifest(strict=False)`, so that rows with problems are reported too.
        workers: Files that are read at once, each in a process (`image.decode_limit_s`).
        progress: Called with `{"kind": "check", "step": …, "of": …}` after each case.
    """
    table = table.source or table  # whole files, each once
    jobs = _jobs(table)
    function = partial(_examine, recipe=table.recipe, findings=table.findings)
    seen: list[Examined] = []
    for examined in map_threads(function, jobs, workers=workers):
        seen.append(examined)
        if progress is not None:
            progress({"kind": "check", "step": len(seen), "of": len(jobs)})
    problems = [*table.problems, *(p for examined in seen for p in examined.problems)]
    problems += _compare_images(jobs, seen, table)
    problems += _find_copies(jobs, seen)
    problems += _check_parts(table, jobs)
    problems += _notes(table, seen)
    rank = {"error": 0, "warning": 1, "note": 2}
    problems.sort(key=lambda problem: (rank[problem.severity], problem.row or 0))
    return CheckReport(tuple(problems), summarize_table(table, seen))


def _examine(job: Job, recipe: Recipe, findings: Sequence[str]) -> Examined:
    with time_limit(recipe.image.decode_limit_s):
        return examine(job, recipe, findings)


def _jobs(table: CaseTable) -> list[Job]:
    rows = table.rows or range(2, len(table.cases) + 2)
    files = table.mask_files or [_drawn(case) for case in table.cases]
    return [Job(*parts) for parts in zip(table.cases, rows, files, strict=True)]


def _drawn(case: Case) -> tuple[Any, ...]:
    paths = [s.path for s in case.masks if s.state is MaskState.DRAWN and s.path]
    return tuple(dict.fromkeys(paths))


def _compare_images(
    jobs: Sequence[Job], seen: Sequence[Examined], table: CaseTable
) -> list[Problem]:
    """Cases whose number of axes or channels differs from the recipe or from most cases."""
    shapes = [examined.shape for examined in seen if examined.shape is not None]
    if not shapes:
        return []
    problems = []
    wanted = table.recipe.image.spatial_dims
    if all(len(shape) - 1 != wanted for shape in shapes):
        found = len(shapes[0]) - 1
        problem = Problem(
            None,
            None,
            "image.spatial_dims",
            f"all images have {found} axes, the recipe says {wanted}.",
            f"image.spatial_dims: {found}",
            f"add --set image.spatial_dims={found}",
            "warning",
            "spatial_dims",
        )
        problems.append(problem)
        wanted = found
    n_channels = Counter(shape[0] for shape in shapes).most_common(1)[0][0]
    for job, examined in zip(jobs, seen, strict=True):
        shape = examined.shape
        if shape is not None and len(shape) - 1 != wanted:
            wrong, expected = f"the image has {len(shape) - 1} axes.", f"{wanted} axes"
        elif shape is not None and shape[0] != n_channels:
            wrong = f"the image has {shape[0]} channels."
            expected = f"{n_channels} channels, like most cases"
        else:
            continue
        problem = Problem(
            job.row,
            job.case.case_id,
            "image",
            wrong,
            expected,
            "convert the file, or leave the case out",
            reason="image_kind",
        )
        problems.append(problem)
    return problems


def _find_copies(jobs: Sequence[Job], seen: Sequence[Examined]) -> list[Problem]:
    """Images with the same pixels: between patients they leak from one part to another."""
    first: dict[str, Job] = {}
    problems = []
    for job, examined in zip(jobs, seen, strict=True):
        if examined.digest is None or first.setdefault(examined.digest, job) is job:
            continue
        other = first[examined.digest]
        is_same_patient = other.case.patient_id == job.case.patient_id
        problem = Problem(
            job.row,
            job.case.case_id,
            "image",
            f"the pixels are those of case {other.case.case_id} (row {other.row})"
            + ("." if is_same_patient else ", of another patient."),
            "each image once",
            "remove one of them"
            if is_same_patient
            else "remove one of them, or give both the same patient_id",
            "warning" if is_same_patient else "error",
            "duplicate_pixels",
        )
        problems.append(problem)
    return problems


def _check_parts(table: CaseTable, jobs: Sequence[Job]) -> list[Problem]:
    """Patients in two parts, and parts without a positive or a negative patient."""
    problems = []
    for column in ("split", "fold"):
        if column not in table.frame:
            continue
        first: dict[str, tuple[Any, int]] = {}
        members: dict[Any, set[str]] = defaultdict(set)
        for job, part in zip(jobs, table.frame[column].tolist(), strict=True):
            patient = job.case.patient_id
            members[part].add(patient)
            before, row = first.setdefault(patient, (part, job.row))
            if before != part:
                problem = Problem(
                    job.row,
                    job.case.case_id,
                    column,
                    f"a patient is in {column} {part} here and in {before} in row {row}.",
                    "all cases of a patient in one part",
                    "move them to one part",
                    reason="patient_in_two_parts",
                )
                problems.append(problem)
        problems += _missing_classes(table, column, members)
    return problems


def _missing_classes(table: CaseTable, column: str, members: dict[Any, set[str]]) -> list[Problem]:
    labels = patient_labels(table)
    problems = []
    for k, finding in enumerate(table.findings):
        everywhere = {labels[patient][k] for patient in labels}
        for part, patients in sorted(members.items(), key=lambda item: str(item[0])):
            here = {labels[patient][k] for patient in patients}
            for label, word in ((1.0, "positive"), (0.0, "negative")):
                if label in everywhere and label not in here:
                    problem = Problem(
                        None,
                        None,
                        column,
                        f"{column} {part} has no {word} patient of {finding}.",
                        "positive and negative patients in each part",
                        "move patients, or remove the column and split by patient",
                        reason="class_missing",
                    )
                    problems.append(problem)
    return problems


def _notes(table: CaseTable, seen: Sequence[Examined]) -> list[Problem]:
    """Things to know that are no mistakes."""
    notes = []

    def note(field: str, wrong: str, expected: str, fix: str, reason: str) -> None:
        notes.append(Problem(None, None, field, wrong, expected, fix, "note", reason))

    n_255, n_masks = (sum(getattr(e, key) for e in seen) for key in ("n_masks_255", "n_masks"))
    if n_255:
        note(
            "mask",
            f"{n_255} of {n_masks} masks hold 0 and 255; 255 is read as 1.",
            "0 and 1, or 0 and 255",
            "nothing to do",
            "mask_255",
        )
    n_flat = sum(e.shape is not None and e.digest is None for e in seen)
    if n_flat:
        note(
            "image",
            f"{n_flat} images have one single value.",
            "images that show something",
            "leave them out if they are broken",
            "constant_image",
        )
    if not table.has_patients:
        note(
            "patient_id",
            "there is no patient column: each case counts as its own patient.",
            "patient_id, if patients have several cases",
            "add or map the column",
            "no_patients",
        )
    for k, finding in enumerate(table.findings):
        if table.cases and all(np.isnan(case.labels[k]) for case in table.cases):
            note(
                f"label_{finding}",
                f"no label of {finding} is known.",
                "1, 0 or blank",
                f"add a column label_{finding}",
                "no_labels",
            )
    for column, values in _categories(table):
        if len(values) == 1:
            note(
                column,
                f"every known {column} is {values.pop()}.",
                "two kinds at least, else a classifier has nothing to tell apart",
                "nothing to do if masks alone are to be learned; else correct the column",
                "constant_label",
            )
    return notes


def _categories(table: CaseTable) -> Iterator[tuple[str, set[str]]]:
    """Each column that a classifier can learn, and what occurs in it."""
    for k, finding in enumerate(table.findings):
        known = (case.labels[k] for case in table.cases)
        yield f"label_{finding}", {f"{label:g}" for label in known if not np.isnan(label)}
    for head in sorted({head for case in table.cases for head in case.classes}):
        found = {case.classes[head] for case in table.cases if head in case.classes}
        yield f"class_{head}", {repr(name) for name in found}
