"""Tables of differences and factors of a study, as Markdown."""

from collections.abc import Mapping, Sequence
from typing import Any

from segclf.study.compare.figures import number, p_value
from segclf.study.science.crossed import METRICS
from segclf.study.science.sentences import alone_note, is_alone

Row = Mapping[str, Any]
BEYOND = "An end that an interval does not have lies beyond the sizes of the study."


def differences(entry: Row, regime: str, metric: str, group: str | None) -> list[str]:
    """Lines of the table of paired differences; none if there are none.

    Args:
        entry: With the rows of `judge.paired`.
        regime: Whose.
        metric: A name in METRICS.
        group: Whose, or None.
    """
    lines = []
    place = (regime, metric, group)
    rows = [r for r in entry.get("paired", ()) if (r["regime"], r["metric"], r["group"]) == place]
    for row in rows:
        if row["value"] is None:
            lines.append(
                [str(row["level"]), f"{row['arm']} - {row['other']}", row["reason"], "", ""]
            )
            continue
        own, gain = row["difference"], row["relative"]
        text = f"{own['value']:+.3f}" + (
            f" ({own['lo']:+.3f} to {own['hi']:+.3f})"
            if None not in (own["lo"], own["hi"])
            else f" (no interval: {own.get('reason')})"
        )
        p = "" if row["p_adjusted"] is None or is_alone(row) else p_value(row["p_adjusted"])
        compared = f"{row['arm']} - {row['other']}"
        lines.append([str(row["level"]), compared, text, _percent(gain), p])
    if not lines:
        return []
    difference = f"{named(metric, group)}: difference{alone_note(rows)}"
    heads = [entry.get("x_name", "level"), "compared", difference]
    return table([*heads, "relative", "adjusted p"], lines)


def _percent(gain: Row) -> str:
    if gain["value"] is None:
        return f"undefined: {gain.get('reason')}"
    text = f"{gain['value']:+.1f} %"
    if gain["lo"] is None and gain["hi"] is None:
        return text
    ends = ["no end" if gain[end] is None else f"{gain[end]:+.1f}" for end in ("lo", "hi")]
    return f"{text} ({ends[0]} to {ends[1]})"


def factors(entry: Row, regime: str) -> list[str]:
    """Lines of the table of factors, and what an end that lacks means; none if there are none.

    Args:
        entry: With the rows of `factor.factor`.
        regime: Whose.
    """
    own = [row for row in entry.get("factor", ()) if row["regime"] == regime]
    if not own:
        return []
    x_name = entry.get("x_name", "training images")
    lines = []
    for row in own:
        if row["value"] is None:
            lines.append(["", "", f"undefined: {row['reason']}"])
            continue
        state = "" if row["state"] == "exact" else f"{row['state']} "
        text = f"{state}{row['value']:.3g} ({_ends(row)})"
        lines.append([str(row["level"]), number(row["aim"]), text])
    first = own[0]
    heads = [f"{first['other']}: {x_name}", f"{METRICS[first['metric']].name} to reach",
             f"factor fewer for {first['arm']} (95 %){alone_note(own)}"]  # fmt: skip
    return [*table(heads, lines), *([f"{BEYOND}\n"] if any(map(_is_open, own)) else [])]


def _is_open(row: Row) -> bool:
    is_known = row["value"] is not None and "undefined" not in str(row.get("reason"))
    return is_known and None in (row["lo"], row["hi"])


def _ends(row: Row) -> str:
    """The interval of a factor."""
    lo, hi = row["lo"], row["hi"]
    if lo is None and hi is None:
        return "no interval" if _is_open(row) else f"no interval: {row.get('reason')}"
    if lo is None:
        return f"{hi:.3g} and less"
    return f"{lo:.3g} and more" if hi is None else f"{lo:.3g} to {hi:.3g}"


def named(metric: str, group: str | None) -> str:
    """A metric in words, with its group."""
    return METRICS[metric].name + (f" in {group}" if group else "")


def table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Lines of a Markdown table, with an empty one after it."""
    lines = ["| " + " | ".join(heads) + " |", "|" + "---|" * len(heads)]
    return [*lines, *("| " + " | ".join(row) + " |" for row in rows), ""]
