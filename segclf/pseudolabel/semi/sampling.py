"""Which cases make up a step: labelled and unlabelled ones at a set ratio."""

from dataclasses import dataclass

from segclf.core.errors import ConfigError, DataError
from segclf.core.randomness import seed_of
from segclf.data import Plan, SamplingPlan, plan_sampling
from segclf.pseudolabel.semi.scene import Scene


@dataclass(frozen=True)
class MixedPlan:
    """Cases with a known mask as a training on masks draws them, then the others."""

    labelled: SamplingPlan
    unlabelled: SamplingPlan

    @property
    def note(self) -> str | None:
        """Why the sampling is not what the recipe asked for; None if it is."""
        return self.labelled.note

    def draw(self, step: int) -> list[tuple[int, int]]:
        """(case index, epoch of the case) of each case of a step: a pure function of `step`."""
        return self.labelled.draw(step) + self.unlabelled.draw(step)


def plan_mixed(scene: Scene) -> Plan:
    """Steps in which `semi.ratio` of the batch are unlabelled cases, at least one of each kind.

    A case is labelled if the mask of a finding is known (balanced by `train.positive_share`), and
    unlabelled if that of a finding is not: with several findings it may be both. Each unlabelled
    case is seen equally often. Where pseudo-masks are learned, unlabelled cases without one are
    left out.

    Raises:
        ConfigError: The batch has one case.
        DataError: No case is labelled, or none unlabelled.
    """
    size, recipe = scene.recipe.train.batch_size, scene.recipe
    if size < 2:
        raise ConfigError(
            "a batch of 1 cannot hold a labelled and an unlabelled case.",
            where="train.batch_size = 1",
            expected="2 or more with semi.method",
            fix="set train.batch_size: 2",
        )
    n_unlabelled = min(max(round(size * scene.settings.ratio), 1), size - 1)
    smaller = recipe.train.model_copy(update={"batch_size": size - n_unlabelled})
    labelled = plan_sampling(
        scene.known,
        recipe.model_copy(update={"train": smaller}),
        task="segment",
        cache=scene.prepared.cache,
    )
    pool = tuple(i for i, case in enumerate(scene.known) if case.case_id in scene.unknown)
    if scene.learns_pseudo_masks:
        pool = tuple(i for i in pool if scene.prepared.train[i].masks != scene.known[i].masks)
    if not pool:
        raise _nothing_unlabelled(scene)
    seed = seed_of(recipe.seed, "unlabelled")
    return MixedPlan(labelled, SamplingPlan(seed, n_unlabelled, (pool,), 1.0, None))


def _nothing_unlabelled(scene: Scene) -> DataError:
    method = str(scene.settings.method)
    if scene.learns_pseudo_masks:
        return DataError(
            f"none of the {len(scene.unknown)} training cases without a mask got a pseudo-mask.",
            where=f"semi.method = {method!r}",
            expected="at least one that the filter keeps",
            fix="see why in ledger.csv of the pseudo-masks; train longer, or without --boosted",
        )
    return all_known(method, len(scene.known))


def all_known(method: str, n_cases: int) -> DataError:
    """The error for training cases all of whose masks are known."""
    return DataError(
        f"the masks of all {n_cases} training cases are known: there is nothing to learn from "
        "without masks.",
        where=f"semi.method = {method!r}",
        expected="training cases whose mask is blank and whose label is not 0",
        fix="train on masks alone: leave out --semi (semi.method: null)",
    )
