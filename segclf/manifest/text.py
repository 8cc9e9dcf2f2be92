"""Splits and check reports as plain text."""

import math
from collections import Counter
from collections.abc import Iterable
from typing import Any

import numpy as np
import pandas as pd

from segclf.manifest.cells import PARTS
from segclf.manifest.check import CheckReport
from segclf.manifest.records import CaseTable, Problem


def split_text(split_frame: pd.DataFrame, table: CaseTable) -> str:
    """Cases, patients and positives of each part (and fold) as lines of text."""
    labels = {
        finding: {c.case_id: c.labels[k] for c in table.cases if not math.isnan(c.labels[k])}
        for k, finding in enumerate(table.findings)
    }
    lines = []
    for name, group in _groups(split_frame):
        ids = group["case_id"].to_list()
        positives = []
        for finding, known in labels.items():
            values = [known[case_id] for case_id in ids if case_id in known]
            positives.append(f"{finding} {sum(values):.0f} of {len(values)}")
        n_patients = group["patient_id"].nunique()
        counts = f"{len(ids):>6} cases {n_patients:>6} patients"
        lines.append(f"{name:<13} {counts}   positive: {', '.join(positives)}")
    return "\n".join([*lines, *(f"note: {note}" for note in split_frame.attrs.get("notes", []))])


def _groups(frame: pd.DataFrame) -> Iterable[tuple[str, pd.DataFrame]]:
    parts, folds = frame["split"].to_numpy(), frame["fold"].to_numpy(dtype=float, na_value=-1)
    for fold in np.unique(folds):
        for part in PARTS:
            name = part if fold < 0 else f"fold {fold:.0f} {part}"
            yield name, frame.loc[(parts == part) & (folds == fold)]


def check_text(report: CheckReport, *, max_shown: int = 20) -> str:
    """The report for a terminal: problems, then the data at a glance.

    Args:
        report: From `check_manifest`.
        max_shown: Problems of one kind that are written out; the others are counted.
    """
    kinds = Counter(problem.severity for problem in report.problems)
    head = ", ".join(f"{kinds[k]} {k}{'s' * (kinds[k] != 1)}" for k in ("error", "warning", "note"))
    lines = [head]
    shown: Counter[tuple[str, str]] = Counter()
    totals = Counter((p.severity, p.reason) for p in report.problems)
    for problem in report.problems:
        kind = (problem.severity, problem.reason)
        shown[kind] += 1
        if shown[kind] <= max_shown:
            lines += _problem_lines(problem)
        elif shown[kind] == max_shown + 1:
            lines.append(f"... {totals[kind] - max_shown} more of {problem.reason} (see --json)")
    return "\n".join([*lines, "", *_summary_lines(report.summary)])


def _problem_lines(problem: Problem) -> list[str]:
    place = "table" if problem.row is None else f"row {problem.row}"
    case = f" ({problem.case_id})" if problem.case_id else ""
    lines = [f"{problem.severity}: {place}{case}, {problem.field}: {problem.wrong}"]
    if problem.severity != "note":
        lines += [f"    expected: {problem.expected}", f"    fix:      {problem.fix}"]
    return lines


def _summary_lines(summary: dict[str, Any]) -> list[str]:
    lines = [f"{summary['n_cases']} cases of {summary['n_patients']} patients"]
    for finding, found in summary["findings"].items():
        lines += _finding_lines(finding, found)
    images = summary["images"]
    for key in ("shapes", "channels", "dtypes", "spacing_mm"):
        listed = ", ".join(f"{value} ({n})" for value, n in images[key].items())
        n_more = images["n_shapes"] - len(images["shapes"]) if key == "shapes" else 0
        lines.append(f"  {key:<11} {listed}" + (f", {n_more} more" if n_more > 0 else ""))
    for column, counts in summary["parts"].items():
        listed = ", ".join(f"{part} ({n})" for part, n in counts.items())
        lines.append(f"  {column:<11} {listed}")
    if summary["groups"]:
        lines.append("columns (values with cases / patients)")
        lines += [f"  {name:<24} {_group_text(g)}" for name, g in summary["groups"].items()]
    if summary["suggested_roles"]:
        lines.append("suggested roles (to copy into the recipe, after a look)")
        lines.append("roles:")
        stated = summary["roles"]
        for column, suggestion in summary["suggested_roles"].items():
            is_other = stated.get(column, suggestion["role"]) != suggestion["role"]
            other = f"; the recipe says {stated[column]}" if is_other else ""
            lines.append(f"  {column}: {suggestion['role']}  # {suggestion['because']}{other}")
    return lines


def _finding_lines(finding: str, found: dict[str, Any]) -> list[str]:
    def percent(share: float | None) -> str:
        return "not known" if share is None else f"{100 * share:.1f} %"

    area = found["area_fraction"]
    masks = ", ".join(f"{n} {state}" for state, n in found["masks"].items())
    lines = [
        f"{finding}: {found['n_positive']} positive, {found['n_negative']} negative, "
        f"{found['n_unknown']} unknown; prevalence {percent(found['prevalence'])} of cases, "
        f"{percent(found['prevalence_patients'])} of patients",
        f"  masks       {masks}",
    ]
    if set(found["mask_kinds"]) - {"full"}:
        kinds = ", ".join(f"{n} {kind}" for kind, n in found["mask_kinds"].items())
        lines.append(f"  drawn as    {kinds}")
    if found["pseudo_masks"]:
        kinds = ", ".join(f"{n} {kind}" for kind, n in found["pseudo_masks"].items())
        lines.append(f"  pseudo      {kinds} (never truth in an evaluation)")
    if area["n"]:
        quantiles = ", ".join(f"{k} {100 * area[k]:.3g} %" for k in area if k != "n")
        lines.append(f"  target area of {area['n']} cases with any: {quantiles} of the image")
    return lines


def _group_text(group: dict[str, Any]) -> str:
    blank = f", {group['n_blank']} blank" if group["n_blank"] else ""
    if group["kind"] == "category":
        cells = (
            f"{value} ({n['n_cases']} / {n['n_patients']})" for value, n in group["values"].items()
        )
        return ", ".join(cells) + blank
    if group["kind"] == "number":
        return f"{group['min']:g} to {group['max']:g}, median {group['median']:g}{blank}"
    return f"{group['n_values']} different texts{blank}"
