"""Which rankings follow the shortcut, in sentences made from intervals alone."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from segclf.core.text import counted
from segclf.study.compare.figures import alike, is_missing, number, span_of

Row = Mapping[str, Any]
LEAN = 0.1
"""Aligned minus robust AUROC above which a ranking is said to follow the shortcut, where no margin
of AUROC was declared."""


def shortcut_sentences(
    rows: Sequence[Row],
    methods: Mapping[str, str],
    *,
    short: Mapping[str, str],
    margin: float | None,
    with_masks: Sequence[str] = (),
) -> Iterator[str]:
    """Which rankings follow the shortcut, judged by the interval of aligned minus robust AUROC.

    A ranking follows it if the whole interval lies above `margin` (`LEAN` if none was declared).

    Args:
        rows: Of the table `robust`, with the quantities `robust` and `aligned - robust`.
        methods: Name to phrase.
        short: Name to what a list calls it.
        margin: The declared margin of AUROC.
        with_masks: Methods that learned from masks: following is then relearning.
    """
    limit = LEAN if margin is None else margin
    gaps = {row["method"]: row for row in rows if row["quantity"] == "aligned - robust"}
    judged = [gaps[name] for name in methods if name in gaps]

    def said(row: Row) -> tuple[str, str, str, str]:
        return _lean(row, limit, with_masks)

    for group in alike(judged, lambda row: (said(row), "" if _gap(row) else row["method"])):
        begins, verb, bound, tail = said(group[0])
        if len(group) == 1:
            inside = ": ".join(part for part in (_gap(group[0]), bound) if part)
            inside = f" ({inside})" if inside else ""
            yield f"{begins} of {methods[group[0]['method']]} {verb}{inside}{tail}."
            continue
        named = {short[row["method"]]: row["estimate"] for row in group}
        inside = ": ".join(filter(None, [f"aligned minus robust AUROC {span_of(named)}", bound]))
        yield (
            f"{begins}s of {counted(len(group), 'method')} {_as_plural(verb)} ({inside}){tail}: "
            f"{', '.join(named)}."
        )


def _lean(row: Row, limit: float, with_masks: Sequence[str]) -> tuple[str, str, str, str]:
    """How a sentence on the shortcut begins, what it says, of which bound, and how it ends."""
    shortcut = row["shortcut"]
    if not _gap(row):
        reason = row["reason"] or "no interval"
        verb = f"follows {shortcut} cannot be estimated: {reason}"
        return "Whether the ranking", verb, "", ""
    if row["lo"] > limit:
        relearned = f"relearned {shortcut}, although it learned from masks"
        follows = relearned if row["method"] in with_masks else f"follows {shortcut}"
        return "The ranking", follows, f"all above {limit:g}", ""
    if row["lo"] > 0:
        bound = f"above 0, but not all above {limit:g}"
        return "The ranking", f"leans on {shortcut}", bound, ""
    if row["hi"] < 0:
        return "The ranking", f"leans against {shortcut}", "below 0", ""
    excluded = f"; a lean of {limit:g} is excluded" if row["hi"] < limit else ""
    return "That the ranking", f"leans on {shortcut} could not be shown", "", excluded


def _as_plural(verb: str) -> str:
    for one, several in (
        ("leans ", "lean "),
        ("follows ", "follow "),
        ("it learned", "they learned"),
    ):
        verb = verb.replace(one, several)
    return verb


def _gap(row: Row) -> str:
    """Aligned minus robust AUROC with its interval; nothing if it is missing."""
    if is_missing(row["estimate"]) or is_missing(row["lo"]):
        return ""
    gap = f"aligned minus robust AUROC {number(row['estimate'])}"
    return f"{gap}, {number(row['lo'])} to {number(row['hi'])}"
