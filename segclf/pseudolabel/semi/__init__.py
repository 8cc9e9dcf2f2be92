"""Semi-supervised training of the segmenter: masks, and training cases without a mask.

`train_semi` runs the one training loop on batches of both; `SEMI` holds the methods.
"""

from segclf.pseudolabel.semi.method import Change, SemiMethod
from segclf.pseudolabel.semi.sampling import all_known
from segclf.pseudolabel.semi.scene import Part, Scene, make_scene
from segclf.pseudolabel.semi.table import SEMI, find_method
from segclf.pseudolabel.semi.train import check_settings, train_semi

__all__ = [
    "SEMI",
    "Change",
    "Part",
    "Scene",
    "SemiMethod",
    "all_known",
    "check_settings",
    "find_method",
    "make_scene",
    "train_semi",
]
