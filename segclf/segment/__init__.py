"""Train a network that finds pixels, and load it again.

`train_segmenter` writes `model.safetensors` and `model.json`; `load_segmenter` gives both back
after checking the hash; `infer_logits` runs a network on whole images.
"""

from segclf.segment.infer import infer_logits
from segclf.segment.train import load_segmenter, train_segmenter
from segclf.training import ModelCard

__all__ = ["ModelCard", "infer_logits", "load_segmenter", "train_segmenter"]
