"""Intervals of single estimates: AUROCs, shares, differences, and whatever was resampled."""

import math
from collections.abc import Callable
from statistics import NormalDist

import numpy as np

from segclf.evaluate.inference.auroc import Auroc

FEW_PATIENTS = 25
"""With fewer patients in the smaller class the variance of an AUROC is too uncertain to build on,
and Newcombe's formula stands in. Chosen from simulated coverage: docs/coverage.md."""
NEWCOMBE = "Newcombe 5 on effective n"
LOGIT = "clustered DeLong, logit"
DELONG = "DeLong, cases as independent"
WILSON = "Wilson on effective n"


def auroc_interval(auroc: Auroc, confidence: float) -> tuple[float, float, str]:
    """Interval of an AUROC whose cases share patients, and the name of the method.

    Small groups get Newcombe's method 5 on effective numbers of cases; others the clustered
    variance on the logit scale, with Student's t on Satterthwaite's degrees of freedom. Within
    [0, 1] and never of width zero. Undefined (NaN) where the AUROC is.

    Args:
        auroc: The estimate with both variances and its counts.
        confidence: In (0, 1), such as 0.95.

    Returns:
        Lower limit, upper limit, name.

    Source:
        Newcombe, Stat. Med. 25 (2006) 559; Obuchowski, Biometrics 53 (1997) 567; Satterthwaite,
        Biometrics Bull. 2 (1946) 110. Effective n and the switch are ours; their coverage is in
        docs/coverage.md.
    """
    n_patients = min(auroc.n_positive_patients, auroc.n_negative_patients)
    if n_patients >= FEW_PATIENTS and auroc.variance > 0:
        return *logit_interval(auroc, confidence), LOGIT
    return *newcombe5(auroc.value, *effective_n(auroc), confidence), NEWCOMBE


def effective_n(auroc: Auroc) -> tuple[float, float]:
    """Numbers of independent positives and negatives that would tell as much.

    Cases are divided by the design effect, clustered over plain variance, at least 1. Near perfect
    separation, or where almost all scores tie, few patients tell it, and a single one cannot. So
    it is averaged with the design effect of patients whose cases are all alike, which leaves one
    case per patient and weighs as much as a quarter of each informative patient after the first.
    """
    ratio = auroc.variance / auroc.variance_of_cases if auroc.variance_of_cases > 0 else math.nan
    n_telling = 0.0 if math.isnan(ratio) else max(auroc.n_informative - 1, 0.0)
    known = n_telling / (n_telling + 0.25)
    design = known * max(ratio, 1.0) if known > 0 else 0.0
    counts = (auroc.n_positive, auroc.n_positive_patients)
    others = (auroc.n_negative, auroc.n_negative_patients)
    n_positive, n_negative = (
        n / (design + (1 - known) * n / n_patients) if n else 0.0
        for n, n_patients in (counts, others)
    )
    return n_positive, n_negative


def newcombe5(
    auroc: float, n_positive: float, n_negative: float, confidence: float
) -> tuple[float, float]:
    """Newcombe's score interval of an AUROC from its value and the numbers of cases alone.

    Within [0, 1] and never of width zero, at 0 and 1 neither. Undefined (NaN) without cases.

    Args:
        auroc: In [0, 1].
        n_positive: Independent positive cases, or their effective number.
        n_negative: Independent negative cases, or their effective number.
        confidence: In (0, 1).

    Source:
        Newcombe, Stat. Med. 25 (2006) 559, method 5: the variance of two exponential
        distributions with both n replaced by (n_positive + n_negative) / 2.
    """
    if math.isnan(auroc) or not min(n_positive, n_negative) > 0:
        return math.nan, math.nan
    z2 = _z(confidence) ** 2
    n = max((n_positive + n_negative) / 2 - 1, 0.0)

    def is_outside(t: float) -> bool:
        spread = t * (1 - t) * (1 + n * (1 - t) / (2 - t) + n * t / (1 + t))
        return (auroc - t) ** 2 * n_positive * n_negative > z2 * spread

    return _edge(is_outside, 0.0, auroc), _edge(is_outside, 1.0, auroc)


def logit_interval(auroc: Auroc, confidence: float) -> tuple[float, float]:
    """Interval of an AUROC from its clustered variance, symmetric on the logit scale.

    Undefined (NaN) at 0 and 1, and without a variance.

    Args:
        auroc: The estimate; the degrees of freedom are twice its informative patients, because
            the variance of a sum of squared pulls is at most the sum of their fourth powers.
        confidence: In (0, 1).
    """
    from scipy import special  # costs 0.1 s, and small groups need none

    if not (0 < auroc.value < 1 and auroc.variance > 0):
        return math.nan, math.nan
    quantile = float(special.stdtrit(2 * auroc.n_informative, (1 + confidence) / 2))
    slope = auroc.value * (1 - auroc.value)
    half = quantile * math.sqrt(auroc.variance) / slope
    center = math.log(auroc.value / (1 - auroc.value))
    lo, hi = special.expit([center - half, center + half])
    return float(lo), float(hi)


