"""The result of a comparison as files and as text."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from segclf.core.atomic import atomic_path, write_json
from segclf.core.text import counted, guarded
from segclf.report import write_comparison
from segclf.study.compare.costs import SLACK
from segclf.study.compare.figures import COLLAPSED, EXTRA

Row = dict[str, Any]
COSTS = ("labels", "val_labels", "drawn_masks", "free_masks", "steps", "cpu_s", "images_per_s")
SAME_STEPS, SAME_TIME = "same steps", "same training time"
OVER_AIM = "needs more than the aim"


def write_outputs(folder: Path, result: Mapping[str, Any]) -> dict[str, str]:
    """Write `table.csv`, `table.parquet`, `compare.json` and the page; returns their paths."""
    table = result_table(result)
    texts = [name for name in table.columns if not pd.api.types.is_numeric_dtype(table[name])]
    safe = {
        name: [guarded(value) if isinstance(value, str) else value for value in table[name]]
        for name in texts
    }
    with atomic_path(folder / "table.csv") as part:
        table.assign(**safe).to_csv(part, index=False, encoding="utf-8", lineterminator="\n")
    with atomic_path(folder / "table.parquet") as part:
        table.to_parquet(part, index=False)
    write_json(folder / "compare.json", result)
    page = write_comparison(folder, result)
    names = {"table": "table.csv", "parquet": "table.parquet", "json": "compare.json"}
    paths = {name: (folder / file).as_posix() for name, file in names.items()}
    return paths | {"page": page.as_posix()}


def result_table(result: Mapping[str, Any]) -> pd.DataFrame:
    """One row per method, finding and budget: numbers, costs, and what became of it."""
    methods = {entry["name"]: entry for entry in result["methods"]}
    findings = [found["finding"] for found in result["findings"]] or [None]
    rows: list[Row] = []
    for finding in findings:
        found = _of(result["findings"], finding)
        for entry in methods.values():
            rows.append(_row(result, entry, finding, SAME_STEPS, found))
        again = result["equal_time"]
        for entry in entries_at_time(result):
            rows.append(_row(result, entry, finding, SAME_TIME, _of(again["findings"], finding)))
    frame = pd.DataFrame(rows)
    texts = {"data", "finding", "budget", "method", "family", "state", "worst_group", "reason"}
    texts |= {"extra_labels", "time_note"}
    texts |= {name for name in frame.columns if str(name).endswith("_verdict")}
    numbers = [name for name in frame.columns if name not in texts]
    return frame.astype(dict.fromkeys(numbers, "float64"))


def entries_at_time(result: Mapping[str, Any]) -> list[Row]:
    """Every method as it is judged at equal training time; those that need longer are marked."""
    again = result["equal_time"]
    if not again.get("methods"):
        return []
    trained = {entry["of"]: entry for entry in again["methods"]}
    entries: list[Row] = []
    for first in result["methods"]:
        entry = first
        if first["name"] in trained:
            entry = {**_like(first), **trained[first["name"]]}
        is_over = (entry.get("cpu_s") or 0) > again["aim_cpu_s"] * (1 + SLACK)
        entries.append({**entry, "time_note": OVER_AIM if is_over else ""})
    return entries


def comparison_text(result: Mapping[str, Any]) -> str:
    """The conclusion and the main numbers as plain text."""
    lines: list[str] = []
    for found in result["findings"]:
        lines += [*_words(found["finding"], found), ""]
        rows = {row["method"]: row for row in found["rows"]}
        has_robust = any(row.get("robust_auroc") is not None for row in rows.values())
        extra = " robust" if has_robust else ""
        lines.append(f"  {'method':<24} {'AUROC':<24}{extra}")
        for entry in result["methods"]:
            marks = [extra_labels(entry), COLLAPSED if entry.get("collapsed") else ""]
            more = f"  ({'; '.join(filter(None, marks))})" if any(marks) else ""
            lines.append(f"  {entry['name']:<24} {_numbers(entry, rows.get(entry['name']))}{more}")
    open_cells = [row for row in result["cells"] if row["state"] != "done"]
    for row in open_cells:
        reason = f": {row['reason']}" if row.get("reason") else ""
        lines.append(f"{row['cell']}: {row['state']}{reason}")
    again = result["equal_time"]
    if again["state"] != "done":
        lines.append(f"at equal training time: {again['state']}")
    for found in again["findings"]:
        lines += ["", *_words(f"{found['finding']}, at equal training time", found)]
    lines.append(f"{counted(len(result['seeds']), 'seed')}, reference {result['reference']}")
    return "\n".join(lines)


def extra_labels(entry: Row) -> str:
    """`uses extra labels` of a method that labels of validation cases train."""
    return EXTRA if any(note.startswith(EXTRA) for note in entry.get("notes") or ()) else ""


def _words(title: str, found: Row) -> list[str]:
    lines = [f"{title}:"]
    for topic, sentences in found["conclusion"].items():
        lines += [f"  {topic}", *(f"    {text}" for text in sentences)]
    return lines


def _numbers(entry: Row, row: Row | None) -> str:
    if row is None or row.get("auroc") is None:
        return entry["state"] if row is None else row["reason"] or "not estimated"
    interval = ""
    if row.get("auroc_lo") is not None:
        interval = f" ({row['auroc_lo']:.3f} to {row['auroc_hi']:.3f})"
    text = f"{row['auroc']:.3f}{interval}"
    robust = row.get("robust_auroc")
    return f"{text:<24} {robust:.3f}" if robust is not None else text


def _row(
    result: Mapping[str, Any], entry: Row, finding: str | None, budget: str, found: Row | None
) -> Row:
    """A method's numbers in one finding; what has not run has costs and numbers missing."""
    rows: Sequence[Row] = found["rows"] if found else ()
    own = next((row for row in rows if row["method"] == entry["name"]), {})
    row = {"data": result["data"], "finding": finding, "budget": budget}
    row |= {"method": entry["name"], "family": entry["family"], "state": entry["state"]}
    row |= {"extra_labels": extra_labels(entry), "time_note": entry.get("time_note", "")}
    row |= {name: value for name, value in own.items() if name != "method"}
    return row | {name: entry.get(name) for name in COSTS}


def _like(entry: Row) -> Row:
    """What a head that was trained again has in common with the first one."""
    names = ("family", "labels", "val_labels", "drawn_masks", "free_masks", "images_per_s", "notes")
    return {name: entry.get(name) for name in (*names, "images_per_s_range")}


def _of(findings: Sequence[Row], finding: str | None) -> Row | None:
    return next((found for found in findings if found["finding"] == finding), None)
