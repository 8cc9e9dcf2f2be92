"""What a study is made of: regimes, levels and arms, and the cells that follow from them."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path
from typing import Any

from segclf.study.science.cells import Arm, Cell
from segclf.study.science.claims import Claim
from segclf.study.science.selection import Selection
from segclf.study.science.source import Pool, Source, open_pool, phantom_source

Select = Callable[[Pool, int, int | None], Selection]
"""Pool, number of the subset and fold to the cases of a level."""
SEARCH_SEED, CONFIRM_SEED = 1000, 2000
"""Seeds of the phantoms: settings and learning rates are chosen on the one, claims are checked on
the other, which nothing was chosen on."""
GRID = ((1.0, 1.0), (3.0, 1.0), (1.0, 2.0))
"""Factors of the recipe's learning rate and steps: the small search, the same for every family of
networks."""


@dataclass(frozen=True)
class Level:
    """One value of what a study varies."""

    name: str
    x: float
    """Its place on the axis."""
    select: Select
    phantom: Mapping[str, Any] = field(default_factory=dict)
    """Settings of the phantom at this level."""
    arms: tuple[str, ...] = ()
    """Names of the arms that have it; () for all."""


@dataclass(frozen=True)
class Regime:
    """A setting in which the claim is said to hold, or to fade."""

    name: str
    about: str
    levels: tuple[Level, ...]
    arms: tuple[Arm, ...]
    phantom: Mapping[str, Any] = field(default_factory=dict)
    searched: str | None = None
    """Level whose learning rate and length all levels take; None searches at each."""
    confirm_seed: int = CONFIRM_SEED
    """Of the phantoms that the claim is checked on."""


@dataclass(frozen=True)
class Study:
    """One claim, its regimes, and what is read from the scores."""

    name: str
    title: str
    axis: str
    regimes: tuple[Regime, ...]
    overrides: tuple[str, ...]
    """Settings of all trainings on phantoms."""
    metrics: tuple[tuple[str, str | None], ...] = (("auroc", None),)
    """Names in METRICS, each with the group that it is judged in, or None; the first is drawn."""
    about: str = ""
    """The protocol in words."""
    claims: tuple[Claim, ...] = ()
    reference: str = "classifier"
    """The arm that all others are compared with."""
    order: tuple[str, ...] = ()
    """Arms that are expected to rise, lowest first."""
    spurious: tuple[str, str | None] | None = None
    """Column of the shortcut and the value that means present."""
    group: tuple[str, str | None] | None = None
    """Column of the subgroup and its value."""
    is_log: bool = False
    """The axis is one of sizes."""
    is_size: bool = False
    """Fewer is better: by what factor is asked."""
    source: Source | None = None
    """The user's data; None draws phantoms."""


def plan(
    study: Study, folder: Path, seeds: Sequence[int], chosen: Mapping[str, tuple[str, ...]]
) -> list[Cell]:
    """Every cell that confirms, a seed after the other.

    Args:
        study: What is asked.
        folder: Where phantoms lie.
        seeds: Numbers of the subsets and seeds of the weights; with folds, the folds.
        chosen: From `choose`: search key to the settings.
    """
    cells = []
    for seed, regime in product(seeds, study.regimes):
        for level in regime.levels:
            source = _source(study, regime, level, folder, regime.confirm_seed)
            fold = _fold(source, seed)
            selection = level.select(open_pool(source), seed, fold)
            for arm in _arms(regime, level):
                settings = chosen[search_key(regime, level, arm, fold)]
                place = (regime.name, level.name, level.x, arm, seed, source, selection)
                cells.append(Cell(*place, settings, fold))
    return cells


def plan_search(study: Study, folder: Path, seeds: Sequence[int]) -> dict[str, list[Cell]]:
    """Search key to its cells, one per setting of GRID.

    With folds each has a search of its own: the training and validation cases of one are the test
    cases of others.

    Args:
        study: What is asked.
        folder: Where phantoms lie.
        seeds: As for `plan`.
    """
    found: dict[str, list[Cell]] = {}
    for seed, regime in product(seeds, study.regimes):
        for level in regime.levels:
            if regime.searched not in (None, level.name):
                continue
            source = _source(study, regime, level, folder, SEARCH_SEED)
            fold = _fold(source, seed)
            if fold is None and seed != seeds[0]:
                continue
            selection = level.select(open_pool(source), seed, fold)
            for arm in _arms(regime, level):
                key = search_key(regime, level, arm, fold)
                if key not in found:
                    place = (regime.name, level.name, level.x, arm, seed, source, selection)
                    found[key] = [
                        Cell(*place, settings, fold, is_search=True) for settings in grid(source)
                    ]
    return found


def search_key(regime: Regime, level: Level, arm: Arm, fold: int | None) -> str:
    """What shares a search: the family of networks at a level, or in the whole regime."""
    of_fold = "" if fold is None else f", fold {fold}"
    return f"{regime.name}, {regime.searched or level.name}, {arm.family}{of_fold}"


def choose(
    cells: Mapping[str, Sequence[Cell]], val_auroc: Mapping[str, float | None]
) -> dict[str, tuple[str, ...]]:
    """Search key to the settings of the best AUROC on validation cases; ties take the first.

    Args:
        cells: From `plan_search`.
        val_auroc: By the key of the cell; None or missing where it failed.
    """
    found = {}
    for key, tried in cells.items():
        values = [val_auroc.get(cell.key) for cell in tried]
        best = max(range(len(tried)), key=lambda i: (-1.0 if values[i] is None else values[i], -i))
        found[key] = tried[best].overrides
    return found


def grid(source: Source) -> list[tuple[str, ...]]:
    """The settings that are tried on data of this source."""
    train = open_pool(source).recipe.train
    return [
        (f"train.lr={rate * train.lr:.6g}", f"train.steps={round(length * train.steps)}")
        for rate, length in GRID
    ]


def _arms(regime: Regime, level: Level) -> list[Arm]:
    return [arm for arm in regime.arms if not level.arms or arm.name in level.arms]


def _source(study: Study, regime: Regime, level: Level, folder: Path, seed: int) -> Source:
    if study.source is not None:
        return study.source
    settings = {"seed": seed, **regime.phantom, **level.phantom}
    return phantom_source(folder, settings, study.overrides)


def _fold(source: Source, seed: int) -> int | None:
    folds = open_pool(source).folds
    return folds[seed % len(folds)] if folds else None
