"""The claims that are checked, and what the figures of a study say of each."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from segclf.core.text import counted
from segclf.study.compare.figures import number, p_value
from segclf.study.science.crossed import METRICS, ONE_TRAINING
from segclf.study.science.judge import row_of
from segclf.study.science.sentences import ALONE, is_alone

Row = dict[str, Any]
CONFIRMED, NOT_CONFIRMED, NOT_RUN = "confirmed", "not confirmed", "not run"
FADES, OPEN, STAYS = "fades", "open", "does not fade"
NEAR_ONE = 2.0
"""A factor up to it counts as near 1."""
NEAR_NONE = 0.25
"""A gain up to this share of the goal counts as small."""
LEAST_STEP = 0.1
"""The smallest step of the published trend, from 0.72 with boxes to 0.82 with masks."""
NEAR_FLAT = NEAR_NONE * LEAST_STEP
"""A step below it counts as none: the same share of what was claimed."""


@dataclass(frozen=True)
class Claim:
    """One sentence of a paper, and the comparison that checks it."""

    name: str
    words: str
    """The paper's."""
    source: str
    kind: str
    """"factor": by which fewer images are needed; "gain": relative, in %; "trend": rising."""
    metric: str
    """A name in METRICS."""
    comparison: tuple[str, ...]
    """An arm and the other; for a trend all arms (or levels), lowest first."""
    goal: float | None = None
    """At least; a trend has none."""
    regime: str = "claimed"
    level: str | None = None
    """None: the largest size of a factor, else the first level."""
    fade_regime: str | None = "faded"
    """Where the effect is expected to be gone."""
    fade_level: str | None = None
    group: str | None = None


HOOPER = "Hooper et al. 2023, abstract"
SAAB = "Saab et al. 2022, abstract"
_PAIR = ("segmentation", "classifier")
CLAIMS = {
    "label-efficiency": Claim(
        "label efficiency", "up to an order of magnitude fewer", HOOPER,
        "factor", "auroc", _PAIR, 10.0,
    ),
    "rare-subgroup": Claim(
        "rare subgroup", "up to 161.1 % improved recall", HOOPER,
        "gain", "recall", _PAIR, 161.1, group="rare",
    ),
    "shortcut": Claim(
        "shortcut", "up to 44.8 % improved robust AUROC", HOOPER,
        "gain", "robust_auroc", _PAIR, 44.8,
    ),
    "coarseness": Claim(
        "coarseness", "robust AUROC 0.46 with labels, 0.72 with boxes, 0.82 with masks", SAAB,
        "trend", "robust_auroc", ("label", "box", "mask"),
    ),
}  # fmt: skip
"""Study to its claim; regime, levels, arms and group are replaced by those of the study."""


def verdict(claim: Claim, entry: Mapping[str, Any]) -> Row:
    """`state`, `text`, the numbers, and what came where the effect should fade.

    A factor or gain is confirmed if its value reaches the goal and its interval excludes no
    effect; `is_sure` tells whether the whole interval reaches the goal. A trend is confirmed if
    every step up has an interval above 0.

    Args:
        claim: To be checked.
        entry: With the rows of `factor`, `paired` and `trend`, those that there are.
    """
    found = _find(claim, entry, claim.regime, claim.level)
    row: Row = {"name": claim.name, "goal": claim.goal, "state": NOT_RUN, "is_sure": None}
    if found is None:
        row["text"] = f"{claim.name}: {NOT_RUN}."
    elif claim.kind == "trend":
        row |= _trend_verdict(claim, found)
    else:
        row |= _number_verdict(claim, found, entry)
    return row | {"fade": _fade(claim, entry)}


def _find(
    claim: Claim, entry: Mapping[str, Any], regime: str | None, level: str | None
) -> Row | None:
    if regime is None:
        return None
    wanted: Row = {"regime": regime, "level": level, "metric": claim.metric, "group": claim.group}
    if claim.kind == "trend":
        return row_of(entry.get("trend", ()), **wanted, order=list(claim.comparison))
    wanted |= {"arm": claim.comparison[0], "other": claim.comparison[1]}
    rows: Sequence[Row] = entry.get("factor" if claim.kind == "factor" else "paired", ())
    return row_of(rows[::-1] if claim.kind == "factor" else rows, **wanted)


