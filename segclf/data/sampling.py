"""Which cases make up which training step: a pure function of the seed and the step."""

import functools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np

from segclf.core.config import Recipe
from segclf.core.errors import DataError
from segclf.core.randomness import generator
from segclf.core.records import Case, MaskState
from segclf.data.cache import CaseCache

Task = Literal["segment", "classify", "joint"]


@dataclass(frozen=True)
class SamplingPlan:
    """Pools of case indices and how many of each step's cases come from the first."""

    seed: int
    batch_size: int
    pools: tuple[tuple[int, ...], ...]
    """One pool (uniform sampling), or positive cases and the others."""
    first_share: float
    """Share of each batch drawn from the first pool."""
    note: str | None
    """Why the sampling is not what the recipe asked for; None if it is."""

    def draw(self, step: int) -> list[tuple[int, int]]:
        """(case index, epoch of its pool) of each case of a step.

        Each pool is gone through in an order drawn anew in every epoch, so that its cases are
        seen equally often. A share that gives no whole number of cases is met on average.
        """
        before, after = self._n_first(step), self._n_first(step + 1)
        chosen = [self._at(0, place) for place in range(before, after)]
        if len(self.pools) > 1:
            start, end = step * self.batch_size - before, (step + 1) * self.batch_size - after
            chosen += [self._at(1, place) for place in range(start, end)]
        return chosen

    def _n_first(self, step: int) -> int:
        """Cases drawn from the first pool before `step`."""
        return math.floor(round(step * self.batch_size * self.first_share, 6))

    def _at(self, pool: int, place: int) -> tuple[int, int]:
        epoch, place_in_epoch = divmod(place, len(self.pools[pool]))
        order = _order(self.seed, pool, epoch, len(self.pools[pool]))
        return self.pools[pool][order[place_in_epoch]], epoch


class Plan(Protocol):
    """Says which cases make up a step: anything with a note and a `draw`."""

    @property
    def note(self) -> str | None:
        """Why the sampling is not what the recipe asked for; None if it is."""

    def draw(self, step: int) -> list[tuple[int, int]]:
        """(case index, epoch of the case) of each case of a step: a pure function of `step`."""
        ...


def plan_uniform(cases: Sequence[Case], recipe: Recipe, usable: Sequence[int]) -> SamplingPlan:
    """Steps that see the cases at the places `usable` equally often.

    Raises:
        DataError: `usable` is empty.
    """
    _require(usable, cases, "label")
    return SamplingPlan(recipe.seed, recipe.train.batch_size, (tuple(usable),), 1.0, None)


def plan_sampling(
    cases: Sequence[Case], recipe: Recipe, *, task: Task, cache: CaseCache
) -> SamplingPlan:
    """How training steps are filled from `cases`.

    A case in which nothing is known to learn from (no known mask for `segment`, no known label
    for `classify`, neither for `joint`) is left out. A case is positive if one of its labels is 1
    or, unless only labels are learned (`classify`), one of its known masks is not empty.

    Raises:
        DataError: No case is left.
    """
    usable = [index for index, case in enumerate(cases) if _is_usable(case, task)]
    _require(usable, cases, {"segment": "mask", "classify": "label"}.get(task, "label or mask"))
    share = recipe.train.positive_share
    everything = (tuple(usable),)
    plan = functools.partial(SamplingPlan, recipe.seed, recipe.train.batch_size)
    if share is None:
        return plan(everything, 1.0, None)
    # no mask may steer a classifier of labels, or it is no longer one without masks
    masks = None if task == "classify" else cache
    is_positive = [_is_positive(cases[index], masks) for index in usable]
    positive = tuple(i for i, yes in zip(usable, is_positive, strict=True) if yes)
    others = tuple(i for i, yes in zip(usable, is_positive, strict=True) if not yes)
    if positive and others:
        return plan((positive, others), share, None)
    note = (
        f"train.positive_share = {share:g} needs positive and other cases; of {len(usable)} "
        f"training cases {len(positive)} are positive, so batches are drawn uniformly"
    )
    return plan(everything, 1.0, note)


def _require(usable: Sequence[object], cases: Sequence[Case], what: str) -> None:
    if not usable:
        raise DataError(
            f"none of the {len(cases)} training cases has a known {what}.",
            where="the training part of the manifest",
            expected=f"at least one case with a {what}",
            fix=f"fill the {what} columns, or name them in the recipe's columns: block",
        )


def _is_usable(case: Case, task: Task) -> bool:
    has_mask = any(mask.state is not MaskState.UNKNOWN for mask in case.masks)
    has_label = not all(math.isnan(label) for label in case.labels)
    return {"segment": has_mask, "classify": has_label, "joint": has_mask or has_label}[task]


def _is_positive(case: Case, cache: CaseCache | None) -> bool:
    """Without `cache`, by labels alone."""
    if any(label == 1 for label in case.labels):
        return True
    if cache is None or not any(mask.state is MaskState.DRAWN for mask in case.masks):
        return False
    return any(cache.foreground_px(case))


@functools.lru_cache(maxsize=64)
def _order(seed: int, pool: int, epoch: int, n_cases: int) -> np.ndarray:
    return generator(seed, "order", pool, epoch).permutation(n_cases)
