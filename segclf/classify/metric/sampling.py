"""Which cases make up a batch of metric learning: a pure function of the seed and the step."""

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from segclf.core.config import Recipe
from segclf.core.errors import ConfigError, DataError
from segclf.core.randomness import generator

M = TypeVar("M")


@dataclass(frozen=True)
class ClassPlan:
    """Batches of `images_per_class` images of each of several classes, whatever their number."""

    seed: int
    batch_size: int
    images_per_class: int
    pools: tuple[tuple[int, ...], ...]
    """Case indices per class."""
    note: str | None = None

    def draw(self, step: int) -> list[tuple[int, int]]:
        """(case index, epoch of its class) of each case of a step.

        Classes are gone through in an order drawn anew in every round, and so are the images of
        a class: classes come equally often, whatever their size. A batch with room for more
        classes than there are takes more images of some.
        """
        n_turns, chosen = self.batch_size // self.images_per_class, []
        for turn in range(step * n_turns, (step + 1) * n_turns):
            number, place = divmod(turn, len(self.pools))
            pool = int(_order(self.seed, -1, number, len(self.pools))[place])
            start = number * self.images_per_class
            for at in range(start, start + self.images_per_class):
                chosen.append(_at(self.seed, pool, self.pools[pool], at))
        return chosen


@dataclass(frozen=True)
class PairPlan:
    """Batches of pairs, similar and dissimilar ones in turn."""

    seed: int
    batch_size: int
    pools: tuple[tuple[tuple[int, int], ...], tuple[tuple[int, int], ...]]
    """Pairs of case indices: the similar ones, the dissimilar ones."""
    note: str | None = None

    def draw(self, step: int) -> list[tuple[int, int]]:
        """(case index, epoch of its pool) of both cases of each pair of a step."""
        n_pairs, chosen = self.batch_size // 2, []
        for slot in range(step * n_pairs, (step + 1) * n_pairs):
            pool = slot % 2
            pair, epoch = _at(self.seed, pool, self.pools[pool], slot // 2)
            chosen += [(index, epoch) for index in pair]
        return chosen


def plan_classes(classes: Sequence[str | None], recipe: Recipe) -> ClassPlan:
    """The plan for cases of these classes; a case without a class (None) is left out.

    A class with fewer images than a batch takes of it repeats some, changed in another way each
    time.

    Raises:
        ConfigError: The batch does not hold two classes of so many images.
        DataError: There are fewer than two classes.
    """
    batch_size, per_class = recipe.train.batch_size, recipe.classify.metric.images_per_class
    if batch_size % per_class or batch_size < 2 * per_class:
        raise ConfigError(
            f"a batch of {batch_size} cannot hold {per_class} images of each of several classes.",
            where="train.batch_size, classify.metric.images_per_class",
            expected="a batch size that is 2, 3, … times images_per_class",
            fix=f"set train.batch_size: {4 * per_class}",
        )
    pools: dict[str, list[int]] = {}
    for index, name in enumerate(classes):
        if name is not None:
            pools.setdefault(name, []).append(index)
    if len(pools) < 2:
        raise DataError(
            f"the training cases have {len(pools) or 'no'} known class{'es' * (not pools)}.",
            where="the training part of the manifest",
            expected="at least two classes: an embedding is learned from what differs",
            fix="name a column class_<head> in classify.targets, or fill it",
        )
    ordered = tuple(tuple(pools[name]) for name in sorted(pools))
    return ClassPlan(recipe.seed, batch_size, per_class, ordered)


def plan_pairs(
    pairs: Mapping[tuple[str, str], bool], case_ids: Sequence[str], *, seed: int, batch_size: int
) -> PairPlan:
    """The plan for pairs among these cases.

    Raises:
        ConfigError: The batch does not hold a similar and a dissimilar pair.
    """
    if batch_size % 4:
        raise ConfigError(
            f"a batch of {batch_size} cannot hold as many similar as dissimilar pairs.",
            where="train.batch_size",
            expected="a multiple of 4, since both cases of a pair are in it",
            fix=f"set train.batch_size: {4 * -(-batch_size // 4)}",
        )
    place = {case_id: index for index, case_id in enumerate(case_ids)}
    pools: tuple[list[tuple[int, int]], list[tuple[int, int]]] = ([], [])
    for (a, b), similar in sorted(pairs.items()):
        pools[0 if similar else 1].append((place[a], place[b]))
    return PairPlan(seed, batch_size, (tuple(pools[0]), tuple(pools[1])))


def _at(seed: int, pool: int, members: Sequence[M], place: int) -> tuple[M, int]:
    epoch, place_in_epoch = divmod(place, len(members))
    return members[_order(seed, pool, epoch, len(members))[place_in_epoch]], epoch


@functools.lru_cache(maxsize=256)
def _order(seed: int, pool: int, epoch: int, n: int) -> np.ndarray:
    return generator(seed, "metric", pool, epoch).permutation(n)
