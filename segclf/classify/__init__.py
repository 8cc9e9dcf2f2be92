"""Train an ordinary classifier: the segmenter's encoder, global average pooling, a linear layer.

`train_classifier` ends in the same score table as the summarized masks; `HEADS` lists what its
outputs can mean.
"""

from segclf.classify.heads import HEADS, Head
from segclf.classify.train import load_classifier, train_classifier

__all__ = ["HEADS", "Head", "load_classifier", "train_classifier"]
