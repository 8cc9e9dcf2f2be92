"""Time to fit the (t, tau) rule over the whole plane; the last line is JSON.

    python benchmarks/summarize.py [--quick]

One million validation cases with area curves of 129 thresholds, drawn so that positive cases have
larger areas; a tau in px and one in mm2 (all areas distinct, the hardest case). The naive loop,
which tries every cut of a column by itself, is timed on a small sample and must choose the same.
`--quick` times px alone. Goal: 10 s.
"""

import argparse
import json
import time

import numpy as np

from segclf.core.maskstats import LOGIT_THRESHOLDS, THRESHOLDS
from segclf.core.settings import SummarizeSettings
from segclf.summarize.plane import fit_plane

GOAL_S = 10.0
N_CASES = 1_000_000
IMAGE_PX = 256 * 256
N_SAMPLE = 1000


def draw_curves(n_cases: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Area curves (case, 129), int64, non-increasing in t, and labels (case,)."""
    label = (rng.random(n_cases) < 0.3).astype(np.float64)
    size = IMAGE_PX * 0.02 * rng.gamma(0.3 + 0.7 * label) * (0.3 + label)
    falls_at = rng.normal(1.5 * label - 1.0, 1.5)
    curve = np.empty((n_cases, len(THRESHOLDS)), dtype=np.int64)
    for column, logit in enumerate(LOGIT_THRESHOLDS):
        curve[:, column] = np.minimum(size / (1.0 + np.exp(logit - falls_at)), IMAGE_PX)
    return curve, label


def time_fit(curve: np.ndarray, label: np.ndarray, px_mm2: np.ndarray | float) -> tuple:
    """Seconds of one fit, and the chosen t and tau."""
    rows = np.arange(len(curve))  # as `summarize` picks the validation cases out of a table
    start = time.perf_counter()
    t, tau, _ = fit_plane(
        lambda column: curve[rows, column] * px_mm2,
        label,
        SummarizeSettings(),
        smallest_area=float(np.min(px_mm2)),
    )
    return time.perf_counter() - start, t, tau


def time_naive(curve: np.ndarray, label: np.ndarray) -> tuple[float, float]:
    """Seconds of a loop over every column and cut, and the best Youden index."""
    start = time.perf_counter()
    positive, best = label == 1, -1.0
    for column in range(curve.shape[1]):
        for tau in np.unique(np.append(curve[:, column], 0)):
            decision = curve[:, column] > tau
            best = max(best, decision[positive].mean() - decision[~positive].mean())
    return time.perf_counter() - start, best


def main() -> None:
    """Run, print what was measured, end with one line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="px only")
    quick = parser.parse_args().quick
    rng = np.random.default_rng(0)
    curve, label = draw_curves(N_CASES, rng)
    cpu_before_s = time.process_time()
    seconds, t, tau = time_fit(curve, label, 1.0)
    cpu_s = time.process_time() - cpu_before_s  # tells a slow fit from a busy machine
    print(f"{N_CASES} cases, px: {seconds:.2f} s (t = {t:.4g}, tau = {tau:g} px)")
    if not quick:
        distinct_s, t, tau = time_fit(curve, label, rng.uniform(0.2, 0.6, N_CASES))
        print(f"{N_CASES} cases, mm2: {distinct_s:.2f} s (t = {t:.4g}, tau = {tau:g} mm2)")
    sample, sample_label = curve[:N_SAMPLE], label[:N_SAMPLE]
    ours_s, t, tau = time_fit(sample, sample_label, 1.0)
    naive_s, best = time_naive(sample, sample_label)
    column = int(np.abs(THRESHOLDS - t).argmin())
    decision = sample[:, column] > tau
    reached = decision[sample_label == 1].mean() - decision[sample_label == 0].mean()
    print(f"{N_SAMPLE} cases: {ours_s:.3f} s, naive loop {naive_s:.3f} s, J {reached:.6f}")
    same = bool(abs(reached - best) < 1e-12)
    result = {
        "name": "fit_plane_1e6_cases_s",
        "value": round(seconds, 3),
        "cpu_s": round(cpu_s, 3),
        "goal": GOAL_S,
        "ok": seconds <= GOAL_S and same,
        "naive_over_ours": round(naive_s / ours_s, 1),
        "same_as_naive": same,
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
