"""Fit one head: read what it keeps of its cases, train it, write it with its card."""

import shutil
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from torch import nn

from segclf.core.atomic import hash_of
from segclf.core.config import Recipe
from segclf.core.provenance import versions
from segclf.core.randomness import seed_of
from segclf.predict.engine import Engine, load_engine
from segclf.predict.identity import identity_of
from segclf.summarize.trained.card import StatisticsModels, read_card, save_head, statistics_scores
from segclf.summarize.trained.fit import fit_network
from segclf.summarize.trained.heads import StatisticsHead
from segclf.summarize.trained.parts import Parts
from segclf.summarize.trained.represent import Reader, make_reader
from segclf.summarize.trained.store import Source, Store, fill_store, teller
from segclf.summarize.trained.table import find_trained
from segclf.training import auroc
from segclf.training.cost import read_cost
from segclf.training.runtime import full_disk_stops
from segclf.training.state import EventSink

STORE = "store"
OWN_SETTINGS = {"fit_on", "out_of_fold", "inner_folds", "steps", "grid_px", "with_image"}
"""Settings of `summarize` that decide what is fitted."""


def fit_fold(
    rule: str,
    parts: Parts,
    engine: Engine,
    recipe: Recipe,
    folder: Path,
    fold: int | None,
    on_event: EventSink | None,
) -> None:
    """Fit the head of `rule` and write it into `folder`, unless it is there already.

    Args:
        rule: Name of a trained summarizer.
        parts: `fit` is fitted on, `val` selects; `test` is not looked at.
        engine: The run's own segmenter; its maps are those of `val`.
        recipe: The experiment.
        folder: Gets `head.*`, `card.json`, `metrics.jsonl`, and while it works `store/`.
        fold: The fold, if there are folds.
        on_event: Told the progress.
    """
    trained = find_trained(rule)
    engines = [load_engine(model, recipe) for model, _ in parts.fit]
    sources = [Source(e, cases) for e, (_, cases) in zip(engines, parts.fit, strict=True)]
    fit_cases = sorted((case for s in sources for case in s.cases), key=lambda case: case.case_id)
    reader = make_reader(engine, trained, fit_cases)
    identity = _identity(rule, parts, [engine, *engines], reader, fold)
    card = read_card(folder)
    if card is not None and card["identity"] == identity:
        return
    folder.mkdir(parents=True, exist_ok=True)
    shutil.rmtree(folder / STORE, ignore_errors=True)
    start_s = time.process_time()
    try:
        tell = teller("maps", len(fit_cases) + len(parts.val), on_event)
        train = fill_store(folder / STORE / "fit.bin", reader, sources, tell)
        val = fill_store(folder / STORE / "val.bin", reader, [Source(engine, parts.val)], tell)
        read_cpu_s = time.process_time() - start_s
        reasons = not_fitted(train.label, engine.card.findings)
        fit_on = _without(train, engine.card.findings, reasons)
        select_on = _without(val, engine.card.findings, reasons)
        fitted, facts = None, {"n_steps": 0, "best_step": None, "cpu_s": 0.0}
        if len(reasons) < len(engine.card.findings):
            if isinstance(head := trained.load(), StatisticsHead):
                fitted, facts = fit_statistics(
                    head, fit_on, select_on, engine.card.findings, recipe.seed
                )
            else:
                found = fit_network(reader, fit_on, select_on, recipe, folder, identity, on_event)
                fitted, facts = found.network, found.facts
        card = _card(rule, reader, parts, engine, recipe, fold, identity, reasons, train, val)
        _save(folder, fitted, card | {**facts, "read_cpu_s": read_cpu_s})
    finally:
        shutil.rmtree(folder / STORE, ignore_errors=True)


def fit_statistics(
    head: StatisticsHead, train: Store, val: Store, findings: tuple[str, ...], seed: int
) -> tuple[StatisticsModels, dict[str, Any]]:
    """A model of each finding with labels of both kinds, and how well they rank `val`."""
    start_s = time.process_time()
    models: StatisticsModels = {}
    order = np.argsort(train.case_ids)  # sums of floats follow the order of the rows
    for number, finding in enumerate(findings):
        label = train.label[order, number]
        known = ~np.isnan(label)
        if known.any():
            features = np.asarray(train.values[order, number])[known]
            key = seed_of(seed, "statistics", number)
            models[finding] = head.fit(features, label[known].astype(int), key)
    cpu_s = time.process_time() - start_s
    scores = statistics_scores(head, models, list(findings), np.asarray(val.values))
    each = [auroc(scores[:, i], val.label[:, i]) for i in range(len(findings))]
    defined = [value for value in each if value is not None]
    return models, {
        "n_steps": None,
        "best_step": None,
        "validation_auroc": float(np.mean(defined)) if defined else None,
        "cpu_s": cpu_s,
    }


