"""Errors of the tests and of the worst group, simulated; the last line is JSON.

    python benchmarks/errors.py [--quick] [--folder build/errors]

Clustered scores, binormal, 1 + Poisson(2) images per patient, part of whose spread belongs to the
patient (ICC); labels are constant within patients, or half of a positive patient's other images are
negative ("mixed"). All null hypotheses are true, so every rejection is an error:

- type-I error of the heterogeneity test by exchange of patients' labels (goal 0.035 to 0.065), and
  by the joint bootstrap where groups vary within patients;
- family-wise error after Holm (goal at most 0.06) over ten groups in which two methods are
  compared, and over eight heterogeneity tests of the same data;
- bias of the worst group and of the gap, before and after correction, and how often the
  simultaneous bounds hold (goal at least 0.93).

Finished cells are kept in `--folder` and not run again: empty it after a change of the code. The
table is written to docs/errors.md.
`--quick` runs few draws of some cells and asks only whether they are compatible with the goals. The
value is the share of goals that are met.
"""

import argparse
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from scipy.special import ndtri

from segclf.core.atomic import write_text
from segclf.evaluate import METRICS
from segclf.evaluate.inference.compare import compare_paired
from segclf.evaluate.inference.heterogeneity import bootstrap_heterogeneity
from segclf.evaluate.inference.mcnemar import mcnemar
from segclf.evaluate.inference.multiplicity import holm
from segclf.evaluate.inference.permute import permute_auroc
from segclf.evaluate.inference.simultaneous import simultaneous_bounds
from segclf.evaluate.inference.worst import worst_group
from segclf.evaluate.resample import resample
from segclf.evaluate.sample import Sample, Slice, number_patients

METRIC = {"auroc": METRICS["auroc"]}
SIZE, FAMILY, BOUND = (0.035, 0.065), (0.0, 0.06), (0.93, 1.0)
Cell = tuple[Callable[..., np.ndarray], dict, dict[str, tuple[float, float] | None]]


def cells() -> dict[str, Cell]:
    """Name to (one draw, its arguments, goal of each number that a draw gives)."""
    found, label_of = {}, {False: "constant", True: "mixed"}
    for n_groups, n in ((10, (10, 90)), (4, (50, 450)), (2, (200, 1800))):
        for icc in (0.5, 0.8):
            for mixed in (False, True):
                name = f"exchange {n_groups} x {n[0]}/{n[1]} ICC {icc} {label_of[mixed]}"
                options = {"n": n, "n_groups": n_groups, "icc": icc, "mixed": mixed}
                found[name] = (draw_exchange, options, {"Q": SIZE, "gap": SIZE})
    for n_groups, n in ((10, (100, 900)), (4, (50, 450))):
        for mixed in (False, True):
            name = f"bootstrap {n_groups} groups in {n[0]}/{n[1]} {label_of[mixed]}"
            options = {"n": n, "n_groups": n_groups, "icc": 0.5, "mixed": mixed}
            found[name] = (draw_bootstrap, options, {"Q": SIZE, "gap": None})
    for n in ((10, 90), (20, 180), (50, 450)):
        for mixed in (False, True):
            name = f"Holm, methods in 10 x {n[0]}/{n[1]} {label_of[mixed]}"
            goals = {"AUROC, t": FAMILY, "McNemar": FAMILY, "AUROC, Z": None}
            found[name] = (draw_methods, {"n": n, "icc": 0.5, "mixed": mixed}, goals)
    for mixed in (False, True):
        name = f"Holm, 8 heterogeneity tests of 40/360 {label_of[mixed]}"
        found[name] = (draw_columns, {"n": (40, 360), "icc": 0.5, "mixed": mixed}, {"Q": FAMILY})
    for name, sizes, values in WORST:
        goals = {"worst raw": None, "worst corrected": (-0.04, 0.04), "gap raw": None}
        goals |= {"gap corrected": (-0.06, 0.06), "bounds hold": BOUND}
        found[f"worst, {name}"] = (draw_worst, {"sizes": sizes, "values": values}, goals)
    return found


