"""An evaluation as files and as text."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from segclf.core.atomic import atomic_path, read_json, write_json
from segclf.core.errors import UsageError
from segclf.core.runs import shown
from segclf.core.scoretable import read_scores
from segclf.core.text import counted, guarded, plural, unguarded
from segclf.evaluate.estimates import FEW, FEW_WORDS, Row
from segclf.evaluate.run import Evaluation

TABLES = ("metrics", "gaps", "comparisons", "robust", "grid", "decomposition", "size_recall")
"""Fields of an `Evaluation` that are files of the same name."""

SHOWN = ("auroc", "sensitivity", "specificity")
"""What is printed of all cases."""


def write_evaluation(folder: Path, evaluation: Evaluation) -> None:
    """Write `metrics.csv` and `.parquet`, the other tables as CSV, `scores.parquet`, `ledger.json`.

    `evaluation.json` holds the main numbers in short and is written last: where it is, the
    others are complete. Every table carries the columns of `marked`.
    """
    folder = Path(folder)
    for name in ("evaluation.json", "index.html"):  # what would vouch for a mixture of two
        (folder / name).unlink(missing_ok=True)
    for name in TABLES:
        write_table(folder / f"{name}.csv", getattr(evaluation, name), evaluation.ledger)
    with atomic_path(folder / "metrics.parquet") as part:
        marked(evaluation.metrics, evaluation.ledger).to_parquet(part, index=False)
    with atomic_path(folder / "scores.parquet") as part:
        evaluation.scores.to_parquet(part, index=False)
    with atomic_path(folder / "groups.parquet") as part:
        evaluation.groups.to_parquet(part, index=False)
    write_json(folder / "ledger.json", evaluation.ledger)
    write_json(folder / "evaluation.json", _compact(evaluation))


def marked(table: pd.DataFrame, ledger: Row) -> pd.DataFrame:
    """The table with `data` (`user` or `phantom`), `unit`, and what to be cautious about."""
    cautions = {
        "images treated as independent": ledger["images_independent"],
        "exploratory: thresholds from test cases": ledger["exploratory"],
    }
    caution = "; ".join(text for text, holds in cautions.items() if holds)
    return table.assign(data=ledger["data"], unit=ledger["unit"], caution=caution)


def write_table(path: Path, table: pd.DataFrame, ledger: Row) -> None:
    """Write a table as CSV with the columns of `marked`; no text in it is a formula."""
    whole = marked(table, ledger)
    texts = [name for name in whole.columns if not pd.api.types.is_numeric_dtype(whole[name])]
    safe = {
        name: [guarded(value) if isinstance(value, str) else value for value in whole[name]]
        for name in texts
    }
    with atomic_path(path) as part:
        whole.assign(**safe).to_csv(part, index=False, encoding="utf-8", lineterminator="\n")


def read_table(path: Path) -> pd.DataFrame:
    """A table that `write_table` wrote."""
    table = pd.read_csv(path, keep_default_na=False, na_values=[""])
    texts = [name for name in table.columns if not pd.api.types.is_numeric_dtype(table[name])]
    return table.assign(
        **{
            name: [unguarded(value) if isinstance(value, str) else value for value in table[name]]
            for name in texts
        }
    )


def read_evaluation(folder: Path) -> dict[str, Any]:
    """What `write_evaluation` wrote: the tables by name, `scores`, `groups` and `ledger`.

    Raises:
        UsageError: The folder holds no finished evaluation.
    """
    if not (folder / "evaluation.json").is_file():
        raise UsageError(
            "there is no finished evaluation.",
            where=shown(folder),
            expected="evaluation.json, which is written last",
            fix="run segclf eval-subgroups first",
        )
    found: dict[str, Any] = {
        name: read_table(folder / f"{name}.csv") for name in TABLES if name != "metrics"
    }
    groups = pd.read_parquet(folder / "groups.parquet").set_index("case_id")
    found["metrics"] = pd.read_parquet(folder / "metrics.parquet")
    found["scores"] = read_scores(folder / "scores.parquet")
    found["groups"] = {str(name): groups[name] for name in groups.columns}
    return found | {"ledger": read_json(folder / "ledger.json")}


def evaluation_text(evaluation: Evaluation) -> str:
    """The main numbers as plain text of about 100 columns, ending with what was left out."""
    ledger = evaluation.ledger
    rows = evaluation.metrics.to_dict("records")
    lines = [f"WARNING: {note}" for note in ledger["notes"]]
    for finding in dict.fromkeys(row["finding"] for row in rows):
        own = [row for row in rows if row["finding"] == finding]
        lines += _overall_lines([row for row in own if row["group_column"] == "all"], ledger)
        lines += _method_lines(evaluation.comparisons, finding)
        lines += _robust_lines(evaluation.robust, finding)
        lines += _group_lines([row for row in own if row["group_column"] != "all"])
        lines += _gap_lines(evaluation.gaps, evaluation.comparisons, finding)
    left_out: dict[str, int] = {}
    for entry in ledger["exclusions"]:
        n_cases = max(entry["n_rows"], entry["n_cases"])
        left_out[entry["reason"]] = left_out.get(entry["reason"], 0) + n_cases
    lines += [f"left out: {n} rows: {reason}" for reason, n in left_out.items()]
    if any(FEW_WORDS in row["reason"] for row in rows):
        lines.append(f"*: {FEW_WORDS} (fewer than {FEW} {plural(ledger['unit'])} of a class)")
    n_missing = sum(np.isnan(row["estimate"]) for row in rows)
    if n_missing:
        lines.append(
            f"not estimated: {n_missing} of {len(rows)} rows; the column `reason` says why"
        )
    return "\n".join(lines)


def _overall_lines(rows: list[Row], ledger: Row) -> Iterator[str]:
    unit = ledger["unit"]
    by_method: dict[str, dict[str, Row]] = {}
    for row in rows:
        by_method.setdefault(row["method"], {})[row["metric"]] = row
    sizes = ((row["n_cases"], row["n_positive"], row["n_patients"]) for row in rows)
    shown_rows = [row for row in rows if row["metric"] in SHOWN and row["interval"]]
    how = "; ".join(dict.fromkeys(row["interval"] for row in shown_rows)) or "none"
    for n_cases, n_positive, n_patients in dict.fromkeys(sizes):
        yield (
            f"{rows[0]['finding']}: {n_cases} test cases, {n_positive} positive, "
            f"{counted(n_patients, unit)}; {ledger['confidence']:.0%} intervals: {how}"
        )
    yield f"  {'method':<20} {'AUROC':<23} {'sensitivity':<23} specificity"
    for method, found in by_method.items():
        shown = [found.get(name) for name in SHOWN]
        cells = [_shown(row).partition(" (")[0] for row in shown]
        yield f"  {method:<20} {cells[0]:<23} {cells[1]:<23} {cells[2]}"
        for row in shown:
            if row is not None and np.isnan(row["lo"]):
                yield f"    {row['metric']}: {row['reason']}"
        auroc = found.get("auroc", {"fold_min": np.nan})
        if not np.isnan(auroc["fold_min"]):
            yield (
                f"    {auroc['n_folds']} folds, AUROC {auroc['fold_min']:.3f} to "
                f"{auroc['fold_max']:.3f}; the mean is shown"
            )


def _robust_lines(robust: pd.DataFrame, finding: str) -> Iterator[str]:
    rows = robust.loc[robust["finding"] == finding].to_dict("records")
    if rows:
        yield f"  AUROC and the shortcut {rows[0]['shortcut']}"
    for row in rows:
        n = "" if row["n_positive"] is None else f"{row['n_positive']}+ {row['n_negative']}-"
        yield f"    {row['method']:<20} {row['quantity']:<18} {n:<12} {_shown(row)}"


def _group_lines(rows: list[Row]) -> Iterator[str]:
    shown = [row for row in rows if row["metric"] == "auroc"]
    if shown:
        yield "  AUROC by group"
    order = list(dict.fromkeys((row["group_column"], row["group"]) for row in shown))
    for row in sorted(shown, key=lambda row: order.index((row["group_column"], row["group"]))):
        name = f"{row['group_column']} = {row['group']}"
        n = f"{row['n_positive']}+ {row['n_negative']}-"
        against = " (all negatives)" if row["negatives"] == "all" else ""
        yield f"    {name:<24} {row['method']:<20} {n:<12} {_shown(row)}{against}"


def _method_lines(comparisons: pd.DataFrame, finding: str) -> Iterator[str]:
    own = comparisons.loc[comparisons["finding"] == finding]
    is_shown = (own["kind"] == "methods") & (own["group_column"] == "all")
    for row in own.loc[is_shown & (own["metric"] == "auroc")].to_dict("records"):
        text = _shown(row | {"estimate": row["difference"]})
        p = "" if np.isnan(row["p"]) else f", p {_p(row['p'])}, adjusted {_p(row['p_adjusted'])}"
        verdict = f", {row['verdict']}" if row["verdict"] else ""
        yield f"  AUROC of {row['first']} - {row['second']}: {text}{p}{verdict}"


def _gap_lines(gaps: pd.DataFrame, comparisons: pd.DataFrame, finding: str) -> Iterator[str]:
    is_shown = (gaps["finding"] == finding) & (gaps["metric"] == "auroc") & gaps["gap"].notna()
    is_test = (comparisons["kind"] == "heterogeneity") & (comparisons["metric"] == "auroc")
    tests = comparisons.loc[is_test & (comparisons["finding"] == finding)]
    p_of = {(row.method, row.group_column): row.p_adjusted for row in tests.itertuples()}
    for row in gaps.loc[is_shown].to_dict("records"):
        p = p_of.get((row["method"], row["group_column"]), np.nan)
        yield (
            f"  worst {row['group_column']} of {row['n_groups']} for {row['method']}: "
            f"{row['worst_group']} {_corrected(row, 'worst')}, gap {_corrected(row, 'gap')}"
            + ("" if np.isnan(p) else f", adjusted p {_p(p)}")
        )


def _corrected(row: Row, name: str) -> str:
    corrected = row[f"{name}_corrected"]
    text = f"{row[name]:.3f}"
    return text if np.isnan(corrected) else f"{text} (corrected {corrected:.3f})"


def _p(value: float) -> str:
    return "< 0.001" if value < 0.001 else f"{value:.3f}"


def _shown(row: Row | None) -> str:
    if row is None or np.isnan(row["estimate"]):
        return "-" if row is None else f"- ({row['reason']})"
    if np.isnan(row["lo"]):
        return f"{row['estimate']:.3f} [no interval] ({row['reason']})"
    star = " *" if FEW_WORDS in row["reason"] else ""
    return f"{row['estimate']:.3f} [{row['lo']:.3f}, {row['hi']:.3f}]{star}"


def _compact(evaluation: Evaluation) -> dict[str, Any]:
    metrics, gaps = evaluation.metrics, evaluation.gaps
    kept = ["method", "finding", "metric", "estimate", "lo", "hi", "reason"]
    counts = ["n_cases", "n_patients", "n_positive", "n_negative"]
    worst = ["method", "finding", "group_column", "metric", "worst_group", "worst"]
    worst += ["worst_corrected", "worst_bound", "gap", "gap_corrected"]
    robust = ["method", "finding", "shortcut", "quantity", "estimate", "lo", "hi", "reason"]
    compared = evaluation.comparisons
    difference = ["finding", "metric", "first", "second", "difference", "lo", "hi", "p"]
    difference += ["p_adjusted", "verdict", "reason"]
    ledger = {key: value for key, value in evaluation.ledger.items() if key != "exclusions"}
    return ledger | {
        "overall": _records(metrics.loc[metrics["group_column"] == "all", [*kept, *counts]]),
        "worst": _records(gaps.loc[:, [*worst, "left_out", "reason"]]),
        "robust": _records(evaluation.robust.loc[:, robust]),
        "comparisons": _records(compared.loc[compared["group_column"] == "all", difference]),
    }


def _records(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """Rows as plain data, with None for what is missing."""
    return frame.astype(object).where(frame.notna(), None).to_dict("records")
