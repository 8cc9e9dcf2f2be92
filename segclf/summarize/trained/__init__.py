"""Summarizers that are fitted on what a frozen segmenter says; `TRAINED` lists them.

This package's front needs no torch; `segclf.summarize.trained.run` trains and scores.
"""

from segclf.summarize.trained.table import TRAINED, Trained, find_trained, is_trained

__all__ = ["TRAINED", "Trained", "find_trained", "is_trained"]
