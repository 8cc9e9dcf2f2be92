"""The one training loop, the same for segmenters and classifiers, and what it keeps.

`fit` trains any `Task` on Lightning Fabric; checkpoints are safetensors and JSON with hashes, and
a resumed training ends with the same bits.
"""

from segclf.training.cases import Prepared, begin_training, initial_weights, make_task
from segclf.training.cost import read_cost
from segclf.training.loop import fit
from segclf.training.measures import MEASURES, Numbers, auroc, is_collapsed, validation_numbers
from segclf.training.models import ModelCard, load_weights, read_card, write_model
from segclf.training.runtime import memory_format, pick_device, pick_precision
from segclf.training.state import FitResult, Task

__all__ = [
    "MEASURES",
    "FitResult",
    "ModelCard",
    "Numbers",
    "Prepared",
    "Task",
    "auroc",
    "begin_training",
    "fit",
    "initial_weights",
    "is_collapsed",
    "load_weights",
    "make_task",
    "memory_format",
    "pick_device",
    "pick_precision",
    "read_card",
    "read_cost",
    "validation_numbers",
    "write_model",
]
