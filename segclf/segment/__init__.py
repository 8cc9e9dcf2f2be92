"""Train a network that finds pixels, and load it again.

`train_segmenter` writes `model.safetensors` and `model.json`; `load_segmenter` gives both back
after checking the hash; `infer_logits` runs a network on whole images. `find_segmenter` finds the
one of another run that a training may start from.
"""

from segclf.segment.infer import infer_logits
from segclf.segment.start import Start, find_segmenter, require_channels
from segclf.segment.train import load_segmenter, train_segmenter
from segclf.training import ModelCard

__all__ = [
    "ModelCard",
    "Start",
    "find_segmenter",
    "infer_logits",
    "load_segmenter",
    "require_channels",
    "train_segmenter",
]