WORST = (
    ("10 equal x 10/90", [(10, 90)] * 10, [0.85] * 10),
    ("10 equal x 30/270", [(30, 270)] * 10, [0.85] * 10),
    ("one of 10 x 20/80 at 0.70", [(20, 80)] * 10, [0.70] + [0.85] * 9),
    ("one of 4 x 50/200 at 0.75", [(50, 200)] * 4, [0.75] + [0.85] * 3),
    ("5 small, 5 large, equal", [(10, 90)] * 5 + [(50, 150)] * 5, [0.85] * 10),
    ("5 small, 5 large, a small one at 0.70", [(10, 90)] * 5 + [(50, 150)] * 5, [0.7] + [0.85] * 9),
)
PAGE = Path(__file__).parents[1] / "docs" / "errors.md"
HEADER = """# Errors of the tests, and of the worst group

Written by `python benchmarks/errors.py`, whose head says how patients are simulated; +- is the
Monte-Carlo standard error. *exchange*: type-I error at 5 % of the heterogeneity test by exchange of
patients' groups; *bootstrap*: of the joint bootstrap where groups vary within patients; Q is the
statistic that is reported. *Holm*: share of families with any rejection at 5 %. *worst*: bias of
the worst group and of the gap, and how often the simultaneous bounds hold. All null hypotheses are
true.

| cell | of | value | +- | goal | draws |
| --- | --- | --- | --- | --- | --- |"""
QUICK = (
    "exchange 10 x 10/90 ICC 0.5 constant",
    "exchange 10 x 10/90 ICC 0.8 mixed",
    "bootstrap 4 groups in 50/450 constant",
    "Holm, methods in 10 x 10/90 constant",
    "worst, 10 equal x 10/90",
)


def main() -> int:
    """Exit code 0 if every cell meets its goals."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="few draws, under 50 s")
    parser.add_argument("--folder", type=Path, default=Path("build/errors"))
    parser.add_argument("--draws", type=int, default=2000, help="per cell (worst group: a fifth)")
    options = parser.parse_args()
    n_met, n_all, lines = 0, 0, [HEADER]
    for name, (draw, arguments, goals) in cells().items():
        if options.quick and name not in QUICK:
            continue
        n = 60 if options.quick else options.draws // (5 if draw is draw_worst else 1)
        folder = None if options.quick else options.folder
        values, seconds = run_cell(name, draw, arguments, n, folder)
        for (what, goal), value in zip(goals.items(), values.T, strict=True):
            error = float(value.std(ddof=1) / np.sqrt(n))
            slack = 3.5 * max(error, 0.3 / np.sqrt(n)) if options.quick else 0.0
            met = goal is None or goal[0] - slack <= value.mean() <= goal[1] + slack
            n_met, n_all = n_met + (met and goal is not None), n_all + (goal is not None)
            words = (
                "" if goal is None else f"  {'' if met else 'NOT '}within {goal[0]} to {goal[1]}"
            )
            print(f"{name:<52} {what:<16} {value.mean():7.4f} +- {error:.4f}{words}")
            aim = "not judged" if goal is None else f"{goal[0]} to {goal[1]}"
            shown = f"{value.mean():.4f}" if met else f"**{value.mean():.4f}**"
            lines.append(f"| {name} | {what} | {shown} | {error:.4f} | {aim} | {n} |")
        print(f"{'':<52} {n} draws, {seconds:.0f} CPU-s", flush=True)
    share = n_met / n_all
    if not options.quick:
        write_text(PAGE, "\n".join(lines) + "\n")
    print(json.dumps({"name": "errors", "value": share, "goal": 1.0, "ok": share == 1.0}))
    return 0 if share == 1.0 else 1


def run_cell(
    name: str, draw: Callable[..., np.ndarray], arguments: dict, n: int, folder: Path | None
) -> tuple[np.ndarray, float]:
    """(draw, number) values of a cell, from its file if that has as many draws."""
    path = folder and folder / f"{name.replace('/', '-').replace(' ', '_')}.json"
    if path and path.exists():
        kept = json.loads(path.read_text())
        if len(kept["values"]) == n:
            return np.array(kept["values"]), kept["seconds"]
    start = time.process_time()
    values = np.array([draw(np.random.default_rng([7, i]), **arguments) for i in range(n)])
    seconds = time.process_time() - start
    if path:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps({"values": values.tolist(), "seconds": seconds}))
    return values, seconds


def draw_cases(
    rng: np.random.Generator,
    sizes: list[tuple[int, int]],
    *,
    icc: float,
    mixed: bool,
    values: list[float] | float = 0.85,
    n_methods: int = 1,
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Scores (method, case), positive, owner and group of patients of known AUROC."""
    n_patients = [a + b for a, b in sizes]
    group = np.repeat(np.arange(len(sizes)), n_patients)
    diseased = np.concatenate([np.arange(a + b) < a for a, b in sizes])
    size = 1 + rng.poisson(2, len(group))
    owner = np.repeat(np.arange(len(group)), size)
    positive = diseased[owner]
    if mixed:
        first = np.concatenate([[0], np.cumsum(size)[:-1]])
        positive &= rng.random(len(owner)) < 0.5
        positive[first[diseased]] = True
    shift = np.sqrt(2) * ndtri(np.broadcast_to(values, len(sizes)))[group[owner]] * positive

    def noise() -> np.ndarray:
        of_patient = np.sqrt(icc) * rng.normal(size=len(group))[owner]
        return of_patient + np.sqrt(1 - icc) * rng.normal(size=len(owner))

    shared = noise() * np.sqrt(0.6) if n_methods > 1 else 0.0
    own = np.sqrt(0.4) if n_methods > 1 else 1.0
    score = np.stack([shared + own * noise() + shift for _ in range(n_methods)])
    return score, positive, owner, group[owner]


