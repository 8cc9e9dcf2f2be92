"""`classify.init_from`: start from the encoder of a segmenter trained on the same split."""

import pandas as pd
from torch import nn

from segclf.core.config import Recipe
from segclf.core.runs import Run
from segclf.networks import load_encoder
from segclf.segment import Start, find_segmenter, require_channels
from segclf.training.models import WEIGHTS

__all__ = ["Start", "find_start", "load_start"]


def find_start(run: Run, recipe: Recipe, split: pd.DataFrame, *, fold: int | None) -> Start:
    """The segmenter of `run`, if a classifier of this recipe and split may start from it.

    Raises:
        UsageError: The run has no segmenter of this fold.
        IntegrityError: Its files are damaged.
        ConfigError: Its network or its images are others.
        DataError: It was trained on patients who validate or test here.
    """
    return find_segmenter(run, recipe, split, fold=fold, setting="classify.init_from")


def load_start(network: nn.Module, start: Start) -> None:
    """Put the segmenter's encoder weights into `network`.

    Raises:
        ConfigError: The images have another number of channels.
    """
    require_channels(start, int(getattr(network, "n_channels")))  # noqa: B009 (not on nn.Module)
    load_encoder(network, start.folder / WEIGHTS)
