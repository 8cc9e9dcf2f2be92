"""Train an ordinary classifier: the segmenter's encoder, global average pooling, a linear layer.

`train_classifier` ends in the same score table as the summarized masks; `HEADS` lists what its
outputs can mean.
"""

from segclf.classify.head import Head, Parts
from segclf.classify.heads import HEADS
from segclf.classify.targets import Targets
from segclf.classify.train import find_head, load_classifier, targets_of, train_classifier

__all__ = [
    "HEADS",
    "Head",
    "Parts",
    "Targets",
    "find_head",
    "load_classifier",
    "targets_of",
    "train_classifier",
]
