"""Which role a metadata column seems to play, above all: is it made from the answer?

A column is suggested as *derived from truth* when
- each of its few values goes with one answer only, or one cut of a number parts the answers;
- it has one value in all negatives and others only in positives (counts, sub-diagnoses), or is
  blank in all negatives;
- its ranks follow the lesion area, or its categories are ranges of it (area fractions, volumes,
  size classes).
A pattern that chance alone gives easily is not suggested; what counts for chance is patients, not
cases. The answers are the labels, "any pixel is drawn", and the areas per finding and per pixel
value.
"""

import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from segclf.manifest.values import Values, values_of

MAX_CATEGORIES = 20
RANK_CORRELATION = 0.98
CHANCE_OF_ONE_SIDE = 0.05
CHANCE_OF_PURE = 1e-3
MIN_CASES = 8
BY_NAME = {
    "patient": r"age|age_years|sex|gender|race|ethnicity|bmi|weight|height|smoker|smoking",
    "acquisition": r"site|hospital|cent(er|re)|scanner|vendor|manufacturer|model|device|view|kvp|"
    r"field_strength|spacing|slice|slice_index|slice_thickness|n_slices|volume_id|"
    r"(orig_)?(width|height)|rows|columns|shape|year",
    "id": r"(source_)?(file|filename|file_name|index|path|id|uid)|.*_uid|study_id|accession.*",
}


@dataclass(frozen=True)
class Answer:
    """One thing that is true of the cases, which a column may have been made from."""

    name: str
    values: np.ndarray
    """Per case; NaN = not known. Two-valued (0, 1) or an area."""
    absent: str | None = None
    """How to say that a two-valued answer is 0; None for an area."""


@dataclass(frozen=True)
class Suggestion:
    """A role for a column, and the observation that speaks for it."""

    role: str
    because: str


@dataclass(frozen=True)
class _Known:
    """A column and an answer, in the cases where both are known."""

    numbers: np.ndarray | None
    codes: np.ndarray
    answer: np.ndarray
    units: np.ndarray
    """Patient of each case."""
    name: str
    absent: str | None

    def n_units(self, is_in: np.ndarray) -> int:
        """Patients with a case where `is_in`."""
        return len(np.unique(self.units[is_in]))


def suggest_roles(
    frame: pd.DataFrame, columns: Iterable[str], answers: Sequence[Answer]
) -> dict[str, Suggestion]:
    """Role per column where something speaks for one; other columns are left out.

    Args:
        frame: One row per case, with `patient_id`.
        columns: Metadata columns to judge.
        answers: What is true of the cases, in the order of `frame`.
    """
    units = values_of(frame, "patient_id").codes
    found: dict[str, Suggestion] = {}
    for column in columns:
        values = values_of(frame, column)
        named = _by_name(column)
        reason = None if named in ("id", "patient") else _derived(values, answers, units)
        if reason:
            found[column] = Suggestion("derived", reason)
        elif named:
            found[column] = Suggestion(named, "its name")
        elif (by_values := _by_values(values, units)) is not None:
            found[column] = by_values
    return found


def _by_name(column: str) -> str | None:
    name = re.sub(r"[\s-]+", "_", column.strip().lower())
    return next((role for role, pattern in BY_NAME.items() if re.fullmatch(pattern, name)), None)


def _by_values(values: Values, units: np.ndarray) -> Suggestion | None:
    is_filled = values.codes >= 0
    n_cases, n_units = int(is_filled.sum()), len(np.unique(units[is_filled]))
    if n_cases >= MIN_CASES and len(values.names) == n_cases and values.is_whole:
        return Suggestion("id", "a different value in each case")
    pairs = np.unique(np.stack([units, values.codes])[:, is_filled], axis=1)
    if len(values.names) > 1 and n_units < n_cases and pairs.shape[1] == n_units:
        return Suggestion("patient", "one value for all cases of a patient")
    return None


def _derived(values: Values, answers: Sequence[Answer], units: np.ndarray) -> str | None:
    for answer in answers:
        if answer.absent is not None and _blank_in_negatives(values, answer, units):
            return f"it is blank wherever {answer.absent}"
        is_in = (values.codes >= 0) & ~np.isnan(answer.values)
        codes = values.codes[is_in]
        if len(codes) < MIN_CASES or codes.min() == codes.max():
            continue
        numbers = None if values.numbers is None else values.numbers[is_in]
        known = _Known(
            numbers, codes, answer.values[is_in], units[is_in], answer.name, answer.absent
        )
        is_area = answer.absent is None
        tests = (_follows, _ranges) if is_area else (_determines, _parts, _one_sided)
        for test in tests:
            reason = test(known)
            if reason:
                return reason
    return None


