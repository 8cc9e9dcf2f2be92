"""How often the intervals hold the truth, in simulated patients; the last line is JSON.

    python benchmarks/coverage.py [--quick]

Scores are binormal: label, plus what the images of a patient share, plus what is their own; the
share of the former is the ICC. Patients have 1 + Poisson(2) images. Labels are *constant* in a
patient; or *mixed*: of the images of a positive patient the first is positive, each other one with
chance 1/2; or *scattered*: each image of each patient with the same chance. The truth is the
AUROC of an image of one patient against one of another; it depends on the marginals only. Shares
are hits of a latent normal, with a true share drawn evenly from (0, 1).

Results go into docs/coverage.json cell by cell: a run that was stopped goes on where it was, and
a cell whose entry is removed is run again. docs/coverage.md is written from it. The value is the
largest distance of a judged cell from the middle of its goal, in half-widths of the goal. `--quick`
draws a few cells anew and compares them with the table; there the value is the largest
difference in Monte-Carlo standard errors.
"""

if __name__ != "__main__":  # numba looks for the package of this name, and finds this script
    raise ImportError("this is a script, not the package `coverage`")

import argparse
import json
import math
import sys
import time
import zlib
from pathlib import Path

import numpy as np
from coverage_cells import PARTS, Cell, Part, Row

from segclf.core.atomic import read_json, write_json, write_text

DOCS = Path(__file__).parents[1] / "docs"
TABLE, PAGE = DOCS / "coverage.json", DOCS / "coverage.md"
QUICK_DRAWS, QUICK_GOAL = 1000, 4.0


def main() -> int:
    """Exit code 0 if the goal is met."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="a few cells, under 50 s")
    is_quick = parser.parse_args().quick
    table = read_json(TABLE) if TABLE.exists() else {}
    if is_quick:
        value, goal = compare(table), QUICK_GOAL
    else:
        fill(table)
        write_text(PAGE, page(table))
        value, goal = max(shares(table)), 1.0
    is_met = value <= goal
    print(json.dumps({"name": "coverage", "value": round(value, 3), "goal": goal, "ok": is_met}))
    return 0 if is_met else 1


def fill(table: dict[str, dict[str, Row]]) -> None:
    """Run every cell that the table lacks, or has with another number of draws."""
    for name, part in PARTS.items():
        rows = table.setdefault(name, {})
        for key, cell in part.cells.items():
            if rows.get(key, {}).get("n_draws") != cell.n_draws:
                start = time.perf_counter()
                rows[key] = run(name, key, cell, cell.n_draws)
                write_json(TABLE, table)
                print(f"{show(key, rows[key])}  ({time.perf_counter() - start:.0f} s)", flush=True)


def run(name: str, key: str, cell: Cell, n_draws: int, *, stream: int = 0) -> Row:
    """One cell; the draws depend on its name and the number of the stream."""
    seed = [zlib.crc32(f"{name}: {key}".encode()), stream]
    return cell.measure(n_draws, np.random.default_rng(seed))


def compare(table: dict[str, dict[str, Row]]) -> float:
    """The largest difference between new draws and the table, in standard errors."""
    largest = 0.0
    for name, part in PARTS.items():
        for key, cell in part.cells.items():
            if cell.is_quick:
                stored = table.get(name, {}).get(key)
                found = run(name, key, cell, QUICK_DRAWS, stream=1)
                print(show(key, found))
                if stored is None:
                    print("  is not in the table")
                    return math.inf
                error = math.hypot(found["error"], stored["error"])
                largest = max(largest, abs(found["rate"] - stored["rate"]) / error)
    return largest


def shares(table: dict[str, dict[str, Row]]) -> list[float]:
    """Of each judged cell, its distance from the middle of the goal; the edge is 1."""
    return [
        distance(table[name][key]["rate"], part.goal)
        for name, part in PARTS.items()
        for key, cell in part.cells.items()
        if cell.is_judged
    ]


def distance(rate: float, goal: tuple[float, float]) -> float:
    """How far a rate lies from the middle of its goal, in half-widths."""
    return abs(rate - sum(goal) / 2) / ((goal[1] - goal[0]) / 2)


def show(key: str, row: Row) -> str:
    """One line for a terminal."""
    return f"{key}: {row['rate']:.4f} +- {row['error']:.4f} ({row['n_draws']:,} draws)"


def page(table: dict[str, dict[str, Row]]) -> str:
    """The table as Markdown."""
    text = [
        "# Coverage of the intervals",
        "Written by `python benchmarks/coverage.py`, whose head says how patients are simulated. "
        "Nominal coverage is 95 %; +- is the Monte-Carlo standard error. Judged cells must lie "
        "within the goal of their table; the others show where the defaults bend.",
    ]
    for name, part in PARTS.items():
        text += [f"## {part.title}", f"{part.text} Goal: {part.goal[0]:g} to {part.goal[1]:g}."]
        for is_judged in (True, False):
            keys = [key for key, cell in part.cells.items() if cell.is_judged == is_judged]
            if keys:
                text += ["" if is_judged else "Not judged:", lines(part, table[name], keys)]
    return "\n\n".join(block for block in text if block) + "\n"


def lines(part: Part, rows: dict[str, Row], keys: list[str]) -> str:
    """The rows of one table; a rate outside the goal is bold."""
    head = ["cell", "default", "+-", *part.columns.values()]
    table = [head, ["---"] * len(head)]
    for key in keys:
        row = rows[key]
        mark = "**" if distance(row["rate"], part.goal) > 1 else ""
        values = ["" if row[name] is None else f"{row[name]:.3f}" for name in part.columns]
        table.append([key, f"{mark}{row['rate']:.4f}{mark}", f"{row['error']:.4f}", *values])
    return "\n".join(f"| {' | '.join(cells)} |" for cells in table)


if __name__ == "__main__":
    sys.exit(main())
