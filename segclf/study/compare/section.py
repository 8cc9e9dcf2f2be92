"""A comparison as an entry of docs/results.json and as a section of docs/results.md."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from segclf.experiment import new_experiment
from segclf.phantom import PhantomSettings, write_phantom
from segclf.study.compare.flow import compare
from segclf.study.compare.output import extra_labels
from segclf.study.compare.section_tables import (
    COSTS,
    NOT_RUN,
    cell_line,
    cost_lines,
    difference_lines,
    marked_name,
    optimism_lines,
    result_lines,
    spent_lines,
    time_lines,
)

Row = Mapping[str, Any]
KEPT = (
    *("name", "data", "unit_name", "seeds", "n_folds", "steps", "reference", "shortcut", "margins"),
    *("versions", "hardware", "exit_code"),
)


def compare_phantom(
    folder: Path,
    settings: PhantomSettings,
    methods: Sequence[str],
    *,
    n_seeds: int,
    overrides: Sequence[str] = (),
    **options: Any,  # noqa: ANN401 (of `compare`)
) -> dict[str, Any]:
    """Compare methods on a phantom of these settings; a second call goes on.

    Args:
        folder: Gets the data, unless they are there; its name is the run's.
        settings: Of the phantom.
        methods: Names in METHODS.
        n_seeds: Trainings of every network.
        overrides: Settings of the recipe, `train.steps=400`.
        **options: Of `compare`: `reference`, `equal_time`, `speed`.
    """
    recipe = folder / "recipe.yaml"
    if not recipe.is_file():
        write_phantom(folder, settings)
    exp = new_experiment(recipe, None, None, [f"name={folder.name}", *overrides])
    return compare(exp, methods, n_seeds=n_seeds, **options)


def entry_of(result: Row) -> dict[str, Any]:
    """What is kept of a result: numbers, words, costs and cells; plain data."""
    entry = {name: result[name] for name in KEPT}
    entry["methods"] = [
        {name: method.get(name) for name in ("name", "family", "state", *COSTS)}
        | ({"extra_labels": extra} if (extra := extra_labels(dict(method))) else {})
        | ({"images_per_s_range": ends} if (ends := method.get("images_per_s_range")) else {})
        | ({"collapsed": bad} if (bad := method.get("collapsed")) else {})
        for method in result["methods"]
    ]
    entry["findings"] = [_finding(found) for found in result["findings"]]
    entry |= {"maps": result.get("maps", []), "changed_late": result.get("changed_late", {})}
    entry["trainings_cpu_s"] = result.get("trainings_cpu_s", [])
    entry["declared_references"] = result.get("declared_references", [])
    again = result["equal_time"]
    entry["equal_time"] = {
        "state": again["state"],
        "aim_cpu_s": again.get("aim_cpu_s"),
        "methods": again.get("methods", []),
        "findings": [_finding(found) for found in again["findings"]],
    }
    names = ("state", "minutes", "reason")
    entry["cells"] = {
        cell["cell"]: {name: cell[name] for name in names if name in cell}
        for cell in result["cells"]
    }
    return entry


def section(title: str, entry: Row | None, *, level: int = 2) -> str:
    """The comparison as Markdown: conclusion, results, equal time, costs, cells.

    Args:
        title: Of the section.
        entry: From `entry_of`; None has not run.
        level: Of the heading.
    """
    lines = [f"{'#' * level} {title}\n"]
    if entry is None:
        return "\n".join([*lines, f"{NOT_RUN.capitalize()}.\n"])
    folds = f", {entry['n_folds']} folds" if entry["n_folds"] else ""
    n_seeds = len(entry["seeds"])
    changed = len(entry.get("declared_references", ())) > 1
    lines.append(
        f"data: {entry['data']}; {n_seeds} seed{'s' * (n_seeds > 1)}{folds}; {entry['steps']} "
        f"steps; reference `{entry['reference']}`, "
        f"{'another one at first' if changed else 'declared before the results'}.\n"
    )
    if late := entry.get("changed_late"):
        lines.append(f"Changed after there were results: {', '.join(late)}.\n")
    states = {method["name"]: method["state"] for method in entry["methods"]}
    if not entry["findings"]:
        lines.append(f"Results: {NOT_RUN}.\n")
    marked = {m["name"]: marked_name(m) for m in entry["methods"]}
    for found in entry["findings"]:
        lines += [*_words(found), *result_lines(found, states, marked, n_seeds)]
        lines += difference_lines(found, marked)
        lines += optimism_lines(found, entry.get("maps", ()), level=level + 1)
    again = entry["equal_time"]
    lines.append(f"{'#' * (level + 1)} At equal training time\n")
    if again["state"] != "done":
        lines.append(f"{again['state'].capitalize()}.\n")
    else:
        lines += time_lines(again)
    for found in again["findings"]:
        own = {row["method"]: "done" for row in found["rows"]}
        lines += [*_words(found), *result_lines(found, own, marked, n_seeds)]
        lines += difference_lines(found, marked)
    lines.append(f"{'#' * (level + 1)} Costs\n")
    lines += cost_lines(entry["methods"])
    lines += [*spent_lines(entry.get("trainings_cpu_s", ())), cell_line(entry["cells"])]
    return "\n".join(lines) + "\n"


def _finding(found: Row) -> dict[str, Any]:
    kept = {name: found[name] for name in ("finding", "reference", "rows", "conclusion")}
    kept["out_of_fold"] = [row for row in found.get("out_of_fold", ()) if row["metric"] == "auroc"]
    return kept | ({"unscored": found["unscored"]} if found.get("unscored") else {})


def _words(found: Row) -> list[str]:
    lines = []
    for topic, sentences in found["conclusion"].items():
        lines += [f"**{topic}**\n", *(f"- {text}" for text in sentences), ""]
    return lines
