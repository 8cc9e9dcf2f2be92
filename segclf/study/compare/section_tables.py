"""Tables of a comparison as Markdown, from an entry of docs/comparisons.json."""

from collections.abc import Mapping, Sequence
from typing import Any

from segclf.core.text import counted
from segclf.study.compare.figures import COLLAPSED, interval_of, p_text, p_value, rate_text
from segclf.study.compare.health import places

Row = Mapping[str, Any]
NOT_RUN = "not run"
NUMBERS = {
    "auroc": "AUROC",
    "auroc_seed_min": "over seeds",
    "average_precision": "AP",
    "sensitivity": "sensitivity",
    "specificity": "specificity",
    "robust_auroc": "robust AUROC",
    "worst_group_auroc": "worst group: AUROC",
    "dice": "Dice",
}
COSTS = ("labels", "drawn_masks", "free_masks", "steps", "cpu_s", "images_per_s")


def marked_name(method: Row) -> str:
    """The name of a method, whether labels of validation cases train it, and what collapsed."""
    marks = [method["extra_labels"]] if method.get("extra_labels") else []
    marks += [f"{COLLAPSED}: {places(bad)}"] if (bad := method.get("collapsed")) else []
    return f"{method['name']} ({'; '.join(marks)})" if marks else method["name"]


def result_lines(
    found: Row, states: Mapping[str, str], marked: Mapping[str, str], n_seeds: int
) -> list[str]:
    """Methods down, numbers across; a method without numbers has its state in each cell.

    Args:
        found: A finding of an entry.
        states: Of every method, by name.
        marked: Every name with what has to be known of the method.
        n_seeds: With several, the smallest and largest AUROC of a seed is shown.
    """
    unscored = found.get("unscored", {})
    rows = {row["method"]: row for row in found["rows"] if row["method"] not in unscored}
    shown = {
        key: head
        for key, head in NUMBERS.items()
        if any(row.get(key) is not None for row in rows.values())
        and (key != "auroc_seed_min" or n_seeds > 1)
    }
    states = {**states, **unscored}
    cells = [
        [marked.get(name, name), *(_value(rows.get(name), key, state) for key in shown)]
        for name, state in states.items()
    ]
    foot = "Intervals of one method are by patient, for the trainings that were made"
    if "auroc_seed_min" in shown:
        foot += "; over seeds: smallest and largest AUROC of a training"
    if "worst_group_auroc" in shown:
        foot += "; worst group: the lowest AUROC of a group, raw, so noise makes it look worse"
    return [*_table([f"{found['finding']}", *shown.values()], cells), f"{foot}.", ""]


def _value(row: Row | None, key: str, state: str) -> str:
    if row is None:
        return state
    if row.get(key) is None:
        return "" if key == "dice" else "not estimated"
    if key == "auroc_seed_min":
        return f"{row[key]:.3f} to {row['auroc_seed_max']:.3f}"
    if key == "worst_group_auroc":
        return f"{row[key]:.3f} ({row['worst_group']})"
    return f"{row[key]:.3f}{interval_of(row.get(f'{key}_lo'), row.get(f'{key}_hi'))}"


def difference_lines(found: Row, marked: Mapping[str, str]) -> list[str]:
    """Of every method the difference from the reference, and how far it follows the shortcut.

    Args:
        found: A finding of an entry.
        marked: Every name with what has to be known of the method.
    """
    heads = {
        "difference": f"AUROC minus that of {found['reference']}",
        "robust_difference": f"robust AUROC minus that of {found['reference']}",
        "aligned_minus_robust": "aligned minus robust AUROC",
    }
    shown = [key for key in heads if any(row.get(key) is not None for row in found["rows"])]
    if not any(row.get("difference") is not None for row in found["rows"]):
        return []
    rows = [
        [marked.get(row["method"], row["method"]), *(_with_p(row, key) for key in shown)]
        for row in found["rows"]
    ]
    return _table([f"{found['finding']}", *(heads[key] for key in shown)], rows)


