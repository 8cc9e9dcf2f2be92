"""Levels of a study on a user's table: they follow from what it holds."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from segclf.core.errors import CaseError, UsageError
from segclf.core.records import Case, MaskState
from segclf.core.text import counted
from segclf.manifest import cases_of
from segclf.report.text import two_digits
from segclf.study.advise.look import area_shares
from segclf.study.science.minutes import minutes_to_cases
from segclf.study.science.plan import Level, Select
from segclf.study.science.pool import PoolError
from segclf.study.science.select import with_group_share, with_prevalence, with_target_size
from segclf.study.science.source import Pool
from segclf.study.science.studies import CLASSIFIER, SEGMENTATION, chosen, sized
from segclf.study.science.trap import with_shortcut

LEAST, N_SIZES = 20, 4
LEAST_DRAWN = 8
"""Images with masks, below which minutes are not compared: two patients of each class and more."""
RHOS = (0.5, 0.7, 0.9)
BINS = (1 / 3, 2 / 3)
"""Quantiles of the areas of targets between which bins end."""


@dataclass(frozen=True)
class Question:
    """What the user adds to the name of a study."""

    column: str | None = None
    """Of the shortcut or the subgroup."""
    value: str | None = None
    """Of the column, where the feature is present."""
    sizes: tuple[int, ...] = ()
    """Training images; () makes four of what there is."""
    minutes_per_label: float | None = None
    minutes_per_mask: float | None = None


def _sizes(pool: Pool, asked: Question) -> tuple[int, ...]:
    if asked.sizes:
        return tuple(sorted(set(asked.sizes)))
    most = _n_train(pool)
    found = np.geomspace(min(LEAST, most), most, N_SIZES).round().astype(int).tolist()
    return tuple(dict.fromkeys(found))


def _of_size(pool: Pool, asked: Question) -> tuple[Level, ...]:
    return tuple(Level(f"{n} images", n, sized(n)) for n in _sizes(pool, asked))


def _whole(pool: Pool, asked: Question) -> tuple[Level, ...]:
    n = max(_sizes(pool, asked))
    return (Level(f"{n} images", n, sized(n)),)


def _of_prevalence(pool: Pool, asked: Question) -> tuple[Level, ...]:
    share = _prevalence(pool)
    shares = [share, share / 2, share / 4]
    n = _fitting(pool, lambda n: [chosen(with_prevalence, each, n) for each in shares], asked)
    return tuple(Level(f"{each:.1%}", each, chosen(with_prevalence, each, n)) for each in shares)


def _of_group(pool: Pool, asked: Question) -> tuple[Level, ...]:
    pick = [asked.column, asked.value]
    shares = [0.3, 0.1, 0.03]
    n = _fitting(pool, lambda n: [chosen(with_group_share, *pick, s, n) for s in shares], asked)
    return tuple(Level(f"{s:.0%}", s, chosen(with_group_share, *pick, s, n)) for s in shares)


def _of_shortcut(pool: Pool, asked: Question) -> tuple[Level, ...]:
    pick = [asked.column, asked.value]
    n = max(asked.sizes) if asked.sizes else None
    return tuple(
        Level(f"rho {rho:g}", rho, chosen(with_shortcut, *pick, rho, n, rhos=RHOS)) for rho in RHOS
    )


def _of_area(pool: Pool, asked: Question) -> tuple[Level, ...]:
    areas = _areas(pool)
    train = {case.case_id for case in cases_of(pool.table, pool.split, "train", _fold(pool))}
    known = [areas[i] for i in areas if i in train]
    if len(set(known)) < len(BINS) + 1:
        raise PoolError(
            f"{counted(len(known), 'positive training case')} with a drawn mask that can be read "
            "cannot be parted by the size of the target.",
            where="masks of the training part",
            expected=f"at least {len(BINS) + 1} positives with masks of different areas",
            fix="name the masks in the manifest; segclf check says which cannot be read",
        )
    edges = np.quantile(known, BINS)
    bins = [(0.0, edges[0]), (edges[0], edges[1]), (edges[1], 1.0001)]
    n = _fitting(pool, lambda n: [chosen(with_target_size, areas, *b, n) for b in bins], asked)
    levels = []
    for lo, hi in bins:
        name = f"{two_digits(100 * lo)} to {two_digits(100 * min(hi, 1))} %"
        middle = float(np.median([area for area in areas.values() if lo <= area < hi]))
        levels.append(Level(name, middle, chosen(with_target_size, areas, lo, hi, n)))
    return tuple(levels)


def _of_minutes(pool: Pool, asked: Question) -> tuple[Level, ...]:
    label, mask = asked.minutes_per_label, asked.minutes_per_mask
    if label is None or mask is None:
        raise UsageError(
            "budget compares minutes of annotation, which were not given.",
            where="segclf study budget --manifest",
            expected="--minutes-per-label and --minutes-per-mask",
            fix="for example --minutes-per-label 0.1 --minutes-per-mask 1",
        )
    most, share = _n_train(pool), _prevalence(pool)
    dearest = most * label  # the classifier has no more images than these
    cheapest = max(dearest / 8, LEAST_DRAWN * (label + share * mask))
    if cheapest > dearest:
        raise PoolError(
            f"{most} labels cost {dearest:.3g} minutes, which buy fewer than {LEAST_DRAWN} images "
            "with masks.",
            where=f"{label:g} minutes a label, {mask:g} a mask, {share:.0%} of the cases positive",
            expected=f"{cheapest:.3g} minutes that both arms can spend",
            fix="give a larger table, or correct the minutes",
        )
    levels = []
    for budget in dict.fromkeys(np.geomspace(cheapest, dearest, 3).tolist()):
        found = minutes_to_cases(budget, label, mask, share)
        for arm, n in ((SEGMENTATION, found.segmenter), (CLASSIFIER, found.classifier)):
            levels.append(Level(f"{budget:.3g} minutes", budget, sized(n), arms=(arm.name,)))
    return tuple(levels)


def _areas(pool: Pool) -> dict[str, float]:
    """Share of the image that the target of each positive covers; unreadable masks are left out."""
    found = {}
    for case in pool.table.cases:
        if case.labels[0] == 1 and case.masks[0].state is MaskState.DRAWN:
            try:
                found[case.case_id] = area_shares([case.masks[0]], case.images[0])[0]
            except CaseError:
                continue
    return found


def _fitting(pool: Pool, selects: Callable[[int], Sequence[Select]], asked: Question) -> int:
    """The most training images that every level can have, at most what was asked for."""
    n = max(asked.sizes) if asked.sizes else _n_train(pool)
    while True:
        try:
            for select in selects(n):
                for number in range(max(len(pool.folds), 1)):
                    select(pool, number, pool.folds[number] if pool.folds else None)
        except PoolError as error:
            if error.largest is None or not 0 < error.largest < n:
                raise
            n = error.largest
        else:
            return n


def _n_train(pool: Pool) -> int:
    """Training cases with a known label, in the smallest fold."""
    return min(len(_known(pool, fold)) for fold in pool.folds or [None])


def _prevalence(pool: Pool) -> float:
    return float(np.mean([case.labels[0] == 1 for case in _known(pool, _fold(pool))]))


def _known(pool: Pool, fold: int | None) -> list[Case]:
    train = cases_of(pool.table, pool.split, "train", fold)
    return [case for case in train if case.labels[0] in (0, 1)]


def _fold(pool: Pool) -> int | None:
    return pool.folds[0] if pool.folds else None


LEVELS: dict[str, Callable[[Pool, Question], tuple[Level, ...]]] = {
    "label-efficiency": _of_size,
    "prevalence": _of_prevalence,
    "target-size": _of_area,
    "rare-subgroup": _of_group,
    "shortcut": _of_shortcut,
    "coarseness": _whole,
    "summarizers": _whole,
    "mask-noise": _whole,
    "budget": _of_minutes,
}
"""Study to the function of its levels."""
