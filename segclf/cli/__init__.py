"""The command line: one command per stage. Each parses, calls the stage, prints what it wrote."""

from segclf.cli import start, exchange, train, score, export, pseudo, judge, compare, study, advise  # isort: skip (the help page's order)
from segclf.cli.app import app

__all__ = [
    "advise", "app", "compare", "exchange", "export", "judge", "pseudo", "score", "start", "study",
    "train",
]  # fmt: skip
