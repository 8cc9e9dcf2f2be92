"""The flow of one import: read SRC, write beside the manifest, say what was mapped."""

import shutil
import uuid
from collections import Counter
from pathlib import Path
from typing import Any

from segclf.core.catalog import lookup
from segclf.core.config import load_recipe
from segclf.core.errors import UsageError
from segclf.core.records import MaskState
from segclf.core.text import counted
from segclf.importers.record import Job, Mapping, Options
from segclf.importers.table import IMPORTERS, Importer
from segclf.importers.write import Places, has_masks, refuse_existing, write_import
from segclf.io.guard import DECODE_LIMIT_S, time_limit
from segclf.manifest import CaseTable, read_manifest

MAX_SHOWN = 20


@time_limit(DECODE_LIMIT_S)
def import_data(
    kind: str,
    source: Path,
    out: Path,
    options: Options = Options(),  # noqa: B008 (frozen)
) -> dict[str, Any]:
    """Import a data set; returns what was written, mapped, counted and left out, as plain data.

    Args:
        kind: A name of `IMPORTERS`.
        source: Folder of the data set, or its one file.
        out: The manifest to write, beside which recipe and made files appear.
        options: What the user says about the layout.

    Raises:
        UsageError: The kind or an option is unknown, or a file would be overwritten.
        DataError: SRC does not have the layout.
    """
    importer = lookup(kind, IMPORTERS, kind="importer", group="segclf.importers")
    options = _checked(kind, importer, options)
    source, options = _source(source, importer, options)
    places = Places(out)
    refuse_existing(places)
    out.parent.mkdir(parents=True, exist_ok=True)
    made = out.with_name(f".{out.stem}_files.{uuid.uuid4().hex[:8]}.part")
    made.mkdir()
    try:
        job = Job(source, made, options)
        mapping = importer.read(job)
        written = write_import(job, mapping, places, kind)
    finally:
        shutil.rmtree(made, ignore_errors=True)
    recipe = load_recipe(places.recipe)
    table = read_manifest(recipe, base=places.recipe.parent, strict=False)
    return _result(kind, job, mapping, table, written, places)


def import_text(result: dict[str, Any]) -> str:
    """The result of `import_data` for a terminal."""
    lines = [f"{result['kind']}: {counted(result['n_cases'], 'case')} of "
             f"{counted(result['n_patients'], 'patient')}", "columns"]  # fmt: skip
    width = max(map(len, result["columns"]))
    lines += [f"  {name:<{width}}  {came}" for name, came in result["columns"].items()]
    for finding, found in result["findings"].items():
        labels = ", ".join(f"{n} {state}" for state, n in found["labels"].items())
        masks = ", ".join(f"{n} {state}" for state, n in found["masks"].items())
        lines.append(f"{finding}: {labels}; masks {masks}")
    for column, counts in result["classes"].items():
        lines.append(f"{column}: " + ", ".join(f"{n} {name}" for name, n in counts.items()))
    if result["n_new"]:
        lines.append(f"{counted(result['n_new'], 'image')} of which nothing is known: "
                     f"{result['new']} (segclf predict --manifest)")  # fmt: skip
    if result["left_out"]:
        lines.append(f"not mapped: {len(result['left_out'])}")
        shown: Counter[str] = Counter()
        for each in result["left_out"]:
            shown[each["reason"]] += 1
            if shown[each["reason"]] <= MAX_SHOWN:
                lines.append(f"  {each['where']}: {each['why']} ({each['reason']})")
        lines += [f"  ... {n - MAX_SHOWN} more of {reason}" for reason, n in shown.items()
                  if n > MAX_SHOWN]  # fmt: skip
    notes = [f"note: {note}" for note in result["notes"][:MAX_SHOWN]]
    if len(result["notes"]) > MAX_SHOWN:
        notes.append(f"note: ... {len(result['notes']) - MAX_SHOWN} more (see --json)")
    return "\n".join([*lines, *notes, f"wrote {', '.join(result['wrote'])}"])


def _checked(kind: str, importer: Importer, options: Options) -> Options:
    for name in ("table", "images", "masks"):
        if getattr(options, name) is not None and name not in importer.options:
            raise UsageError(
                f"--{name} would have no effect.",
                where=f"segclf import {kind}",
                expected=f"of {kind}: {', '.join(f'--{n}' for n in importer.options) or 'none'} of "
                "these options",
                fix="leave it out",
            )
    return options


def _source(source: Path, importer: Importer, options: Options) -> tuple[Path, Options]:
    """The folder, and the table if SRC is a file."""
    if source.is_dir():
        return source.resolve(), options
    if source.is_file() and "table" in importer.options and options.table is None:
        return source.resolve().parent, Options(source.name, options.images, options.masks)
    raise UsageError(
        f"{source.name!r} is not a folder."
        if source.exists()
        else f"{source.name!r} is not there.",
        where="SRC",
        expected="the folder of the data set",
        fix="correct the path",
    )


def _result(
    kind: str, job: Job, mapping: Mapping, table: CaseTable, written: list[Path], places: Places
) -> dict[str, Any]:
    findings = {}
    for k, finding in enumerate(table.findings):
        states = Counter(case.masks[k].state for case in table.cases)
        labels = Counter(
            {1.0: "positive", 0.0: "negative"}.get(c.labels[k], "unknown") for c in table.cases
        )
        findings[finding] = {
            "labels": {name: labels[name] for name in ("positive", "negative", "unknown")},
            "masks": {state.value: states[state] for state in MaskState},
        }
    columns = [name for name in table.frame.columns if name.startswith("class_")]
    problems = [problem for problem in table.problems if problem.severity == "error"]
    return {
        "kind": kind,
        "n_cases": len(table.cases),
        "n_patients": len({case.patient_id for case in table.cases}),
        "columns": mapping.columns,
        "findings": findings,
        "classes": {c: dict(sorted(Counter(table.frame[c].dropna()).items())) for c in columns},
        "n_new": len(job.new_rows),
        "new": places.new.name,
        "left_out": [
            *({"where": e.where, "reason": e.reason, "why": e.why} for e in job.left_out),
            *({"where": f"row {p.row}", "reason": p.reason, "why": p.wrong} for p in problems),
        ],
        "notes": job.notes,
        "wrote": [path.name for path in written],
        "recipe": str(places.recipe),
        "can_segment": has_masks(job),
    }
