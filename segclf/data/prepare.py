"""Every training case read once before the first step, so that no bad file stops a run midway."""

import os
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch

from segclf.core.config import Recipe
from segclf.core.errors import CaseError
from segclf.core.records import Case
from segclf.data.cache import CaseCache
from segclf.data.checks import check_feeding
from segclf.io.guard import reading_pool

MAX_THREADS = 8
N_EVENTS = 100


def prepare_cases(
    cases: Sequence[Case],
    recipe: Recipe,
    cache: CaseCache,
    on_event: Callable[[dict[str, Any]], None] | None = None,
) -> tuple[tuple[Case, ...], list[tuple[str, str, str]]]:
    """The cases that can be used, and those that cannot with the reason.

    Fills `cache` in parallel threads. A case whose number of channels is not that of most cases
    cannot be used either (`channels_differ`).

    Args:
        cases: What is going to be trained on.
        recipe: How cases are prepared.
        cache: Keeps what is read.
        on_event: Told the progress, as `{"kind": "read", "step": …, "of": …}`.

    Returns:
        The usable cases in their order, and (case_id, reason, message) of each other one.
    """
    check_feeding(recipe)

    def attempt(case: Case) -> int | CaseError:
        try:
            return len(cache.get(case).image)
        except CaseError as error:
            return error

    outcomes: list[int | CaseError] = []
    every = max(1, len(cases) // N_EVENTS)
    for outcome in _in_threads(attempt, cases):
        outcomes.append(outcome)
        n_done = len(outcomes)
        if on_event is not None and (n_done % every == 0 or n_done == len(cases)):
            on_event({"kind": "read", "step": n_done, "of": len(cases)})
    counts = Counter(outcome for outcome in outcomes if isinstance(outcome, int))
    usual = counts.most_common(1)[0][0] if counts else 0
    good: list[Case] = []
    quarantined: list[tuple[str, str, str]] = []
    for case, outcome in zip(cases, outcomes, strict=True):
        if isinstance(outcome, int) and outcome != usual:
            outcome = _other_channels(case, outcome, usual)
        if isinstance(outcome, CaseError):
            quarantined.append((case.case_id, outcome.reason, str(outcome)))
        else:
            good.append(case)
    return tuple(good), quarantined


def _in_threads(
    attempt: Callable[[Case], int | CaseError], cases: Sequence[Case]
) -> Iterator[int | CaseError]:
    n_threads = min(MAX_THREADS, os.cpu_count() or 1)
    n_torch_threads = torch.get_num_threads()
    try:
        # One torch thread in each of ours: otherwise each would start as many as there are cores.
        with reading_pool(n_threads, begin=lambda: torch.set_num_threads(1)) as own:
            yield from own.map(attempt, cases)
    finally:
        torch.set_num_threads(n_torch_threads)


def _other_channels(case: Case, n_channels: int, usual: int) -> CaseError:
    return CaseError(
        "channels_differ",
        f"the image has {n_channels} channels, most others {usual}.",
        where=f"case {case.case_id}, image {case.images[0].name}",
        expected=f"{usual} channels in every case",
        fix="convert the image, or leave the case out",
    )
