"""What a run's segmenter says about training cases: how unsure it is, and what they look like."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from segclf.core.records import Case
from segclf.experiment import Experiment
from segclf.networks import finding_logits
from segclf.predict.engine import Engine, load_engine, window_if_large
from segclf.predict.feed import Quarantined, batches, read_ahead
from segclf.predict.prepare import REDUCED
from segclf.training import memory_format

MOST_SIDE_PX = 512
"""Images too large for one pass are read at every n-th pixel, down to about this side."""
Row = dict[str, Any]


@dataclass(frozen=True)
class Looked:
    """Of the cases that could be read, in their order."""

    case_ids: tuple[str, ...]
    doubt: np.ndarray
    """(case, finding) share of the predicted area that is expected to be wrong, 0 to 1."""
    embedding: np.ndarray
    """(case, feature) means of the deepest feature map, float32."""
    quarantined: tuple[Row, ...]


def look_at(
    exp: Experiment,
    cases: Sequence[Case],
    fold: int | None,
    on_event: Callable[[Row], None] | None = None,
) -> Looked:
    """Doubt and embedding of each case, a batch at a time; a bad case is set aside.

    The doubt about a finding is `sum p (1 - p) / sum p` over the pixels: what share of the area
    that the network believes in, pixel by pixel, it expects to be wrong. It is near 0 for a
    certain outline and near 1 where the network sees nothing, so that missed lesions count too.

    Args:
        exp: With a trained segmenter.
        cases: Training cases.
        fold: The fold of the segmenter, with folds.
        on_event: Told the progress.
    """
    engine = load_engine(exp.run.stage("segment", fold=fold), exp.recipe)
    ids: list[str] = []
    doubts: list[np.ndarray] = []
    embeddings: list[np.ndarray] = []
    quarantined: list[Row] = []
    ready = read_ahead(cases, engine.recipe, n_channels=engine.card.n_channels, with_truth=False)
    for batch in batches(ready, engine.recipe.predict.batch_size):
        if isinstance(batch, Quarantined):
            quarantined.append(batch.record())
            continue
        doubt, embedding = _features(engine, torch.stack([one.sample.image for one in batch]))
        good = np.isfinite(np.concatenate([doubt, embedding], axis=1)).all(axis=1)
        for one, is_good in zip(batch, np.atleast_1d(good), strict=True):
            if is_good:
                ids.append(one.case.case_id)
            else:
                wrong = {"reason": "nonfinite_features", "message": "the network answers with NaN"}
                quarantined.append({"case_id": one.case.case_id, **wrong})
        doubts.append(doubt[good])
        embeddings.append(embedding[good])
        if on_event is not None:
            on_event({"kind": "predict", "step": len(ids), "of": len(cases)})
    n_findings = len(engine.card.findings)
    return Looked(
        tuple(ids),
        np.concatenate([*doubts, np.zeros((0, n_findings))]),
        np.concatenate(embeddings) if embeddings else np.zeros((0, 0), np.float32),
        tuple(quarantined),
    )


def doubt_of(probability: np.ndarray) -> np.ndarray:
    """(…,) expected wrong share of the believed area of maps (…, pixel); 1 where nothing is."""
    believed = probability.sum(axis=-1)
    wrong = (probability * (1 - probability)).sum(axis=-1)
    return np.where(believed > 0, wrong / np.where(believed > 0, believed, 1), 1.0)


def _features(engine: Engine, image: torch.Tensor) -> tuple[np.ndarray, np.ndarray]:
    layout = memory_format(engine.card.spatial_dims, engine.device)
    image = image.to(engine.device).contiguous(memory_format=layout)
    reduced = REDUCED.get(engine.precision)
    with torch.inference_mode():
        if window_if_large(image.shape[2:]) is not None:  # its features would not fit in memory
            stride = [max(1, side // MOST_SIDE_PX) for side in image.shape[2:]]
            image = image[(..., *(slice(None, None, step) for step in stride))]
        with torch.autocast(engine.device.type, dtype=reduced, enabled=reduced is not None):
            features = engine.network.features(image)
        logits = finding_logits(features.logits.float(), engine.card.exclusive)
        probability = logits.sigmoid().flatten(2).double().cpu().numpy()
        embedding = features.deep.float().flatten(2).mean(2).cpu().numpy()
    return doubt_of(probability), embedding
