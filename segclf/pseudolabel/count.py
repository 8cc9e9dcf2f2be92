"""The filter that knows from a report how many findings there are."""

import math

import numpy as np

from segclf.pseudolabel.predicted import DROPPED, EMPTY, KEPT, Predicted, Verdict


def count(predicted: Predicted, k: int) -> Verdict:
    """The n most confident connected components of p > t are kept, n from a report.

    The confidence of a component is its largest probability; of equal ones the larger, then the
    one that starts first, is kept. Pixels that share a face belong to one component. Fewer than n
    components, no n, or an n that contradicts the label: dropped. n = 0: the empty mask.

    Source:
        Bosma et al., "Semisupervised learning with report-guided pseudo labels for deep
        learning-based prostate cancer detection using biparametric MRI", Radiology: Artificial
        Intelligence 5(5), 2023 (report_guided_annotation), which leaves out cases with fewer
        candidates as well.
    """
    n, known = predicted.n_findings[k], predicted.labels[k]
    if n is None:
        if known == 0:
            return Verdict(predicted.empty(), EMPTY, "label_0")
        return Verdict(None, DROPPED, "count_unknown")
    if not math.isnan(known) and (n > 0) != (known == 1):
        return Verdict(None, DROPPED, "count_contradicts_label")
    if n == 0:
        return Verdict(predicted.empty(), EMPTY, "count_0")
    mask = predicted.mask(k)
    numbers, confidences, sizes = components(mask, predicted.probability[k])
    if len(sizes) < n:
        return Verdict(None, DROPPED, "fewer_components_than_count")
    if len(sizes) == n:
        return Verdict(mask.astype(np.uint8), KEPT, "as_many_components_as_count")
    best = np.lexsort((np.arange(len(sizes)), -sizes, -confidences))[:n]
    kept = np.isin(numbers, best + 1)
    return Verdict(kept.astype(np.uint8), KEPT, "most_confident_components")


def components(
    mask: np.ndarray, probability: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Number of the component at each pixel (0 outside), and per component peak and pixels."""
    from scipy import ndimage  # heavy, and only this filter needs it

    numbers, n_components = ndimage.label(mask)  # type: ignore[misc] (a pair)
    index = np.arange(1, n_components + 1)
    if n_components == 0:
        return numbers, np.empty(0), np.empty(0, dtype=np.int64)
    peaks = np.asarray(ndimage.maximum(probability, numbers, index), dtype=np.float64)
    return numbers, peaks, np.bincount(numbers.ravel(), minlength=n_components + 1)[1:]