def _effect(claim: Claim, found: Row) -> Row:
    """Value and interval, the value of no effect, and the words for both."""
    if claim.kind == "factor":
        words = "" if found["state"] in (None, "exact") else f"{found['state']} "
        return found | {"none": 1.0, "bound": found["state"], "words": words, "unit": ""}
    # The sign of the difference is that of the gain, and it has an interval more often.
    return found["relative"] | {"none": 0.0, "bound": "exact", "words": "", "unit": " %"}


def _number_verdict(claim: Claim, found: Row, entry: Mapping[str, Any]) -> Row:
    own = _effect(claim, found)
    name, value, goal = claim.name, own["value"], claim.goal or 0.0
    if value is None:
        reason = found.get("reason") or own.get("reason") or "it has no value"
        state = NOT_RUN if reason.startswith("no training") else NOT_CONFIRMED
        return {"state": state, "value": None, "text": f"{name}: {state}: {reason}."}
    lower = found["difference"]["lo"] if claim.kind == "gain" else own["lo"]
    none = own["none"]
    is_reached = value >= goal and own["bound"] != "at most"
    is_shown = lower is not None and lower > none and not is_alone(found)
    state = CONFIRMED if is_reached and is_shown else NOT_CONFIRMED
    is_sure = state == CONFIRMED and own["lo"] is not None and own["lo"] >= goal
    numbers = f"{_what(claim)} {_figures(own, found)}{_values(claim, found, entry)} over "
    numbers += counted(len(found["seeds"]), "training")
    numbers += f"; the goal is {goal:g}{own['unit']}"
    if state == CONFIRMED:
        tail = "which the whole interval reaches" if is_sure else "below which the interval begins"
    else:
        reasons = [] if is_reached else ["which is not reached"]
        if not is_shown:
            reasons.append(f"and no effect ({none:g}{own['unit']}) cannot be excluded")
            reasons += [f"({ONE_TRAINING})"] if is_alone(found) else []
        tail = " ".join(reasons).removeprefix("and ")
    row = {"value": value, "lo": own["lo"], "hi": own["hi"], "bound": own["bound"]}
    return row | {
        "state": state,
        "is_sure": is_sure,
        "text": f"{name}: {state}: {numbers}, {tail}.",
    }


def _what(claim: Claim) -> str:
    arm, other = claim.comparison
    metric = METRICS[claim.metric].name
    of = f" in {claim.group}" if claim.group else ""
    if claim.kind == "factor":
        return f"{arm} reaches the {metric}{of} of {other} with fewer images, by a factor of"
    return f"{metric}{of} of {arm}, relative to that of {other}, is higher by"


def _values(claim: Claim, found: Row, entry: Mapping[str, Any]) -> str:
    """What a gain is the relation of: near 0, a little makes thousands of percent."""
    if claim.kind == "factor":
        return ""
    text = f" at {found['level']}: {number(found['value'])} and {number(found['other_value'])}"
    return text + (_specificities(found, entry) if claim.metric == "recall" else "")


def _specificities(found: Row, entry: Mapping[str, Any]) -> str:
    """Those of both arms in the same cases: at another one, recall is another."""
    place = ("regime", "level", "group", "arm", "other")
    for row in entry.get("paired", ()):
        is_it = row["metric"] == "specificity" and all(row[key] == found[key] for key in place)
        if is_it and row["value"] is not None:
            return f" (at a specificity of {row['value']:.2f} and {row['other_value']:.2f})"
    return ""


def _figures(own: Row, found: Row) -> str:
    """Value and interval; an end that was not measured says so."""
    unit = own["unit"]

    def show(value: float) -> str:
        return f"{value:.1f}" if unit else f"{value:.3g}"

    text = f"{own['words']}{show(own['value'])}{unit}"
    if own["lo"] is None and own["hi"] is None:
        return f"{text} (no interval: {own.get('reason') or 'undefined'})"
    lo = "from below what was measured" if own["lo"] is None else show(own["lo"])
    hi = "beyond what was measured" if own["hi"] is None else show(own["hi"]) + unit
    alone = f", {ALONE}" if is_alone(found) else ""
    return f"{text} (95 % interval {lo} to {hi}{alone})"


