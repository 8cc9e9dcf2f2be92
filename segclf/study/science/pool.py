"""The cases that a study may choose from, cell by cell, and how many of each cell it wants.

A cell is a label with the presence of a feature. Cases of a cell stand in a row that depends on
the seed and the number of the subset alone, and a study takes its beginning, so that smaller
numbers are always inside larger ones.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain

import pandas as pd

from segclf.core.errors import DataError
from segclf.core.randomness import generator
from segclf.core.records import Case
from segclf.core.text import counted
from segclf.manifest import CaseTable, cases_of

Cell = tuple[int, bool | None]
"""A label, and whether the feature is present; None where it does not matter."""
Rows = dict[Cell, list[Case]]
PARTS = ("train", "val", "test")
LONG = {"train": "training", "val": "validation", "test": "test"}
MIN_PATIENTS = 2
"""Of each class, in every part; training refuses fewer."""


class PoolError(DataError):
    """The pool cannot give what a study asks for."""

    def __init__(
        self, wrong: str, *, where: str, expected: str, fix: str, largest: int | None = None
    ) -> None:
        """Keep the largest number of cases of the part that could be had; None if not known."""
        super().__init__(wrong, where=where, expected=expected, fix=fix)
        self.largest = largest


@dataclass(frozen=True)
class Draw:
    """Which of many subsets, and of what."""

    seed: int
    number: int = 0
    fold: int | None = None
    """The fold whose parts are meant, with folds."""
    finding: str | None = None
    """None is the first one."""

    def finding_of(self, table: CaseTable) -> int:
        """Index of the finding.

        Raises:
            PoolError: The table has no such finding.
        """
        name = table.findings[0] if self.finding is None else self.finding
        if name in table.findings:
            return table.findings.index(name)
        raise PoolError(
            f"there is no finding {name!r}.",
            where=f"finding = {name!r}",
            expected=f"one of {', '.join(table.findings)}",
            fix="name one of these",
        )


@dataclass(frozen=True)
class Mix:
    """Shares of the four cells."""

    prevalence: float
    of_positives: float | None = None
    """Share of the positives with the feature; None: it does not matter for them."""
    of_negatives: float | None = None

    def counts(self, n: int, *, least: int = 0) -> dict[Cell, int]:
        """Cases per cell among `n`, which add up to it; no count falls as `n` grows.

        Args:
            n: Number of cases.
            least: Of each class, if `n` allows; more than the shares say where these are low.
        """
        n_positive = min(max(_rounded(self.prevalence * n), least), max(n - least, 0))
        found: dict[Cell, int] = {}
        shares = ((1, n_positive, self.of_positives), (0, n - n_positive, self.of_negatives))
        for label, n_own, share in shares:
            if share is None:
                found[label, None] = n_own
            else:
                n_with = _rounded(share * n_own)
                found |= {(label, True): n_with, (label, False): n_own - n_with}
        return found


def known_cases(table: CaseTable, split: pd.DataFrame, part: str, draw: Draw) -> list[Case]:
    """The cases of a part whose label is known: what it is not says nothing to a classifier."""
    k = draw.finding_of(table)
    return [c for c in cases_of(table, split, part, draw.fold) if not math.isnan(c.labels[k])]


def rows_of(
    cases: Sequence[Case], k: int, mix: Mix, present: Mapping[str, bool] | None, draw: Draw
) -> Rows:
    """The cases of each cell in the order in which a study takes them.

    All cells share one order of patients, so that a patient's cases stay together as far as they
    can: one whose cases agree is taken whole, unless it is the last of its cell. The first two
    patients of a cell give one case each before their others, and two patients without a positive
    case lead the negatives, so that few cases are of several patients.

    Args:
        cases: Of one part.
        k: The finding.
        mix: Says for which label the feature matters.
        present: Per case; those that are not in it are left out where the feature matters.
        draw: The seed and the number of the subset.
    """
    place = {p: generator(draw.seed, "order", draw.number, p).random() for p in patients_of(cases)}
    positive = patients_of(case for case in cases if case.labels[k] == 1)
    rows: Rows = {cell: [] for cell in mix.counts(0)}
    for case in cases:
        label = int(case.labels[k])
        matters = (mix.of_positives if label else mix.of_negatives) is not None
        if not matters:
            rows[label, None].append(case)
        elif present is not None and case.case_id in present:
            rows[label, present[case.case_id]].append(case)
    return {
        cell: _in_order(own, place, set() if cell[0] else positive) for cell, own in rows.items()
    }


def _in_order(cases: list[Case], place: Mapping[str, float], last: set[str]) -> list[Case]:
    own: dict[str, list[Case]] = {p: [] for p in sorted(patients_of(cases), key=place.__getitem__)}
    for case in cases:
        own[case.patient_id].append(case)
    lead = [patient for patient in own if patient not in last][:MIN_PATIENTS]
    lead += [patient for patient in own if patient not in lead][: MIN_PATIENTS - len(lead)]
    rest = chain.from_iterable(own[p] for p in own if p not in lead)
    begun = [own[patient][0] for patient in lead]
    return [*begun, *chain.from_iterable(own[patient][1:] for patient in lead), *rest]


def patients_of(cases: Iterable[Case]) -> set[str]:
    """Ids of the patients."""
    return {case.patient_id for case in cases}


def fits(rows: Rows, counts: Mapping[Cell, int]) -> bool:
    """Whether every cell has as many cases."""
    return all(len(rows[cell]) >= n for cell, n in counts.items())


def largest_n(rows: Rows, mixes: Sequence[Mix]) -> int:
    """The largest number of cases that every one of the mixes can have.

    Args:
        rows: With the cells of the mixes.
        mixes: Over the same cells.
    """
    most = sum(map(len, rows.values()))
    wanted = (n for n in range(most, 0, -1) if all(fits(rows, mix.counts(n)) for mix in mixes))
    return next(wanted, 0)


def take(rows: Rows, counts: Mapping[Cell, int], *, part: str, mix: Mix, about: str) -> list[Case]:
    """The first cases of each cell.

    Args:
        rows: From `rows_of`.
        counts: How many of each.
        part: For messages, as are the others.
        mix: What was asked for.
        about: The feature, or ''.

    Raises:
        PoolError: A cell has fewer.
    """
    for cell, n in counts.items():
        if len(rows[cell]) < n:
            most = largest_n(rows, [mix])
            raise PoolError(
                f"the {LONG[part]} part has {_many(len(rows[cell]), cell, about)}, and {n} "
                "are needed.",
                where=f"{sum(counts.values())} {LONG[part]} cases, {100 * mix.prevalence:.3g} % of "
                "them positive",
                expected=f"at most {most} {LONG[part]} cases at these shares",
                fix="ask for fewer cases or another share, or give a larger pool",
                largest=most,
            )
    return [case for cell, n in counts.items() for case in rows[cell][:n]]


def _many(n: int, cell: Cell, about: str) -> str:
    text = counted(n, f"{'positive' if cell[0] else 'negative'} case")
    return text if cell[1] is None else f"{text} {'with' if cell[1] else 'without'} {about}"


def check_patients(cases: Sequence[Case], k: int, *, part: str, finding: str) -> None:
    """Refuse fewer than two positive or two negative patients.

    Raises:
        PoolError: There are fewer.
    """
    positive = patients_of([case for case in cases if case.labels[k] == 1])
    n_negative = len(patients_of(cases)) - len(positive)
    if min(len(positive), n_negative) < MIN_PATIENTS:
        raise PoolError(
            f"the {LONG[part]} part would have {len(positive)} positive and {n_negative} negative "
            f"patients of {finding}.",
            where=counted(len(cases), f"{LONG[part]} case"),
            expected=f"at least {MIN_PATIENTS} of each",
            fix="ask for more cases or another share, or give a larger pool",
        )


def _rounded(value: float) -> int:
    return math.floor(value + 0.5 + 1e-9)
