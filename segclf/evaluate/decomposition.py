"""The pooled AUROC by group of the positives and group of the negatives; recall by target size."""

from collections.abc import Iterator, Mapping
from itertools import pairwise

import numpy as np
import pandas as pd

from segclf.core.config import EvaluateSettings
from segclf.evaluate.estimates import Row
from segclf.evaluate.exact import interval_of_share
from segclf.evaluate.groups import Grouping
from segclf.evaluate.inference.decompose import decompose
from segclf.evaluate.inference.missing import nanmean
from segclf.evaluate.metrics import METRICS
from segclf.evaluate.sample import Sample

DECOMPOSITION_COLUMNS = (
    *("method", "finding", "group_column", "pairs", "positives", "negatives", "auroc"),
    *("share_of_pairs", "n_positive", "n_negative"),
)
SIZE_COLUMNS = (
    *("method", "finding", "column", "low", "high", "n_positive", "n_patients", "sensitivity"),
    *("lo", "hi", "interval", "reason"),
)
N_SIZES = 8
"""Bins of a size-recall curve, of about equal numbers of positives."""


def decomposition_rows(
    sample: Sample, place: np.ndarray, groupings: Mapping[str, Grouping]
) -> Iterator[Row]:
    """AUROC of each group's positives against each group's negatives, and of all pairs.

    The column `pairs` is 'groups' for one group against one, 'within' over all pairs of one group,
    'across' over those of two, 'all' over all: without folds the pooled AUROC is the mean of within
    and across, weighted by their share of pairs. With folds or
    seeds, pairs are those inside each, and the mean over them is shown, so that this holds inside
    each and only nearly for the means.

    Args:
        sample: The rows of one finding.
        place: (row,) case of the case table, or -1.
        groupings: Those that are a partition and do not follow from the truth are taken.
    """
    block = sample.seed * sample.n_folds + sample.fold
    for column, grouping in groupings.items():
        if not grouping.is_partition or grouping.positives_only:
            continue
        code = grouping.member.argmax(axis=0)[place]
        n_groups = len(grouping.names)
        for index, method in enumerate(sample.methods):
            own = sample.method == index
            parts = [
                decompose(sample.score[rows], sample.positive[rows], code[rows], n_groups)
                for rows in (np.flatnonzero(own & (block == b)) for b in np.unique(block[own]))
            ]
            shared: Row = {"method": method, "finding": sample.finding, "group_column": column}
            n_pairs = np.sum([part.n_pairs for part in parts], axis=0)
            counts = [
                np.sum([getattr(part, n) for part in parts], axis=0)
                for n in ("n_positive", "n_negative")
            ]
            mean = nanmean(np.stack([part.auroc for part in parts]), axis=0)
            whole = max(int(np.sum(n_pairs)), 1)
            used = [g for g in range(n_groups) if counts[0][g] + counts[1][g] > 0]
            for i in used:
                for j in used:
                    row: Row = {"pairs": "groups"}
                    row |= {"positives": grouping.names[i], "negatives": grouping.names[j]}
                    row |= {"auroc": float(mean[i, j]), "share_of_pairs": n_pairs[i, j] / whole}
                    row |= {"n_positive": int(counts[0][i]), "n_negative": int(counts[1][j])}
                    yield shared | row
            is_same = np.eye(n_groups, dtype=bool)
            mixes = {"within": is_same, "across": ~is_same, "all": is_same | True}
            for name, pairs in mixes.items():
                auroc = nanmean(np.array([part.mix(pairs) for part in parts]), axis=0)
                row = {"pairs": name, "positives": "", "negatives": "", "auroc": float(auroc)}
                row["share_of_pairs"] = float(np.where(pairs, n_pairs, 0).sum() / whole)
                row |= {"n_positive": int(counts[0].sum()), "n_negative": int(counts[1].sum())}
                yield shared | row


def size_rows(
    sample: Sample, place: np.ndarray, sizes: Mapping[str, pd.Series], settings: EvaluateSettings
) -> Iterator[Row]:
    """Sensitivity in bins of a size that only positives have: the points of a size-recall curve.

    Bins hold about equal numbers of positive cases. Cases without a decision or a size are left
    out; a bin with too few patients has a reason instead of a value.

    Args:
        sample: The rows of one finding.
        place: (row,) case of the case table, or -1.
        sizes: Per column, the size of each case; NaN where there is none.
        settings: Confidence and the smallest group.
    """
    metric = METRICS["sensitivity"]
    for column, values in sizes.items():
        table = np.append(values.to_numpy(dtype=np.float64, na_value=np.nan), np.nan)
        size = table[place]
        for index, method in enumerate(sample.methods):
            own = (sample.method == index) & sample.positive & ~np.isnan(sample.decision)
            rows = np.flatnonzero(own & ~np.isnan(size))
            if not len(rows):
                continue
            edges = np.unique(np.quantile(size[rows], np.linspace(0, 1, N_SIZES + 1)))
            for low, high in pairwise(edges.tolist()):
                is_last = high == edges[-1]
                below = size[rows] <= high if is_last else size[rows] < high
                is_in = (size[rows] >= low) & below
                inside = rows[is_in]
                n_patients = len(np.unique(sample.patient[inside]))
                row: Row = {"method": method, "finding": sample.finding, "column": column}
                row |= {"low": float(low), "high": float(high), "n_patients": n_patients}
                row |= {"n_positive": len(np.unique(sample.case[inside]))}
                missing = {"sensitivity": np.nan, "lo": np.nan, "hi": np.nan, "interval": ""}
                if n_patients < settings.min_group:
                    reason = f"{n_patients} patients (fewer than {settings.min_group})"
                    yield row | missing | {"reason": reason}
                    continue
                found = interval_of_share(metric, sample, inside, settings)
                seeds = sample.seed[inside]
                found_by_seed = [
                    (sample.decision[inside[seeds == k]] == 1).mean() for k in np.unique(seeds)
                ]
                row["sensitivity"] = float(np.mean(found_by_seed))
                row |= {"lo": found.lo, "hi": found.hi, "interval": found.how}
                yield row | {"reason": ""}
