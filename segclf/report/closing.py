"""What frames the numbers: warnings above them, how they were made, and what was left out."""

from collections.abc import Mapping, Sequence
from typing import Any

from segclf.core.text import plural
from segclf.report.blocks import Piece, Section, fold, tables
from segclf.report.cells import plain_table
from segclf.report.content import ReportContent
from segclf.report.names import metric_name
from segclf.report.rows import Row, distinct, is_missing, one_per, where
from segclf.report.tables import group_name
from segclf.report.text import amount, plain, without_folders


def alarms(content: ReportContent) -> list[tuple[str, str]]:
    """What must be seen before any number: a short claim, and what it means."""
    found = []
    if content.ledger.get("images_independent"):
        found.append((
            "Images are treated as independent.",
            f"No column says which images belong to one {plain(content.unit_name, 30)}. If some "
            "do, intervals are too narrow and p values too small.",
        ))  # fmt: skip
    if content.ledger.get("exploratory"):
        found.append((
            "Exploratory.",
            "Thresholds were chosen on the test cases that they are judged on. Numbers of "
            "decisions, marked \N{DAGGER}, are too good; they confirm nothing.",
        ))  # fmt: skip
    return found


def count_rows(content: ReportContent, metrics: Sequence[Row]) -> list[Row]:
    """Cases per split as they were given, or else the evaluated test cases per finding."""
    if not content.counts.empty:
        return [dict(row) for row in content.counts.to_dict("records")]
    table = []
    for finding in distinct(metrics, "finding"):
        own = where(metrics, finding=finding, group_column="all")
        sizes = distinct(own, "n_cases", "n_patients", "n_positive", "n_negative")
        for n_cases, n_patients, n_positive, n_negative in sizes:
            row = {"finding": plain(finding), "test cases": n_cases}
            row |= {plural(plain(content.unit_name, 30)): n_patients}
            row |= {"positive": n_positive, "negative": n_negative}
            known = n_positive + n_negative
            share = round(n_positive / known, 3) if known else None
            table.append(row | {"share of positives": share})
    return table


def made_section(content: ReportContent, metrics: Sequence[Row]) -> Section:
    """How numbers, thresholds and files were made."""
    ledger, pieces = content.ledger, []
    pieces.append(("text", _intervals(ledger, metrics)))
    what = "a row of the manifest" if not content.counts.empty else "what one score is given to"
    pieces.append(
        ("text", f"A case is {what}; the unit of resampling is the {plain(content.unit_name, 30)}.")
    )
    topics = {"intervals"}
    if ledger.get("deploy_prevalence"):
        share = amount(float(ledger["deploy_prevalence"]))
        text = f"Numbers at the deployment prevalence assume a share of positives of {share}."
        pieces.append(("text", text))
    thresholds = [_flat(row) for row in ledger.get("thresholds") or ()]
    if thresholds:
        topics.add("thresholds")
    pieces += tables(thresholds, plain_table, "Thresholds of decisions, and what fitted them")
    margins = _named(ledger.get("margins"), "metric", "margin")
    pieces += tables(margins, plain_table, "Margins of equivalence")
    prespecified = [plain(text, 300) for text in ledger.get("prespecified") or ()]
    if prespecified:
        topics.add("prespecified")
        pieces += [("text", "Declared beforehand, as the user states:"), ("list", prespecified)]
    for heading, values in content.provenance.items():
        rows = [{"name": k, "value": without_folders(str(v))} for k, v in values.items()]
        pieces += fold(plain(heading), tables(rows, plain_table, plain(heading)))
    if content.recipe:
        pieces += fold("Recipe", [("pre", without_folders(content.recipe))])
    return Section("made", "How it was made", pieces, frozenset(topics))


def ledger_section(content: ReportContent, metrics: Sequence[Row]) -> Section:
    """What was left out and why, with counts; it ends every report."""
    ledger = content.ledger
    pieces: list[Piece] = [("text", plain(note, 300)) for note in ledger.get("notes") or ()]
    aside = [
        {key: row.get(key) for key in ("case_id", "reason", "message")}
        for row in content.quarantined
    ]
    missing = _summed_up([row for row in metrics if is_missing(row["estimate"])])
    out = ledger.get("exclusions")
    for rows, caption, otherwise in (
        (out, "Left out of some numbers", "No test case was left out of a number."),
        (aside, "Cases set aside", "No case was set aside."),
        (missing, "Numbers that cannot be estimated", "Every number could be estimated."),
    ):  # fmt: skip
        pieces += tables(rows, plain_table, caption) or [("text", otherwise)]
    return Section("ledger", "What was left out", pieces, frozenset({"ledger"}))


def _intervals(ledger: Mapping[str, Any], metrics: Sequence[Row]) -> str:
    made = [row for row in metrics if not is_missing(row.get("interval")) and row["interval"]]
    kinds = "; ".join(plain(kind) for kind in distinct(made, "interval")) or "none"
    level = f"{ledger['confidence']:.0%} intervals" if "confidence" in ledger else "Intervals"
    resamples = f"; {ledger['n_boot']:,} resamples" if "n_boot" in ledger else ""
    return f"{level}: {kinds}{resamples}. Each table says which of its numbers have which."


def _named(values: object, key: str, value: str) -> list[Row]:
    if not isinstance(values, Mapping):
        return []
    return [{key: metric_name(str(name)), value: entry} for name, entry in values.items()]


def _flat(record: Mapping[str, Any]) -> Row:
    """A record with its lists and mappings as text."""
    return {
        key: without_folders(plain(value, 120))
        if isinstance(value, Mapping | list | tuple | str)
        else value
        for key, value in record.items()
    }


def _summed_up(missing: Sequence[Row]) -> list[Row]:
    """Missing numbers with one reason in one row: how many, and of which groups and metrics."""
    table = []
    for finding, reason in distinct(missing, "finding", "reason"):
        own = where(missing, finding=finding, reason=reason)
        groups = [group_name(*key) for key in distinct(own, "group_column", "group")]
        names = dict.fromkeys(
            metric_name(metric.partition("@")[0]) for metric in one_per(own, "metric")
        )
        row = {"finding": finding, "reason": reason, "numbers": len(own)}
        row["methods"] = ", ".join(plain(method) for method in distinct(own, "method"))
        row["groups"] = f"{len(groups)}: {', '.join(groups)}" if len(groups) > 1 else groups[0]
        table.append(row | {"metrics": ", ".join(names)})
    return table
