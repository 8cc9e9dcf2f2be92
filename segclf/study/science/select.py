"""Which training and validation cases a level of a study uses; the test part stays as it is.

Cases whose label is not known are not used for training and validation. No patient is ever in two
parts, since the parts are those of the run's own split.
"""

import math
from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from segclf.core.errors import UsageError
from segclf.core.randomness import generator
from segclf.core.records import Case
from segclf.manifest import CaseTable
from segclf.study.science.feature import feature_of, name_of
from segclf.study.science.pool import (
    LONG,
    MIN_PATIENTS,
    Draw,
    Mix,
    PoolError,
    check_patients,
    known_cases,
    patients_of,
)
from segclf.study.science.selection import Selection, mixed, selected


def first_cases(
    table: CaseTable,
    split: pd.DataFrame,
    n_train: int,
    *,
    draw: Draw,
) -> Selection:
    """About `n_train` training cases of whole patients, and the same share of validation cases.

    Patients stand in a row in which those with and without a positive case are spread evenly, so
    every beginning has nearly the class mix of the pool; two of each class lead. Each part takes
    the beginning whose number of cases is nearest to what is asked, so a smaller level is inside a
    larger one of the same `draw`.

    Args:
        table: All cases.
        split: From `make_split`.
        n_train: Training cases.
        draw: Which of many subsets.

    Raises:
        PoolError: There are fewer training cases, too few for two patients of each class, or the
            training or validation part has fewer than two of these.
    """
    k = draw.finding_of(table)
    pools = {part: known_cases(table, split, part, draw) for part in ("train", "val")}
    share = n_train / len(pools["train"]) if pools["train"] else math.inf
    chosen: dict[str, Sequence[Case]] = {}
    for part, pool in pools.items():
        check_patients(pool, k, part=part, finding=table.findings[k])
        wanted = n_train if part == "train" else share * len(pool)
        chosen[part] = _beginning(pool, k, wanted, draw, part=part)
    return selected(table, split, pools, chosen, draw)


def with_prevalence(
    table: CaseTable,
    split: pd.DataFrame,
    prevalence: float,
    n_train: int,
    *,
    draw: Draw,
) -> Selection:
    """`n_train` training cases of which the share `prevalence` is positive.

    The positives of a lower prevalence are inside those of a higher one, its negatives hold those
    of the higher one. Validation has the same share of its cases and, if it can, the same
    prevalence; it keeps at least two cases of each class. A patient with cases of both classes may
    be used in part.

    Args:
        table: All cases.
        split: From `make_split`.
        prevalence: Above 0 and below 1.
        n_train: Training cases.
        draw: Which of many subsets.

    Raises:
        PoolError: The pool has too few cases of a class, or two patients of each cannot be had.
    """
    _check_share("prevalence", prevalence, ends=False)
    return mixed(table, split, Mix(prevalence), n_train, draw)


def with_group_share(
    table: CaseTable,
    split: pd.DataFrame,
    column: str,
    value: str | float | None,
    share: float,
    n_train: int,
    *,
    draw: Draw,
) -> Selection:
    """`n_train` training cases of which a share is of one group; validation likewise.

    In the group and outside it the positives have the share that they have in the training pool, so
    neither prevalence nor how the group goes along with the label changes with `share`. A column
    that is blank for every negative (derived from the truth, such as the size of the target) cuts
    the positives alone. Other cases with a blank cell are not used.

    Args:
        table: All cases.
        split: From `make_split`.
        column: Of the manifest.
        value: Of the group; see `feature_of`.
        share: From 0 to 1.
        n_train: Training cases.
        draw: Which of many subsets.

    Raises:
        PoolError: The pool has too few cases of a kind, or two patients of each class cannot be
            had.
    """
    _check_share("share", share, ends=True)
    k, present = draw.finding_of(table), feature_of(table, column, value)
    pool = known_cases(table, split, "train", draw)
    of_all = any(case.case_id in present for case in pool if case.labels[k] == 0)
    usable = [c for c in pool if c.case_id in present or (not of_all and c.labels[k] == 0)]
    check_patients(usable, k, part="train", finding=table.findings[k])
    mix = Mix(_prevalence(usable, k), share, share if of_all else None)
    return mixed(table, split, mix, n_train, draw, present, about=name_of(column, value))


