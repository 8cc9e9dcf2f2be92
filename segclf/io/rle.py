"""Run-length encoded masks: pairs of numbers in a CSV cell, and the counts of COCO.

The size of the mask comes from its image, never from the code, so that no text can ask for more
memory than the image has pixels; it is checked before an array is made.
"""

import re
from collections.abc import Sequence
from typing import Any

import numpy as np

from segclf.core.errors import CaseError
from segclf.io.records import DEFAULT_LIMITS, Limits

PAIRS = re.compile(r"\d{1,10}(?:\s+\d{1,10})*")
FIRST_CODE, LAST_CODE = 48, 111
"""Characters of compressed counts: '0' to 'o', five bits of a number and one that says 'more'."""
MAX_CODE_DIGITS = 7


def decode_runs(
    text: str,
    shape: tuple[int, int],
    *,
    where: str,
    relative: bool = True,
    by_column: bool = True,
    limits: Limits = DEFAULT_LIMITS,
) -> np.ndarray:
    """Pairs `start length start length ...` to a mask (row, column) of booleans.

    Args:
        text: Whole numbers between blanks.
        shape: Rows and columns of the image.
        where: Place of the text, for the error.
        relative: A start counts from the end of the run before it (SIIM-ACR); else from the
            first pixel, which is number 1, as in most contests of Kaggle.
        by_column: Pixels are numbered down the columns, else along the rows.
        limits: The largest image.

    Raises:
        CaseError: `bad_rle`: the text is no list of pairs, or a run leaves the image or overlaps
            another; `too_large`.
    """
    n_px = _n_px(shape, where, limits)
    if PAIRS.fullmatch(text.strip()) is None:
        raise _bad("the code holds something else than whole numbers.", where)
    numbers = np.array(text.split(), dtype=np.int64)
    if len(numbers) % 2:
        raise _bad(f"the code has {len(numbers)} numbers, which are no pairs.", where)
    starts, lengths = numbers[::2], numbers[1::2]
    if numbers.max() > n_px:
        raise _bad(f"the code holds {numbers.max()}; the image has {n_px} pixels.", where)
    if relative:
        ends = np.cumsum(starts + lengths)
        starts = ends - lengths
    else:
        if starts.min() < 1:
            raise _bad("a run starts at pixel 0; the first pixel is number 1.", where)
        order = np.argsort(starts, kind="stable")
        starts, lengths = starts[order] - 1, lengths[order]
        ends = starts + lengths
        if (starts[1:] < ends[:-1]).any():
            raise _bad("two runs overlap.", where)
    if ends.max() > n_px:
        raise _bad(f"a run ends at pixel {ends.max()}; the image has {n_px}.", where)
    return _placed(_toggled(np.stack([starts, ends], axis=1).ravel(), n_px), shape, by_column)


def decode_counts(
    counts: Sequence[Any] | str,
    shape: tuple[int, int],
    *,
    where: str,
    limits: Limits = DEFAULT_LIMITS,
) -> np.ndarray:
    """COCO's counts to a mask (row, column) of booleans.

    Args:
        counts: Lengths of runs of 0 and 1 in turn, 0 first, down the columns; or the text that
            COCO packs them into (numbers of 5 bits per character, from the third on as
            differences to the one before the last).
        shape: Rows and columns of the image.
        where: Place of the counts, for the error.
        limits: The largest image.

    Raises:
        CaseError: `bad_rle`: the counts are no whole numbers, or do not add up to the image;
            `too_large`.
    """
    n_px = _n_px(shape, where, limits)
    lengths = unpack_counts(counts, n_px, where=where) if isinstance(counts, str) else counts
    if not isinstance(lengths, Sequence) or any(type(n) is not int or n < 0 for n in lengths):
        raise _bad("the counts hold something else than whole numbers from 0.", where)
    if sum(lengths) != n_px:
        raise _bad(f"the counts add up to {sum(lengths)}; the image has {n_px} pixels.", where)
    return _placed(_toggled(np.cumsum(np.array(lengths, dtype=np.int64)), n_px), shape, True)


def unpack_counts(text: str, n_px: int, *, where: str) -> list[int]:
    """The counts that a compressed text stands for; at most those of `n_px` pixels.

    Raises:
        CaseError: `bad_rle`: the text holds another character, ends within a number, or a count
            is negative or leaves the image.
    """
    lengths: list[int] = []
    total = value = n_digits = 0
    for character in text:
        code = ord(character) - FIRST_CODE
        if not 0 <= code <= LAST_CODE - FIRST_CODE or n_digits == MAX_CODE_DIGITS:
            raise _bad(f"the compressed counts cannot be read at {character!r}.", where)
        value |= (code & 0x1F) << (5 * n_digits)
        n_digits += 1
        if code & 0x20:
            continue
        if code & 0x10:
            value -= 1 << (5 * n_digits)
        value += lengths[-2] if len(lengths) > 2 else 0
        total += value
        if value < 0 or total > n_px:
            raise _bad(f"the compressed counts leave the image of {n_px} pixels.", where)
        lengths.append(value)
        value = n_digits = 0
    if n_digits:
        raise _bad("the compressed counts end within a number.", where)
    return lengths


def _n_px(shape: tuple[int, int], where: str, limits: Limits) -> int:
    n_px = shape[0] * shape[1]
    if not 0 < n_px <= limits.area_px:
        raise CaseError(
            "too_large",
            f"the mask would have {shape[0]} x {shape[1]} pixels.",
            where=where,
            expected=f"1 to {limits.area_px} pixels",
            fix="crop or downsample the image and draw its mask again",
        )
    return n_px


def _toggled(places: np.ndarray, n_px: int) -> np.ndarray:
    """(pixel,) booleans that change at each place; the first pixel starts as False."""
    changes = np.bincount(places, minlength=n_px + 1)[:n_px]
    return np.cumsum(changes) % 2 == 1


def _placed(flat: np.ndarray, shape: tuple[int, int], by_column: bool) -> np.ndarray:
    if by_column:
        return np.ascontiguousarray(flat.reshape(shape[1], shape[0]).T)
    return flat.reshape(shape)


def _bad(wrong: str, where: str) -> CaseError:
    return CaseError(
        "bad_rle",
        wrong,
        where=where,
        expected="run lengths that fit the image",
        fix="export the mask again; if the code counts in another way, convert it first",
    )
