"""A pooled AUROC taken apart: pairs within groups and across them."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Decomposition:
    """AUROC of the positives of one group against the negatives of another."""

    auroc: np.ndarray
    """(group of the positives, group of the negatives); NaN where there is no pair."""
    n_positive: np.ndarray
    """(group,)"""
    n_negative: np.ndarray
    """(group,)"""

    @property
    def within(self) -> np.ndarray:
        """(group,) AUROC inside each group."""
        return np.diag(self.auroc).copy()

    @property
    def n_pairs(self) -> np.ndarray:
        """(group of the positives, group of the negatives)."""
        return self.n_positive[:, None] * self.n_negative[None, :]

    def mix(self, pairs: np.ndarray) -> float:
        """AUROC over the pairs marked True, weighted by their numbers; NaN without pairs."""
        n = np.where(pairs, self.n_pairs, 0)
        total = int(n.sum())
        return float(np.nansum(n * self.auroc) / total) if total else float("nan")

    @property
    def pooled(self) -> float:
        """AUROC of all cases."""
        return self.mix(np.ones_like(self.auroc, dtype=bool))

    @property
    def across(self) -> float:
        """AUROC over all pairs of different groups."""
        return self.mix(~np.eye(len(self.auroc), dtype=bool))

    @property
    def inside(self) -> float:
        """AUROC over all pairs of one group."""
        return self.mix(np.eye(len(self.auroc), dtype=bool))


def decompose(
    score: np.ndarray, positive: np.ndarray, group: np.ndarray, n_groups: int
) -> Decomposition:
    """AUROC for every pair of groups; the pooled AUROC is their mean, weighted by pairs.

    All groups can be ranked well while the pooled AUROC is poor, where scores of one group lie
    higher than those of another; across-group values show that.

    Args:
        score: (case,) higher means more likely positive.
        positive: (case,) bool.
        group: (case,) codes below `n_groups`; cases with -1 are left out.
        n_groups: Number of groups, also of those without a case.

    Raises:
        ValueError: A score is NaN, or a code is too large.

    Source:
        Cross-group AUROC: Kallus and Zhou, NeurIPS 2019 (xAUC). Witness: `roc_auc_score`.
    """
    if np.isnan(score).any() or (len(group) and group.max() >= n_groups):
        raise ValueError(
            f"scores without NaN and codes below {n_groups} are needed: got "
            f"{int(np.isnan(score).sum())} NaN and the code {group.max()}."
        )
    is_positive, is_negative = positive & (group >= 0), ~positive & (group >= 0)
    ours, theirs = score[is_positive], group[is_positive]
    n_positive = np.bincount(theirs, minlength=n_groups)
    n_negative = np.bincount(group[is_negative], minlength=n_groups)
    auroc = np.full((n_groups, n_groups), np.nan)
    for g in np.flatnonzero(n_negative):
        others = np.sort(score[is_negative & (group == g)])
        below = np.searchsorted(others, ours, "left") + np.searchsorted(others, ours, "right")
        won = np.bincount(theirs, below / 2, minlength=n_groups)
        has = n_positive > 0
        auroc[has, g] = won[has] / (n_positive[has] * n_negative[g])
    return Decomposition(auroc, n_positive, n_negative)


def relative_improvement(new: np.ndarray, old: np.ndarray) -> np.ndarray:
    """(new - old) / old, such as 0.448 for 0.84 after 0.58; NaN where `old` is not above 0.

    Args:
        new: Value of a method, or one per replicate.
        old: The same of the method it is compared with.
    """
    new, old = np.asarray(new, dtype=np.float64), np.asarray(old, dtype=np.float64)
    usable = old > 0
    return np.where(usable, (new - old) / np.where(usable, old, 1.0), np.nan)