def with_target_size(
    table: CaseTable,
    split: pd.DataFrame,
    areas: Mapping[str, float],
    lo: float,
    hi: float,
    n_train: int,
    *,
    draw: Draw,
    prevalence: float | None = None,
) -> Selection:
    """`n_train` training cases whose positives have a target area in a bin; so have all others.

    Negatives are the same for every bin: in training and validation as many as the prevalence
    asks for, in test all. Positives whose area is not known are not used, nor in the test part.

    Args:
        table: All cases.
        split: From `make_split`.
        areas: Case id to the share of the image that the target covers.
        lo: Smallest area of the bin.
        hi: The area that the bin ends below.
        n_train: Training cases.
        draw: Which of many subsets.
        prevalence: Of training and validation; None is that of the whole training pool.

    Raises:
        PoolError: The bin has too few positives in a part.
    """
    if not 0 <= lo < hi:
        raise UsageError(
            f"the bin from {lo:g} to {hi:g} holds no area.",
            where=f"areas from {lo:g} to {hi:g}",
            expected="0 <= lo < hi, as shares of the image",
            fix="give the smaller bound first",
        )
    if prevalence is not None:
        _check_share("prevalence", prevalence, ends=False)
    k = draw.finding_of(table)
    present = {i: lo <= area < hi for i, area in areas.items() if not math.isnan(area)}
    pool = known_cases(table, split, "train", draw)
    mix = Mix(prevalence or _prevalence(pool, k), of_positives=1.0)
    test = [
        case
        for case in known_cases(table, split, "test", draw)
        if case.labels[k] == 0 or present.get(case.case_id, False)
    ]
    check_patients(test, k, part="test", finding=table.findings[k])
    about = f"a target of {100 * lo:g} to {100 * hi:g} % of the image"
    return mixed(table, split, mix, n_train, draw, present, test=test, about=about)


def _beginning(
    pool: Sequence[Case], k: int, wanted: float, draw: Draw, *, part: str
) -> Sequence[Case]:
    """The beginning of the row of patients that is nearest to the wanted number of cases."""
    order = _patient_row(pool, k, draw)
    n_of = Counter(case.patient_id for case in pool)
    reached = np.cumsum([n_of[patient] for patient in order])
    n_least, n_most = int(reached[2 * MIN_PATIENTS - 1]), int(reached[-1])
    if part == "train" and not n_least <= wanted <= n_most:
        raise PoolError(
            f"the training part cannot give {wanted:g} cases.",
            where=f"{n_most} {LONG[part]} cases with a known label",
            expected=f"from {n_least} (those of {MIN_PATIENTS} positive and {MIN_PATIENTS} "
            f"negative patients) to {n_most}",
            fix="ask for a number between these, or give a larger pool",
            largest=n_most,
        )
    n = max(int(np.argmin(np.abs(reached - wanted))) + 1, 2 * MIN_PATIENTS)
    kept = set(order[:n])
    return [case for case in pool if case.patient_id in kept]


def _patient_row(pool: Sequence[Case], k: int, draw: Draw) -> list[str]:
    """Positive and negative patients, each shuffled and spread evenly; two of each lead."""
    positive = patients_of(case for case in pool if case.labels[k] == 1)
    places: list[tuple[float, str]] = []
    lead: list[str] = []
    for stratum, members in enumerate((sorted(positive), sorted(patients_of(pool) - positive))):
        draws = generator(draw.seed, "first cases", draw.number, stratum)
        order = [members[i] for i in draws.permutation(len(members))]
        offset = draws.random()
        places += [((i + offset) / len(order), patient) for i, patient in enumerate(order)]
        lead += order[:MIN_PATIENTS]
    return [*lead, *(patient for _, patient in sorted(places) if patient not in lead)]


def _prevalence(cases: Sequence[Case], k: int) -> float:
    return float(np.mean([case.labels[k] == 1 for case in cases])) if cases else math.nan


def _check_share(name: str, value: float, *, ends: bool) -> None:
    if not (0 <= value <= 1 if ends else 0 < value < 1):
        raise UsageError(
            f"{name} is {value:g}.",
            where=f"{name} = {value:g}",
            expected="from 0 to 1" if ends else "above 0 and below 1",
            fix="write for example 0.1",
        )