def draw_exchange(
    rng: np.random.Generator, *, n: tuple[int, int], n_groups: int, icc: float, mixed: bool
) -> np.ndarray:
    """Whether Q and the gap reject, by exchange of patients' labels."""
    score, positive, owner, group = draw_cases(rng, [n] * n_groups, icc=icc, mixed=mixed)
    patient, start = number_patients(owner, positive, np.zeros(len(owner), int))
    seed = int(rng.integers(2**62))
    found = permute_auroc(score[0], positive, patient, start, group, n_permutations=399, seed=seed)
    return np.array([found.p_q <= 0.05, found.p_gap <= 0.05])


def draw_bootstrap(
    rng: np.random.Generator, *, n: tuple[int, int], n_groups: int, icc: float, mixed: bool
) -> np.ndarray:
    """Whether Q and the gap reject, by the bootstrap; groups are of images, not patients."""
    score, positive, owner, _ = draw_cases(rng, [n], icc=icc, mixed=mixed)
    group = rng.integers(0, n_groups, len(owner))
    values = bootstrap_auroc(score[0], positive, owner, group, n_groups, rng)
    pairs = [np.unique(np.stack([owner, group])[:, rows], axis=1) for rows in (positive, ~positive)]
    n_patients = np.stack([np.bincount(of_group, minlength=n_groups) for _, of_group in pairs])
    found = bootstrap_heterogeneity(values[:, 0], values[:, 1:], n_patients)
    return np.array([found.p_q <= 0.05, found.p_gap <= 0.05])


def draw_methods(
    rng: np.random.Generator, *, n: tuple[int, int], icc: float, mixed: bool
) -> np.ndarray:
    """Whether Holm's procedure rejects any of ten groups in which two equal methods differ."""
    score, positive, owner, group = draw_cases(rng, [n] * 10, icc=icc, mixed=mixed, n_methods=2)
    with_t, with_z, decided = [], [], []
    for g in range(10):
        rows = group == g
        difference, variance = compare_auroc(score[:, rows], positive[rows], owner[rows])
        with_t.append(compare_paired(difference, variance, df=n[0] - 1).p)
        with_z.append(compare_paired(difference, variance).p)
        hits = score[:, rows & positive] > 1.0
        decided.append(mcnemar(hits[0], hits[1], owner[rows & positive]).p_exact)
    return np.array([holm(np.array(p)).min() <= 0.05 for p in (with_t, decided, with_z)])


