"""Compare methods on one split; `flow.compare` is the whole of it."""

from segclf.study.compare.flow import compare

__all__ = ["compare"]
