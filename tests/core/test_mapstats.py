"""Measures of maps that plug-ins add."""

import numpy as np
import pytest

from segclf.core.errors import UsageError
from segclf.core.mapstats import MAP_STATISTICS, extra_statistics, find_map_statistics


def test_columns_of_several_measures_stand_side_by_side():
    measures = {
        "a": lambda p, mm: {"spread": np.ptp(p), "mm": np.nan if mm is None else mm[0]},
        "b": lambda p, mm: {"n": p.size},
    }
    p = np.array([[0.25, 1.0]])
    assert extra_statistics(measures, p, (0.5, 2.0)) == {"spread": 0.75, "mm": 0.5, "n": 2.0}
    assert np.isnan(extra_statistics(measures, p, None)["mm"])
    assert p.flags.writeable  # the caller's own array stays as it was


@pytest.mark.parametrize(
    ("found", "text"),
    [
        ({"mean_p": 0.5}, "gives mean_p = 0.5"),
        ({"area_curve": 0.5}, "gives area_curve"),
        ({"a b": 0.5}, "gives a b"),
        ({"edge": "steep"}, "gives edge = 'steep'"),
        ({"edge": np.zeros(2)}, "gives edge"),
    ],
)
def test_a_measure_gives_numbers_under_names_of_its_own(found, text):
    with pytest.raises(UsageError, match=text) as caught:
        extra_statistics({"mine": lambda p, mm: found}, np.zeros((2, 2)), None)
    assert caught.value.where == "map statistic 'mine'"


def test_two_measures_never_share_a_column():
    same = {name: lambda p, mm: {"edge": 1.0} for name in "ab"}
    with pytest.raises(UsageError, match="edge"):
        extra_statistics(same, np.zeros((2, 2)), None)


def test_a_measure_cannot_change_the_map():
    def spoil(p, mm):
        p[0, 0] = 1.0
        return {}

    with pytest.raises(ValueError, match="read-only"):
        extra_statistics({"spoil": spoil}, np.zeros((2, 2)), None)


def test_an_unknown_measure_is_refused_with_near_names(monkeypatch):
    monkeypatch.setitem(MAP_STATISTICS, "edge", lambda p, mm: {})
    assert list(find_map_statistics(["edge"])) == ["edge"]
    with pytest.raises(UsageError, match="did you mean 'edge'"):
        find_map_statistics(["egde"])
