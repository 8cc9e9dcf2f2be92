"""What the tests of a study show, in sentences made by fixed rules."""

from collections.abc import Mapping, Sequence
from typing import Any

from segclf.study.science.crossed import METRICS, ONE_TRAINING

Row = dict[str, Any]
ALPHA = 0.05
SHOWN = {"more": "higher", "less": "lower"}
ALONE = "of patients alone: one training"


def is_alone(row: Mapping[str, Any]) -> bool:
    """Whether a row, or a step of a trend, rests on one training: intervals are of patients alone.

    Args:
        row: Of `curve`, `paired`, `trend` or `factor`; one without `seeds` does not.
    """
    return any(len(own.get("seeds") or ()) == 1 for own in (row, *row.get("steps", ())))


def alone_note(rows: Sequence[Mapping[str, Any]]) -> str:
    """What the heading of a column adds where intervals are of patients alone; else nothing.

    Args:
        rows: Of the column.
    """
    known = [row for row in rows if row["value"] is not None]
    own = [str(row["level"]) for row in known if is_alone(row)]
    at = "" if len(own) == len(known) else f" at {', '.join(dict.fromkeys(own))}"
    return f"; intervals{at} {ALONE}" if own else ""


def edge_sentence(edges: Mapping[str, Row]) -> str:
    """How many searches ended at the fastest or the longest setting; "" without a search.

    Args:
        edges: Family of networks to `n` searches and `n_at_edge` of them; {} where an entry does
            not tell.
    """
    if not edges:
        return ""
    texts = [
        f"{own['n_at_edge']} of {own['n']}{'' if k else ' searches'} of {family}"
        for k, (family, own) in enumerate(sorted(edges.items()))
    ]
    more = ": more might do better" if any(own["n_at_edge"] for own in edges.values()) else ""
    return f"In {' and '.join(texts)} the longest or fastest setting won{more}."


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
    if is_alone(row):
        return "alone"
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
    if outcome == "alone":
        return (
            f"{start} whether {name} of {arm} differs from that of {other} cannot be said "
            f"(differences {span}; intervals are {ALONE}; no p: {ONE_TRAINING})."
        )
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
        alone = f"{ALONE}; " if any(map(is_alone, known)) else ""
        parts = [
            f"{word} at {', '.join(levels)}"
            for word, levels in (("fewer", fewer), ("more", more), ("neither shown", rest))
            if levels
        ]
        sentences.append(
            f"regime {regime}: to reach the {name} of {other}, {arm} needed {x_name}: "
            f"{'; '.join(parts)} (by the interval of each factor, {alone}not adjusted)."
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
        alone = f" (by intervals {ALONE})" if is_alone(row) else ""
        sentences.append(f"{where}: a rise of {name} from {order}: {told}{alone}.")
    return sentences
