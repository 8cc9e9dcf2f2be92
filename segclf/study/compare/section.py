"""A comparison as an entry of docs/results.json and as a section of docs/results.md."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from segclf.experiment import new_experiment
from segclf.phantom import PhantomSettings, write_phantom
from segclf.study.compare.flow import compare
from segclf.study.compare.output import extra_labels

Row = Mapping[str, Any]
NOT_RUN = "not run"
NUMBERS = ("auroc", "average_precision", "sensitivity", "specificity", "robust_auroc", "dice")
HEADS = ("AUROC", "AP", "sensitivity", "specificity", "robust AUROC", "Dice")
COSTS = ("labels", "drawn_masks", "free_masks", "steps", "cpu_s", "images_per_s")
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
        for method in result["methods"]
    ]
    entry["findings"] = [_finding(found) for found in result["findings"]]
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
    lines.append(
        f"data: {entry['data']}; {n_seeds} seed{'s' * (n_seeds > 1)}{folds}; {entry['steps']} "
        f"steps; reference `{entry['reference']}`, declared before the results.\n"
    )
    states = {method["name"]: method["state"] for method in entry["methods"]}
    if not entry["findings"]:
        lines.append(f"Results: {NOT_RUN}.\n")
    marked = {m["name"]: _marked(m) for m in entry["methods"]}
    for found in entry["findings"]:
        lines += [*_words(found), *_results(found, states, marked)]
    again = entry["equal_time"]
    lines.append(f"{'#' * (level + 1)} At equal training time\n")
    if again["state"] != "done":
        lines.append(f"{again['state'].capitalize()}.\n")
    else:
        lines += _table(
            ["method", "steps", "CPU s", "aim: CPU s"],
            [
                [m["name"], _n(m["steps"], 0), _n(m["cpu_s"], 1), _n(again["aim_cpu_s"], 1)]
                for m in again["methods"]
            ],
        )
    for found in again["findings"]:
        own = {row["method"]: "done" for row in found["rows"]}
        lines += [*_words(found), *_results(found, own, marked)]
    lines.append(f"{'#' * (level + 1)} Costs\n")
    lines += _costs(entry["methods"])
    lines.append(_cell_line(entry["cells"]))
    return "\n".join(lines) + "\n"


def _finding(found: Row) -> dict[str, Any]:
    kept = {name: found[name] for name in ("finding", "reference", "rows", "conclusion")}
    return kept | ({"unscored": found["unscored"]} if found.get("unscored") else {})


def _words(found: Row) -> list[str]:
    lines = []
    for topic, sentences in found["conclusion"].items():
        lines += [f"**{topic}**\n", *(f"- {text}" for text in sentences), ""]
    return lines


def _marked(method: Row) -> str:
    """The name of a method, and whether labels of validation cases train it."""
    extra = method.get("extra_labels")
    return f"{method['name']} ({extra})" if extra else method["name"]


def _results(found: Row, states: Mapping[str, str], marked: Mapping[str, str]) -> list[str]:
    unscored = found.get("unscored", {})
    rows = {row["method"]: row for row in found["rows"] if row["method"] not in unscored}
    shown = [
        (name, head)
        for name, head in zip(NUMBERS, HEADS, strict=True)
        if any(row.get(name) is not None for row in rows.values())
    ]
    states = {**states, **unscored}
    cells = [
        [marked.get(name, name), *(_value(rows.get(name), key, state) for key, _ in shown)]
        for name, state in states.items()
    ]
    return _table([f"{found['finding']}", *(head for _, head in shown)], cells)


def _value(row: Row | None, key: str, state: str) -> str:
    if row is None:
        return state
    if row.get(key) is None:
        return "" if key == "dice" else "not estimated"
    if row.get(f"{key}_lo") is None:
        return f"{row[key]:.3f}"
    return f"{row[key]:.3f} ({row[f'{key}_lo']:.3f} to {row[f'{key}_hi']:.3f})"


def _costs(methods: Sequence[Row]) -> list[str]:
    names = ["method", "labels", "drawn masks", "free masks", "steps", "CPU s", "images/s"]
    rows = [
        [_marked(m), *(_n(m[key], 1 if key in ("cpu_s", "images_per_s") else 0) for key in COSTS)]
        for m in methods
    ]
    return _table(names, rows)


def _table(names: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    lines = [names, ["---"] * len(names), *rows]
    return [*(f"| {' | '.join(line)} |" for line in lines), ""]


def _cell_line(cells: Mapping[str, Row]) -> str:
    shown = []
    for name, cell in cells.items():
        done = f"{cell['minutes']:.1f} min" if "minutes" in cell else "done"
        reason = f": {cell['reason']}" if "reason" in cell else ""
        shown.append(f"{name} {done if cell['state'] == 'done' else cell['state'] + reason}")
    return f"Cells: {'; '.join(shown) or NOT_RUN}."


def _n(value: float | None, digits: int) -> str:
    return "not recorded" if value is None else f"{value:.{digits}f}"
