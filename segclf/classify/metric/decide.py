"""From embeddings to classes: nearest, k nearest, class centroid, or `unknown`."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from segclf.classify.metric.gallery import UNKNOWN, Gallery
from segclf.classify.metric.search import blocks
from segclf.core.settings import MetricSettings, SummarizeSettings
from segclf.core.thresholds import fit_threshold


@dataclass(frozen=True)
class Verdicts:
    """What a gallery says about queries."""

    names: list[str]
    """The classes, in the order of `evidence`."""
    evidence: np.ndarray
    """(query, class) by the rule; the class with the most is the predicted one."""
    predicted: np.ndarray
    """(query,) a class, or `unknown`."""
    similarity: np.ndarray
    """(query,) to the nearest vector of the gallery, -1 to 1."""
    nearest: np.ndarray
    """(query,) case id of that vector."""


def classify(queries: np.ndarray, gallery: Gallery, settings: MetricSettings) -> Verdicts:
    """The class of each query by `settings.rule`.

    With `threshold`, a query whose similarity to the nearest of all vectors is not above the
    gallery's threshold is `unknown`; any other is of the class of the nearest centroid, which
    unlike the nearest vector does not favour classes with many images. Without any class in the
    gallery every query is unknown.

    Args:
        queries: (query, dim) float32, norm 1.
        gallery: What is known.
        settings: `rule` and `k`.
    """
    if not gallery.classes:
        n = len(queries)
        nobody = np.full(n, "", dtype=object)
        unknown = np.full(n, UNKNOWN, dtype=object)
        return Verdicts([], np.empty((n, 0)), unknown, np.full(n, np.nan), nobody)
    similarity, row = gallery.search(queries, settings.k)
    similarity, row = similarity.astype(np.float64), np.asarray(row)
    if settings.rule in ("centroid", "threshold"):
        evidence = (queries @ gallery.centroids.T).astype(np.float64)
    else:
        evidence = class_similarity(queries, gallery)
    if settings.rule == "knn":
        evidence = _votes(gallery, row) + (1 + evidence) / 2.001  # below one vote: for ties
    predicted = np.array(gallery.names, dtype=object)[evidence.argmax(1)]
    if settings.rule == "threshold" and gallery.threshold is not None:
        predicted = np.where(similarity[:, 0] > gallery.threshold, predicted, UNKNOWN)
    nearest = np.array(gallery.case_ids, dtype=object)[row[:, 0]]
    return Verdicts(gallery.names, evidence, predicted, similarity[:, 0], nearest)


def class_similarity(queries: np.ndarray, gallery: Gallery) -> np.ndarray:
    """Similarity to the nearest vector of each class, (query, class), classes sorted.

    Every vector is compared with, block by block, so that memory is bounded.
    """
    number = gallery.numbers
    order = np.argsort(number, kind="stable")
    starts = np.searchsorted(number[order], np.arange(len(gallery.names)))
    vectors = gallery.vectors[order]
    best = [
        np.maximum.reduceat(queries[block] @ vectors.T, starts, axis=1)
        for block in blocks(len(queries), len(vectors))
    ]
    return np.concatenate(best or [np.empty((0, len(starts)))]).astype(np.float64)


def margins(evidence: np.ndarray) -> np.ndarray:
    """Per class its evidence minus the most of any other: above 0 for the predicted one alone.

    With a single class it is the evidence itself.

    Args:
        evidence: (query, class).
    """
    if evidence.shape[1] < 2:
        return evidence
    first_two = np.sort(evidence, axis=1)[:, :-3:-1]
    is_first = np.arange(evidence.shape[1]) == evidence.argmax(1)[:, None]
    return evidence - np.where(is_first, first_two[:, 1:], first_two[:, :1])


def fit_unknown(
    queries: np.ndarray, truth: Sequence[str | None], gallery: Gallery, settings: SummarizeSettings
) -> dict[str, Any]:
    """The threshold below which a case is unknown, fitted by leaving classes out.

    Each validation case counts twice: as known, by its similarity to the nearest of the whole
    gallery, and as unknown, by its similarity to the nearest of all classes but its own, as if
    its class had not been there. One whose class is not in the gallery counts as unknown alone,
    and one whose class nobody knows not at all. The threshold separates the two by the objective of
    `settings`. The network has seen all these classes, so classes that it has never seen may lie
    closer than those left out: the share of them that is called unknown is at most what is
    recorded.

    Args:
        queries: (query, dim) embeddings of validation cases.
        truth: Their classes; None where it is not known.
        gallery: Of training cases.
        settings: The objective.

    Returns:
        Plain data with `threshold`, None where it is undefined, for the `reason` given.
    """
    record: dict[str, Any] = {"method": "leave one class out", "fitted_on": "val"}
    if len(gallery.names) < 2:
        reason = f"the gallery has {len(gallery.names)} of the two classes that are needed"
        return {**record, "threshold": None, "reason": reason}
    named = np.array([name is not None for name in truth], dtype=bool)
    similarity = class_similarity(queries[named], gallery)
    own = np.array(truth, dtype=object)[named][:, None] == np.array(gallery.names, dtype=object)
    without_own = np.where(own, -np.inf, similarity).max(1)
    score = np.concatenate([similarity.max(1)[own.any(1)], without_own])
    is_known = np.repeat([1.0, 0.0], [int(own.any(1).sum()), len(without_own)])
    return record | separated(score, is_known, settings)


def separated(score: np.ndarray, label: np.ndarray, settings: SummarizeSettings) -> dict[str, Any]:
    """`fit_threshold` as plain data, its threshold None where it is undefined."""
    threshold, fit = fit_threshold(score, label, settings)
    return {**fit, "threshold": None if np.isnan(threshold) else float(threshold)}


def _votes(gallery: Gallery, row: np.ndarray) -> np.ndarray:
    """How many of the neighbours (query, k) are of each class, (query, class)."""
    chosen = gallery.numbers[row]
    return (chosen[:, :, None] == np.arange(len(gallery.names))).sum(1).astype(np.float64)