def not_fitted(label: np.ndarray, findings: tuple[str, ...]) -> dict[str, str]:
    """Findings that cannot be fitted, with the reason: the known labels are not of both kinds."""
    reasons = {}
    for number, finding in enumerate(findings):
        known = label[~np.isnan(label[:, number]), number]
        if not known.size:
            reasons[finding] = "no case to fit on has a known label"
        elif known.min() == known.max():
            kind = "positive" if known[0] == 1 else "negative"
            reasons[finding] = f"all {known.size} cases to fit on are {kind}"
    return reasons


def map_facts(store: Store, findings: tuple[str, ...]) -> dict[str, Any]:
    """Mean probability of the maps of positive and of negative cases, and how well it ranks.

    Maps of cases that the segmenter was trained on are optimistic: compare `fit` with `val`.
    """
    facts = {}
    for number, finding in enumerate(findings):
        label, mean_p = store.label[:, number], store.mean_p[:, number]
        parts = {"positive": mean_p[label == 1], "negative": mean_p[label == 0]}
        facts[finding] = {
            **{f"n_{name}": int(values.size) for name, values in parts.items()},
            **{
                f"mean_p_{name}": float(values.mean()) if values.size else None
                for name, values in parts.items()
            },
            "auroc_of_mean_p": auroc(mean_p, label),
        }
    return facts


def _without(store: Store, findings: tuple[str, ...], reasons: Mapping[str, str]) -> Store:
    """The store without labels of findings that cannot be fitted; they must influence nothing."""
    is_left_out = np.array([finding in reasons for finding in findings])
    return replace(store, label=np.where(is_left_out, np.nan, store.label))


def _identity(
    rule: str, parts: Parts, engines: list[Engine], reader: Reader, fold: int | None
) -> str:
    """Hash of everything that decides the head: never a test case, never metadata."""
    own, recipe = engines[0], engines[0].recipe
    groups = [cases for _, cases in parts.fit] + [parts.val]
    starts = reader.head is not None and reader.head.start is not None
    return hash_of(
        {
            **({"start": "training cases"} if starts else {}),
            "rule": rule,
            "head": reader.trained.head,
            "shape": reader.shape,
            "segmenters": [engine.card.sha256 for engine in engines],
            "predict": identity_of(own.card, recipe, precision=own.precision, fold=fold),
            "train": recipe.train.model_dump(mode="json"),
            "flips": [recipe.augment.flip_axes, recipe.augment.probability],
            "seed": recipe.seed,
            "settings": _own_settings(recipe),
            # NaN has a text of its own; cases in the order of their ids
            "cases": [sorted((c.case_id, str(c.labels)) for c in cases) for cases in groups],
        }
    )


def _own_settings(recipe: Recipe) -> dict[str, Any]:
    return recipe.summarize.model_dump(mode="json", include=OWN_SETTINGS)


def _card(
    rule: str,
    reader: Reader,
    parts: Parts,
    engine: Engine,
    recipe: Recipe,
    fold: int | None,
    identity: str,
    reasons: Mapping[str, str],
    train: Store,
    val: Store,
) -> dict[str, Any]:
    """What has to be known to use the head, and what it was fitted on; plain data."""
    findings = engine.card.findings
    aside = [*train.quarantined, *val.quarantined]
    return {
        "rule": rule,
        "reads": reader.trained.reads,
        "identity": identity,
        "data": recipe.data,
        "fold": fold,
        "findings": list(findings),
        "not_fitted": dict(reasons),
        "grid": list(reader.grid),
        "shape": list(reader.shape),
        "with_image": reader.with_image,
        "segmenter_sha256": engine.card.sha256,
        "n_segmenters": len(parts.fit),
        "inner_cpu_s": [read_cost(model) for model, _ in parts.fit]
        if recipe.summarize.out_of_fold
        else [],
        "fitted_on": recipe.summarize.fit_on,
        "out_of_fold": recipe.summarize.out_of_fold,
        "uses_extra_labels": recipe.summarize.fit_on == "val",
        "settings": _own_settings(recipe),
        "seed": recipe.seed,
        "n_fit": len(train.case_ids),
        "n_val": len(val.case_ids),
        "n_labels": dict(zip(findings, (~np.isnan(train.label)).sum(0).tolist(), strict=True)),
        "n_unknown_labels": dict(zip(findings, np.isnan(train.label).sum(0).tolist(), strict=True)),
        "maps": {"fit": map_facts(train, findings), "val": map_facts(val, findings)},
        "quarantined": [[case.case_id, case.reason, case.message] for case in aside],
        "versions": versions(),
    }


def _save(
    folder: Path, fitted: nn.Module | StatisticsModels | None, card: Mapping[str, Any]
) -> None:
    with full_disk_stops(folder, room_for="the fitted head", fix="run the same command again"):
        save_head(folder, fitted, card)
