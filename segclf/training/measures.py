"""Numbers of a validation: AUROC of the image score, Dice on positives, false alarms."""

from typing import Any

import numpy as np

MEASURES = ("loss", "score", "label", "overlap_px", "predicted_px", "true_px")
"""Last axis of a measured array `(case, finding, measure)`. `overlap_px`, `predicted_px` and
`true_px` count pixels of the mask; NaN where the truth is unknown or nothing was predicted."""
COLLAPSED_DICE = 0.01
Numbers = dict[str, Any]


def auroc(score: np.ndarray, label: np.ndarray) -> float | None:
    """Chance that a positive case scores above a negative one; ties count one half.

    None if a class is missing. Cases with an unknown label or score are left out.

    Args:
        score: (case,) any real number; NaN = not scored.
        label: (case,) 1, 0 or NaN = not known.

    Source:
        Mann-Whitney U / (n_positive * n_negative); Hanley and McNeil, Radiology 1982.
    """
    known = np.isfinite(score) & np.isfinite(label)
    score, positive = score[known], label[known] > 0.5
    n_positive = int(positive.sum())
    n_negative = positive.size - n_positive
    if not n_positive or not n_negative:
        return None
    _, group, n_tied = np.unique(score, return_inverse=True, return_counts=True)
    rank = np.cumsum(n_tied) - (n_tied - 1) / 2.0  # mean rank of each group of ties, from 1
    rank_sum = float(rank[group][positive].sum())
    return (rank_sum - n_positive * (n_positive + 1) / 2) / (n_positive * n_negative)


def validation_numbers(measured: np.ndarray) -> Numbers:
    """Loss, Dice, false alarms and AUROC of the validation cases, with counts and reasons.

    Dice is averaged over masks that hold a positive pixel; the others count in
    `false_positive_rate`, the share of them with a predicted pixel. With several findings,
    `auroc` is the mean over the findings for which it is defined. What is undefined is None and
    has a reason under `undefined`.

    Args:
        measured: (case, finding, measure), see `MEASURES`; a case that could not be read is NaN
            throughout.
    """
    loss, score, label, overlap, predicted, true = np.moveaxis(measured, -1, 0)
    with_lesion, without = true > 0, true == 0
    dice = 2.0 * overlap[with_lesion] / (predicted[with_lesion] + true[with_lesion])
    per_finding = [auroc(score[:, f], label[:, f]) for f in range(measured.shape[1])]
    defined = [value for value in per_finding if value is not None]
    usable = np.isfinite(loss).any(axis=1)
    numbers: Numbers = {
        "loss": _mean(loss[usable]),
        "dice_positives": _mean(dice),
        "false_positive_rate": _mean((predicted[without] > 0).astype(float)),
        "auroc": _mean(np.array(defined)),
        "n_cases": int(usable.sum()),
        "n_unusable": int((~usable).sum()),
        "n_masks_positive": int(with_lesion.sum()),
        "n_masks_negative": int(without.sum()),
        "n_labels_positive": int((label == 1).sum()),
        "n_labels_negative": int((label == 0).sum()),
    }
    if measured.shape[1] > 1:
        numbers["auroc_per_finding"] = per_finding
    numbers["undefined"] = _reasons(numbers)
    return numbers


def is_collapsed(numbers: Numbers) -> bool:
    """Whether the masks of a segmenter are useless: Dice on positives about 0."""
    dice = numbers["dice_positives"]
    return dice is not None and dice < COLLAPSED_DICE


def selection_key(numbers: Numbers, select_by: str) -> list[float] | None:
    """What the kept weights maximize: AUROC or Dice, then the smaller loss; None if undefined.

    The loss decides between equal values, because AUROC reaches 1 early on few cases.
    """
    value = numbers["auroc" if select_by == "auroc" else "dice_positives"]
    if value is None or numbers["loss"] is None:
        return None
    return [value, -numbers["loss"]]


def _mean(values: np.ndarray) -> float | None:
    return float(values.mean()) if values.size else None


def _reasons(numbers: Numbers) -> dict[str, str]:
    no_label = [sign for sign in ("positive", "negative") if numbers[f"n_labels_{sign}"] == 0]
    causes = {
        "loss": "no validation case could be used",
        "dice_positives": "no known validation mask holds a positive pixel",
        "false_positive_rate": "no known validation mask is empty",
        "auroc": f"no validation case is labelled {' or '.join(no_label)}"
        if no_label
        else "no finding has both positive and negative validation cases",
    }
    return {name: cause for name, cause in causes.items() if numbers[name] is None}
