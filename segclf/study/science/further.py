"""FURTHER: what was tried on the way to a claim, so that every negative result is shown."""

from dataclasses import replace

from segclf.study.science.plan import CONFIRM_SEED, SEARCH_SEED
from segclf.study.science.studies import RARE_SUBGROUP, rare_site

LOOKED_FOR = replace(
    RARE_SUBGROUP,
    name="rare-subgroup-search",
    title="Where a rare subgroup was looked for",
    regimes=tuple(
        replace(regime, confirm_seed=SEARCH_SEED, levels=regime.levels[-1:], searched=None)
        for regime in RARE_SUBGROUP.regimes[:1]
    ),
    about=f"{RARE_SUBGROUP.about} On the phantom of the search, where small trials chose this site "
    "after the darker one had missed the goal. The trials were not kept: these trainings repeat "
    "them, and were made after the check on a fresh phantom.",
    claims=(
        replace(
            RARE_SUBGROUP.claims[0],
            name="rare subgroup, on the phantom of the search",
            fade_regime=None,
        ),
    ),
)
_DARKER = rare_site(
    "C", {"A": 0.4, "B": 0.2, "C": 0.4}, "darker images and more noise", CONFIRM_SEED
)
DARKER = replace(
    _DARKER,
    name="rare-subgroup-darker",
    title="A rare subgroup with darker images: the first that was tried",
    claims=(replace(_DARKER.claims[0], name="rare subgroup with darker images"),),
)
FURTHER = {study.name: study for study in (DARKER, LOOKED_FOR)}
