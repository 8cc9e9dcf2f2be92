"""What a frozen segmenter says about cases, reduced to what a head keeps of each; a stream."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from segclf.core.errors import CaseError, ConfigError
from segclf.core.maskstats import threshold_index
from segclf.core.records import Case
from segclf.data import Batch, read_case
from segclf.networks import Features, finding_logits
from segclf.predict.engine import LARGE_PX, Engine, input_logits, raw_logits
from segclf.predict.feed import Quarantined, Ready, batches, read_ahead, set_aside
from segclf.predict.prepare import REDUCED
from segclf.predict.statistics import batch_statistics
from segclf.summarize.trained.heads import MapHead, Space
from segclf.summarize.trained.statistics import FEATURES, features_of
from segclf.summarize.trained.table import Trained
from segclf.training import memory_format


@dataclass(frozen=True)
class Reader:
    """How cases are read for one trained summarizer."""

    trained: Trained
    head: MapHead | None
    """None for mask statistics."""
    grid: Space
    """Of what is kept; () for mask statistics."""
    with_image: bool
    shape: tuple[int, ...]
    """Of what is kept of a case: (channel, *grid), or (finding, feature)."""

    @property
    def dtype(self) -> type:
        """How it is kept: maps in half precision, means and statistics in full."""
        if self.head is None:
            return np.float64
        return np.float32 if math.prod(self.grid) == 1 else np.float16


@dataclass(frozen=True)
class Kept:
    """Some cases as a head reads them."""

    case_ids: list[str]
    values: np.ndarray
    """(case, *shape) in the reader's dtype."""
    mean_p: np.ndarray
    """(case, finding) mean probability of the maps, whatever the head reads."""


def make_reader(engine: Engine, trained: Trained, cases: Sequence[Case]) -> Reader:
    """How to read cases for `trained`; shapes are found with an empty image, no case is kept.

    Args:
        engine: The segmenter.
        trained: What is fitted.
        cases: In the order of their ids; where the recipe fixes no size, the first one that can
            be read gives the size of maps, to which those of other sizes are resampled.

    Raises:
        ConfigError: The segmenter has no such features.
        CaseError: The recipe fixes no size, and no case can be read.
    """
    if trained.reads == "statistics":
        return Reader(trained, None, (), False, (len(engine.card.findings), len(FEATURES)))
    head, settings = trained.load(), engine.recipe.summarize
    space = engine.recipe.image.size_px or _first_shape(engine, cases)
    with_image = settings.with_image and head.takes_image
    empty = torch.zeros(1, engine.card.n_channels, *space)
    maps, _ = _maps(engine, trained.reads, empty, with_image=with_image)
    grid = head.grid(tuple(maps.shape[2:]), settings.grid_px)
    kept = head.reduce(maps, grid)
    return Reader(trained, head, grid, with_image, tuple(kept.shape[1:]))


def restored_reader(trained: Trained, card: Mapping[str, Any]) -> Reader:
    """The reader that the head of a card was fitted with."""
    head = None if trained.reads == "statistics" else trained.load()
    return Reader(trained, head, tuple(card["grid"]), card["with_image"], tuple(card["shape"]))


def read_kept(
    engine: Engine, reader: Reader, cases: Sequence[Case]
) -> Iterator[Kept | Quarantined]:
    """All cases as the head reads them, in small groups; a bad case is set aside."""
    ready = read_ahead(cases, engine.recipe, n_channels=engine.card.n_channels, with_truth=False)
    for batch in batches(ready, engine.recipe.predict.batch_size):
        if isinstance(batch, Quarantined):
            yield batch
            continue
        found = _statistics(engine, batch) if reader.head is None else _kept(engine, reader, batch)
        for members, values, mean_p in found:
            with np.errstate(over="ignore"):  # what half precision cannot hold is set aside
                kept = values.astype(reader.dtype)
            good = [
                i
                for i in range(len(kept))
                if np.isfinite(kept[i]).all() and np.isfinite(mean_p[i]).all()
            ]
            yield from (_not_finite(r) for i, r in enumerate(members) if i not in good)
            if good:
                yield Kept([members[i].case.case_id for i in good], kept[good], mean_p[good])


Found = Iterator[tuple[Sequence[Ready], np.ndarray, np.ndarray]]


