"""What went wrong in one case: the missed target, what is near it, and what would change it."""

import math
from dataclasses import dataclass
from typing import cast

import numpy as np
import pandas as pd
from scipy import ndimage

from segclf.core.maskstats import THRESHOLDS
from segclf.core.units import convert_px
from segclf.report.content import GalleryItem
from segclf.report.rows import Row, as_rows, one_per, where


@dataclass(frozen=True)
class Region:
    """A connected group of pixels."""

    n_px: int
    size: float | None
    """In mm2 (2D) or mm3 (3D); None without a spacing."""
    max_p: float
    """Largest probability inside; NaN without a map."""
    centre: tuple[int, ...]
    """A pixel of the region, close to its middle."""


@dataclass(frozen=True)
class ErrorFacts:
    """Where the decision failed; lengths are between pixel centres."""

    n_components: int
    """Regions of the truth."""
    n_missed: int
    """Of these, regions that the predicted mask does not touch."""
    target: Region | None
    """The largest of them; if none is missed, the largest region of the truth."""
    nearest: Region | None
    """The predicted region that is nearest to a missed target; else the largest predicted one."""
    distance: float | None
    """From the missed target to `nearest`, in mm with a spacing, else in px; None without."""
    n_above_t: int
    """Pixels of the predicted mask."""
    flip_t: float | None
    """Threshold of the grid nearest to t at which the decision is the other one, at the same
    tau; None if there is none, or without tau."""
    flip_tau: float | None
    """Area above t, in the unit of tau: a tau below it calls the case positive, any other
    negative. None without tau, or if no pixel is above t."""


def explain_error(item: GalleryItem) -> ErrorFacts:
    """What the maps of a case tell about its wrong decision.

    Pixels of one region share faces, as in `core.maskstats`. Without a probability map nothing is
    predicted and nothing is known of the flip.

    Raises:
        ValueError: The maps differ in shape, or tau is in mm2 or mL without a spacing.
    """
    p, truth = maps_of(item)
    predicted, n_predicted = _label(p > item.t)
    true, n_true = _label(truth)
    missed_ids = np.setdiff1d(np.arange(1, n_true + 1), true[predicted > 0])
    is_missed = len(missed_ids) > 0
    target_ids = missed_ids if is_missed else np.arange(1, n_true + 1)
    target = _only(true, _largest(true, target_ids))
    nearest, distance = _only(predicted, _largest(predicted, np.arange(1, n_predicted + 1))), None
    if is_missed and n_predicted:
        nearest, distance = _nearest(predicted, target, item.spacing_mm)
    n_above_t, one = int((predicted > 0).sum()), _area_of_pixel(item, p.size)
    has_flip = item.tau is not None and item.probability is not None
    return ErrorFacts(
        n_components=n_true,
        n_missed=len(missed_ids),
        target=_region(target, p, item.spacing_mm),
        nearest=_region(nearest, p, item.spacing_mm),
        distance=distance,
        n_above_t=n_above_t,
        flip_t=flip_t(p, item.t, fewest_px(item.tau or 0.0, one)) if has_flip else None,
        flip_tau=n_above_t * one if has_flip and n_above_t else None,
    )


def maps_of(item: GalleryItem) -> tuple[np.ndarray, np.ndarray]:
    """Probability and truth (*space); NaN and False where there is no map.

    Raises:
        ValueError: The maps of the case differ in shape.
    """
    shape = np.asarray(item.image).shape[1:]
    p = np.full(shape, np.nan) if item.probability is None else np.asarray(item.probability)
    truth = np.zeros(shape, bool) if item.truth is None else np.asarray(item.truth) != 0
    if not p.shape == truth.shape == shape:
        raise ValueError(
            f"maps of one case have one shape: image (channel, *{shape}), truth {truth.shape}, "
            f"probability {p.shape}."
        )
    return p.astype(np.float64), truth


def flip_t(probability: np.ndarray, t: float, n_needed: int) -> float | None:
    """The threshold of the grid nearest to `t` at which the decision is the other one.

    None if no threshold of `core.maskstats.THRESHOLDS` changes it.

    Args:
        probability: (*space).
        t: The threshold that the decision was made with.
        n_needed: The fewest pixels above t that make a case positive.
    """
    flat = np.asarray(probability, dtype=np.float64).ravel()
    if n_needed > flat.size:
        return None
    level = np.partition(flat, flat.size - n_needed)[flat.size - n_needed]
    is_positive = level > t
    n_below = int(np.searchsorted(THRESHOLDS, level, side="left"))  # thresholds below the level
    if is_positive:
        return float(THRESHOLDS[n_below]) if n_below < len(THRESHOLDS) else None
    return float(THRESHOLDS[n_below - 1]) if n_below else None