def draw_columns(
    rng: np.random.Generator, *, n: tuple[int, int], icc: float, mixed: bool
) -> np.ndarray:
    """Whether Holm's procedure rejects any of four columns of groups for two methods."""
    score, positive, owner, _ = draw_cases(rng, [n], icc=icc, mixed=mixed, n_methods=2)
    patient, start = number_patients(owner, positive, np.zeros(len(owner), int))
    p = []
    for n_groups in (2, 2, 3, 5):
        group = rng.integers(0, n_groups, sum(n))[owner]
        for own in score:
            seed = int(rng.integers(2**62))
            found = permute_auroc(
                own, positive, patient, start, group, n_permutations=999, seed=seed
            )
            p.append(found.p_q)
    return np.array([holm(np.array(p)).min() <= 0.05])


def draw_worst(
    rng: np.random.Generator, *, sizes: list[tuple[int, int]], values: list[float]
) -> np.ndarray:
    """Errors of the worst group and of the gap, and whether all simultaneous bounds hold."""
    score, positive, owner, group = draw_cases(rng, sizes, icc=0.5, mixed=False, values=values)
    found = bootstrap_auroc(score[0], positive, owner, group, len(sizes), rng)
    estimate, drawn, n_patients = found[:, 0], found[:, 1:], np.array(sizes).T
    worst = worst_group(estimate, drawn, n_patients)
    bounds = simultaneous_bounds(estimate, drawn, n_patients)
    low, gap = min(values), max(values) - min(values)
    errors = [worst.worst - low, worst.worst_corrected - low]
    errors += [worst.gap - gap, worst.gap_corrected - gap]
    return np.array([*errors, (bounds <= np.array(values)).all()])


def bootstrap_auroc(
    score: np.ndarray,
    positive: np.ndarray,
    owner: np.ndarray,
    group: np.ndarray,
    n_groups: int,
    rng: np.random.Generator,
) -> np.ndarray:
    """(group, 1 + replicate) AUROC of the sample and of 499 resamples of patients."""
    zeros = np.zeros(len(score), np.int64)
    patient, start = number_patients(owner, positive, zeros)
    sample = Sample(
        finding="lesion",
        methods=("m",),
        case_ids=np.arange(len(score)),
        case=np.arange(len(score)),
        method=zeros,
        patient=patient,
        score=score,
        positive=positive,
        decision=np.full(len(score), np.nan),
        probability=np.full(len(score), np.nan),
        seed=zeros,
        fold=zeros,
        n_seeds=1,
        n_folds=1,
        stratum_start=start,
    )
    slices = [Slice("group", str(g), group == g) for g in range(n_groups)]
    seed = int(rng.integers(2**62))
    return resample(sample, slices, METRIC, n_boot=499, seed=seed).values["auroc"][0, :, 0, 0]


def compare_auroc(
    score: np.ndarray, positive: np.ndarray, owner: np.ndarray
) -> tuple[float, float]:
    """Difference of two methods' AUROC and its variance by patient (Obuchowski 1997)."""
    _, owner = np.unique(owner, return_inverse=True)
    n_patients, is_class = int(owner.max()) + 1, (positive, ~positive)
    has = [np.bincount(owner[rows], minlength=n_patients) for rows in is_class]
    value, influence = [], []
    for own in score:
        ours, theirs = np.sort(own[positive]), np.sort(own[~positive])
        above = np.searchsorted(theirs, own[positive]) / len(theirs)
        below = 1 - np.searchsorted(ours, own[~positive]) / len(ours)
        value.append(float(above.mean()))
        parts = zip(is_class, (above - value[-1], below - value[-1]), strict=True)
        influence.append([np.bincount(owner[r], v / r.sum(), n_patients) for r, v in parts])
    ten, one = np.array(influence[0]) - np.array(influence[1])
    i10, i01 = (int((n > 0).sum()) for n in has)
    variance = (ten**2).sum() * i10 / (i10 - 1) + (one**2).sum() * i01 / (i01 - 1)
    variance += 2 * (ten * one).sum() * n_patients / (n_patients - 1)
    return value[0] - value[1], float(variance)


if __name__ == "__main__":
    sys.exit(main())
