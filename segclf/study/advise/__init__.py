"""The planner: what the masks that are there say, what more would buy, which to draw next."""

from segclf.study.advise.subsets import Subset, keep_subset, write_subset

__all__ = ["Subset", "keep_subset", "write_subset"]
