"""Cases to tensors: reading, caching, augmentation, batches.

`read_case` prepares one case (no randomness), `CaseCache` keeps prepared cases, `train_batches`
and `eval_batches` yield what a network sees. Every random number comes from the recipe's seed,
the epoch and the case, never from what ran before.
"""

from segclf.data.batches import eval_batches, train_batches
from segclf.data.cache import CaseCache
from segclf.data.masks import read_truth
from segclf.data.prepare import prepare_cases
from segclf.data.read import read_case
from segclf.data.sample import Batch, Sample
from segclf.data.sampling import Plan, SamplingPlan, plan_sampling, plan_uniform
from segclf.data.slices import own_pictures
from segclf.data.workers import ordered

__all__ = [
    "Batch",
    "CaseCache",
    "Plan",
    "Sample",
    "SamplingPlan",
    "eval_batches",
    "ordered",
    "own_pictures",
    "plan_sampling",
    "plan_uniform",
    "prepare_cases",
    "read_case",
    "read_truth",
    "train_batches",
]
