"""Choose cases one by one: unsure, unlike the others, and of groups that have few masks."""

from dataclasses import dataclass

import numpy as np

MOST_FACTOR = 4.0
"""A group changes a score by this factor at most, up or down."""


@dataclass(frozen=True)
class Pool:
    """The cases that can be chosen, and what has a mask already."""

    doubt: np.ndarray
    """(case,) 0 to 1; all 1 without a segmenter."""
    chance: np.ndarray
    """(case,) that there is something to draw: 1 for a positive label."""
    embedding: np.ndarray | None
    """(case, feature); None without a segmenter."""
    drawn_embedding: np.ndarray | None
    """(case, feature) of cases with a mask."""
    groups: np.ndarray
    """(case, column) group of each case, -1 where blank."""
    drawn_groups: np.ndarray
    """(drawn case, column)."""
    tie: np.ndarray
    """(case,) order among equals."""


@dataclass(frozen=True)
class Chosen:
    """Cases in the order of choosing, with the factors at that moment."""

    order: np.ndarray
    """(rank,) places in the pool."""
    score: np.ndarray
    doubt: np.ndarray
    diversity: np.ndarray
    group: np.ndarray


def choose(pool: Pool, n: int) -> Chosen:
    """The `n` cases of the highest score, one after the other; each changes the scores of the rest.

    score = doubt x diversity x group x chance.

    - diversity: Euclidean distance of the embedding (each feature divided by its standard
      deviation over the pool) to the nearest case that has a mask or was chosen, over the largest
      such distance of any case at the start; 1 without embeddings or anything to be far from.
    - group: over the columns, the geometric mean of (share of the group among all cases of the
      pool and with masks) / (its share among those with masks or chosen), both with one case added
      per group, between 1/4 and 4.

    Args:
        pool: What can be chosen.
        n: How many; fewer if the pool is smaller.

    Source:
        Greedy k-centre: Sener and Savarese, ICLR 2018; the product is ours.
    """
    n_cases = len(pool.doubt)
    features, drawn = _scaled(pool)
    distance = _to_nearest(features, drawn)
    scale = float(distance.max()) if len(drawn) and n_cases else 0.0
    counts = _Counts(pool)
    left = np.ones(n_cases, dtype=bool)
    rows = []
    for _ in range(min(n, n_cases)):
        diversity = np.minimum(distance / scale, 1.0) if scale else np.ones(n_cases)
        group = counts.factor()
        score = pool.doubt * diversity * group * pool.chance
        best = int(np.lexsort((pool.tie, -np.where(left, score, -np.inf)))[0])
        rows.append((best, score[best], pool.doubt[best], diversity[best], group[best]))
        left[best] = False
        counts.add(best)
        if features.shape[1]:
            distance = np.minimum(distance, _to_nearest(features, features[best : best + 1]))
            scale = scale or float(distance.max())
    columns = np.array(rows, dtype=float).reshape(-1, 5).T
    return Chosen(columns[0].astype(int), *columns[1:])


class _Counts:
    """Sizes of groups among all cases, and among those that have a mask or were chosen."""

    def __init__(self, pool: Pool) -> None:
        self.groups = pool.groups
        n_columns = pool.groups.shape[1]
        everyone = np.concatenate([pool.groups, pool.drawn_groups])
        sizes = [int(everyone[:, j].max(initial=-1)) + 1 for j in range(n_columns)]
        self.all = [_count(everyone[:, j], size) for j, size in enumerate(sizes)]
        self.own = [_count(pool.drawn_groups[:, j], size) for j, size in enumerate(sizes)]

    def add(self, case: int) -> None:
        for j, code in enumerate(self.groups[case]):
            if code >= 0:
                self.own[j][code] += 1

    def factor(self) -> np.ndarray:
        """(case,) how much its groups lack masks: geometric mean over the columns."""
        log = np.zeros(len(self.groups))
        for j, (everyone, own) in enumerate(zip(self.all, self.own, strict=True)):
            if len(everyone) < 2:
                continue
            ratio = np.log((everyone + 1) / (everyone + 1).sum() / ((own + 1) / (own + 1).sum()))
            codes = self.groups[:, j]
            log += np.where(codes >= 0, ratio[codes.clip(0)], 0.0)
        log /= max(len(self.all), 1)
        return np.exp(np.clip(log, -np.log(MOST_FACTOR), np.log(MOST_FACTOR)))


def _count(codes: np.ndarray, size: int) -> np.ndarray:
    return np.bincount(codes[codes >= 0], minlength=size).astype(float)


def _scaled(pool: Pool) -> tuple[np.ndarray, np.ndarray]:
    """Embeddings of the pool and of drawn cases, each feature in standard deviations."""
    if pool.embedding is None or not len(pool.embedding):
        return np.zeros((len(pool.doubt), 0)), np.zeros((0, 0))
    spread = pool.embedding.std(axis=0)
    spread = np.where(spread > 0, spread, 1.0)
    drawn = pool.drawn_embedding
    if drawn is None:
        drawn = np.zeros((0, pool.embedding.shape[1]))
    return pool.embedding / spread, drawn / spread


def _to_nearest(features: np.ndarray, others: np.ndarray) -> np.ndarray:
    """(case,) distance to the nearest of `others`; infinite without any."""
    nearest = np.full(len(features), np.inf)
    for other in others:
        nearest = np.minimum(nearest, np.sqrt(((features - other) ** 2).sum(axis=1)))
    return nearest
