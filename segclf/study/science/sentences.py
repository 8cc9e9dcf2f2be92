"""What the tests of a study show, in sentences made by fixed rules."""

from collections.abc import Sequence
from typing import Any

from segclf.study.science.crossed import METRICS

Row = dict[str, Any]
ALPHA = 0.05
SHOWN = {"more": "higher", "less": "lower"}


def pair_sentences(rows: Sequence[Row]) -> list[str]:
    """One sentence per regime, comparison and outcome, from adjusted p values; none is left out.

    Args:
        rows: Of `judge.paired`.
    """
    groups: dict[tuple[str, ...], list[Row]] = {}
    for row in rows:
        key = (row["regime"], row["metric"], row["group"] or "", row["arm"], row["other"])
        groups.setdefault((*key, _outcome(row)), []).append(row)
    return [_pair(key, own) for key, own in groups.items()]


def _outcome(row: Row) -> str:
    if row["value"] is None:
        return f"reason: {row['reason']}"
    if row["p_adjusted"] is None or row["p_adjusted"] > ALPHA:
        return "open"
    return "more" if row["difference"]["value"] > 0 else "less"


def _pair(key: tuple[str, ...], rows: Sequence[Row]) -> str:
    regime, metric, group, arm, other, outcome = key
    name = METRICS[metric].name + (f" in {group}" if group else "")
    levels = ", ".join(str(row["level"]) for row in rows)
    start = f"regime {regime}, at {levels}:"
    if outcome.startswith("reason: "):
        return f"{start} {name} of {arm} and {other} cannot be compared: {outcome[8:]}."
    values = [row["difference"]["value"] for row in rows]
    span = f"{min(values):+.3f}" + (f" to {max(values):+.3f}" if len(values) > 1 else "")
    if outcome == "open":
        return (
            f"{start} no difference in {name} between {arm} and {other} could be shown "
            f"(differences {span}; adjusted p above {ALPHA:g} or undefined)."
        )
    return (
        f"{start} {name} of {arm} was {SHOWN[outcome]} than that of {other} "
        f"(differences {span}; adjusted p at most {ALPHA:g})."
    )


def factor_sentences(rows: Sequence[Row], x_name: str) -> list[str]:
    """One sentence per regime: at how many sizes fewer, more, or neither could be shown.

    Args:
        rows: Of `factor.factor`.
        x_name: What a size counts.
    """
    groups: dict[tuple[str, str, str, str], list[Row]] = {}
    for row in rows:
        name = METRICS[row["metric"]].name + (f" in {row['group']}" if row["group"] else "")
        groups.setdefault((row["regime"], row["arm"], row["other"], name), []).append(row)
    sentences = []
    for (regime, arm, other, name), own in groups.items():
        known = [row for row in own if row["value"] is not None]
        if not known:
            sentences.append(f"regime {regime}: the factor is undefined: {own[0]['reason']}.")
            continue
        fewer = [str(r["level"]) for r in known if r["lo"] is not None and r["lo"] > 1]
        more = [str(r["level"]) for r in known if r["hi"] is not None and r["hi"] < 1]
        rest = [str(r["level"]) for r in known if str(r["level"]) not in {*fewer, *more}]
        parts = [
            f"{word} at {', '.join(levels)}"
            for word, levels in (("fewer", fewer), ("more", more), ("neither shown", rest))
            if levels
        ]
        sentences.append(
            f"regime {regime}: to reach the {name} of {other}, {arm} needed {x_name}: "
            f"{'; '.join(parts)} (by the interval of each factor, not adjusted)."
        )
    return sentences


def trend_sentences(rows: Sequence[Row]) -> list[str]:
    """One sentence per regime and level.

    Args:
        rows: Of `judge.trend`.
    """
    sentences = []
    for row in rows:
        name = METRICS[row["metric"]].name + (f" in {row['group']}" if row["group"] else "")
        where = f"regime {row['regime']}, {row.get('level', row.get('arm'))}"
        if row["is_rising"] is None:
            reason = next(step["reason"] for step in row["steps"] if step["value"] is None)
            sentences.append(f"{where}: whether {name} rises cannot be said: {reason}.")
            continue
        order = " to ".join(row["order"])
        flat = [
            f"{step['second']} to {step['first']}"
            for step in row["steps"]
            if step["difference"]["lo"] is None or step["difference"]["lo"] <= 0
        ]
        told = f"not shown for {', '.join(flat)}" if flat else "at every step"
        sentences.append(f"{where}: a rise of {name} from {order}: {told}.")
    return sentences
