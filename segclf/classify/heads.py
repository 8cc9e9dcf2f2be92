"""HEADS: the kinds of classifiers by name."""

from collections.abc import Callable

from segclf.classify.categories import multihead_targets
from segclf.classify.findings import sigmoid_targets, softmax_targets
from segclf.classify.head import Head, plan_exclusive, plan_known
from segclf.classify.joint import joint_head
from segclf.classify.metric.classes import metric_targets
from segclf.classify.metric.network import build_embedder
from segclf.classify.metric.train import train_metric
from segclf.core.catalog import lookup
from segclf.core.config import Recipe

HEADS: dict[str, Head | Callable[[Recipe], Head]] = {
    "sigmoid": Head(sigmoid_targets),
    "softmax": Head(softmax_targets, plan=plan_exclusive),
    "multihead": Head(multihead_targets, plan=plan_known),
    "joint": joint_head,
    "metric": Head(metric_targets, build=build_embedder, train=train_metric),
}
"""Name of `classify.head` to its record, or to a function of the recipe that gives it; a plug-in
registers under `segclf.heads`."""


def find_head(recipe: Recipe) -> Head:
    """The head that `classify.head` names, of ours or of an installed package.

    Raises:
        UsageError: There is none.
    """
    found = lookup(recipe.classify.head, HEADS, kind="head", group="segclf.heads")
    return found if isinstance(found, Head) else found(recipe)
