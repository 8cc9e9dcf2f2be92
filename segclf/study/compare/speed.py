"""Images per second of each method on this machine: same images, same batches, one by one."""

import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from segclf.classify import load_classifier
from segclf.console import say
from segclf.core.atomic import read_json, sha256_of, write_json
from segclf.core.maskstats import make_statistics
from segclf.core.provenance import hardware
from segclf.core.records import Case, MaskSource, MaskState
from segclf.core.text import counted
from segclf.data import eval_batches
from segclf.experiment import Experiment
from segclf.manifest import cases_of
from segclf.predict.engine import load_engine, logit_groups
from segclf.predict.feed import Quarantined
from segclf.predict.rows import CaseRows, case_rows
from segclf.study.compare.costs import head_folder
from segclf.study.compare.methods import Method
from segclf.summarize import find_summarizer
from segclf.training import memory_format, pick_device

FILE = "speed.json"
N_IMAGES = 64
REPEATS = 5
LONGEST_S = 20.0
"""Rounds end when they have taken this time per method; there is at least one."""


def measure_speed(
    exp: Experiment, methods: Sequence[Method], folder: Path, *, n_images: int = N_IMAGES
) -> dict[str, dict[str, Any]]:
    """`images_per_s` from file to score, and its range over rounds, per method.

    None where it is not measured.

    After a first pass of each that does not count, they take turns, so that a machine that slows
    down does so for all; the median of the turns is taken. What was measured on this machine for
    the same weights is kept.

    Args:
        exp: The experiment of a seed in which the methods have finished.
        methods: What is measured, one after the other.
        folder: Holds `speed.json`.
        n_images: Test images of the first fold that are scored.
    """
    fold = exp.folds()[0]
    cases = [
        replace(case, masks=tuple(MaskSource(MaskState.UNKNOWN) for _ in case.masks))
        for case in cases_of(exp.table, exp.split, "test", fold)[:n_images]
    ]
    path = folder / FILE
    known: dict[str, Any] = read_json(path) if path.is_file() else {}
    found: dict[str, Any] = {}
    scorers: dict[str, Callable[[], None]] = {}
    for method in methods:
        asked = {"machine": hardware(), "weights": _weights(exp, method, fold)}
        asked |= {"n_images": len(cases), "batch_size": exp.recipe.predict.batch_size}
        before = known.get(method.name, {})
        if all(before.get(name) == value for name, value in asked.items()):
            found[method.name] = before
            continue
        found[method.name] = asked | {"images_per_s": None}
        score = scorer(exp, method, cases, fold)
        if score is not None:
            scorers[method.name] = score
    if scorers:
        say(f"measuring the speed of {counted(len(scorers), 'method')}, one after the other")
    for name, rounds in rounds_s(scorers).items():
        found[name]["images_per_s"] = len(cases) / statistics.median(rounds)
        found[name]["slowest"], found[name]["fastest"] = (
            len(cases) / end(rounds) for end in (max, min)
        )
    write_json(path, known | found)
    return {
        name: {"images_per_s": entry["images_per_s"], "images_per_s_range": _ends(entry)}
        for name, entry in found.items()
    }


def _ends(entry: Mapping[str, Any]) -> list[float] | None:
    """Images per second of the slowest and fastest round; earlier versions did not keep them."""
    return [entry["slowest"], entry["fastest"]] if "slowest" in entry else None


def rounds_s(calls: Mapping[str, Callable[[], None]]) -> dict[str, list[float]]:
    """Seconds of each call in several rounds, after one that does not count."""
    for call in calls.values():
        call()
    times: dict[str, list[float]] = {name: [] for name in calls}
    begun = time.perf_counter()
    for _ in range(REPEATS):
        for name, call in calls.items():
            start = time.perf_counter()
            call()
            times[name].append(time.perf_counter() - start)
        if time.perf_counter() - begun > LONGEST_S * len(calls):
            break
    return times


