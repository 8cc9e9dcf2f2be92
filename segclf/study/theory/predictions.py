"""What the theory predicts, beside what was measured, and whether it holds.

All of it follows from the estimates of an entry: verdicts are not stored.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from scipy import stats

from segclf.study.theory.settings import CLEAR, HARD, MARGIN, MARGIN_SHARE

HOLDS, FAILS, OPEN, NOT_RUN = "holds", "fails", "not decided", "not run"
VERDICTS = (HOLDS, FAILS, OPEN, NOT_RUN)
DIRECT, FORMULA = "tested directly", "consistency of the formula"
CONVEX, ESTIMATOR = "follows from convexity", "estimator against the known law"
KINDS = (DIRECT, FORMULA, CONVEX, ESTIMATOR)
"""What a prediction tests; only the first kind tests the theory."""
SQUARE = "exponent of the area fraction, image level"
NEAR_LAW = 0.05
Entry = dict[str, Any]
Limits = tuple[float | None, float | None]
WHERE = {
    HARD: "pixels, lesion hard to see",
    CLEAR: "pixels, lesion that stands out",
    "embeddings": "embeddings",
}
HOW = {"part": "its target's part", "classifier": "classifier", "knn": "nearest neighbours"}


def predictions_of(entry: Mapping[str, Any]) -> list[Entry]:
    """A row per prediction, from the estimates of an entry alone.

    `kind` (of KINDS), `where`, `what`, `predicted` in words, `limits` that were tested (None for
    an open end), `law` with its interval over seeds (None if not known), `found` with its
    interval, `verdict`, and `off`: by how much the estimate is above the law if its interval
    leaves the law out, else None.

    Args:
        entry: Of `summarize_cells`; what an older one lacks is `not run`.
    """
    rows = []
    for regime, curves in entry["pixels"].items():
        where = str(WHERE.get(regime, regime))
        rows += _exponents(curves, where, "residual", laws=True)
        if regime == HARD:
            rows += _exponents(curves, where, "patch", laws=False)
    curves, where = entry["embeddings"], WHERE["embeddings"]
    rows += _exponents(curves, f"{where} of segmenter, pixels", "pixels", laws=False)
    rows.append(
        _exponent(curves, f"{where} of classifier, whole images", "classifier image_classifier", 2)
    )
    return rows + _shortcut_rows(entry) + _estimator_rows(entry)


def verdict(found: Mapping[str, Any], lowest: float | None, highest: float | None) -> str:
    """Whether the interval lies inside the range (`holds`), beside it (`fails`), or neither.

    Not run, or `not decided` without an interval.

    Args:
        found: `value`, `lo` and `hi`, perhaps `reason`.
        lowest: Of the range; None for no end.
        highest: The same.
    """
    if found["value"] is None:
        return OPEN if found.get("reason") else NOT_RUN
    if found["lo"] is None:
        return OPEN
    low = -np.inf if lowest is None else lowest
    high = np.inf if highest is None else highest
    if low <= found["lo"] and found["hi"] <= high:
        return HOLDS
    return FAILS if found["hi"] < low or found["lo"] > high else OPEN


def counted(rows: Sequence[Mapping[str, Any]]) -> dict[str, int]:
    """Verdict to the number of rows; those that occur."""
    own = [row["verdict"] for row in rows]
    return {said: own.count(said) for said in VERDICTS if said in own}


def counts_of(rows: list[Entry]) -> dict[str, dict[str, int]]:
    """Kind of prediction to verdict to the number of rows; kinds and verdicts that occur."""
    counts = {kind: counted([row for row in rows if row["kind"] == kind]) for kind in KINDS}
    return {kind: own for kind, own in counts.items() if own}


def _exponents(curves: Entry, where: str, kind: str, *, laws: bool) -> list[Entry]:
    rows = []
    for name, predicted in (
        ("image_part", 2), ("image_classifier", 2), ("pixel_classifier", 0), ("pixel_knn", 0),
    ):  # fmt: skip
        law = _law_of(curves, name)["exponent"] if laws else None
        rows.append(_exponent(curves, f"{where}, {kind}", f"{kind} {name}", predicted, law))
    return rows


def _law_of(curves: Entry, name: str) -> Entry:
    """The curve of the law that an estimate stands for; older entries lack that of the part."""
    level, _, how = name.partition("_")
    part = curves.get("law part")
    if how == "part" and part is not None and part["exponent"]["value"] is not None:
        return part
    return curves[f"law {level}"]


def _exponent(
    curves: Entry, where: str, name: str, predicted: float, law: Entry | None = None
) -> Entry:
    level, _, estimator = name.split()[-1].partition("_")
    return _row(
        FORMULA if estimator == "part" else DIRECT,
        where,
        f"{SQUARE.replace('image', level)}, by {HOW[estimator]}",
        f"{predicted:g}",
        (predicted - MARGIN, predicted + MARGIN),
        curves[name]["exponent"],
        law,
    )


def _shortcut_rows(entry: Mapping[str, Any]) -> list[Entry]:
    own, networks = entry["shortcut"], entry["embeddings"]
    where = f"{WHERE[HARD]}, residual and bit"
    bound = "KL(P1 || P0) over its bound"
    rows = [_row(CONVEX, where, bound, "at most 1", (0, 1), own["image to bound"])]
    rows += _weight_rows(entry["weights"], where)
    low, high = min(entry["prevalences"]), max(entry["prevalences"])
    what = f"KL(T || N) at prevalence {low:g} minus at {high:g}"
    law = own["rise law"]
    limits = _around(0.0 if law["value"] is None else law["value"], MARGIN_SHARE)
    rows.append(_row(DIRECT, where, what, "as the law says", limits, own["rise"], law))
    where = f"{WHERE['embeddings']} of segmenter, pixels"
    return [*rows, _row(DIRECT, where, what, "above 0", (0, None), networks["rise"])]


def _weight_rows(weights: Entry, where: str) -> list[Entry]:
    rows = []
    for alpha, found, law in zip(
        weights["alphas"], weights["measured"], weights["law"], strict=True
    ):
        what = f"weight of KL(B1 || B0) at area fraction {alpha:g}"
        most = (1 - alpha) * (1 + NEAR_LAW)
        rows.append(_row(CONVEX, where, what, f"at most {1 - alpha:g}", (None, most), found, law))
    alpha, found, law = (weights[name][0] for name in ("alphas", "measured", "law"))
    limits = _around(1 - alpha, MARGIN_SHARE)
    what = f"the same, near its bound for a small target ({alpha:g})"
    kind = CONVEX if _is_given(weights, alpha, limits[0]) else DIRECT
    return [*rows, _row(kind, where, what, f"{1 - alpha:g}", limits, found, law)]


def _is_given(weights: Entry, alpha: float, lowest: float) -> bool:
    """Whether the gap of the bound, at most H(alpha), keeps every weight above `lowest`."""
    background = weights["background"]["value"]
    if background is None:
        return True
    entropy = float(stats.entropy([alpha, 1 - alpha]))
    return 1 - alpha - entropy / background >= lowest


def _estimator_rows(entry: Mapping[str, Any]) -> list[Entry]:
    """Whether estimators agree with the laws on drawn pixels, as they do on exact draws."""
    rows = []
    for regime, curves in entry["pixels"].items():
        where = str(WHERE.get(regime, regime))
        for name, found in curves["to law"].items():
            what = f"KL(T || N) by {HOW[name.removeprefix('pixel_')]}, over that of the law"
            rows.append(_ratio_row(where, what, found, {"value": 1.0, "lo": None}))
        rows += _ratio_rows(where, curves, "image_part", "image")
        rows += _ratio_rows(where, curves, "image_classifier", "image")
        rows += _ratio_rows(where, curves, "image_part", "part")
    return rows


def _ratio_rows(where: str, curves: Entry, name: str, law: str) -> list[Entry]:
    """Per area the mean estimate over the mean of a law, both over seeds, with their intervals."""
    of = {"image": "that of the law as drawn", "part": "that of the law of this part"}[law]
    what = f"KL(P1 || P0) by {HOW[name.removeprefix('image_')]}, over {of}"
    laws = curves.get(f"law {law}", {"means": []})["means"]
    rows = []
    for alpha, found, known in zip(
        curves["alpha"], curves[f"residual {name}"]["means"], laws, strict=False
    ):
        whole = known["value"]
        if alpha is not None and found["value"] is not None and whole is not None:
            at = f"{what}, area fraction {100 * alpha:.2g} %"
            rows.append(_ratio_row(where, at, _over(found, whole), _over(known, whole)))
    nothing = {"value": None, "lo": None, "hi": None, "n": 0}
    return rows or [_ratio_row(where, what, nothing, nothing)]


def _over(found: Entry, whole: float) -> Entry:
    ends = {end: None if found[end] is None else found[end] / whole for end in ("lo", "hi")}
    return {"value": found["value"] / whole, **ends, "n": found["n"]}


def _ratio_row(where: str, what: str, found: Entry, law: Entry) -> Entry:
    return _row(ESTIMATOR, where, what, "1 within 5 %", _around(1.0, NEAR_LAW), found, law)


def _around(value: float, share: float) -> tuple[float, float]:
    return value * (1 - share), value * (1 + share)


def _row(
    kind: str,
    where: str,
    what: str,
    predicted: str,
    limits: Limits,
    found: Entry,
    law: Entry | None = None,
) -> Entry:
    known = None if law is None or law["value"] is None else law
    off = None
    if known is not None and found["lo"] is not None:
        is_in = found["lo"] <= known["value"] <= found["hi"]
        off = None if is_in else found["value"] - known["value"]
    return {"kind": kind, "where": where, "what": what, "predicted": predicted,
            "limits": list(limits), "law": known, "found": found,
            "verdict": verdict(found, *limits), "off": off}  # fmt: skip
