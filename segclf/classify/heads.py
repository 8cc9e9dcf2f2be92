"""HEADS: the kinds of classifiers by name."""

from segclf.classify.findings import sigmoid_targets, softmax_targets
from segclf.classify.head import Head

HEADS: dict[str, Head] = {
    "sigmoid": Head(sigmoid_targets),
    "softmax": Head(softmax_targets),
}
"""Name of `classify.head` to its record; a plug-in registers under `segclf.heads`."""
