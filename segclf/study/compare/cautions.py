"""What has to be known before and after the sentences of a conclusion."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from segclf.core.text import counted
from segclf.study.compare.figures import is_missing, number
from segclf.study.compare.health import UNLEARNED, places
from segclf.training.measures import COLLAPSED_DICE

Row = Mapping[str, Any]
WIDE = 0.1
"""Seeds whose AUROC differ by more disagree."""


def known_first(health: Mapping[str, Row]) -> Iterator[str]:
    """Which segmenters collapsed, and which methods read their masks.

    Args:
        health: Name of a method to its trainings that are `collapsed` or `unlearned`.
    """
    for where, names in _by_place(health, "collapsed").items():
        yield (
            f"The segmenter of {where} collapsed: Dice of its masks is below {COLLAPSED_DICE:g}. "
            f"What is said of {', '.join(names)} is said of masks that show nothing, and is no "
            "finding about these methods."
        )


def _unlearned(health: Mapping[str, Row]) -> Iterator[str]:
    for where, names in _by_place(health, "unlearned").items():
        yield (
            f"{', '.join(names)} learned next to nothing in {where}: the loss of the training "
            f"stayed above {UNLEARNED:.0%} of that of answering with the share of positives. More "
            "steps (summarize.steps) may change these numbers."
        )


def _spread(rows: Sequence[Row]) -> Iterator[str]:
    ends = {row["method"]: (row.get("auroc_seed_min"), row.get("auroc_seed_max")) for row in rows}
    wide = [
        f"{name} ({number(least)} to {number(most)})"
        for name, (least, most) in ends.items()
        if least is not None and most is not None and most - least > WIDE
    ]
    if wide:
        yield (
            f"The trainings of {', '.join(wide)} disagree by more than {WIDE:g} AUROC: one alone "
            "says little about such a method."
        )


def _by_place(health: Mapping[str, Row], kind: str) -> dict[str, list[str]]:
    """The methods of each set of seeds and folds."""
    found: dict[str, list[str]] = {}
    for name, own in health.items():
        if own[kind]:
            found.setdefault(places(own[kind]), []).append(name)
    return found


def cautions(
    differences: Sequence[Row],
    n_seeds: int,
    *,
    has_leans: bool,
    rows: Sequence[Row],
    health: Mapping[str, Row],
) -> Iterator[str]:
    """What has to be known to read the sentences before.

    Args:
        differences: From the reference, in AUROC over all cases.
        n_seeds: Trainings of every network.
        has_leans: Whether something is said about a shortcut.
        rows: One per method, with `auroc_seed_min` and `auroc_seed_max`.
        health: Name of a method to its trainings that are `collapsed` or `unlearned`.
    """
    n_tests = sum(not is_missing(row["p"]) for row in differences)
    if n_tests:
        yield (
            f"Adjusted p values pay for {counted(n_tests, 'comparison')} with the reference "
            "(Holm); intervals are of one comparison each and are not adjusted."
        )
    if n_seeds == 1:
        yield (
            "Every method was trained once: how much another training of the same method would "
            "differ is not known, and intervals do not include it."
        )
    elif differences:
        yield (
            f"Values are means over {n_seeds} trainings; intervals of differences resample "
            "patients and trainings together."
        )
    if n_seeds == 2 and n_tests:
        yield (
            "Two trainings make a poor interval of a difference: in simulations, one of 95 % held "
            "the truth in 87 to 99 %. Three or more trainings are needed to rely on these tests."
        )
    yield from _unlearned(health)
    yield from _spread(rows)
    if has_leans:
        yield (
            "Aligned AUROC is that of positives with the shortcut against negatives without it, "
            "robust AUROC the reverse. Intervals of their difference are by patient, for the "
            "trainings that were made, and are not adjusted for the number of methods."
        )
