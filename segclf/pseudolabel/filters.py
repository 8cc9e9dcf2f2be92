"""Filters that look at labels, areas and probabilities; `count` has a file of its own."""

import math

import numpy as np

from segclf.pseudolabel.predicted import DROPPED, EMPTY, KEPT, UNCERTAIN, Predicted, Verdict


def none(predicted: Predicted, k: int) -> Verdict:
    """Every mask is kept: the pixels with p > t."""
    return Verdict(_inside(predicted, k), KEPT, "no_filter")


def label(predicted: Predicted, k: int) -> Verdict:
    """A mask is dropped if the label that rule `tau` reads from it is not the known one.

    The label is 1 if more than tau lies above t, counted as `summarize --rule tau` counts it. A
    label that is not known disagrees with nothing.
    """
    known = predicted.labels[k]
    if math.isnan(known):
        return Verdict(_inside(predicted, k), KEPT, "label_unknown")
    area = predicted.area(int(predicted.predicted_mask(k).sum()), k)
    if math.isnan(area):
        return Verdict(None, DROPPED, "no_pixel_size")
    if (area > predicted.cuts[k].tau) == (known == 1):
        return Verdict(_inside(predicted, k), KEPT, "label_agrees")
    return Verdict(None, DROPPED, f"label_{known:.0f}_predicted_{1 - known:.0f}")


def boosted(predicted: Predicted, k: int) -> Verdict:
    """Labels correct the masks: our exact reading of the paper's boosted semi-supervision.

    Label 0: the empty mask. Label 1: dropped if the mask is not larger than tau (it would teach
    background), else kept. Label not known: kept if `label_confidence` is above
    `pseudolabel.min_confidence`, else dropped.

    Source:
        Hooper et al., "A case for reframing automated medical image classification as
        segmentation", NeurIPS 2023, filters pseudo-masks by classification labels; its exact rule
        was not available to us.
    """
    known = predicted.labels[k]
    if known == 0:
        return Verdict(predicted.empty(), EMPTY, "label_0")
    mask = _inside(predicted, k)
    area = predicted.area(int(mask.sum()), k)
    if math.isnan(area):
        return Verdict(None, DROPPED, "no_pixel_size")
    is_large = area > predicted.cuts[k].tau
    if known == 1:
        if is_large:
            return Verdict(mask, KEPT, "label_1_above_tau")
        return Verdict(None, DROPPED, "label_1_not_above_tau")
    sure = label_confidence(predicted, k, is_positive=is_large)
    if sure > predicted.settings.min_confidence:
        return Verdict(mask, KEPT, "label_unknown_sure", confidence=sure)
    return Verdict(None, DROPPED, "label_unknown_unsure", confidence=sure)


def label_confidence(predicted: Predicted, k: int, *, is_positive: bool) -> float:
    """How far the pixel threshold could move before the label of a mask changes, from 0 to 1.

    The label is positive if at least m pixels are above t, m the fewest that exceed tau. So the
    m-th largest probability p_(m) decides. Its distance to t counts, not to one half: t is fitted
    and may be 0.01, where p_(m) itself would call every negative mask sure and no positive one.
    With q = odds of p_(m) / (odds of p_(m) + odds of t), which is p_(m) for t = 0.5, the confidence
    is q if the mask is positive, else 1 - q, and 1 for a negative mask of an image that has fewer
    than m pixels.
    """
    n_px = predicted.probability[k].size
    m = fewest_above(predicted, k)
    if m > n_px:
        return 1.0
    decisive = float(np.partition(predicted.probability[k], n_px - m, axis=None)[n_px - m])
    t = predicted.cuts[k].t
    above, below = decisive * (1.0 - t), t * (1.0 - decisive)
    return (above if is_positive else below) / (above + below)


def fewest_above(predicted: Predicted, k: int) -> int:
    """The fewest pixels whose area is larger than tau."""
    tau = predicted.cuts[k].tau
    m = max(1, math.floor(tau / predicted.area(1, k)) + 1)
    while m > 1 and predicted.area(m - 1, k) > tau:  # the division may have rounded
        m -= 1
    while predicted.area(m, k) <= tau:
        m += 1
    return m


def confidence(predicted: Predicted, k: int) -> Verdict:
    """Pixels between two probabilities are not known; they never become background.

    1 above the upper bound of `pseudolabel.uncertain`, 0 below the lower one, 2 (left out of
    losses) from the one to the other. Neither t nor tau nor the label is used. A mask without any
    pixel that is known is dropped.

    Source:
        Hooper et al., J. Med. Imaging 10(2):024007, 2023, leaves out pixels whose larger
        probability is at most 0.65, which is the default.
    """
    low, high = (np.float64(bound) for bound in predicted.settings.uncertain)
    p = predicted.probability[k]
    mask = np.full(p.shape, UNCERTAIN, dtype=np.uint8)
    mask[p < low] = 0
    mask[p > high] = 1
    if (mask == UNCERTAIN).all():
        return Verdict(None, DROPPED, "no_sure_pixel")
    return Verdict(mask, KEPT, "sure_pixels", kind="uncertain")


def _inside(predicted: Predicted, k: int) -> np.ndarray:
    return predicted.mask(k).astype(np.uint8)
