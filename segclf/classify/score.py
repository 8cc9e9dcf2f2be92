"""A trained classifier's scores: its rows of the score table, decided on validation cases."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from segclf.core.calibration import apply_calibration, fit_calibration
from segclf.core.config import Recipe
from segclf.core.operating import fit_points
from segclf.core.records import Case
from segclf.core.scoretable import COLUMNS
from segclf.core.thresholds import fit_threshold
from segclf.data import eval_batches
from segclf.training import memory_format, pick_device, pick_precision
from segclf.training.cases import Quarantined
from segclf.training.state import EventSink

Scored = tuple[dict[str, np.ndarray], list[Quarantined]]
"""Probability per name of each case, and the cases that could not be read."""
REDUCED = {"fp32": None, "bf16": torch.bfloat16, "fp16": torch.float16}


def score_cases(
    network: nn.Module,
    cases: Sequence[Case],
    recipe: Recipe,
    probabilities: Callable[[Tensor], Tensor],
    on_event: EventSink | None = None,
) -> Scored:
    """What `probabilities` says of each case that can be read, and the cases that cannot.

    Images are read, scored and forgotten batch by batch; masks are not read.

    Args:
        network: A trained classifier; it is moved to the device that is used.
        cases: What is scored.
        recipe: How images are prepared; batch size, precision and workers of `predict`.
        probabilities: Raw outputs, on the CPU, to one row of numbers per case.
        on_event: Told the progress as `{"kind": "score", "step": …, "of": …}`.
    """
    device = pick_device()
    layout = memory_format(recipe.image.spatial_dims, device)
    network = network.to(device).to(memory_format=layout).eval()
    reduced = REDUCED[pick_precision(recipe.predict.precision, device)]
    scores: dict[str, np.ndarray] = {}
    quarantined: list[Quarantined] = []
    batches = eval_batches(cases, recipe, batch_size=recipe.predict.batch_size, with_target=False)
    for batch in batches:
        quarantined += batch.quarantined
        if batch.case_id:
            image = batch.image.to(device, memory_format=layout)
            with (
                torch.inference_mode(),
                torch.autocast(device.type, dtype=reduced, enabled=reduced is not None),
            ):
                raw = network(image).float().cpu()
            scores |= zip(batch.case_id, probabilities(raw).double().numpy(), strict=True)
        if on_event is not None:
            n_done = len(scores) + len(quarantined)
            on_event({"kind": "score", "step": n_done, "of": len(cases)})
    return scores, quarantined


def score_table(
    scores: Mapping[str, np.ndarray],
    parts: Mapping[str, Sequence[Case]],
    names: Sequence[str],
    recipe: Recipe,
    *,
    fold: int | None,
) -> tuple[pd.DataFrame, list[dict[str, Any]]]:
    """The score table of the parts, and per name how its threshold was fitted.

    Threshold and calibration are fitted on the `val` part alone. Cases without a score have no
    row.

    Args:
        scores: Case id to probability per name, from `score_cases`.
        parts: `val` and `test` to their cases, with one label per name.
        names: Findings, or classes as `<head>=<category>`.
        recipe: `classify` names the method; `summarize` says what a threshold maximizes and
            whether to calibrate.
        fold: The fold, if there are folds.
    """
    rows = [(part, case) for part, cases in parts.items() for case in cases]
    rows = [(part, case) for part, case in rows if case.case_id in scores]
    tables, fits = [], []
    for number, finding in enumerate(names):
        table = pd.DataFrame(
            {
                "case_id": [case.case_id for _, case in rows],
                "score": [scores[case.case_id][number] for _, case in rows],
                "split": [part for part, _ in rows],
                "patient_id": [case.patient_id for _, case in rows],
                "label": [case.labels[number] for _, case in rows],
            }
        )
        is_val = (table["split"] == "val").to_numpy()
        score, label = table["score"].to_numpy(), table["label"].to_numpy()
        threshold, fit = fit_threshold(score[is_val], label[is_val], recipe.summarize)
        fit = {"finding": finding, "fold": fold, "decision_value": "score", **fit}
        fit["calibration"] = fit_calibration(
            score[is_val], label[is_val], recipe.summarize.calibrate
        )
        fit["operating_points"] = fit_points(score[is_val], label[is_val], recipe.summarize)
        probability = apply_calibration(score, fit["calibration"])
        table = table.assign(
            finding=finding,
            method=recipe.classify.method,
            decision_value=score,
            threshold=threshold,
            decision=np.nan if np.isnan(threshold) else (score > threshold).astype(float),
            probability=probability,
            fold=pd.NA if fold is None else fold,
            seed=recipe.seed,
        )
        tables.append(table.loc[:, list(COLUMNS)].astype(COLUMNS))
        fits.append(fit)
    return pd.concat(tables, ignore_index=True), fits
