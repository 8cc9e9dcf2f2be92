"""The same protocols on a user's table: levels follow from what it holds."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from segclf.core.errors import CaseError, UsageError
from segclf.core.records import Case, MaskState
from segclf.manifest import cases_of
from segclf.study.advise.look import area_shares
from segclf.study.science.entry import group_name
from segclf.study.science.minutes import minutes_to_cases
from segclf.study.science.plan import Level, Regime, Select, Study
from segclf.study.science.pool import PoolError
from segclf.study.science.select import with_group_share, with_prevalence, with_target_size
from segclf.study.science.source import Pool, Source, open_pool
from segclf.study.science.studies import CLASSIFIER, SEGMENTATION, STUDIES, chosen, sized
from segclf.study.science.trap import with_shortcut

OWN = "own data"
LEAST, N_SIZES = 20, 4
RHOS = (0.5, 0.7, 0.9)


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


def own_study(name: str, source: Source, asked: Question) -> Study:
    """The study of a name on the user's data.

    Args:
        name: In STUDIES.
        source: Of the data.
        asked: What the study needs to know.

    Raises:
        UsageError: The study needs a column or minutes that were not given.
        PoolError: The data cannot give what the study needs.
    """
    study, pool = STUDIES[name], open_pool(source)
    if name in ("rare-subgroup", "shortcut") and asked.column is None:
        raise UsageError(
            f"{name} asks about a column that was not named.",
            where=f"segclf study {name} --manifest",
            expected="--column with a header of the manifest, and --value where it is not 0 and 1",
            fix="for example --column sex --value F",
        )
    if name in ("shortcut", "coarseness") and pool.table.roles.get(str(asked.column)) == "derived":
        raise UsageError(
            f"the column {asked.column!r} is derived from the truth, so it is no shortcut.",
            where=f"segclf study {name} --column {asked.column}",
            expected="a column of the patient or of the acquisition",
            fix="name another column, or correct its role in the recipe",
        )
    levels = _LEVELS[name](pool, asked)
    regime = Regime(OWN, "", levels, study.regimes[0].arms, searched=levels[len(levels) // 2].name)
    if study.is_size:
        regime = replace(regime, searched=None)  # the larger the set, the longer may be best
    feature = (asked.column, asked.value) if asked.column is not None else None
    study = replace(
        study,
        name=f"{name}-{pool.recipe.name}",
        about=_ABOUT[name],
        axis=f"P({asked.column} = label) in training" if name == "shortcut" else study.axis,
        regimes=(regime,),
        claims=(),
        source=source,
    )
    if name == "rare-subgroup":
        study = replace(study, group=feature)
        own = group_name(study)
        metrics = (("recall", own), ("recall", f"not {own}"), ("specificity", None), ("auroc", own))
        return replace(study, metrics=metrics)
    if "robust_auroc" not in [metric for metric, _ in study.metrics] or feature is not None:
        return replace(study, spurious=feature if study.spurious else None)
    return replace(study, spurious=None, metrics=(("auroc", None),))


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
    edges = np.quantile([areas[i] for i in areas if i in train], (1 / 3, 2 / 3))
    bins = [(0.0, edges[0]), (edges[0], edges[1]), (edges[1], 1.0001)]
    n = _fitting(pool, lambda n: [chosen(with_target_size, areas, *b, n) for b in bins], asked)
    levels = []
    for lo, hi in bins:
        name = f"{100 * lo:.2g} to {100 * min(hi, 1):.2g} %"
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
    least = min(LEAST, most) * (label + share * mask)
    levels = []
    for budget in np.geomspace(least, max(most * label, 4 * least), 3).tolist():
        found = minutes_to_cases(budget, label, mask, share)
        for arm, n in ((SEGMENTATION, found.segmenter), (CLASSIFIER, found.classifier)):
            name = f"{budget:.3g} minutes"
            levels.append(Level(name, budget, sized(min(n, most)), arms=(arm.name,)))
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


_ABOUT = {
    "label-efficiency": "Nested subsets of whole patients; validation cases shrink with them.",
    "prevalence": "The number of training images is the same, and so are the test cases.",
    "target-size": "Bins of equal numbers of positives by the area of their mask; the positives of "
    "a bin are tested against all negatives.",
    "rare-subgroup": "The number of training images is the same. Recall is that at the threshold "
    "which gives a specificity of 0.9 on validation cases.",
    "shortcut": "Trap sets by dropping cases: reversed in test.",
    "coarseness": "Coarse masks are learned as if they were full ones; 'careful' ignores what a "
    "box leaves open.",
    "summarizers": "One segmenter a seed, whose maps are summarized in every way.",
    "mask-noise": "Masks of training and validation cases are changed; of the missing share "
    "nothing is known.",
    "budget": "The classifier has a label of every image, the segmenter fewer images with the "
    "masks of their positives as well.",
}
_LEVELS: dict[str, Callable[[Pool, Question], tuple[Level, ...]]] = {
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


def numbers_of(text: str | None) -> tuple[int, ...]:
    """Numbers of training images from `50,100,200`; () without a text.

    Raises:
        UsageError: One is no whole number above 0.
    """
    words = [word.strip() for word in (text or "").split(",") if word.strip()]
    if all(word.isdigit() and int(word) > 0 for word in words):
        return tuple(int(word) for word in words)
    raise UsageError(
        f"{text!r} are no numbers of images.",
        where="--sizes",
        expected="whole numbers above 0, with commas between them",
        fix="for example --sizes 50,100,200",
    )
