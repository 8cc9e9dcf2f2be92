"""The catalog of rules, and what each of them promises."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from segclf.core.catalog import lookup
from segclf.summarize.area import area_above, component_area, largest_component
from segclf.summarize.pixels import (
    highest,
    lse,
    max_logit,
    mean,
    mean_logit,
    noisy_or,
    topk,
    topk_logit,
)
from segclf.summarize.share import share
from segclf.summarize.trained.table import TRAINED

INFINITE = float("inf")
NOTHING: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Summarizer:
    """A rule, and the promises that the contract test holds it to.

    Changes of a mask that a score may be invariant to: `flip` mirrors it, `padding` surrounds it
    with pixels of almost no probability, `scale` shows it with four (2D) or eight (3D) pixels in
    place of each. A change that is not listed really changes some score.
    """

    score: Callable[..., np.ndarray]
    """`(stats, *, finding, <options>) -> (case,)`; higher is more likely positive."""
    score_range: tuple[float, float]
    invariant_to: frozenset[str]
    options: tuple[str, ...] = ()
    """Settings of `summarize` that the score takes as keywords."""
    grows: bool = True
    """A pixel that becomes more probable never lowers the score."""
    decision: Callable[..., np.ndarray] | None = None
    """`(stats, *, finding, t, unit) -> (case,)` area that is compared with tau; None compares the
    score."""
    decision_invariant_to: frozenset[str] = NOTHING
    """The same for the area in px; empty where the score decides."""
    free_t: bool = False
    """The threshold t of the area may be chosen after prediction."""
    needs: tuple[str, ...] = ()
    """Plug-ins that measure maps (`segclf.mask_statistics`) whose columns the score reads."""


SUMMARIZERS: dict[str, Summarizer] = {
    "tau": Summarizer(
        mean,
        (0.0, 1.0),
        frozenset({"flip", "scale"}),
        decision=area_above,
        decision_invariant_to=frozenset({"flip", "padding"}),
        free_t=True,
    ),
    "mean": Summarizer(mean, (0.0, 1.0), frozenset({"flip", "scale"})),
    "max": Summarizer(highest, (0.0, 1.0), frozenset({"flip", "padding", "scale"})),
    "topk": Summarizer(topk, (0.0, 1.0), frozenset({"flip"}), options=("top_fraction",)),
    "noisy_or": Summarizer(noisy_or, (0.0, INFINITE), frozenset({"flip", "padding"})),
    "mean_logit": Summarizer(mean_logit, (-INFINITE, INFINITE), frozenset({"flip", "scale"})),
    "max_logit": Summarizer(
        max_logit, (-INFINITE, INFINITE), frozenset({"flip", "padding", "scale"})
    ),
    "topk_logit": Summarizer(
        topk_logit, (-INFINITE, INFINITE), frozenset({"flip"}), options=("top_fraction",)
    ),
    "lse": Summarizer(lse, (-INFINITE, INFINITE), frozenset({"flip", "padding"})),
    "largest_component": Summarizer(
        largest_component,
        (0.0, INFINITE),
        frozenset({"flip", "padding"}),
        decision=component_area,
        decision_invariant_to=frozenset({"flip", "padding"}),
    ),
    "share": Summarizer(
        share, (0.0, 1.0), frozenset({"flip", "padding", "scale"}), options=("share_of",)
    ),
}
"""Every built-in rule. A package adds one under the entry point `segclf.summarizers`."""
ALIASES = {"avg_pool": "mean"}


def find_summarizer(rule: str) -> tuple[str, Summarizer]:
    """The rule's own name (an alias resolved) and its record.

    Raises:
        UsageError: No rule has that name; the message lists near names, trained ones too.
    """
    name = ALIASES.get(rule, rule)
    return name, lookup(
        name, SUMMARIZERS, kind="rule", group="segclf.summarizers", others=(*ALIASES, *TRAINED)
    )
