"""Scores, labels and groups to rows of numbers: every metric in every group, with intervals."""

from segclf.evaluate.baselines import column_scores
from segclf.evaluate.metrics import METRICS, Metric
from segclf.evaluate.output import evaluation_text, write_evaluation
from segclf.evaluate.overlap import overlap_rows
from segclf.evaluate.run import Evaluation, evaluate_scores

__all__ = [
    "METRICS",
    "Evaluation",
    "Metric",
    "column_scores",
    "evaluate_scores",
    "evaluation_text",
    "overlap_rows",
    "write_evaluation",
]
