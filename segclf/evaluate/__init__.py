"""Scores, labels and groups to rows of numbers: every metric in every group, with intervals."""

from segclf.evaluate.baselines import column_scores
from segclf.evaluate.heads import class_predictions, head_rows
from segclf.evaluate.metrics import METRICS, Metric
from segclf.evaluate.output import (
    evaluation_text,
    read_evaluation,
    read_table,
    write_evaluation,
    write_table,
)
from segclf.evaluate.outside import read_outside
from segclf.evaluate.overlap import overlap_rows
from segclf.evaluate.run import Evaluation, evaluate_scores
from segclf.evaluate.sizes import target_sizes, with_sizes

__all__ = [
    "METRICS",
    "Evaluation",
    "Metric",
    "class_predictions",
    "column_scores",
    "evaluate_scores",
    "evaluation_text",
    "head_rows",
    "overlap_rows",
    "read_evaluation",
    "read_outside",
    "read_table",
    "target_sizes",
    "with_sizes",
    "write_evaluation",
    "write_table",
]
