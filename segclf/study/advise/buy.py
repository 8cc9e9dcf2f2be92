"""What masks and labels buy: the cheapest mix that reaches a target, and what an hour brings."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from segclf.study.advise.curve import Curve, errors_of, fit_curve, masks_needed, predict_auroc

N_MASKS, N_LABELS = 120, 60
MOST = 1e6
"""Masks or labels beyond which nobody goes."""
REACHED_BY = 0.5
"""Share of the curves that have to reach the target at the mix that is named."""
HOUR_MIN = 60.0
Row = dict[str, Any]


@dataclass(frozen=True)
class Prices:
    """Minutes of work."""

    mask: float
    label: float = 0.0


@dataclass(frozen=True)
class Stock:
    """What there is: training masks, training labels, and how many labelled cases need a mask."""

    masks: int
    labels: int
    positives: float
    """Share of labelled cases whose mask has to be drawn; the others are empty by their label."""


def curve_of(measured: pd.DataFrame) -> tuple[Curve | None, str]:
    """The curve of one finding's measurements, or the reason why there is none."""
    own = measured.dropna(subset=["auroc", "n_masks"])
    n_sizes = len({*own["n_masks"]})
    if n_sizes < 2:
        failed = measured.loc[measured["auroc"].isna(), "reason"].dropna()
        why = "".join(f"; the first failure: {reason}" for reason in list(failed)[:1])
        return None, f"{len(own)} trainings at {n_sizes} sizes were measured{why}"
    pairs = 0.5 / float(np.min(own["n_positive"].to_numpy() * own["n_negative"].to_numpy()))
    arrays = [own[name].to_numpy(dtype=float) for name in ("n_masks", "n_labels", "auroc")]
    return fit_curve(*arrays, resolution=pairs), ""


def cheapest(curve: Curve, target: float, prices: Prices, stock: Stock, *, anew: bool) -> Row:
    """Masks and labels that reach a target AUROC at least cost, by half of the curves or more.

    Each mask needs a labelled positive, so labels are at least masks / `stock.positives`. Where
    only one number of labels was measured, labels cannot stand in for masks: more are bought only
    to find positives. Undefined, with the reason, where half of the curves never reach the target.

    Args:
        curve: Of `fit_curve`.
        target: AUROC.
        prices: Minutes per mask and per label.
        stock: What there is.
        anew: Count from nothing; else what there is costs nothing.
    """
    have_masks, have_labels = (0, 0) if anew else (stock.masks, stock.labels)
    least = curve.masks0 if anew else max(curve.masks0, float(have_masks))
    if curve.has_labels and anew:
        labels = np.geomspace(max(curve.labels0 / 8, 2), MOST, N_LABELS * 4)
    elif curve.has_labels:
        labels = np.geomspace(max(stock.labels, 2), MOST, N_LABELS * 4)
    else:
        labels = np.array([curve.labels0])
    best: Row | None = None
    for n in labels:
        needed = masks_needed(curve, target, n, MOST)
        reached = np.sort(needed)[int(np.ceil(REACHED_BY * len(needed))) - 1]
        if not np.isfinite(reached):
            continue
        masks = max(float(np.ceil(reached)), np.ceil(least))
        n_labels = float(np.ceil(max(n, masks / stock.positives)))
        bought = max(masks - have_masks, 0.0), max(n_labels - have_labels, 0.0)
        minutes = bought[0] * prices.mask + bought[1] * prices.label
        if best is None or minutes < best["minutes"]:
            lo, hi = np.quantile(needed, (0.025, 0.975), method="inverted_cdf")
            best = {
                "masks": int(masks), "labels": int(n_labels), "minutes": float(minutes),
                "more_masks": int(bought[0]), "more_labels": int(bought[1]),
                "masks_lo": _finite(lo), "masks_hi": _finite(hi),
                "reached_by": float((needed <= masks).mean()),
            }  # fmt: skip
    return best or {"minutes": None, "reason": _why_not(curve, target)}


def next_hour(curve: Curve, prices: Prices, stock: Stock) -> Row:
    """AUROC now and after an hour more of drawing, without the scatter of single trainings.

    Labels that have to be read to find the positives to draw are part of the hour.
    """
    most = int(min(HOUR_MIN // prices.mask, MOST)) if prices.mask > 0 else 0
    labels = [_to_read(stock, more) for more in range(most + 1)]
    more = max(n for n in range(most + 1) if _minutes(prices, n, labels[n]) <= HOUR_MIN)
    then = stock.masks + more, stock.labels + labels[more]
    errors = {"now": errors_of(curve, stock.masks, stock.labels), "then": errors_of(curve, *then)}
    rows = {}
    for name, n in (("now", stock.masks), ("then", then[0])):
        lo, mid, hi = np.quantile(1 - errors[name], (0.025, 0.5, 0.975))
        rows[name] = {"masks": n, "auroc": float(mid), "lo": float(lo), "hi": float(hi)}
    lo, mid, hi = np.quantile(errors["now"] - errors["then"], (0.025, 0.5, 0.975))
    rows["gain"] = {"value": float(mid), "lo": float(lo), "hi": float(hi)}
    rows |= {"more_masks": more, "more_labels": labels[more]}
    return rows | {"label_minutes": labels[more] * prices.label}


def _to_read(stock: Stock, more: int) -> int:
    """Further labels until so many more masks find a positive each."""
    missing = max(stock.masks + more - stock.positives * stock.labels, 0.0)
    return int(np.ceil(missing / stock.positives - 1e-9))


def _minutes(prices: Prices, masks: int, labels: int) -> float:
    return masks * prices.mask + labels * prices.label


def predictions(
    curve: Curve, stock: Stock, shares: tuple[float, ...] = (0.8, 1.0, 2.0, 4.0)
) -> list[Row]:
    """Median and 95 % interval of the AUROC of a training at other sizes, on the same cases."""
    rows = []
    for share in shares:
        masks = max(1.0, share * stock.masks)
        mid, lo, hi = predict_auroc(curve, masks, stock.labels)
        rows.append({"masks": int(masks), "share": share, "auroc": mid, "lo": lo, "hi": hi})
    return rows


def _why_not(curve: Curve, target: float) -> str:
    best = 1 - curve.level * curve.share[:, 0]
    lo, mid, hi = np.quantile(best, (0.025, 0.5, 0.975))
    reach = float((best > target).mean())
    return (
        f"an AUROC of {target:g} is not reached with up to {MOST:,.0f} masks: the asymptote is "
        f"{mid:.3f} ({lo:.3f} to {hi:.3f}), and only {100 * reach:.0f} % of the curves that fit "
        "the measurements pass the target at all"
    )


def _finite(value: float) -> float | None:
    return float(np.ceil(value)) if np.isfinite(value) else None
