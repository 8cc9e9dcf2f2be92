"""Network and cases to mask statistics: committed parts that any rule can be computed from.

`predict_cases` writes them, `segclf.core.statstable.read_statistics` reads them without torch.
"""

from segclf.predict.maps import MAP_KINDS
from segclf.predict.run import PredictResult, predict_cases, predict_maps
from segclf.predict.statistics import batch_statistics

__all__ = ["MAP_KINDS", "PredictResult", "batch_statistics", "predict_cases", "predict_maps"]
