"""The catalog of trained summarizers, without torch: what each reads, where it is, what it keeps.

A newcomer is one file with a `MapHead` or a `StatisticsHead`, and one line here.
"""

from dataclasses import dataclass
from importlib import import_module
from typing import Any, Literal

from segclf.core.catalog import lookup, plugin_points

GROUP = "segclf.trained_summarizers"
Family = Literal["outputs", "shallow", "deep", "statistics"]
NOTHING: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Trained:
    """A summarizer that is fitted, and the promises that the contract test holds it to.

    `flip`, `padding` and `scale` change the map or feature map that is read (in `statistics`, the
    logits that are counted), as for `Summarizer`. What is not listed really changes some score.
    """

    reads: Family
    """`outputs`: probability maps; `shallow`, `deep`: feature maps of the decoder's or encoder's
    end; `statistics`: the columns of `core.maskstats`."""
    head: str
    """`package.module:NAME` of its `MapHead` or `StatisticsHead`; imported when it is used."""
    invariant_to: frozenset[str] = NOTHING

    def load(self) -> Any:  # noqa: ANN401 (the type needs torch)
        """The head; this imports torch."""
        module, _, name = self.head.partition(":")
        return getattr(import_module(module), name)


_HERE = "segclf.summarize.trained"
_POOLED = frozenset({"flip", "scale"})
_RESIZED = frozenset({"scale"})  # maps are brought back to the size of the training

TRAINED: dict[str, Trained] = {
    "fc": Trained("outputs", f"{_HERE}.linear:FC"),
    "pool_fc": Trained("outputs", f"{_HERE}.linear:POOL_FC"),
    "squeezenet": Trained("outputs", f"{_HERE}.full:SQUEEZENET", _RESIZED),
    "resnet50": Trained("outputs", f"{_HERE}.full:RESNET50", _RESIZED),
    "shallow_simple": Trained("shallow", f"{_HERE}.linear:SIMPLE", _POOLED),
    "shallow_complex": Trained("shallow", f"{_HERE}.attention:COMPLEX"),
    "deep_simple": Trained("deep", f"{_HERE}.linear:SIMPLE", _POOLED),
    "deep_complex": Trained("deep", f"{_HERE}.attention:COMPLEX"),
    "logistic": Trained("statistics", f"{_HERE}.logistic:LOGISTIC", frozenset({"flip"})),
    "boosting": Trained("statistics", f"{_HERE}.boosting:BOOSTING", frozenset({"flip"})),
}
"""Every built-in one. A package adds one under the entry point `segclf.trained_summarizers`."""


def is_trained(rule: str) -> bool:
    """Whether a trained summarizer has that name; plug-ins are not imported."""
    return rule in TRAINED or rule in {point.name for point in plugin_points(GROUP)}


def find_trained(rule: str) -> Trained:
    """The record of a trained summarizer.

    Raises:
        UsageError: None has that name; the message lists near names.
    """
    return lookup(rule, TRAINED, kind="trained summarizer", group=GROUP)
