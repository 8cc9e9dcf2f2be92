"""The command line: one command per stage. Each parses, calls the stage, prints what it wrote."""

from segclf.cli import start, train, score, judge  # isort: skip (the order of the help page)
from segclf.cli.app import app

__all__ = ["app", "judge", "score", "start", "train"]
