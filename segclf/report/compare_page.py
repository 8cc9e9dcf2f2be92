"""The page of a comparison: conclusion first, then numbers, costs, and how they were made."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup

import segclf
from segclf.core.atomic import write_text
from segclf.core.text import counted, plural
from segclf.report.blocks import FigureFiles, Piece, Section, fold, tables
from segclf.report.cells import interval_kinds, plain_table
from segclf.report.compare_forest import methods_forest
from segclf.report.compare_names import name_rows
from segclf.report.compare_tables import (
    FAMILIES,
    cells_table,
    costs_table,
    maps_table,
    results_table,
    time_table,
)
from segclf.report.differences import methods_table
from segclf.report.names import metric_name
from segclf.report.rows import Row, one_per, where
from segclf.report.tables import masks_table, robust_table
from segclf.report.text import plain, without_folders

HERE = Path(__file__).parent
Result = Mapping[str, Any]
SETTINGS = {
    "seeds": "seeds",
    "n_folds": "folds",
    "shortcut": "shortcut",
    "by": "groups",
    "margins": "margins",
    "confidence": "confidence",
}
"""What has to be declared before there are results, and its word."""


def write_comparison(folder: Path, result: Result) -> Path:
    """The page `index.html` in `folder`, with its figures beside it as SVG files.

    Args:
        folder: Where it goes.
        result: From `segclf.study.compare`, as plain data.
    """
    folder = Path(folder)
    files = FigureFiles(folder)
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(HERE),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    page = environment.get_template("compare.html").render(
        css=Markup((HERE / "page.css").read_text(encoding="utf-8")),  # noqa: S704 (our own file)
        version=segclf.__version__,
        title=f"{plain(result['name'])}: methods compared",
        data=result["data"],
        alarms=list(_alarms(result)),
        question=_question(result),
        sections=list(_sections(files, result)),
    )
    write_text(folder / "index.html", page)
    return folder / "index.html"


def _budget(result: Result) -> str:
    text = f"segmenters and heads take {result['steps']} steps with the same augmentation"
    if any(entry["family"] == "trained" for entry in result["methods"]):
        n_steps = result.get("summarizer_steps") or result["steps"]
        text += f", trained summarizers {n_steps} on mirrored maps where they are networks"
    return text


def _question(result: Result) -> str:
    names = ", ".join(plain(entry["name"], 40) for entry in result["methods"])
    folds = f" and {counted(result['n_folds'], 'fold')}" if result["n_folds"] else ""
    return (
        f"{counted(len(result['methods']), 'method')} on one split: {names}. Same cases, encoder "
        f"and selection rule; {_budget(result)}; {counted(len(result['seeds']), 'seed')}{folds}. "
        f"The reference is {plain(result['reference'])}{_when_declared(result)}. All "
        "numbers are of test cases."
    )


def _when_declared(result: Result) -> str:
    changed = len(result["declared_references"]) > 1
    return ", but was another before" if changed else ", declared before there were results"


def _alarms(result: Result) -> Iterator[tuple[str, str]]:
    notes = dict.fromkeys(note for found in result["findings"] for note in found["notes"])
    for note in notes:
        yield "Note.", plain(note, 400)
    failed = [cell for cell in result["cells"] if cell["state"] != "done"]
    if failed:
        yield (
            f"{len(failed)} of {counted(len(result['cells']), 'training')} are missing.",
            "Methods that they belong to are judged on the seeds that have finished, or not at "
            "all; the table of trainings says which, and why.",
        )
    if len(result["declared_references"]) > 1:
        before = ", ".join(plain(name, 40) for name in result["declared_references"][:-1])
        yield "The reference was changed.", f"It was declared as {before} before."
    if late := result.get("changed_late"):
        yield (
            "Settings were changed after there were results.",
            "; ".join(
                f"{SETTINGS[name]}: {_setting(value)} before, {_setting(result[name])} now"
                for name, value in late.items()
            )
            + ". Who chooses them after seeing results can choose what they say.",
        )
    if len(lists := result.get("declared_methods", ())) > 1:
        before = "; ".join(plain(", ".join(names), 400) for names in lists[:-1])
        yield (
            "The methods were changed.",
            f"Declared before were: {before}. Who saw results before choosing methods tests more "
            "than the adjusted p values pay for.",
        )


def _setting(value: object) -> str:
    """A setting in words: `none`, `0, 1` or `auroc 0.03`."""
    if isinstance(value, Mapping):
        value = [f"{name} {number}" for name, number in value.items()]
    if isinstance(value, list):
        value = ", ".join(map(str, value))
    return plain(value or "none")


def _sections(files: FigureFiles, result: Result) -> Iterator[Section]:
    yield Section("conclusion", "Conclusion", list(_conclusion(result)))
    for place, found in enumerate(result["findings"], start=1):
        title = f"Results: {plain(found['finding'])}"
        pieces = list(_finding(files, result, found, result["methods"]))
        yield Section(f"finding-{place}", title, pieces)
    yield Section("time", "At equal training time", list(_equal_time(files, result)))
    costs = tables(result["methods"], costs_table, "What each method costs")
    yield Section("costs", "Costs", costs)
    cells = tables(result["cells"], cells_table, "Trainings")
    yield Section("cells", "Trainings", cells or [("text", "No network was trained.")])
    yield Section("made", "How it was made", list(_made(result)))


def _conclusion(result: Result) -> Iterator[Piece]:
    findings = result["findings"]
    if not findings:
        some = any(entry["n_seeds_done"] for entry in result["methods"])
        why = "No two methods score the same" if some else "No method has finished"
        yield ("text", f"{why}: there is nothing to conclude.")
    for found in findings:
        if len(findings) > 1:
            yield ("text", f"{plain(found['finding'])}:")
        yield from _topics(found)
    names = tables(name_rows(result["methods"]), plain_table, "Methods")
    yield from fold("What the names of methods mean", names)
    yield (
        "note",
        "Every sentence is made from the tests and intervals below, by fixed rules; they describe "
        "differences between trained methods on these cases, not their causes.",
    )


def _topics(found: Row) -> Iterator[Piece]:
    for topic, sentences in found["conclusion"].items():
        yield ("topic", topic)
        yield ("points", [plain(text, 20_000) for text in sentences])


def _finding(
    files: FigureFiles, result: Result, found: Row, methods: Sequence[Row]
) -> Iterator[Piece]:
    name, n_seeds = plain(found["finding"]), len(result["seeds"])
    first = next(iter(where(found["metrics"], metric="auroc")), None)
    if first is not None:
        yield (
            "text",
            f"{first['n_cases']} test cases of {first['n_patients']} "
            f"{plural(plain(result['unit_name'], 30))}: {first['n_positive']} positive, "
            f"{first['n_negative']} negative.",
        )
    has_time = methods is not result["methods"]
    table = results_table(
        found, methods, caption=f"{name}: methods", n_seeds=n_seeds, has_time=has_time
    )
    yield ("table", table)
    for figure in _forests(files, found, methods, name):
        yield ("figure", figure)
    reference = plain(found["reference"])
    caption = f"{name}: difference from {reference}"
    rows = found["differences"]
    ranking = sorted(where(rows, metric="auroc"), key=lambda row: row["group_column"] != "all")
    yield from tables(ranking, methods_table, f"{caption} in AUROC")
    rest = [row for row in rows if row["metric"] != "auroc"]
    others = tables(rest, methods_table, f"{caption} in other metrics")
    yield from fold("Differences in other metrics", others)
    caption = f"{name}: fitted on maps of held-out folds, minus on maps of training images"
    yield from tables(
        where(found["out_of_fold"], metric="auroc", group_column="all"), methods_table, caption
    )
    if not has_time:
        yield from tables(
            where(result["maps"], finding=found["finding"]), maps_table, f"{name}: maps of images"
        )
    robust = tables(found["robust"], robust_table, f"{name}: AUROC and the shortcut")
    yield from fold("AUROC and the shortcut", robust)
    masks = tables(
        found["dice"], masks_table, f"{name}: masks of the segmenter", unit_name=result["unit_name"]
    )
    yield from fold("Masks against the truth", masks)


def _forests(files: FigureFiles, found: Row, methods: Sequence[Row], name: str) -> Iterator[Any]:
    """AUROC, and robust AUROC where there is a shortcut."""
    kinds = {"AUROC": where(found["metrics"], metric="auroc")}
    kinds["Robust AUROC"] = where(found["robust"], quantity="robust")
    missing = {e["name"]: e["state"] for e in methods if e["n_seeds_done"] == 0}
    missing |= found.get("unscored", {})
    for title, rows in kinds.items():
        if not rows:
            continue
        of_method = one_per(rows, "method")
        blank = {"estimate": None, "lo": None, "hi": None, "reason": "not run"}
        blocks = {
            heading: [
                of_method.get(entry["name"], blank | {"method": entry["name"]})
                for entry in methods
                if entry["family"] == family
            ]
            for family, heading in FAMILIES.items()
        }
        blocks = {heading: own for heading, own in blocks.items() if own}
        figure = methods_forest(blocks, axis_name=title, missing=missing)
        kind = interval_kinds(rows)
        note = f"Bars are intervals: {kind}. " if kind else ""
        yield files.add("forest", figure, f"{title} of {name}", f"{note}The dotted line is chance.")


def _equal_time(files: FigureFiles, result: Result) -> Iterator[Piece]:
    again = result["equal_time"]
    if again["state"] != "done":
        yield ("text", f"{plain(again['state'], 300)[:1].upper()}{plain(again['state'], 300)[1:]}.")
        return
    yield (
        "text",
        "Classifiers that took less processor time than the segmenter were trained again, with "
        "more steps, so that their training takes about as long. All else is as before.",
    )
    costs = {entry["name"]: entry for entry in result["methods"]}
    yield ("table", time_table(again, costs, caption="Trained again"))
    entries = [
        {**costs[e["of"]], **e, "notes": [], "n_seeds_done": int(e["state"] != "not run")}
        for e in again["methods"]
    ]
    again_of = {entry["of"] for entry in again["methods"]}
    methods = [e for e in result["methods"] if e["name"] not in again_of] + entries
    note_of = {e["name"]: e["time_note"] for e in again.get("entries", ())}
    methods = [e | {"time_note": note_of.get(e["name"], "")} for e in methods]
    for found in again["findings"]:
        yield from _topics(found)
        yield from _finding(files, result, found, methods)


def _made(result: Result) -> Iterator[Piece]:
    level = f"{result['confidence']:.0%}"
    yield (
        "text",
        f"{level} intervals, {result['n_boot']:,} resamples. Differences are first minus second "
        "on the same cases; with several seeds, patients and seeds are resampled together and "
        "folds are averaged. Raw p values are adjusted by Holm over the comparisons with the "
        "reference, per metric.",
    )
    rows = [
        {"setting": "seeds", "value": ", ".join(map(str, result["seeds"]))},
        {"setting": "folds", "value": str(result["n_folds"] or "none")},
        {"setting": "steps", "value": str(result["steps"])},
        {"setting": "reference", "value": plain(result["reference"])},
        {"setting": "groups", "value": ", ".join(map(plain, result["by"])) or "none"},
        {"setting": "shortcut", "value": plain(result["shortcut"] or "none")},
        *(
            {"setting": f"margin of {metric_name(name)}", "value": f"{value:g}"}
            for name, value in result["margins"].items()
        ),
    ]
    yield from tables(rows, plain_table, "Settings")
    for heading in ("versions", "hardware"):
        own = [{"name": k, "value": plain(v)} for k, v in result[heading].items()]
        yield from fold(heading, tables(own, plain_table, heading))
    yield from fold("Recipe", [("pre", without_folders(result["recipe"]))])
    yield ("note", f"SHA-256 of the manifest: {plain(result['manifest_sha256'])}")
