"""The share of a gap that a method closes, with an interval over subsets and patients together."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from segclf.core.randomness import generator
from segclf.study.weighted import weighted_aurocs

N_RESAMPLES = 2000
MOST_UNDEFINED = 0.025
"""Share of resamples without a gap above which there is no interval."""
Row = dict[str, Any]


@dataclass(frozen=True)
class Scored:
    """The same test cases, scored by every method on every subset."""

    label: np.ndarray
    """(case,) bool."""
    patient: np.ndarray
    """(case,) codes from 0."""
    score: Mapping[str, np.ndarray]
    """Method to (subset, case); NaN rows where a training is missing."""
    tested: np.ndarray | None = None
    """(subset, case) bool: which cases a subset was tested on, where each is a fold's; None: all.
    Folds are not drawn anew, since each has other patients."""


def gap_closed(scored: Scored, few: str, full: str, *, seed: int = 0) -> dict[str, Row]:
    """Per method: mean AUROC, (m - few) / (full - few), and m - few, with 95 % intervals.

    Subsets (unless each is a fold's) and patients are drawn anew together, the same for all
    methods, so every comparison is paired. A method is compared on the subsets that it, `few` and
    `full` all have. Undefined with the reason where there is no gap, or in more than 2.5 % of the
    resamples.

    Args:
        scored: Test cases.
        few: Method with few masks.
        full: Method with all masks.
        seed: Of the resamples.

    Source:
        Percentile bootstrap of two crossed factors, Owen, Ann. Appl. Stat. 1 (2007) 386.
    """
    draw = generator(seed, "gap closed")
    n_patients = int(scored.patient.max()) + 1
    times = draw.multinomial(n_patients, np.full(n_patients, 1 / n_patients), N_RESAMPLES)
    weight = np.concatenate([np.ones((1, n_patients)), times])[:, scored.patient]
    n_subsets, n_cases = len(scored.score[few]), len(scored.label)
    tested = np.ones((n_subsets, n_cases), bool) if scored.tested is None else scored.tested
    auroc = {
        method: np.stack(
            [
                weighted_aurocs(row[own], scored.label[own], weight[:, own])
                for row, own in zip(scores, tested, strict=True)
            ],
            axis=1,
        )
        for method, scores in scored.score.items()
    }
    seed_of_subsets = seed if scored.tested is None else None
    return {method: _row(auroc, method, few, full, seed_of_subsets) for method in auroc}


def _row(
    auroc: Mapping[str, np.ndarray], method: str, few: str, full: str, seed: int | None
) -> Row:
    """The numbers of a method; subsets are drawn anew unless there is no seed for it."""
    compared = [auroc[name] for name in (method, few, full)]
    known = ~np.isnan([values[0] for values in compared]).any(axis=0)
    row: Row = {"n_subsets": int(known.sum())}
    if not known.any():
        return row | {"auroc": None, "reason": "not run, or failed, on every subset"}
    n = int(known.sum())
    picked = np.ones((N_RESAMPLES, n))
    if seed is not None:
        picked = generator(seed, "subsets", n).multinomial(n, np.full(n, 1 / n), N_RESAMPLES)
    weight = np.concatenate([np.full((1, n), 1.0), picked]) / n
    with np.errstate(invalid="ignore", divide="ignore"):
        m, b, f = ((weight * values[:, known]).sum(axis=1) for values in compared)
        gain, gap = m - b, f - b
        share = gain / gap
    own = auroc[method][0, known]
    row |= {"auroc": float(m[0]), "lowest": float(own.min()), "highest": float(own.max())}
    row["each"] = [float(value) for value in own]
    row["gain"] = {"value": float(gain[0]), **_interval(gain[1:])}
    if gap[0] <= 0:
        return row | {"share": None, "reason": "all masks are no better than few: there is no gap"}
    usable = np.isfinite(share[1:]) & (gap[1:] > 0)
    row["share"] = {"value": float(share[0])}
    if (~usable).mean() > MOST_UNDEFINED:
        reason = f"no gap in {100 * (~usable).mean():.0f} % of the resamples"
        return row | {"reason": reason}
    row["share"] |= _interval(share[1:][usable])
    return row


def pair_gain(scored: Scored, first: str, second: str, *, seed: int = 0) -> Row:
    """Mean AUROC of the first method minus the second, with a 95 % interval.

    Args:
        scored: Test cases.
        first: A method.
        second: Another.
        seed: Of the resamples.
    """
    return gap_closed(
        Scored(
            scored.label,
            scored.patient,
            {n: scored.score[n] for n in dict.fromkeys((second, first))},
            scored.tested,
        ),
        second,
        first,
        seed=seed,
    )[first].get("gain") or {"value": None, "reason": "not run on a common subset"}


def _interval(values: np.ndarray) -> Row:
    found = values[np.isfinite(values)]
    if not len(found):
        return {"lo": None, "hi": None}
    lo, hi = np.quantile(found, (0.025, 0.975))
    return {"lo": float(lo), "hi": float(hi)}
