"""Train an ordinary classifier: the segmenter's encoder, global average pooling, a linear layer.

`train_classifier` ends in the same score table as the summarized masks; `HEADS` lists what its
outputs can mean.
"""

from segclf.classify.head import Head, Parts
from segclf.classify.heads import HEADS, find_head
from segclf.classify.joint import joint_segmenter, whole_images
from segclf.classify.start import Start, find_start
from segclf.classify.targets import Targets
from segclf.classify.train import load_classifier, targets_of, train_classifier

__all__ = [
    "HEADS",
    "Head",
    "Parts",
    "Start",
    "Targets",
    "find_head",
    "find_start",
    "joint_segmenter",
    "load_classifier",
    "targets_of",
    "train_classifier",
    "whole_images",
]
