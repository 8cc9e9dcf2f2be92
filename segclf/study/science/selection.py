"""What a level of a study uses, with counts."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from segclf.core.records import Case
from segclf.manifest import CaseTable, cases_of
from segclf.study.science.pool import (
    MIN_PATIENTS,
    PARTS,
    Draw,
    Mix,
    check_patients,
    fits,
    known_cases,
    patients_of,
    rows_of,
    take,
)


@dataclass(frozen=True)
class Selection:
    """Case ids; a case of the table in none of the parts is not used."""

    train: tuple[str, ...]
    val: tuple[str, ...]
    test: tuple[str, ...]
    notes: Mapping[str, Any]
    """Counts: `n_<part>`, `n_<part>_positive`, `n_<part>_patients`, `n_<part>_partial` (patients
    of whom some known cases are not used); with a feature also `n_<part>_positive_with` and the
    like."""


def mixed(
    table: CaseTable,
    split: pd.DataFrame,
    mix: Mix,
    n_train: int,
    draw: Draw,
    present: Mapping[str, bool] | None = None,
    *,
    test: Sequence[Case] | None = None,
    about: str = "",
) -> Selection:
    """`n_train` training cases of a mix, and the same share of validation cases.

    Validation is made smaller until it can have the mix.

    Args:
        table: All cases.
        split: From `make_split`.
        mix: Shares of the cells.
        n_train: Training cases.
        draw: Which subset.
        present: Whether cases have the feature.
        test: Cases of the test part; None is all.
        about: The feature, for messages.
    """
    k = draw.finding_of(table)
    pools = {part: known_cases(table, split, part, draw) for part in ("train", "val")}
    for part, pool in pools.items():
        check_patients(pool, k, part=part, finding=table.findings[k])
    chosen: dict[str, Sequence[Case]] = {}
    for part, pool in pools.items():
        rows = rows_of(pool, k, mix, present, draw)
        if part == "train":
            counts = mix.counts(n_train)
        else:
            n_val = math.floor(n_train * len(pool) / len(pools["train"]) + 1e-9)
            sizes = (mix.counts(n, least=MIN_PATIENTS) for n in range(n_val, 0, -1))
            least = mix.counts(2 * MIN_PATIENTS, least=MIN_PATIENTS)
            counts = next((c for c in sizes if fits(rows, c)), least)
        chosen[part] = take(rows, counts, part=part, mix=mix, about=about)
        check_patients(chosen[part], k, part=part, finding=table.findings[k])
    if test is not None:
        chosen["test"] = test
    return selected(table, split, pools, chosen, draw, present)


def selected(
    table: CaseTable,
    split: pd.DataFrame,
    pools: Mapping[str, Sequence[Case]],
    chosen: Mapping[str, Sequence[Case]],
    draw: Draw,
    present: Mapping[str, bool] | None = None,
) -> Selection:
    """The selection with its counts, in the order of the table.

    Args:
        table: All cases.
        split: From `make_split`.
        pools: Part to the cases with a known label.
        chosen: Part to those that are used; a part that is not in it is used whole.
        draw: Names fold and finding.
        present: Whether cases have a feature whose counts are wanted.
    """
    k = draw.finding_of(table)
    ids: dict[str, tuple[str, ...]] = {}
    notes: dict[str, Any] = {}
    for part in PARTS:
        whole = cases_of(table, split, part, draw.fold)
        wanted = {case.case_id for case in chosen.get(part, whole)}
        own = [case for case in whole if case.case_id in wanted]
        ids[part] = tuple(case.case_id for case in own)
        left = [case for case in pools.get(part, ()) if case.case_id not in wanted]
        notes |= {
            f"n_{part}": len(own),
            f"n_{part}_positive": sum(case.labels[k] == 1 for case in own),
            f"n_{part}_patients": len(patients_of(own)),
            f"n_{part}_partial": len(patients_of(own) & patients_of(left)),
        }
        if present is not None:
            for name, label in (("positive", 1), ("negative", 0)):
                found = [present.get(case.case_id) for case in own if case.labels[k] == label]
                notes[f"n_{part}_{name}_with"] = found.count(True)
                notes[f"n_{part}_{name}_without"] = found.count(False)
    return Selection(ids["train"], ids["val"], ids["test"], notes)