def _with_p(row: Row, key: str) -> str:
    if row.get(key) is None:
        return ""
    text = f"{row[key]:.3f}{interval_of(row.get(f'{key}_lo'), row.get(f'{key}_hi'))}"
    p = row.get(f"{key}_p_adjusted")
    return text if p is None else f"{text}; adjusted p {p_value(p)}"


def optimism_lines(found: Row, maps: Sequence[Row], *, level: int) -> list[str]:
    """How much better maps of the cases fitted on rank than new ones, and whether that matters.

    Args:
        found: A finding of an entry.
        maps: Of the entry: one row per trained summarizer and finding.
        level: Of the heading.
    """
    alike: dict[tuple[float | None, float | None], list[str]] = {}
    for row in maps:
        if row["finding"] == found["finding"]:
            pair = (row["auroc_fitted"], row["auroc_validation"])
            alike.setdefault(pair, []).append(row["method"])
    lines = []
    if alike:
        lines += [f"{'#' * level} Are the maps that were fitted on optimistic?\n"]
        lines += _table(
            ["fitted", "AUROC of mean probability, cases to fit on", "validation cases"],
            [
                [", ".join(names), *(_n(value, 3) for value in pair)]
                for pair, names in alike.items()
            ],
        )
    if pairs := found.get("out_of_fold"):
        names = ["on maps of held-out folds, minus on maps of training images", "difference", "p"]
        lines += _table(names, [_difference(row) for row in pairs])
    return lines


def _difference(row: Row) -> list[str]:
    metric = "robust AUROC" if row["group"] == "robust" else "AUROC"
    what = f"{row['first']} minus {row['second']}: {metric}"
    if row["difference"] is None:
        return [what, f"not estimated: {row['reason']}", ""]
    text = f"{row['difference']:.3f}{interval_of(row['lo'], row['hi'])}"
    return [what, text, "" if row["p"] is None else p_text(row)]


def time_lines(again: Row) -> list[str]:
    """Steps and CPU-seconds of the heads that were trained again."""
    names = ["method", "steps", "CPU s", "aim: CPU s"]
    rows = [
        [m["name"], _n(m["steps"], 0), _n(m["cpu_s"], 1), _n(again["aim_cpu_s"], 1)]
        for m in again["methods"]
    ]
    return _table(names, rows)


def cost_lines(methods: Sequence[Row]) -> list[str]:
    """What every method was trained with, and how long."""
    names = ["method", "labels", "drawn masks", "free masks", "steps", "CPU s", "images/s"]
    *counts, cpu_s, _ = COSTS
    rows = [
        [marked_name(m), *(_n(m[key], 0) for key in counts), _n(m[cpu_s], 1), rate_text(m)]
        for m in methods
    ]
    return _table(names, rows)


def _table(names: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    lines = [names, ["---"] * len(names), *rows]
    return [*(f"| {' | '.join(line)} |" for line in lines), ""]


def spent_lines(cpu_s: Sequence[float | None]) -> list[str]:
    """What all trainings took; nothing where that was not kept."""
    known = [value for value in cpu_s if value is not None]
    if not known:
        return []
    lacks = (
        f" ({len(cpu_s) - len(known)} more did not record it)" if len(known) < len(cpu_s) else ""
    )
    return [
        f"{counted(len(known), 'training')} took {sum(known) / 60:.1f} CPU-minutes in all, the "
        f"longest {max(known):.0f} CPU-seconds{lacks}. Minutes of cells are by the clock, which "
        "runs on while other work has the machine.",
        "",
    ]


def cell_line(cells: Mapping[str, Row]) -> str:
    """Minutes of every cell, or what became of it."""
    shown = []
    for name, cell in cells.items():
        done = f"{cell['minutes']:.1f} min" if "minutes" in cell else "done"
        reason = f": {cell['reason']}" if "reason" in cell else ""
        shown.append(f"{name} {done if cell['state'] == 'done' else cell['state'] + reason}")
    return f"Cells: {'; '.join(shown) or NOT_RUN}."


def _n(value: float | None, digits: int) -> str:
    return "not recorded" if value is None else f"{value:.{digits}f}"
