"""What each method costs: labels, masks, steps and CPU-seconds of its trainings."""

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from segclf.core.atomic import read_json
from segclf.core.records import Case, MaskState
from segclf.core.runs import Run
from segclf.core.scoretable import RECORD
from segclf.experiment import Experiment
from segclf.manifest import cases_of, read_pairs
from segclf.study.compare.cells import at_time
from segclf.study.compare.methods import OUT_OF_FOLD, Method
from segclf.training import read_cost

Row = dict[str, Any]
MODEL, METRIC = "model.json", "metric"
SLACK = 0.05
"""A head that needs at least 95 % of the time is not trained again."""


def count_truth(cases: Iterable[Case]) -> Row:
    """Known labels, drawn masks, and masks that are empty because of the label, over findings."""
    row = {"labels": 0, "drawn_masks": 0, "free_masks": 0}
    for case in cases:
        row["labels"] += sum(label in (0.0, 1.0) for label in case.labels)
        states = [mask.state for mask in case.masks if not mask.is_pseudo]
        row["drawn_masks"] += states.count(MaskState.DRAWN)
        row["free_masks"] += states.count(MaskState.EMPTY)
    return row


def used_truth(exp: Experiment, method: Method, fold: int | None) -> Row:
    """The truth that trains a method in one fold, without the cases that were set aside.

    A segmenter reads masks: of the labels it uses those that make a mask empty. Whatever is
    trained for labels reads all of them: of findings, or those that `class_labels` counts. Every
    method moreover uses the labels of validation
    cases to choose weights and thresholds: `val_labels`.
    """
    aside = _set_aside(_network_folder(exp, method, fold))
    train = [c for c in cases_of(exp.table, exp.split, "train", fold) if c.case_id not in aside]
    val = [c for c in cases_of(exp.table, exp.split, "val", fold) if c.case_id not in aside]
    truth, of_val = count_truth(train), count_truth(val)
    if not method.uses_masks:
        truth |= {"drawn_masks": 0, "free_masks": 0}
    if method.family == "rule":
        truth["labels"] = truth["free_masks"]
    if (columns := class_columns(exp, method, fold)) or learns_pairs(exp, method):
        truth["labels"] = class_labels(exp, method, columns, train)
        truth["labels"] += truth["free_masks"] if columns else 0
        of_val["labels"] = class_labels(exp, method, columns, val)
    if method.fits_on_val:
        heads = [head for head in trained_heads(exp, method) if head["fold"] == fold]
        n_fitted = sum(sum(head["n_labels"].values()) for head in heads)
        truth["labels"] = truth["free_masks"] + n_fitted
        of_val["labels"] -= n_fitted
    return truth | {"val_labels": of_val["labels"]}


def class_columns(exp: Experiment, method: Method, fold: int | None) -> list[str]:
    """The class columns that a trained head tells categories of; [] if it learned findings."""
    path = head_folder(exp.run, method, fold) / MODEL
    if method.family != "head" or not path.is_file():
        return []
    named = exp.recipe.classify.targets if learns_pairs(exp, method) else ()  # not in its card
    return list(read_json(path).get("classes") or named)


def learns_pairs(exp: Experiment, method: Method) -> bool:
    """Whether a method learns from similar and dissimilar pairs."""
    return method.base == METRIC and exp.recipe.classify.metric.pairs is not None


def class_labels(
    exp: Experiment, method: Method, columns: Sequence[str], cases: Sequence[Case]
) -> int:
    """Known classes, one per case and column, or known findings; and pairs, where it learns them.

    A head that learned pairs names classes after those of training cases, so both count.
    """
    labels = sum(name in case.classes for case in cases for name in columns)
    labels = labels if columns else count_truth(cases)["labels"]
    pairs = exp.recipe.classify.metric.pairs
    if pairs is None or not learns_pairs(exp, method):
        return labels
    ids = {case.case_id for case in cases}
    return labels + sum(ids.issuperset(key) for key in read_pairs(pairs, exp.table))


def method_costs(
    exps: Mapping[int, Experiment],
    method: Method,
    *,
    steps: int | None = None,
) -> Row:
    """Means per training of what a method needed; None where it was not recorded.

    Args:
        exps: The experiment of each seed that has finished for the method.
        method: Which one.
        steps: Of the trainings at equal time; None is the ordinary ones.
    """
    places = [(exp, fold) for exp in exps.values() for fold in exp.folds()]
    truth = [used_truth(exp, method, fold) for exp, fold in places]
    row: Row = {name: _mean([one[name] for one in truth]) for name in (truth[0] if truth else ())}
    parts: dict[str, list[Row]] = {}
    for exp, fold in places:
        if method.needs_segmenter:
            card = network_cost(exp.run.stage("segment", fold=fold))
            parts.setdefault("segmenter", []).append(card)
        if method.family == "head":
            run = exp.run if steps is None else at_time(exp, method, steps).run
            card = network_cost(head_folder(run, method, fold))
            parts.setdefault(method.name, []).append(card)
    if method.family == "trained":
        heads = [head for exp in exps.values() for head in trained_heads(exp, method)]
        parts[method.name] = [trained_cost(head) for head in heads]
    means = {
        part: {name: _mean([card[name] for card in cards]) for name in ("steps", "cpu_s")}
        for part, cards in parts.items()
    }
    row["parts"] = means
    for name in ("steps", "cpu_s"):
        row[name] = _sum([part[name] for part in means.values()])
    return row


