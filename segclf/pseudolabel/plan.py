"""Which cases of a manifest are predicted, and what is settled about the others beforehand."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from segclf.core.errors import DataError, UsageError
from segclf.core.records import Case, MaskSource, MaskState
from segclf.experiment import Experiment
from segclf.manifest import CaseTable
from segclf.pseudolabel.table import REASONS, Filter

HELD_OUT, DRAWN, FREE_EMPTY, ASIDE = "held_out", "drawn", "empty", "quarantined"
Row = dict[str, Any]
"""A line of the ledger: one finding of one case."""


@dataclass(frozen=True)
class Plan:
    """What is to be done with each case and finding of a manifest."""

    cases: tuple[Case, ...]
    """To be predicted, in the order of the manifest."""
    open: dict[str, tuple[int, ...]]
    """Of these: the findings that the filter decides on."""
    settled: dict[str, list[Row]]
    """Case id to the ledger lines that need no prediction."""
    unusable: list[Row]
    """Ledger lines of manifest rows that name no usable case."""
    counts: dict[str, tuple[int | None, ...]]
    """Case id to the number of findings in its report, per finding."""
    order: tuple[str, ...]
    """Ids of all cases, in the order of the manifest."""
    findings: tuple[str, ...]


def make_plan(
    exp: Experiment,
    table: CaseTable,
    chosen: Filter,
    *,
    fold: int | None,
    only: Sequence[Case] | None = None,
) -> Plan:
    """Settle what needs no prediction: drawn masks, labels of 0, validation and test cases.

    Args:
        exp: The run; its validation and test cases are never predicted, also if they stand in
            another manifest: under their id, image file or patient.
        table: The manifest, the run's own or another.
        chosen: The filter.
        fold: Whose split counts.
        only: Cases of `table` to look at; None for all.

    Raises:
        UsageError: The filter needs the number of findings, and the manifest has no such column.
        DataError: A number of findings is not a whole number.
    """
    cases = table.cases if only is None else tuple(only)
    held = held_out(exp, table, fold)
    free = exp.recipe.pseudolabel.free_empty
    settled: dict[str, list[Row]] = {}
    open_of: dict[str, tuple[int, ...]] = {}
    for case in cases:
        rows, open_ = [], []
        for k, finding in enumerate(table.findings):
            found = _settled(case, k, held.get(case.case_id), free=free)
            if found is None:
                open_.append(k)
            else:
                rows.append(line(case.case_id, finding, *found, label=_known(case.labels[k])))
        if case.case_id in held:  # of such a case nothing is told but how it was recognized
            part, way = held[case.case_id]
            rows = [row | {"label": None, "why": _told(part, way)} for row in rows]
        settled[case.case_id] = rows
        if open_:
            open_of[case.case_id] = tuple(open_)
    return Plan(
        cases=tuple(case for case in cases if case.case_id in open_of),
        open=open_of,
        settled=settled,
        unusable=_unusable(table) if only is None else [],
        counts=report_counts(table, required=chosen.needs_count),
        order=tuple(case.case_id for case in cases),
        findings=table.findings,
    )


def line(case_id: str, finding: str, action: str, reason: str, **facts: Any) -> Row:  # noqa: ANN401
    """A ledger line; `facts` are further columns."""
    return {
        "case_id": case_id,
        "finding": finding,
        "action": action,
        "reason": reason,
        "why": REASONS.get(reason, reason),
    } | facts


def is_drawn(source: MaskSource) -> bool:
    """Whether a person drew the mask: a pseudo-mask of an earlier round is made anew."""
    return source.state is MaskState.DRAWN and not source.is_pseudo


def _settled(
    case: Case, k: int, part: tuple[str, str] | None, *, free: bool
) -> tuple[str, str] | None:
    """Action and reason of what needs no prediction; None for what does."""
    if part is not None:
        return HELD_OUT, part[0]
    if is_drawn(case.masks[k]):
        return DRAWN, "drawn_mask"
    if case.masks[k].state is MaskState.EMPTY and free:
        return FREE_EMPTY, "label_0" if case.labels[k] == 0 else "class_empty"
    return None


def held_out(exp: Experiment, table: CaseTable, fold: int | None) -> dict[str, tuple[str, str]]:
    """Case id to (`val` or `test`, how it was recognized) of what may not be labelled."""
    split = exp.split if fold is None else exp.split[exp.split["fold"] == fold]
    part_of = {str(c): str(p) for c, p in zip(split["case_id"], split["split"], strict=True)}
    parts = {case_id: part for case_id, part in part_of.items() if part != "train"}
    if table is exp.table or table.manifest_sha256 == exp.table.manifest_sha256:
        return {case_id: (part, "case_id") for case_id, part in parts.items()}
    own = [case for case in exp.table.cases if case.case_id in parts]
    images = {path: parts[case.case_id] for case in own for path in case.images}
    patients = {case.patient_id: parts[case.case_id] for case in own}
    if not (table.has_patients and exp.table.has_patients):
        patients = {}
    stated: dict[str, Any] = {}
    if "split" in table.frame:
        stated = dict(zip(table.frame["case_id"], table.frame["split"], strict=True))
    found = {}
    for case in table.cases:
        by_image = next((images[path] for path in case.images if path in images), None)
        ways = (
            (parts.get(case.case_id), "case_id"),
            (by_image, "image"),
            (patients.get(case.patient_id), "patient_id"),
            (stated.get(case.case_id), "split"),
        )
        part = next(((part, way) for part, way in ways if part in ("val", "test")), None)
        if part is not None:
            found[case.case_id] = part
    return found


def report_counts(table: CaseTable, *, required: bool) -> dict[str, tuple[int | None, ...]]:
    """Case id to the numbers of findings in its report; None where it says nothing.

    A finding's number stands in `n_findings_<finding>`, of a single finding also in `n_findings`.
    """
    names = [f"n_findings_{finding}" for finding in table.findings]
    if len(names) == 1 and names[0] not in table.frame:
        names = ["n_findings"]
    missing = [name for name in names if name not in table.frame]
    if missing and required:
        raise UsageError(
            f"the manifest has no column {missing[0]!r}.",
            where="--filter count",
            expected="how many findings the report of each case counts; blank = not known",
            fix="add the column, or map it in the recipe: columns: {n_findings: HEADER}"
            if names == ["n_findings"]
            else "add the column, one for each finding",
        )
    if not required:
        return {case.case_id: (None,) * len(names) for case in table.cases}
    columns = [table.frame[name] for name in names]
    ids = table.frame["case_id"]
    return {
        str(case_id): tuple(
            _whole(value, str(case_id), name) for value, name in zip(values, names, strict=True)
        )
        for case_id, *values in zip(ids, *columns, strict=True)
    }


def _whole(value: Any, case_id: str, name: str) -> int | None:  # noqa: ANN401 (a cell)
    if value is None or value != value or str(value).strip() in ("", "<NA>"):
        return None
    try:
        number = float(value)
    except ValueError:
        number = math.nan
    if not (number >= 0 and number == int(number)):
        raise DataError(
            f"{name} = {str(value)[:40]!r} is not a number of findings.",
            where=f"case {case_id}",
            expected="0, 1, 2, …, or blank where the report does not say",
            fix="correct the cell",
        )
    return int(number)


def _told(part: str, way: str) -> str:
    """Why a validation or test case is left alone."""
    sentence = REASONS[part]
    if way == "case_id":
        return sentence
    return sentence.replace(" case:", f" case (by its {way}):")


def _known(label: float) -> int | None:
    return None if math.isnan(label) else int(label)


def _unusable(table: CaseTable) -> list[Row]:
    """Lines of manifest rows that were left out, by their first problem."""
    first = {}
    for problem in table.problems:
        if problem.severity == "error":
            first.setdefault(problem.row, problem)
    return [
        line(problem.case_id or f"row {row}", finding, ASIDE, problem.reason)
        | {"why": problem.wrong, "label": None}
        for row, problem in first.items()
        for finding in table.findings
    ]
