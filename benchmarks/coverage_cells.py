"""The simulated cells of `coverage.py`: how patients are drawn, and what is measured on them."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any

import numpy as np

from segclf.evaluate.inference.auroc import aurocs_of, mean_auroc
from segclf.evaluate.inference.delong import place
from segclf.evaluate.inference.intervals import (
    NEWCOMBE,
    auroc_interval,
    delong_interval,
    share_interval,
    wilson,
)

CONFIDENCE, Z = 0.95, NormalDist().inv_cdf(0.975)
N_RESAMPLED, N_RESAMPLES = 500, 400
"""Draws of a cell that the percentile bootstrap is tried on, and its resamples."""

Row = dict[str, Any]
"""What is stored of a cell: `rate` is what is judged, `error` its Monte-Carlo standard error."""


@dataclass(frozen=True)
class Cell:
    """One simulated situation."""

    measure: Callable[[int, np.random.Generator], Row]
    """From a number of draws and a generator to the row."""
    n_draws: int
    is_judged: bool
    """The rate must lie within the goal of the part."""
    is_quick: bool = False


@dataclass(frozen=True)
class Part:
    """A table of cells of one kind."""

    title: str
    text: str
    goal: tuple[float, float]
    columns: dict[str, str]
    """Entries of a row that the page shows after the rate, and their headings."""
    cells: dict[str, Cell]


@dataclass(frozen=True)
class Population:
    """What the images of a draw come from."""

    n_positive: int
    n_negative: int
    icc: float
    auroc: float
    labels: str = "constant"
    sizes: str = "Poisson"
    scale: str = "continuous"

    @property
    def shift(self) -> float:
        """Distance between the means of both classes."""
        return math.sqrt(2) * NormalDist().inv_cdf(self.auroc)

    @property
    def truth(self) -> float:
        """AUROC of an image of one patient against one of another."""
        if self.scale != "binary":
            return self.auroc
        tail = NormalDist().cdf
        return 0.5 + (tail(self.shift - BINARY_CUT) - tail(-BINARY_CUT)) / 2


BINARY_CUT = 2.5


def draw(people: Population, rng: np.random.Generator) -> tuple[np.ndarray, ...]:
    """Score, label and patient of every image of one draw."""
    n_patients = people.n_positive + people.n_negative
    n_images = 1 + rng.poisson(2, n_patients)
    if people.sizes == "heavy-tailed":
        n_images = 1 + np.minimum(rng.pareto(1.1, n_patients).astype(int), 300)
    patient = np.repeat(np.arange(n_patients), n_images)
    positive = patient < people.n_positive
    if people.labels == "mixed":
        is_first = np.append(True, patient[1:] != patient[:-1])
        positive &= is_first | (rng.random(len(patient)) < 0.5)
    if people.labels == "scattered":
        positive = rng.random(len(patient)) < people.n_positive / n_patients
    shared, own = rng.normal(size=n_patients)[patient], rng.normal(size=len(patient))
    score = math.sqrt(people.icc) * shared + math.sqrt(1 - people.icc) * own
    score += people.shift * positive
    return (score > BINARY_CUT) * 1.0 if people.scale == "binary" else score, positive, patient


def measure_auroc(people: Population, n_draws: int, rng: np.random.Generator) -> Row:
    """Coverage of the default interval, and of others for contrast."""
    low, high, newcombe, plain, wald, widths, resampled = [], [], [], [], [], [], []
    for i in range(n_draws):
        score, positive, patient = draw(people, rng)
        fold = patient % 5 if people.scale == "five folds" else np.zeros(len(score), np.int64)
        # Scores of different networks share no scale: each fold has its own.
        placed = place(score * (1 + fold) + fold, positive, fold)
        _, weight = mean_auroc(placed.auroc[None, None])
        auroc = aurocs_of(placed, weight, patient, np.arange(len(score)))[0]
        lo, hi, name = auroc_interval(auroc, CONFIDENCE)
        low.append(hi < people.truth)
        high.append(lo > people.truth)
        widths.append(hi - lo)
        newcombe.append(name == NEWCOMBE)
        plain.append(_holds(delong_interval(auroc, CONFIDENCE), people.truth))
        half = Z * math.sqrt(auroc.variance)
        wald.append(_holds((auroc.value - half, auroc.value + half), people.truth))
        if i < N_RESAMPLED and len(score) < 3000 and people.scale == "continuous":
            resampled.append(_holds(_resample(score, positive, patient, rng), people.truth))
    return _rate(1 - np.add(low, high)) | {
        "too_low": round(float(np.mean(low)), 4),
        "too_high": round(float(np.mean(high)), 4),
        "width": round(float(np.mean(widths)), 4),
        "newcombe": round(float(np.mean(newcombe)), 3),
        "plain": round(float(np.mean(plain)), 4),
        "wald": round(float(np.mean(wald)), 4),
        "percentile": round(float(np.mean(resampled)), 3) if resampled else None,
    }


def measure_share(n_patients: int, icc: float, n_draws: int, rng: np.random.Generator) -> Row:
    """Coverage of the default interval of a share, averaged over its true value."""
    truth = rng.random(n_draws)
    holds, plain, widths = [], [], []
    for p in truth:
        cases = 1 + rng.poisson(2, n_patients)
        patient = np.repeat(np.arange(n_patients), cases)
        latent = math.sqrt(icc) * rng.normal(size=n_patients)[patient]
        latent += math.sqrt(1 - icc) * rng.normal(size=len(patient))
        hits = np.bincount(patient[latent < NormalDist().inv_cdf(p)], minlength=n_patients)
        lo, hi, _, _ = share_interval(hits, cases, CONFIDENCE)
        holds.append(lo <= p <= hi)
        widths.append(hi - lo)
        n = cases.sum()
        plain.append(_holds(wilson(hits.sum() / n, n, CONFIDENCE), p))
    tenths = [np.mean(np.array(holds)[(truth * 10).astype(int) == i]) for i in range(10)]
    return _rate(np.array(holds)) | {
        "worst_tenth": round(float(min(tenths)), 3),
        "width": round(float(np.mean(widths)), 4),
        "plain": round(float(np.mean(plain)), 4),
    }


def _resample(
    score: np.ndarray, positive: np.ndarray, patient: np.ndarray, rng: np.random.Generator
) -> tuple[float, float]:
    """Percentile interval of a bootstrap of patients, stratified by disease; scores never tie."""
    order = np.argsort(score)
    is_ill = np.bincount(patient, positive) > 0
    drawn = np.empty((N_RESAMPLES, len(is_ill)))
    for kind in (False, True):
        members = np.flatnonzero(is_ill == kind)
        n = len(members)
        drawn[:, members] = rng.multinomial(n, np.full(n, 1 / n), N_RESAMPLES)
    weight = drawn[:, patient[order]]
    of_positives, of_negatives = weight * positive[order], weight * ~positive[order]
    won = (of_positives * np.cumsum(of_negatives, axis=1)).sum(axis=1)
    auroc = won / of_positives.sum(axis=1) / of_negatives.sum(axis=1)
    lo, hi = np.quantile(auroc, [0.025, 0.975])
    return float(lo), float(hi)


def _holds(interval: tuple[float, float], truth: float) -> bool:
    """An interval that does not exist holds nothing."""
    return interval[0] <= truth <= interval[1]


def _rate(values: np.ndarray) -> Row:
    rate, n = float(values.mean()), len(values)
    error = math.sqrt(max(rate * (1 - rate), 0.01) / n)
    return {"rate": round(rate, 4), "error": round(error, 4), "n_draws": n}


def _auroc_cell(people: Population, n_draws: int, **options: bool) -> tuple[str, Cell]:
    key = f"{people.n_positive}/{people.n_negative} patients, AUROC {people.auroc:g}, "
    key += f"ICC {people.icc:g}, {people.labels} labels"
    key += f", {people.sizes} sizes" if people.sizes != "Poisson" else ""
    key += f", {people.scale}" if people.scale != "continuous" else ""
    return key, Cell(lambda n, rng: measure_auroc(people, n, rng), n_draws, **options)


def _auroc_cells() -> dict[str, Cell]:
    cells = [
        _auroc_cell(
            Population(*size, icc, auroc, labels),
            10_000,
            is_judged=True,
            is_quick=size[0] < 200 and icc == 0.8 and labels == "mixed",
        )
        for size in ((10, 90), (50, 450), (200, 1800))
        for labels in ("constant", "mixed")
        for icc in (0.5, 0.8)
        for auroc in (0.85, 0.95)
    ]
    beyond = [
        *(Population(*size, 0.5, 0.95, "scattered") for size in ((10, 90), (50, 450))),
        Population(200, 1800, 0.8, 0.85, "scattered"),
        *(Population(5, 45, 0.5, auroc) for auroc in (0.7, 0.85, 0.95)),
        *(Population(*size, 0.5, 0.85) for size in ((20, 180), (24, 216), (26, 234), (30, 30))),
        *(Population(*size, 0.8, 0.99) for size in ((20, 180), (30, 270), (50, 450), (200, 600))),
        *(Population(*size, 0.5, 0.6) for size in ((10, 90), (30, 270))),
        *(Population(*size, 0.8, 0.85, sizes="heavy-tailed") for size in ((20, 60), (100, 300))),
        *(Population(*size, 0.5, 0.75, scale="binary") for size in ((20, 60), (100, 300))),
        *(Population(*size, 0.5, 0.85, scale="five folds") for size in ((20, 60), (100, 300))),
    ]
    return dict([*cells, *(_auroc_cell(people, 5_000, is_judged=False) for people in beyond)])


def _share_cells() -> dict[str, Cell]:
    return {
        f"{n} patients, ICC {icc:g}": Cell(
            lambda n_draws, rng, n=n, icc=icc: measure_share(n, icc, n_draws, rng),
            20_000,
            is_judged=True,
            is_quick=n == 10 and icc == 0.5,
        )
        for n in (10, 50, 200)
        for icc in (0.0, 0.5, 0.8)
    }


PARTS = {
    "auroc": Part(
        title="AUROC of one method in one group",
        text="Default: Newcombe's method 5 on effective n with few patients, else clustered "
        "DeLong on the logit scale. For contrast: DeLong with images as independent, the "
        "clustered variance without the logit (Wald), and the percentile bootstrap of patients "
        f"({N_RESAMPLED} draws with {N_RESAMPLES} resamples each: +- 0.01 to 0.02).",
        goal=(0.925, 0.975),
        columns={
            "too_low": "interval below",
            "too_high": "interval above",
            "width": "mean width",
            "newcombe": "Newcombe's share",
            "plain": "image DeLong",
            "wald": "clustered Wald",
            "percentile": "percentile",
        },
        cells=_auroc_cells(),
    ),
    "shares": Part(
        title="Shares: sensitivity, PPV and the like",
        text="Default: Wilson on the effective number of cases; coverage averaged over true "
        "shares in (0, 1), and in the worst tenth of that range. For contrast: Wilson with "
        "images as independent.",
        goal=(0.925, 0.975),
        columns={"worst_tenth": "worst tenth", "width": "mean width", "plain": "image Wilson"},
        cells=_share_cells(),
    ),
}
"""Every table of the page. Tests of heterogeneity and families of comparisons are parts too:
their `rate` is that of rejections."""