def training_costs(
    finished: Mapping[str, Mapping[int, Experiment]],
    methods: Sequence[Method],
    *,
    steps: Mapping[str, int],
) -> list[float | None]:
    """CPU-seconds of every training of a comparison, each once, whoever shares it.

    Args:
        finished: Method to the experiments of its finished seeds.
        methods: What is compared.
        steps: Heads that were trained again, and their steps.
    """
    found: dict[Path, float | None] = {}
    for method in methods:
        for exp in finished[method.name].values():
            for fold in exp.folds():
                if method.needs_segmenter:
                    own = exp.run.stage("segment", fold=fold)
                    inner = sorted(own.glob("inner*")) if method.name.endswith(OUT_OF_FOLD) else []
                    found |= {folder: read_cost(folder) for folder in (own, *inner)}
                if method.family == "head":
                    runs = [exp.run]
                    if method.name in steps:
                        runs.append(at_time(exp, method, steps[method.name]).run)
                    folders = [head_folder(run, method, fold) for run in runs]
                    found |= {folder: read_cost(folder) for folder in folders}
            for head in trained_heads(exp, method) if method.family == "trained" else ():
                folder = exp.run.stage("summarize", method.name, fold=head["fold"])
                found[folder] = _sum([head.get("cpu_s"), head.get("read_cpu_s")])
    return list(found.values())


def trained_heads(exp: Experiment, method: Method) -> list[Row]:
    """What the record of a trained summarizer says about its head of each fold."""
    path = exp.run.stage("summarize", method.name) / RECORD
    return read_json(path).get("heads", []) if path.is_file() else []


def trained_cost(head: Row) -> Row:
    """Steps and CPU-seconds of a head: making its maps, fitting it, and inner segmenters."""
    times = [head.get("cpu_s"), head.get("read_cpu_s"), *head.get("inner_cpu_s", ())]
    # what is fitted by a formula takes no steps
    return {"steps": head.get("n_steps") or 0, "cpu_s": _sum(times)}


def map_optimism(exps: Mapping[int, Experiment], method: Method) -> list[Row]:
    """How well maps rank the cases that a head was fitted on, beside validation cases.

    Maps of images that the segmenter was trained on are better than those of new images.
    """
    found: dict[str, list[tuple[float | None, float | None]]] = {}
    for exp in exps.values():
        for head in trained_heads(exp, method):
            for finding, fit in head["maps"]["fit"].items():
                of_val = head["maps"]["val"][finding]["auroc_of_mean_p"]
                found.setdefault(finding, []).append((fit["auroc_of_mean_p"], of_val))
    return [
        {
            "method": method.name,
            "finding": finding,
            "auroc_fitted": _mean([fit for fit, _ in pairs]),
            "auroc_validation": _mean([val for _, val in pairs]),
        }
        for finding, pairs in found.items()
    ]


def network_cost(folder: Path) -> Row:
    """Steps and CPU-seconds of the training in a folder; None where it does not say."""
    card = read_json(folder / MODEL) if (folder / MODEL).is_file() else {}
    return {"steps": card.get("n_steps"), "cpu_s": read_cost(folder)}


def head_folder(run: Run, method: Method, fold: int | None) -> Path:
    """Where the classifier of a head lies."""
    return run.stage("classify", method.name, fold=fold)


def steps_at_time(
    methods: Sequence[Method],
    costs: Mapping[str, Row],
    *,
    steps: int,
) -> tuple[dict[str, int], float | None, str]:
    """How long heads are trained so that their training takes as much CPU time as the dearest.

    The dearest is the segmenter where there is one, since every method with masks needs it at
    least; else the dearest head. Steps grow with the time that a step took.

    Args:
        methods: What is compared.
        costs: From `method_costs`, by name.
        steps: Of the recipe.

    Returns:
        Head to steps, for heads that are cheaper; the time aimed at in CPU-seconds; and why there
        is none, if so.
    """
    heads = [m for m in methods if m.family == "head" and costs.get(m.name, {}).get("cpu_s")]
    own = {m.name: costs[m.name]["cpu_s"] for m in heads}
    segmenters = [
        cost["parts"]["segmenter"]["cpu_s"]
        for cost in costs.values()
        if cost.get("parts", {}).get("segmenter", {}).get("cpu_s")
    ]
    if not own:
        return {}, None, "no head has a recorded training time"
    aim = segmenters[0] if segmenters else max(own.values())
    found = {
        name: max(steps + 1, round(steps * aim / cpu_s))
        for name, cpu_s in own.items()
        if cpu_s < (1 - SLACK) * aim
    }
    return found, aim, "" if found else "no head is cheaper"


def _network_folder(exp: Experiment, method: Method, fold: int | None) -> Path:
    if method.family == "head":
        return head_folder(exp.run, method, fold)
    return exp.run.stage("segment", fold=fold)


def _set_aside(folder: Path) -> set[str]:
    path = folder / "quarantine.jsonl"
    lines = path.read_text(encoding="utf-8").splitlines() if path.is_file() else []
    return {json.loads(line)["case_id"] for line in lines}


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known and len(known) == len(values) else None


def _sum(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) if known and len(known) == len(values) else None
