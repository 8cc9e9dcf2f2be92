"""Metric learning: embeddings in which images of one class lie close together.

`train_metric` learns from classes or from pairs and ends in the same score table as the other
heads; `enroll` adds a class without training; `classify_cases` names the class of new images.
"""

from segclf.classify.metric.decide import Verdicts, classify
from segclf.classify.metric.enroll import classify_cases, enroll
from segclf.classify.metric.gallery import (
    UNKNOWN,
    Gallery,
    add_class,
    read_gallery,
    write_gallery,
)
from segclf.classify.metric.losses import LOSSES, MINERS
from segclf.classify.metric.network import embed_cases, load_embedder
from segclf.classify.metric.search import make_search, search_numpy
from segclf.classify.metric.train import train_metric

__all__ = [
    "LOSSES",
    "MINERS",
    "UNKNOWN",
    "Gallery",
    "Verdicts",
    "add_class",
    "classify",
    "classify_cases",
    "embed_cases",
    "enroll",
    "load_embedder",
    "make_search",
    "read_gallery",
    "search_numpy",
    "train_metric",
    "write_gallery",
]