def delong_interval(auroc: Auroc, confidence: float) -> tuple[float, float]:
    """DeLong's interval as pROC gives it: patients ignored, symmetric, cut off at 0 and 1.

    For comparison with other tools only: it covers too rarely in small groups, and wherever
    patients have several cases. Undefined (NaN) without a variance, as at 0 and 1.

    Source:
        DeLong, DeLong and Clarke-Pearson, Biometrics 44 (1988) 837. Witness: pROC.
    """
    if not auroc.variance_of_cases > 0:
        return math.nan, math.nan
    half = _z(confidence) * math.sqrt(auroc.variance_of_cases)
    return max(auroc.value - half, 0.0), min(auroc.value + half, 1.0)


def wilson(share: float, n: float, confidence: float) -> tuple[float, float]:
    """Wilson's score interval of a share; undefined (NaN) without cases.

    Args:
        share: In [0, 1].
        n: Independent cases, or their effective number.
        confidence: In (0, 1).

    Source:
        Wilson, J. Am. Stat. Assoc. 22 (1927) 209. Witness: statsmodels.
    """
    if math.isnan(share) or not n > 0:
        return math.nan, math.nan
    z2 = _z(confidence) ** 2
    center = share + z2 / (2 * n)
    half = math.sqrt(z2 * (share * (1 - share) / n + z2 / (4 * n * n)))
    lo, hi = ((center + sign * half) / (1 + z2 / n) for sign in (-1, 1))
    return (0.0 if share == 0 else max(lo, 0.0)), (1.0 if share == 1 else min(hi, 1.0))


def share_interval(
    hits: np.ndarray, cases: np.ndarray, confidence: float
) -> tuple[float, float, float, str]:
    """Interval of a share of cases that share patients: sensitivity, PPV, accuracy and the like.

    Undefined (NaN) without cases.

    Args:
        hits: (patient,) how many of the patient's cases count.
        cases: (patient,) out of how many; patients with none are left out.
        confidence: In (0, 1).

    Returns:
        Lower limit, upper limit, effective number of cases, name.
    """
    n = effective_cases(hits, cases)
    share = float(hits.sum() / cases.sum()) if n > 0 else math.nan
    return *wilson(share, n, confidence), n, WILSON


def effective_cases(hits: np.ndarray, cases: np.ndarray) -> float:
    """Number of independent cases that would tell as much about a share of cases of patients.

    Between 1 and the number of cases; 0 without any. The design effect compares how far patients
    lie from the share with how far cases do. Both are taken from the share after two more
    patients with, and two without: where every case counts, or none, cases of a patient are
    then taken as alike.

    Args:
        hits: (patient,) how many of the patient's cases count.
        cases: (patient,) out of how many; a part of a case, where only some seeds have it.

    Source:
        The ratio estimator's linearised variance, Kish, Survey Sampling (1965); the four added
        patients after Agresti and Coull, Am. Stat. 52 (1998) 119.
    """
    hits, cases = hits[cases > 0].astype(np.float64), cases[cases > 0].astype(np.float64)
    n, n_patients = float(cases.sum()), len(cases)
    if n_patients < 2 or n <= n_patients * (1 + 1e-12):  # single cases are independent
        return min(n, float(n_patients))
    share = (n_patients * hits.sum() / n + 2) / (n_patients + 4)
    of_patients = ((hits - share * cases) ** 2).sum() * n_patients / (n_patients - 1)
    of_cases = (hits * (1 - share) ** 2 + (cases - hits) * share**2).sum() * n / (n - 1)
    return float(np.clip(n * of_cases / of_patients, 1.0, n)) if of_patients > 0 else n


def _edge(is_outside: Callable[[float], bool], outer: float, inner: float) -> float:
    """Where `is_outside` turns true between `inner`, where it is not, and `outer`."""
    if not is_outside(outer):
        return outer
    for _ in range(60):
        middle = (outer + inner) / 2
        outer, inner = (middle, inner) if is_outside(middle) else (outer, middle)
    return (outer + inner) / 2


def _z(confidence: float) -> float:
    return NormalDist().inv_cdf((1 + confidence) / 2)
