"""Tables of a comparison: results, costs, trainings at equal time, and cells."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from segclf.report.cells import (
    Cell,
    Notes,
    Table,
    estimate_cell,
    head,
    interval_kinds,
    interval_text,
    word,
)
from segclf.report.names import metric_name
from segclf.report.rows import Row, is_missing, one_per, where
from segclf.report.text import MISSING, count, number, plain, two_digits

FAMILIES = {
    "rule": "Masks, by a rule",
    "trained": "Masks, by a trained summarizer",
    "head": "Classifiers",
}
METRICS = ("auroc", "average_precision", "sensitivity", "specificity")
Entry = Mapping[str, Any]


def results_table(
    found: Entry, methods: Sequence[Entry], *, caption: str, n_seeds: int, has_time: bool = False
) -> Table:
    """Methods down, in their families; metrics, robust AUROC, worst group and Dice across.

    Args:
        found: The tables of one finding.
        methods: Every method of the comparison, also those without numbers.
        caption: What the table shows.
        n_seeds: With several, the smallest and largest AUROC of a seed is shown.
        has_time: Whether CPU-seconds of training are shown, with the note of a method on them.
    """
    notes, rows = Notes(), []
    robust = where(found["robust"], quantity="robust")
    worst = _least(found["worst"])
    dice = {row["method"]: row for row in found["rows"] if not is_missing(row.get("dice"))}
    for family, entry in _by_family(methods):
        name = entry["name"]
        own = one_per(where(found["metrics"], method=name), "metric")
        cells = [*family, Cell(plain(name), is_head=True, is_sub=True)]
        cells.append(_state(entry, notes, found.get("unscored", {}).get(name, "")))
        if has_time:
            mark = notes.mark(entry.get("time_note"))
            cells.append(Cell(_amount(entry.get("cpu_s")), note=mark))
        for metric in METRICS:
            cells.append(estimate_cell(own.get(metric), notes))
            if metric == "auroc" and n_seeds > 1:
                cells.append(_seeds(own.get(metric)))
        if robust:
            of_method = where(robust, method=name)
            cells.append(estimate_cell(of_method[0] if of_method else None, notes))
        if worst:
            cells.append(_worst(worst.get(name)))
        if dice:
            cells.append(_dice(dice.get(name)))
        rows.append(cells)
    names = ["family", "method", "finished", *(metric_name(metric) for metric in METRICS)]
    if n_seeds > 1:
        names.insert(4, "over seeds")
    if has_time:
        names.insert(3, "CPU s of training")
    names += ["robust AUROC"] if robust else []
    names += ["worst group"] if worst else []
    names += ["Dice of masks"] if dice else []
    return Table(caption, names, rows, notes, _foot(found, n_seeds, bool(robust), bool(worst)))


def costs_table(methods: Sequence[Entry], *, caption: str) -> Table:
    """What every method was trained with, how long, and how fast it scores."""
    notes, rows = Notes(), []
    for family, entry in _by_family(methods):
        cells = [*family, Cell(plain(entry["name"]), is_head=True, is_sub=True)]
        extra = notes.mark("; ".join(entry["notes"])) if entry["notes"] else ""
        cells.append(Cell(count(entry.get("labels")), note=extra))
        cells += [Cell(count(entry.get(k))) for k in ("val_labels", "drawn_masks", "free_masks")]
        cells.append(Cell(count(entry.get("steps")), _parts(entry, "steps")))
        cells.append(Cell(_amount(entry.get("cpu_s")), _parts(entry, "cpu_s")))
        cells.append(_rate(entry))
        rows.append(cells)
    names = [
        "family", "method", "labels", "labels of validation", "drawn masks", "free masks", "steps",
        "CPU s of training", "images/s",
    ]  # fmt: skip
    foot = [
        "Means per training, over seeds and folds. labels: known labels of training cases that the "
        "training reads; a segmenter reads those that make a mask empty, which nobody has to "
        "draw: free masks. labels of validation: choose weights, thresholds and calibration.",
        "CPU s: processor seconds of the training, of all its parts; of a trained summarizer with "
        "the passes of the frozen segmenter over training and validation cases. images/s: from "
        "file to score on this machine, same images and batch size, methods taking turns; median "
        "of the rounds to two digits, with the slowest and the fastest round.",
    ]
    return Table(caption, names, rows, notes, foot)


def maps_table(rows: Sequence[Entry], *, caption: str) -> Table:
    """How well the mean of a map ranks the cases that a head was fitted on, and new ones."""
    table = [
        [
            head(row["method"]),
            Cell(number(row["auroc_fitted"])),
            Cell(number(row["auroc_validation"])),
        ]
        for row in rows
    ]
    foot = [
        "Maps of images that the segmenter was trained on are better than those of new images; "
        "what is fitted on them expects too much. -oof is fitted on maps of held-out folds."
    ]
    names = ["fitted", "AUROC of mean probability, cases to fit on", "validation cases"]
    return Table(caption, names, table, foot=foot)


def time_table(again: Entry, costs: Mapping[str, Entry], *, caption: str) -> Table:
    """The heads that were trained again: steps and CPU-seconds of both trainings."""
    rows = []
    for entry in again["methods"]:
        first = costs[entry["of"]]
        cells = [head(entry["name"]), word(entry["state"], 200), Cell(count(first.get("steps")))]
        cells += [Cell(_amount(first.get("cpu_s"))), Cell(count(entry.get("steps")))]
        cells += [Cell(_amount(entry.get("cpu_s"))), Cell(_amount(again["aim_cpu_s"]))]
        rows.append(cells)
    names = ["method", "finished", "steps", "CPU s", "steps again", "CPU s again", "aim: CPU s"]
    return Table(caption, names, rows)


def cells_table(cells: Sequence[Entry], *, caption: str) -> Table:
    """Seeds and folds down, networks across: minutes, or what became of it."""
    notes, networks = Notes(), list(dict.fromkeys(cell["network"] for cell in cells))
    places = list(dict.fromkeys((cell["seed"], cell["fold"]) for cell in cells))
    rows = []
    for seed, fold in places:
        name = f"seed {seed}" + ("" if fold is None else f", fold {fold}")
        row = [Cell(name, is_head=True)]
        for network in networks:
            own = where(cells, network=network, seed=seed, fold=fold)  # pyright: ignore[reportArgumentType] (they are dicts)
            row.append(_cell(own[0], notes) if own else Cell(""))
        rows.append(row)
    return Table(
        f"{caption}, in minutes", ["cell", *(plain(name, 30) for name in networks)], rows, notes
    )


def _cell(cell: Entry, notes: Notes) -> Cell:
    if cell["state"] == "done":
        return Cell(number(cell.get("minutes"), 1))
    return Cell(plain(cell["state"]), note=notes.mark(cell.get("reason")), is_number=False)


def _by_family(methods: Sequence[Entry]) -> Iterator[tuple[list[Cell], Entry]]:
    """Every method, with the head of its family before the first one."""
    for family, title in FAMILIES.items():
        own = [entry for entry in methods if entry["family"] == family]
        for place, entry in enumerate(own):
            first = [Cell(title, is_head=True, span=len(own))] if place == 0 else []
            yield first, entry


def _state(entry: Entry, notes: Notes, unscored: str) -> Cell:
    """`yes`, `4 of 5 seeds`, `not run` or `failed`, with the reason below the table."""
    state, _, reason = plain(entry["state"], 300).partition(": ")
    why = "; ".join(filter(None, [reason, unscored, *entry["notes"]]))
    return Cell("yes" if state == "done" else state, note=notes.mark(why), is_number=False)


def _seeds(row: Row | None) -> Cell:
    if row is None or is_missing(row["seed_min"]):
        return Cell(MISSING)
    return Cell(f"{number(row['seed_min'])} to {number(row['seed_max'])}")


def _worst(row: Row | None) -> Cell:
    if row is None:
        return Cell(MISSING)
    group = f"{plain(row['group_column'], 28)} = {plain(row['worst_group'], 28)}"
    return Cell(number(row["worst"]), group)


def _least(rows: Sequence[Row]) -> dict[str, Row]:
    """Of each method the column whose worst group has the lowest AUROC."""
    found: dict[str, Row] = {}
    for row in rows:
        if is_missing(row["worst"]):
            continue
        known = found.get(row["method"])
        if known is None or row["worst"] < known["worst"]:
            found[row["method"]] = row
    return found


def _dice(row: Row | None) -> Cell:
    if row is None:
        return Cell(MISSING)
    limits = {"lo": row["dice_lo"], "hi": row["dice_hi"]}
    return Cell(number(row["dice"]), interval_text(limits))


def _rate(entry: Entry) -> Cell:
    """Images per second to two digits: rounds differ by more."""
    if is_missing(entry.get("images_per_s")):
        return Cell(MISSING)
    ends = entry.get("images_per_s_range") or ()
    rate, *more = map(two_digits, (entry["images_per_s"], *ends))
    return Cell(rate, " to ".join(more))


def _parts(entry: Entry, key: str) -> str:
    """What the segmenter and the rest took, where there are both."""
    parts = entry.get("parts") or {}
    if len(parts) < 2:
        return ""
    return " + ".join(_amount(part.get(key)) for part in parts.values())


def _amount(value: float | None) -> str:
    if value is None:
        return MISSING
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def _foot(found: Entry, n_seeds: int, has_robust: bool, has_worst: bool) -> list[str]:
    kinds = interval_kinds(where(found["metrics"], metric="auroc"))
    foot = [f"Intervals of AUROC: {kinds}."] if kinds else []
    if n_seeds > 1:
        foot.append(
            "Values are means over seeds; intervals of one method are by patient, for these "
            "trainings. over seeds: smallest and largest AUROC of a seed."
        )
    if has_robust:
        foot.append(
            "robust AUROC: positives without the shortcut against negatives with it. "
            "It is 0.5 by chance and below it if the ranking follows the shortcut."
        )
    if has_worst:
        foot.append(
            "worst group: the lowest AUROC of a group, over all columns; raw, so noise makes it "
            "look worse than it is."
        )
    return foot