def scorer(
    exp: Experiment, method: Method, cases: Sequence[Case], fold: int | None
) -> Callable[[], None] | None:
    """A call that scores all cases once, with the weights loaded; None if there is no such call."""
    if method.family == "head":
        return _head_scorer(exp, method, cases, fold)
    if method.family == "rule":
        return _rule_scorer(exp, method, cases, fold)
    return _trained_scorer(exp, method, cases, fold)


def _head_scorer(
    exp: Experiment, method: Method, cases: Sequence[Case], fold: int | None
) -> Callable[[], None]:
    device = pick_device()
    folder = head_folder(exp.run, method, fold)
    network, card = load_classifier(folder)
    decide = _search(folder, card.sha256, exp) if method.base == "metric" else None
    layout = memory_format(exp.recipe.image.spatial_dims, device)
    network = network.to(device).to(memory_format=layout).eval()
    size = exp.recipe.predict.batch_size

    def score() -> None:
        for batch in eval_batches(cases, exp.recipe, batch_size=size, with_target=False):
            if batch.case_id:
                with torch.inference_mode():
                    raw = network(batch.image.to(device, memory_format=layout))
                found = (raw if isinstance(raw, torch.Tensor) else raw[-1]).float().cpu()
                if decide is not None:
                    decide(found)

    return score


def _search(folder: Path, model_sha256: str, exp: Experiment) -> Callable[[torch.Tensor], object]:
    """A call that finds the classes of embeddings in the gallery of a metric head."""
    from segclf.classify.metric import classify, read_gallery
    from segclf.classify.metric.network import unit

    gallery, settings = read_gallery(folder, model_sha256=model_sha256), exp.recipe.classify.metric
    return lambda raw: classify(unit(raw).numpy(), gallery, settings)


def _rule_scorer(
    exp: Experiment, method: Method, cases: Sequence[Case], fold: int | None
) -> Callable[[], None]:
    engine = load_engine(exp.run.stage("segment", fold=fold), exp.recipe)
    summarizer = find_summarizer(method.base)[1]
    settings = exp.recipe.summarize
    options = {option: getattr(settings, option) for option in summarizer.options}

    def score() -> None:
        rows: list[Mapping[str, Any]] = []
        for group in logit_groups(engine, cases):
            for found in case_rows(engine, group, fold=fold, maps=None):
                rows += found.rows if isinstance(found, CaseRows) else []
        made = make_statistics(rows)
        for finding in exp.table.findings:
            summarizer.score(made, finding=finding, **options)

    return score


def _trained_scorer(
    exp: Experiment, method: Method, cases: Sequence[Case], fold: int | None
) -> Callable[[], None] | None:
    """Maps or embeddings of the frozen segmenter, and the fitted head; None if nothing was."""
    from segclf.summarize.trained import find_trained
    from segclf.summarize.trained.card import load_head, read_card
    from segclf.summarize.trained.represent import restored_reader
    from segclf.summarize.trained.store import Source, read_sources

    folder = exp.run.stage("summarize", method.name, fold=fold)
    card = read_card(folder)
    if card is None:
        return None
    engine = load_engine(exp.run.stage("segment", fold=fold), exp.recipe)
    head = load_head(folder, card, segmenter_sha256=engine.card.sha256)
    reader = restored_reader(find_trained(method.base), card)

    def score() -> None:
        for kept in read_sources(reader, [Source(engine, cases)], lambda _n: None):
            if not isinstance(kept, Quarantined):
                head.scores(kept.values)

    return score


def _weights(exp: Experiment, method: Method, fold: int | None) -> list[str]:
    """Hashes of what a method scores with: its network, and a head fitted on its maps."""
    from segclf.summarize.trained.card import CARD

    is_head = method.family == "head"
    folder = head_folder(exp.run, method, fold) if is_head else exp.run.stage("segment", fold=fold)
    files = [folder / "model.safetensors"]
    if method.family == "trained":
        files.append(exp.run.stage("summarize", method.name, fold=fold) / CARD)
    return [sha256_of(file) for file in files if file.is_file()]