def _kept(engine: Engine, reader: Reader, batch: Sequence[Ready]) -> Found:
    assert reader.head is not None
    image = torch.stack([ready.sample.image for ready in batch])
    maps, mean_p = _maps(engine, reader.trained.reads, image, with_image=reader.with_image)
    with torch.inference_mode():
        yield batch, reader.head.reduce(maps, reader.grid).cpu().numpy(), mean_p


def _statistics(engine: Engine, batch: Sequence[Ready]) -> Found:
    component = threshold_index(engine.recipe.predict.component_t)
    for group in input_logits(engine, batch):
        n_cases, n_findings = group.logits.shape[:2]
        columns = batch_statistics(group.logits.flatten(0, 1), component_index=component)
        with np.errstate(invalid="ignore"):  # NaN maps are set aside by the caller
            features = features_of(columns)
        mean_p = columns["mean_p"].reshape(n_cases, n_findings)
        yield group.cases, features.reshape(n_cases, n_findings, -1), mean_p


def _maps(
    engine: Engine, reads: str, image: Tensor, *, with_image: bool
) -> tuple[Tensor, np.ndarray]:
    """The maps that a head reads, float32 on the device, and the mean probabilities."""
    with torch.inference_mode():
        if reads == "outputs":
            probability = finding_logits(raw_logits(engine, image), engine.card.exclusive).sigmoid()
            maps = [probability, image.to(probability)] if with_image else [probability]
            found = torch.cat(maps, dim=1)
        else:
            features = _features(engine, image)
            logits = finding_logits(features.logits.float(), engine.card.exclusive)
            probability = logits.sigmoid()
            found = (features.shallow if reads == "shallow" else features.deep).float()
        return found, probability.flatten(2).mean(2).double().cpu().numpy()


def _features(engine: Engine, image: Tensor) -> Features:
    """Features of whole images: a window would know neither its place nor its neighbours."""
    n_axes = engine.card.spatial_dims
    if math.prod(image.shape[2:]) > LARGE_PX[n_axes]:
        raise ConfigError(
            f"an image of {' x '.join(map(str, image.shape[2:]))} px is too large for its features "
            "to be computed in one piece.",
            where="rules on embeddings",
            expected=f"at most {LARGE_PX[n_axes]} px",
            fix="set image.size_px and train again, or use a rule on outputs: --rule pool_fc",
        )
    reduced = REDUCED.get(engine.precision)
    layout = memory_format(n_axes, engine.device)
    image = image.to(engine.device).contiguous(memory_format=layout)
    try:
        with torch.autocast(engine.device.type, dtype=reduced, enabled=reduced is not None):
            return engine.network.features(image)
    except (RuntimeError, TypeError, ValueError, AttributeError) as error:
        raise ConfigError(
            "the segmenter does not give its features: "
            f"{(str(error).splitlines() or [type(error).__name__])[0]}.",
            where=f"network.name = {engine.card.network.name!r}",
            expected="feature maps of encoder and decoder for a whole image",
            fix="use a rule on outputs, for example --rule pool_fc",
        ) from error


def _first_shape(engine: Engine, cases: Sequence[Case]) -> Space:
    error: CaseError | None = None
    for case in cases:
        try:
            return tuple(read_case(case, engine.recipe, with_target=False).image.shape[1:])
        except CaseError as bad:
            error = error or bad
    raise error or ConfigError(
        "there is no case to fit on.",
        where="the part of the split that a trained summarizer is fitted on",
        expected="at least one case",
        fix="use --fit-on train, or another split",
    )


def _not_finite(ready: Ready) -> Quarantined:
    wrong = CaseError(
        "nonfinite_features",
        "the network answers with NaN, infinity or a number that half precision cannot hold.",
        where=f"case {ready.case.case_id}",
        expected="finite maps and features",
        fix="set predict.precision: fp32; if it stays, look at the image's intensities",
    )
    return set_aside(ready.index, ready.case, wrong)


def kept_batch(values: np.ndarray, label: np.ndarray, case_ids: list[str], step: int) -> Batch:
    """Kept maps as the training loop's batch; there are no masks."""
    image = torch.from_numpy(values.astype(np.float32))
    return Batch(image, torch.empty(0), torch.from_numpy(label.astype(np.float32)), case_ids, step)