def _trend_verdict(claim: Claim, found: Row) -> Row:
    steps = found["steps"]
    if found["is_rising"] is None:
        lacks = next(step["reason"] for step in steps if step["value"] is None)
        state = NOT_RUN if lacks.startswith("no training") else NOT_CONFIRMED
        return {"state": state, "value": None, "text": f"{claim.name}: {state}: {lacks}."}
    state = CONFIRMED if found["is_rising"] and not is_alone(found) else NOT_CONFIRMED
    values = [steps[0]["other_value"], *(step["value"] for step in steps)]
    reached = ", ".join(
        f"{number(value)} ({name})" for name, value in zip(found["order"], values, strict=True)
    )
    changes = "; ".join(_step(step) for step in steps)
    text = f"{claim.name}: {state}: {METRICS[claim.metric].name} {reached}; {changes}."
    return {"state": state, "value": values, "text": text}


def _step(step: Row) -> str:
    own = step["difference"]
    if own["lo"] is None or own["hi"] is None:
        return f"{step['second']} to {step['first']} {own['value']:+.3f} (no interval)"
    p = f", p {p_value(step['p'])}" if step["p"] is not None else ""
    p = f", {ALONE}" if is_alone(step) else p
    ends = f"{own['lo']:+.3f} to {own['hi']:+.3f}{p}"
    return f"{step['second']} to {step['first']} {own['value']:+.3f} ({ends})"


def _fade(claim: Claim, entry: Mapping[str, Any]) -> Row | None:
    """Whether the effect is small, or cannot be told from none, in the other regime."""
    if claim.fade_regime is None:
        return None
    where = f"{claim.name}, regime {claim.fade_regime}"
    found = _find(claim, entry, claim.fade_regime, claim.fade_level)
    if found is None:
        return {"state": NOT_RUN, "text": f"{where}: {NOT_RUN}."}
    if claim.kind == "trend":
        own = _trend_verdict(claim, found)
        state, why = _fade_of_trend(found)
        text = own["text"].removeprefix(f"{claim.name}: {own['state']}: ").removesuffix(".")
        return {"state": state, "text": f"{where}: {_fade_words(state)}: {text}{why}."}
    own = _effect(claim, found)
    if own["value"] is None:
        reason = found.get("reason") or own.get("reason") or "it has no value"
        return {"state": NOT_RUN, "text": f"{where}: {NOT_RUN}: {reason}."}
    ends = found["difference"] if claim.kind == "gain" else own
    limit = NEAR_ONE if claim.kind == "factor" else NEAR_NONE * (claim.goal or 0.0)
    state, why = _fade_state(own, ends, limit, claim.goal or 0.0)
    if is_alone(found):
        state, why = OPEN, f"; {ONE_TRAINING}"
    numbers = f"{_what(claim)} {_figures(own, found)}{_values(claim, found, entry)}"
    text = f"{where}: {_fade_words(state)}: {numbers}{why}."
    return {"state": state, "value": own["value"], "lo": own["lo"], "hi": own["hi"], "text": text}


def _fade_state(own: Row, ends: Row, limit: float, goal: float) -> tuple[str, str]:
    """Faded: small as a whole, or small, not to be told from none, and below the goal."""
    none, unit = own["none"], own["unit"]
    if own["hi"] is not None and own["hi"] <= limit:
        return FADES, f"; the whole interval is at most {limit:.3g}{unit}"
    if ends["lo"] is not None and ends["lo"] > none:
        return STAYS, ""
    if own["hi"] is None or own["hi"] >= goal:
        return OPEN, f"; neither no effect ({none:g}{unit}) nor the goal can be excluded"
    is_small = own["value"] <= limit and own["bound"] != "at least"
    why = f"; no effect ({none:g}{unit}) cannot be excluded, the goal can"
    return (FADES if is_small else OPEN), why


def _fade_of_trend(found: Row) -> tuple[str, str]:
    """Faded: every step is small as a whole. That none is shown is not enough."""
    if found["is_rising"] is None:
        return NOT_RUN, ""
    if is_alone(found):
        return OPEN, f"; {ONE_TRAINING}"
    if found["is_rising"]:
        return STAYS, ""
    ends = [step["difference"]["hi"] for step in found["steps"]]
    if all(end is not None and end < NEAR_FLAT for end in ends):
        return FADES, f"; every interval ends below {NEAR_FLAT:+g}"
    return OPEN, f"; a step of {NEAR_FLAT:+g} or more cannot be excluded"


def _fade_words(state: str) -> str:
    words = {FADES: "the effect fades", STAYS: "the effect does not fade"}
    return words.get(state, "whether the effect fades is open" if state == OPEN else state)