def fewest_px(tau: float, area_of_pixel: float) -> int:
    """The fewest pixels whose area is larger than `tau`.

    Args:
        tau: In some unit.
        area_of_pixel: In the same unit.
    """
    n = math.floor(tau / area_of_pixel)
    while n * area_of_pixel <= tau:  # decided as areas are: the quotient may be rounded
        n += 1
    return n


def pick_errors(
    scores: pd.DataFrame, *, method: str, finding: str, n_missed: int = 4, n_false: int = 4
) -> list[Row]:
    """The worst wrong decisions on test cases: the most confident ones, by score.

    Args:
        scores: A score table.
        method: Whose decisions.
        finding: Which finding.
        n_missed: Largest number of missed positives; those with the lowest scores come first.
        n_false: Largest number of false alarms; those with the highest scores come first.

    Returns:
        `case_id`, `fold`, `kind`, `score`, `decision_value` and `threshold` of each; a case
        counts once, with its first seed.
    """
    keys = ["case_id", "fold", "label", "decision", "score", "decision_value", "threshold"]
    is_own = (scores["method"] == method) & (scores["finding"] == finding)
    tests = one_per(
        as_rows(scores.loc[is_own & (scores["split"] == "test"), keys][::-1]), "case_id"
    )
    ranked = sorted(tests.values(), key=lambda row: (row["score"], row["case_id"]))
    missed = where(ranked, label=1, decision=0)[:n_missed]
    false = where(ranked[::-1], label=0, decision=1)[:n_false]
    worst = [row | {"kind": "missed"} for row in missed]
    worst += [row | {"kind": "false alarm"} for row in false]
    return [{k: v for k, v in row.items() if k not in ("label", "decision")} for row in worst]


def _label(mask: np.ndarray) -> tuple[np.ndarray, int]:
    label, n = cast(tuple[np.ndarray, int], ndimage.label(mask))
    return label, int(n)


def _largest(label: np.ndarray, ids: np.ndarray) -> int:
    """Which of the regions `ids` has most pixels; 0 if there are none."""
    if not len(ids):
        return 0
    return int(ids[np.argmax(np.bincount(label.ravel(), minlength=ids.max() + 1)[ids])])


def _only(label: np.ndarray, region: int) -> np.ndarray:
    """The pixels of one region; none for region 0."""
    return (label == region) & (region > 0)


def _nearest(
    predicted: np.ndarray, target: np.ndarray, spacing_mm: tuple[float, ...] | None
) -> tuple[np.ndarray, float]:
    """The predicted region nearest to the pixels `target`, and how far it is."""
    distance = np.asarray(ndimage.distance_transform_edt(~target, sampling=spacing_mm))
    distance = np.where(predicted > 0, distance, np.inf)
    place = np.unravel_index(int(np.argmin(distance)), distance.shape)
    return predicted == predicted[place], float(distance[place])


def _region(
    mask: np.ndarray, probability: np.ndarray, spacing_mm: tuple[float, ...] | None
) -> Region | None:
    if not mask.any():
        return None
    places = np.argwhere(mask)
    middle = places[np.argmin(((places - places.mean(axis=0)) ** 2).sum(axis=1))]
    return Region(
        n_px=len(places),
        size=None if spacing_mm is None else len(places) * math.prod(spacing_mm),
        max_p=float(probability[mask].max()),
        centre=tuple(int(i) for i in middle),
    )


def _area_of_pixel(item: GalleryItem, image_px: int) -> float:
    """The area of one pixel in the unit of tau."""
    px_size = math.nan if item.spacing_mm is None else math.prod(item.spacing_mm)
    one = convert_px(
        np.array(1.0),
        unit=item.unit,
        image_px=np.array(float(image_px)),
        px_size=np.array(px_size),
    )
    if math.isnan(float(one)) and item.tau is not None:
        raise ValueError(f"tau = {item.tau:g} {item.unit} needs a spacing, and the case has none.")
    return float(one)
