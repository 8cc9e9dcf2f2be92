"""What every rule promises, checked for every rule: list one in the catalog and it is tested.

A package that adds a rule under the entry point `segclf.summarizers` is tested as soon as it is
installed. Masks are logits that go through `core.maskstats.mask_statistics`.
"""

import dataclasses

import numpy as np
import pytest
from scipy.special import expit

from segclf.core.catalog import plugin_points
from segclf.core.mapstats import extra_statistics, find_map_statistics
from segclf.core.maskstats import MaskStatistics, make_statistics, mask_statistics
from segclf.core.settings import SummarizeSettings
from segclf.summarize import SUMMARIZERS, find_summarizer

RULES = [*SUMMARIZERS, *(point.name for point in plugin_points("segclf.summarizers"))]
FINDINGS = ("lesion", "other")
NO_SIGNAL = -30.0  # a logit of almost no probability

CHANGES = {
    "flip": np.flip,
    "padding": lambda logits: np.pad(logits, 3, constant_values=NO_SIGNAL),
    "scale": lambda logits: np.kron(logits, np.ones((2,) * logits.ndim)),
}


def statistics_of(maps):
    """Statistics of many cases; each is an array of logits (finding, *space)."""
    needed = {name for rule in RULES for name in find_summarizer(rule)[1].needs}
    plugins = find_map_statistics(sorted(needed))
    rows = [
        {
            "case_id": f"case{i}",
            "finding": finding,
            "fold": None,
            **mask_statistics(
                expit(np.float64(np.float32(logits))), logits, px_size=1.0, component_t=0.5
            ),
            **extra_statistics(plugins, expit(np.float64(logits)), None),
        }
        for i, case in enumerate(maps)
        for finding, logits in zip(FINDINGS, case, strict=True)
    ]
    return make_statistics(rows)


def score_of(rule, maps):
    _, summarizer = find_summarizer(rule)
    options = {name: getattr(SummarizeSettings(), name) for name in summarizer.options}
    return summarizer.score(statistics_of(maps), finding="lesion", **options)


def area_of(rule, maps):
    _, summarizer = find_summarizer(rule)
    return summarizer.decision(statistics_of(maps), finding="lesion", t=0.5, unit="px")


@pytest.fixture(params=[(15, 10), (6, 5, 5)], ids=["2D", "3D"])
def maps(request):
    """Eight cases of two findings: noise of little probability, and a lesion in every other."""
    rng = np.random.default_rng(3)
    maps = rng.normal(-4.0, 1.5, size=(8, len(FINDINGS), *request.param))
    corner = (slice(1, 4),) * len(request.param)
    maps[::2, 0][(slice(None), *corner)] += 5.0
    return maps


@pytest.mark.parametrize("rule", RULES)
def test_there_is_one_finite_score_per_case_within_the_declared_range(rule, maps):
    score = score_of(rule, maps)
    low, high = find_summarizer(rule)[1].score_range
    assert score.shape == (len(maps),)
    assert np.isfinite(score).all()
    assert low <= score.min() <= score.max() <= high
    assert len(np.unique(score)) > 1


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("logit", [-80.0, NO_SIGNAL, 0.0, 80.0])
def test_empty_and_full_masks_have_a_finite_score_within_the_range(rule, logit, maps):
    score = score_of(rule, np.full_like(maps, logit))
    low, high = find_summarizer(rule)[1].score_range
    assert np.isfinite(score).all()
    assert low <= score.min() <= score.max() <= high


@pytest.mark.parametrize("rule", RULES)
def test_a_lesion_scores_more_than_no_lesion(rule, maps):
    with_lesion, without = maps[::2], np.minimum(maps[::2], -3.0)
    assert (score_of(rule, with_lesion) > score_of(rule, without)).all()


@pytest.mark.parametrize("rule", RULES)
def test_more_lesion_never_scores_less(rule, maps):
    if not find_summarizer(rule)[1].grows:
        pytest.skip("the rule declares that it does not grow with the lesion")
    rng = np.random.default_rng(4)
    score = score_of(rule, maps)
    for share in (0.02, 0.3, 1.0):
        more = maps.copy()
        more[:, 0] += 4.0 * (rng.random(maps[:, 0].shape) < share)
        assert (score_of(rule, more) >= score - 1e-12 * np.abs(score)).all()


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("rule", RULES)
def test_the_score_is_invariant_to_what_it_declares_and_to_nothing_else(rule, change, maps):
    changed = [[CHANGES[change](logits) for logits in case] for case in maps]
    difference = score_of(rule, changed) - score_of(rule, maps)
    scale = np.abs(score_of(rule, maps)).max()
    if change in find_summarizer(rule)[1].invariant_to:
        assert np.abs(difference).max() <= 1e-6 * scale
    else:
        assert np.abs(difference).max() > 1e-3 * scale


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("rule", [r for r in RULES if find_summarizer(r)[1].decision])
def test_the_area_is_invariant_to_what_it_declares_and_to_nothing_else(rule, change, maps):
    changed = [[CHANGES[change](logits) for logits in case] for case in maps]
    is_equal = np.array_equal(area_of(rule, changed), area_of(rule, maps))
    assert is_equal == (change in find_summarizer(rule)[1].decision_invariant_to)


@pytest.mark.parametrize("rule", RULES)
def test_a_rule_changes_nothing_and_follows_the_order_of_the_rows(rule, maps):
    _, summarizer = find_summarizer(rule)
    options = {name: getattr(SummarizeSettings(), name) for name in summarizer.options}
    statistics = statistics_of(maps)
    before = dataclasses.replace(
        statistics, frame=statistics.frame.copy(), area_curve=statistics.area_curve.copy()
    )
    score = summarizer.score(statistics, finding="lesion", **options)
    assert statistics.frame.equals(before.frame)
    assert np.array_equal(statistics.area_curve, before.area_curve)
    turned = MaskStatistics(
        statistics.frame.iloc[::-1].reset_index(drop=True),
        statistics.area_curve[::-1],
        statistics.overlap_curve[::-1],
    )
    again = summarizer.score(turned, finding="lesion", **options)
    assert np.array_equal(again[::-1], score)


@pytest.mark.parametrize("rule", RULES)
def test_a_rule_declares_only_changes_and_settings_that_exist(rule):
    _, summarizer = find_summarizer(rule)
    assert summarizer.invariant_to | summarizer.decision_invariant_to <= set(CHANGES)
    assert set(summarizer.options) <= set(SummarizeSettings.model_fields)
    assert summarizer.score.__doc__
