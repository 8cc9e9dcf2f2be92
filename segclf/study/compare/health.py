"""What is wrong with finished trainings: a collapsed segmenter, a head that learned nothing."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from segclf.core.atomic import read_json
from segclf.experiment import Experiment
from segclf.study.compare.costs import MODEL, trained_heads
from segclf.study.compare.methods import OUT_OF_FOLD, Method

Place = dict[str, Any]
UNLEARNED = 0.95
"""Share of the loss of the prior that the loss of a training has to get below."""


def health(exps: Mapping[int, Experiment], method: Method) -> dict[str, list[Place]]:
    """Seed and fold of trainings of a method that gave nothing to judge it by.

    Returns:
        `collapsed`: its segmenter makes useless masks, as `model.json` says; `unlearned`: its head
        hardly got below the loss of always answering with the share of positives.
    """
    return {
        "collapsed": list(_collapsed(exps, method)),
        "unlearned": list(_unlearned(exps, method)),
    }


def _collapsed(exps: Mapping[int, Experiment], method: Method) -> Iterator[Place]:
    if not method.needs_segmenter:
        return
    for seed, exp in exps.items():
        for fold in exp.folds():
            folder = exp.run.stage("segment", fold=fold)
            inner = sorted(folder.glob("inner*")) if method.name.endswith(OUT_OF_FOLD) else []
            if any(map(_is_collapsed, [folder, *inner])):
                yield {"seed": seed, "fold": fold}


def _is_collapsed(folder: Path) -> bool:
    path = folder / MODEL
    return path.is_file() and bool(read_json(path).get("collapsed"))


def _unlearned(exps: Mapping[int, Experiment], method: Method) -> Iterator[Place]:
    """Heads whose card says both losses; what is fitted by a formula has none."""
    for seed, exp in exps.items() if method.family == "trained" else ():
        for head in trained_heads(exp, method):
            loss, prior = head.get("loss"), head.get("loss_of_prior")
            if loss is not None and prior is not None and loss > UNLEARNED * prior:
                yield {"seed": seed, "fold": head["fold"]}


def places(found: Sequence[Mapping[str, Any]]) -> str:
    """`seed 0 and 3`, or `seed 0, fold 1 and seed 0, fold 2`."""
    if all(one["fold"] is None for one in found):
        return "seed " + " and ".join(str(one["seed"]) for one in found)
    return " and ".join(f"seed {one['seed']}, fold {one['fold']}" for one in found)
