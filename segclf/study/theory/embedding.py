"""The same divergences in the features of networks that are trained on the phantom."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from sklearn.decomposition import PCA
from sklearn.preprocessing import StandardScaler
from torch.nn.functional import interpolate

from segclf import pipeline
from segclf.classify import load_classifier
from segclf.console import progress
from segclf.core.randomness import generator
from segclf.data import eval_batches
from segclf.experiment import Experiment, new_experiment
from segclf.manifest import cases_of
from segclf.networks import Classifier
from segclf.phantom import write_phantom
from segclf.segment import load_segmenter
from segclf.study.theory.cells import WITHOUT, Cell
from segclf.study.theory.drawn import NEGATIVE, POSITIVE, TARGET
from segclf.study.theory.measure import (
    Draws,
    Law,
    neighbours,
    pixel_and_image,
    told_apart,
    with_shortcut,
)
from segclf.study.theory.settings import Separability
from segclf.training import read_cost

N_COMPONENTS, PER_IMAGE, BATCH = 4, 200, 32
Entry = dict[str, Any]
Train = Callable[[Experiment], None]


def embedding_cell(
    study: Separability, cell: Cell, folder: Path, train: Train | None = None
) -> Entry:
    """Train a segmenter and a classifier, and tell classes apart in features of test images.

    Pixels: the last features of the segmenter's decoder. Images: the classifier's pooled
    embedding. Both are reduced to principal components of validation images, which can only lower
    a divergence.

    Args:
        study: What is trained, and for how long.
        cell: Area of the lesion, rho and seed.
        folder: Gets the phantom; its name begins the run's.
        train: For tests.
    """
    name = f"{folder.name}-a{cell.area:g}-r{cell.rho:g}-s{cell.seed}"
    recipe = folder / name / "recipe.yaml"
    if not recipe.is_file():
        settings = study.network_phantom(cell.area, cell.rho, cell.seed)
        write_phantom(recipe.parent, settings)
    exp = new_experiment(recipe, None, name, (*study.overrides, f"seed={cell.seed}"))
    (train or _train)(exp)
    rng = generator(200 + cell.seed, "estimates", cell.key)
    draws, alpha = segmenter_draws(exp, rng)
    images = classifier_laws(exp)
    entry: Entry = {
        "alpha": alpha,
        "n_images": [len(law.x) for law in images],
        "cpu_s": [read_cost(exp.run.stage(*place)) for place in _places(exp)],
        "pixels": pixel_and_image(draws, alpha, study.n_draws, rng),
        "classifier": {
            "image_classifier": told_apart(*images),
            "image_knn": neighbours(*images),
        },
    }
    if cell.rho != WITHOUT:
        entry["shortcut"] = with_shortcut(draws, alpha, study.prevalences, study.n_draws, rng)
    return entry


def segmenter_draws(exp: Experiment, rng: np.random.Generator) -> tuple[Draws, float]:
    """Features of test pixels, and the share of pixels of positive images on the target.

    All target pixels are kept, and some of the background of each image.
    """
    network, _ = load_segmenter(exp.run.stage("segment"))
    reduce = _reducer(_pixel_maps(exp, "val", network), rng)
    x, region, image, n_target, n_pixels = [], [], [], 0, 0
    for number, (features, mask, label) in enumerate(_pixel_maps(exp, "test", network)):
        rest = rng.choice(np.flatnonzero(~mask), PER_IMAGE, replace=False)
        keep = np.concatenate([np.flatnonzero(mask), rest])
        x.append(reduce(features[keep]))
        region.append(np.where(mask, TARGET, POSITIVE if label else NEGATIVE)[keep])
        image.append(np.full(len(keep), number))
        n_target += int(mask.sum())
        n_pixels += mask.size if label else 0
    draws = Draws(*(np.concatenate(parts) for parts in (x, region, image)))
    return draws, n_target / n_pixels


def classifier_laws(exp: Experiment) -> tuple[Law, Law]:
    """Embeddings of positive and of negative test images."""
    network, _ = load_classifier(exp.run.stage("classify", exp.recipe.classify.method))
    if not isinstance(network, Classifier):
        raise ValueError("the classifier embeds nothing")
    val, _ = _embeddings(exp, "val", network)
    test, label = _embeddings(exp, "test", network)
    scaler = StandardScaler().fit(val)
    pca = PCA(min(N_COMPONENTS, val.shape[1]), random_state=0).fit(scaler.transform(val))
    x, number = pca.transform(scaler.transform(test)), np.arange(len(test))
    return Law(x[label == 1], number[label == 1]), Law(x[label == 0], number[label == 0])


def _embeddings(exp: Experiment, part: str, network: Classifier) -> tuple[np.ndarray, np.ndarray]:
    rows, labels = [], []
    for batch in eval_batches(cases_of(exp.table, exp.split, part), exp.recipe, batch_size=BATCH):
        with torch.inference_mode():
            rows.append(network.embed(batch.image).double().numpy())
        labels.append(batch.label[:, 0].numpy())
    return np.concatenate(rows), np.concatenate(labels)


def _pixel_maps(exp: Experiment, part: str, network: Any) -> Any:  # noqa: ANN401 (of generators)
    """(pixel, feature) float64, (pixel,) bool and the label of each image."""
    for batch in eval_batches(cases_of(exp.table, exp.split, part), exp.recipe, batch_size=BATCH):
        with torch.inference_mode():
            shallow = network.features(batch.image).shallow
            shallow = interpolate(shallow, size=batch.image.shape[2:], mode="nearest")
        for features, target, label in zip(
            shallow.double().numpy(), batch.target[:, 0].numpy(), batch.label[:, 0], strict=True
        ):
            yield features.reshape(len(features), -1).T, target.ravel() > 0.5, int(label)


def _reducer(maps: Any, rng: np.random.Generator) -> Callable[[np.ndarray], np.ndarray]:  # noqa: ANN401
    """Principal components of as many target as background pixels."""
    rows = []
    for features, mask, _ in maps:
        n = max(8, int(mask.sum()))
        rows += [features[mask], features[rng.choice(np.flatnonzero(~mask), n, replace=False)]]
    x = np.concatenate(rows)
    scaler = StandardScaler().fit(x)
    pca = PCA(min(N_COMPONENTS, x.shape[1]), random_state=0).fit(scaler.transform(x))
    return lambda own: pca.transform(scaler.transform(own))


def _places(exp: Experiment) -> tuple[tuple[str, ...], ...]:
    return ("segment",), ("classify", exp.recipe.classify.method)


def _train(exp: Experiment) -> None:
    with progress(exp.run.path.name) as on_event:
        pipeline.train_seg(exp, on_event, resume=True)
        pipeline.train_clf(exp, on_event, resume=True)
