"""Mask statistics to scores and decisions.

A rule is a function from the statistics table to one score per case; `SUMMARIZERS` lists them.
Scores rank; decisions come from a threshold that is given, or fitted on validation cases.
"""

from segclf.summarize.run import summarize
from segclf.summarize.table import SUMMARIZERS, Summarizer, find_summarizer
from segclf.summarize.text import record_text

__all__ = ["SUMMARIZERS", "Summarizer", "find_summarizer", "record_text", "summarize"]