def _determines(known: _Known) -> str | None:
    """Each of few values goes with one answer."""
    is_positive = known.answer == 1
    totals = np.bincount(known.codes)
    positives = np.bincount(known.codes, is_positive)
    is_pure = (positives == 0) | (positives == totals)
    if is_positive.all() or not is_positive.any() or not is_pure.all():
        return None
    if np.count_nonzero(totals) > MAX_CATEGORIES:
        return None
    n_units = known.n_units(totals[known.codes] > 0)
    share = min(max(known.n_units(is_positive), 1), n_units - 1) / n_units
    sizes = [known.n_units(known.codes == code) for code in np.flatnonzero(totals)]
    log_chance = sum(math.log(share**size + (1 - share) ** size) for size in sizes)
    is_likely = log_chance < math.log(CHANCE_OF_PURE)
    return f"its values determine {known.name}" if is_likely else None


def _parts(known: _Known) -> str | None:
    """One cut of a number parts positives from negatives."""
    is_positive = known.answer == 1
    if known.numbers is None or is_positive.all() or not is_positive.any():
        return None
    yes, no = known.numbers[is_positive], known.numbers[~is_positive]
    if yes.min() <= no.max() and yes.max() >= no.min():
        return None
    n_yes, n_no = known.n_units(is_positive), known.n_units(~is_positive)
    is_likely = 1 / math.comb(n_yes + n_no, n_yes) < CHANCE_OF_PURE
    return f"one cut of it determines {known.name}" if is_likely else None


def _one_sided(known: _Known) -> str | None:
    """A number that is the same in all negatives and differs only in positives."""
    is_positive = known.answer == 1
    if known.numbers is None or is_positive.all() or not is_positive.any():
        return None
    no = known.numbers[~is_positive]
    if no.min() != no.max():
        return None
    n_other = known.n_units(known.numbers != no[0])
    n_units, n_positive = known.n_units(known.codes >= 0), known.n_units(is_positive)
    chance = math.comb(n_positive, n_other) / math.comb(n_units, n_other)
    if n_other < 2 or chance >= CHANCE_OF_ONE_SIDE:
        return None
    return f"it is {no[0]:g} wherever {known.absent}, and varies elsewhere"


def _blank_in_negatives(values: Values, answer: Answer, units: np.ndarray) -> bool:
    """Filled in positives alone, whatever it says there."""
    is_known = ~np.isnan(answer.values)
    is_filled = (values.codes >= 0) & is_known
    is_positive = answer.values == 1
    if is_known.sum() < MIN_CASES or not is_filled.any() or (is_filled & ~is_positive).any():
        return False
    n_filled, n_positive, n_units = (
        len(np.unique(units[where])) for where in (is_filled, is_positive, is_known)
    )
    if n_positive == n_units:
        return False
    return math.comb(n_positive, n_filled) / math.comb(n_units, n_filled) < CHANCE_OF_PURE


def _follows(known: _Known) -> str | None:
    """Ranks follow the area among cases that have any."""
    has_area = known.answer > 0
    if known.numbers is None or has_area.sum() < MIN_CASES:
        return None
    numbers, area = known.numbers[has_area], known.answer[has_area]
    if len(np.unique(numbers)) < 3 or len(np.unique(area)) < MIN_CASES // 2:
        return None
    ranks = np.stack([pd.Series(x).rank().to_numpy(dtype=float) for x in (numbers, area)])
    is_likely = abs(np.corrcoef(ranks)[0, 1]) >= RANK_CORRELATION
    return f"its ranks follow {known.name}" if is_likely else None


def _ranges(known: _Known) -> str | None:
    """Few values, each of which is a range of the area."""
    has_area = known.answer > 0
    order = known.codes[has_area][np.argsort(known.answer[has_area], kind="stable")]
    counts = np.unique(order, return_counts=True)[1]
    n_changes = np.count_nonzero(np.diff(order))
    if not 1 < len(counts) <= MAX_CATEGORIES or n_changes != len(counts) - 1:
        return None
    log_chance = math.lgamma(len(counts) + 1) - math.lgamma(len(order) + 1)
    log_chance += sum(math.lgamma(count + 1) for count in counts)
    is_likely = log_chance < math.log(CHANCE_OF_PURE)
    return f"its values are ranges of {known.name}" if is_likely else None
