"""The page docs/comparisons.md, made from docs/comparisons.json alone."""

from collections.abc import Mapping, Sequence
from typing import Any

Row = Mapping[str, Any]
NOT_RUN = "not run"
HEADER = """# Methods compared

Made by `make results`; research use, not diagnosis. Each section is one `segclf compare`: one split,
the same encoder, augmentation, steps and selection rule for all methods, random first weights,
thresholds from validation cases. Intervals are 95 %, by patient; differences resample patients and
trainings together and are adjusted by Holm over the comparisons with the reference (docs/compare.md
says how). What has not run reads "not run".
"""
COLUMNS = {
    "AUROC": "auroc",
    "robust AUROC": "robust_auroc",
    "difference": "difference",
    "Dice": "dice",
}


def comparisons_page(table: Mapping[str, Row], titles: Mapping[str, str]) -> str:
    """The page as Markdown: every study of `titles`, run or not."""
    return "\n".join(
        [HEADER, *(_section(table.get(name), title) for name, title in titles.items())]
    )


def _section(entry: Row | None, title: str) -> str:
    lines = [f"## {title}\n"]
    if entry is None:
        return "\n".join([*lines, f"{NOT_RUN.capitalize()}.\n"])
    folds = f", {entry['n_folds']} folds" if entry["n_folds"] else ""
    n_seeds = len(entry["seeds"])
    lines.append(
        f"{n_seeds} seed{'s' * (n_seeds != 1)}{folds}, {entry['steps']} steps; reference "
        f"{entry['reference']}; data: {entry['data']}.\n"
    )
    for found in entry["findings"]:
        lines += [*_conclusion(found), _table(entry["methods"], found["rows"])]
    lines += _goals(entry["goals"])
    again = entry["equal_time"]
    for found in again["findings"]:
        names = {row["method"] for row in found["rows"]}
        ran = [one for one in [*again["methods"], *entry["methods"]] if one["name"] in names]
        lines += ["At equal training time:\n", *_conclusion(found), _table(ran, found["rows"])]
    lines.append(_cells(entry["cells"]))
    return "\n".join(lines) + "\n"


def _conclusion(found: Row) -> list[str]:
    sentences = [text for topic in found["conclusion"].values() for text in topic]
    return [*(f"- {text}" for text in sentences), ""]


def _table(methods: Sequence[Row], rows: Sequence[Row]) -> str:
    numbers = {row["method"]: row for row in rows}
    shown = {
        head: key for head, key in COLUMNS.items() if any(row.get(key) is not None for row in rows)
    }
    costs = ("labels", "drawn masks", "free masks", "steps", "CPU s", "images/s")
    text = [f"| method | {' | '.join([*shown, *costs])} |", "|---" * (len(shown) + 7) + "|"]
    for method in methods:
        row = numbers.get(method["name"])
        if row is None:
            text.append(f"| {method['name']} | {method['state']} |" + " |" * (len(shown) + 5))
            continue
        cells = [_cell(row, key) for key in shown.values()]
        keys = ("labels", "drawn_masks", "free_masks", "steps", "cpu_s", "images_per_s")
        cells += ["" if method.get(key) is None else f"{method[key]:.0f}" for key in keys]
        text.append(f"| {method['name']} | {' | '.join(cells)} |")
    return "\n".join(text) + "\n"


def _cell(row: Row, key: str) -> str:
    value = row.get(key)
    if value is None:
        return ""
    text = f"{value:.3f}"
    if row.get(f"{key}_lo") is not None:
        text += f" ({row[f'{key}_lo']:.3f} to {row[f'{key}_hi']:.3f})"
    if row.get(f"{key}_p_adjusted") is not None:
        text += f", p {row[f'{key}_p_adjusted']:.3f}"
    return text


def _goals(goals: Sequence[Row]) -> list[str]:
    if not goals:
        return []
    text = ["| goal | value | reached |", "|---|---|---|"]
    for goal in goals:
        value = NOT_RUN if goal["value"] is None else f"{goal['value']:.3f}"
        reached = {None: "", True: "yes", False: "no"}[goal["reached"]]
        name = goal["number"].replace("_", " ").replace("auroc", "AUROC")
        text.append(f"| {goal['method']}: {name} {goal['goal']} | {value} | {reached} |")
    return ["\n".join(text) + "\n"]


def _cells(cells: Sequence[Row]) -> str:
    open_cells = [row for row in cells if row["state"] != "done"]
    minutes = [row["minutes"] for row in cells if row.get("minutes") is not None]
    text = f"{len(cells) - len(open_cells)} of {len(cells)} cells done in {sum(minutes):.0f} min"
    if minutes:
        text += f", the longest {max(minutes):.1f} min"
    if open_cells:
        text += "; " + ", ".join(
            f"{row['cell']} {row['state']}" + (f" ({row['reason']})" if row.get("reason") else "")
            for row in open_cells
        )
    return text + "."
