"""What the theory predicts, beside what was measured, and whether it holds."""

from collections.abc import Mapping
from typing import Any

from segclf.study.theory.settings import CLEAR, HARD, MARGIN, MARGIN_SHARE, Separability

HOLDS, FAILS, OPEN, NOT_RUN = "holds", "fails", "not decided", "not run"
NEAR_LAW = 0.05
Entry = dict[str, Any]
WHERE = {
    HARD: "pixels, lesion hard to see",
    CLEAR: "pixels, lesion that stands out",
    "embeddings": "embeddings",
}


def predictions_of(study: Separability, entry: Mapping[str, Any]) -> list[Entry]:
    """A row per prediction: where, what, predicted, what came with its interval, verdict.

    Args:
        study: The settings.
        entry: Of `summarize_cells`, but for the predictions.
    """
    rows = []
    for regime in study.contrasts:
        curves, where = entry["pixels"][regime], WHERE.get(regime, regime)
        rows += _exponents(curves, where, "residual", laws=True)
        if regime == HARD:
            rows += _exponents(curves, where, "patch", laws=False)
    curves, where = entry["embeddings"], WHERE["embeddings"]
    rows += _exponents(curves, f"{where} of segmenter, pixels", "pixels", laws=False)
    rows.append(
        _exponent(curves, f"{where} of classifier, whole images", "classifier image_classifier", 2)
    )
    return rows + _shortcut_rows(study, entry) + _estimator_rows(study, entry)


def verdict(found: Mapping[str, Any], lowest: float, highest: float) -> str:
    """Whether the interval lies inside the range (`holds`), beside it (`fails`), or neither.

    Not run, or `not decided` without an interval.
    """
    if found["value"] is None:
        return OPEN if found.get("reason") else NOT_RUN
    if found["lo"] is None:
        return OPEN
    if lowest <= found["lo"] and found["hi"] <= highest:
        return HOLDS
    return FAILS if found["hi"] < lowest or found["lo"] > highest else OPEN


def _exponents(curves: Entry, where: str, kind: str, *, laws: bool) -> list[Entry]:
    rows = []
    for name, predicted in (
        ("image_part", 2), ("image_classifier", 2), ("pixel_classifier", 0), ("pixel_knn", 0),
    ):  # fmt: skip
        law = f"law {name.split('_')[0]}" if laws else None
        rows.append(_exponent(curves, f"{where}, {kind}", f"{kind} {name}", predicted, law))
    return rows


def _exponent(
    curves: Entry, where: str, name: str, predicted: float, law: str | None = None
) -> Entry:
    found = curves[name]["exponent"]
    level, _, estimator = name.split()[-1].partition("_")
    how = {"part": "its target's part", "classifier": "classifier", "knn": "nearest neighbours"}
    return {
        "where": where,
        "what": f"exponent of the area fraction, {level} level, by {how[estimator]}",
        "predicted": f"{predicted:g}",
        "law": None if law is None else curves[law]["exponent"]["value"],
        "found": found,
        "verdict": verdict(found, predicted - MARGIN, predicted + MARGIN),
    }


def _shortcut_rows(study: Separability, entry: Mapping[str, Any]) -> list[Entry]:
    own, weights, networks = (entry[name] for name in ("shortcut", "weights", "embeddings"))
    where = f"{WHERE[HARD]}, residual and bit"
    rows = [
        _row(where, "KL(P1 || P0) over its bound", "at most 1", own["image to bound"], None,
             verdict(own["image to bound"], 0, 1)),
    ]  # fmt: skip
    for alpha, found, law in zip(
        weights["alphas"], weights["measured"], weights["law"], strict=True
    ):
        said = verdict(found, -float("inf"), (1 - alpha) * (1 + NEAR_LAW))
        what = f"weight of KL(B1 || B0) at area fraction {alpha:g}"
        rows.append(_row(where, what, f"at most {1 - alpha:g}", found, law["value"], said))
    least = weights["alphas"][0]
    first = weights["measured"][0]
    limits = [(1 - least) * (1 + sign * MARGIN_SHARE) for sign in (-1, 1)]
    rows.append(
        _row(where, f"the same, near its bound for a small target ({least:g})",
             f"{1 - least:g}", first, weights["law"][0]["value"], verdict(first, *limits))
    )  # fmt: skip
    low, high = min(study.prevalences), max(study.prevalences)
    what = f"KL(T || N) at prevalence {low:g} minus at {high:g}"
    law = own["rise law"]["value"]
    limits = [0.0, 0.0] if law is None else [law * (1 + s * MARGIN_SHARE) for s in (-1, 1)]
    said = verdict(own["rise"], *limits)
    rows.append(_row(where, what, "as the law says", own["rise"], law, said))
    said = verdict(networks["rise"], 0, float("inf"))
    where = f"{WHERE['embeddings']} of segmenter, pixels"
    return [*rows, _row(where, what, "above 0", networks["rise"], None, said)]


def _estimator_rows(study: Separability, entry: Mapping[str, Any]) -> list[Entry]:
    """Whether estimators agree with the laws on drawn pixels, as they do on exact draws."""
    rows = []
    for regime in study.contrasts:
        for name, found in entry["pixels"][regime]["to law"].items():
            what = f"KL(T || N) by {name.removeprefix('pixel_')}, over that of the law"
            said = verdict(found, 1 - NEAR_LAW, 1 + NEAR_LAW)
            rows.append(_row(WHERE.get(regime, regime), what, "1 within 5 %", found, 1.0, said))
    return rows


def _row(
    where: str, what: str, predicted: str, found: Entry, law: float | None, said: str
) -> Entry:
    return {"where": where, "what": what, "predicted": predicted, "law": law, "found": found,
            "verdict": said}  # fmt: skip
