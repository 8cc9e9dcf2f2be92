"""Trap sets: a shortcut that goes along with the label in training and against it in the test.

Source: Bissoto et al., CVPR workshops 2020 (ISIC trap sets); by dropping cases alone.
"""

import math
from collections.abc import Sequence

import pandas as pd

from segclf.core.errors import UsageError
from segclf.core.records import Case
from segclf.manifest import CaseTable
from segclf.study.science.feature import feature_of, name_of
from segclf.study.science.pool import (
    LONG,
    MIN_PATIENTS,
    PARTS,
    Draw,
    Mix,
    PoolError,
    Rows,
    check_patients,
    known_cases,
    largest_n,
    rows_of,
    take,
)
from segclf.study.science.selection import Selection, selected


def with_shortcut(
    table: CaseTable,
    split: pd.DataFrame,
    column: str,
    value: str | float | None,
    rho: float,
    n_train: int | None = None,
    *,
    rhos: Sequence[float],
    draw: Draw,
) -> Selection:
    """Cases among which P(shortcut present = label) is `rho`, and 1 - `rho` in the test part.

    Each part is the largest that every one of `rhos` can have at the prevalence that the part has
    before (training and validation smaller still, by the same factor, if `n_train` asks for less),
    so that levels differ in `rho` alone. Within a cell of label and shortcut, patients stand in one
    row and the first cases are taken: a patient whose cases agree is kept or dropped whole, unless
    it is the last of its cell or one of two that begin it; one whose cases lie in several cells may
    be kept in part (`n_<part>_partial` patients). Cases with a blank cell are dropped.

    Beside its counts a note holds `phi_<part>`, the correlation of label and shortcut, and
    `phi_<part>_before`; None if one of them does not vary.

    Args:
        table: All cases.
        split: From `make_split`.
        column: Of the manifest.
        value: That means present; see `feature_of`.
        rho: From 0 to 1; one of `rhos`.
        n_train: Training cases; None is as many as all levels can have.
        rhos: All levels of the study.
        draw: Which of many subsets.

    Raises:
        PoolError: A cell of a part is too small, or two patients of each class cannot be had.
        UsageError: `rho` is none of `rhos`, or one is not from 0 to 1.
    """
    if rho not in rhos or not all(0 <= level <= 1 for level in rhos):
        raise UsageError(
            f"rho is {rho:g}, the levels are {', '.join(f'{level:g}' for level in rhos)}.",
            where=f"rho = {rho:g}",
            expected="one of the levels, all from 0 to 1",
            fix="name every rho of the study in rhos",
        )
    k, present = draw.finding_of(table), feature_of(table, column, value)
    about = name_of(column, value)
    pools: dict[str, list[Case]] = {}
    chosen: dict[str, list[Case]] = {}
    factor = 1.0
    for part in PARTS:
        pools[part] = known_cases(table, split, part, draw)
        own = [case for case in pools[part] if case.case_id in present]
        check_patients(own, k, part=part, finding=table.findings[k])
        prevalence = sum(case.labels[k] == 1 for case in own) / len(own)
        mixes = {level: _mix(prevalence, level, part) for level in rhos}
        rows = rows_of(own, k, mixes[rho], present, draw)
        most = largest_n(rows, list(mixes.values()))
        n = most if part == "test" else math.floor(factor * most + 1e-9)
        if part == "train" and n_train is not None:
            n, factor = n_train, n_train / most if most else math.inf
        if n > most or n < 2 * MIN_PATIENTS:
            raise _too_small(part, n, most, rows, about, rhos)
        counts = mixes[rho].counts(n)
        chosen[part] = take(rows, counts, part=part, mix=mixes[rho], about=about)
        check_patients(chosen[part], k, part=part, finding=table.findings[k])
    found = selected(table, split, pools, chosen, draw, present)
    phis = {f"phi_{part}": _phi(chosen[part], k, present) for part in PARTS}
    phis |= {f"phi_{part}_before": _phi(pools[part], k, present) for part in PARTS}
    return Selection(found.train, found.val, found.test, {**found.notes, **phis})


def _mix(prevalence: float, rho: float, part: str) -> Mix:
    agrees = 1 - rho if part == "test" else rho
    return Mix(prevalence, of_positives=agrees, of_negatives=1 - agrees)


def _phi(cases: Sequence[Case], k: int, present: dict[str, bool]) -> float | None:
    """Pearson correlation of two binary variables; None if one does not vary."""
    own = [case for case in cases if case.case_id in present]
    n = {(a, b): 0 for a in (True, False) for b in (True, False)}
    for case in own:
        n[case.labels[k] == 1, present[case.case_id]] += 1
    edges = [sum(n[c] for c in n if c[axis] is side) for axis in (0, 1) for side in (True, False)]
    if not all(edges):
        return None
    agree = n[True, True] * n[False, False] - n[True, False] * n[False, True]
    return agree / math.sqrt(math.prod(edges))


def _too_small(
    part: str, n: int, most: int, rows: Rows, about: str, rhos: Sequence[float]
) -> PoolError:
    cells = ", ".join(
        f"{len(own)} {'positive' if label else 'negative'} {'with' if has else 'without'}"
        for (label, has), own in rows.items()
    )
    levels = ", ".join(f"{level:g}" for level in rhos)
    return PoolError(
        f"the {LONG[part]} part cannot give {max(n, 2 * MIN_PATIENTS)} cases at every rho of "
        f"{levels}.",
        where=f"{about}: {cells}",
        expected=f"at most {most} cases at these levels",
        fix="ask for fewer cases (--sizes), or give a larger table",
        largest=most,
    )
