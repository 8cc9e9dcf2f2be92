"""Statistics of slices, stacked: against the NumPy definition on the stacked maps."""

import numpy as np
import pandas as pd
import pytest

from segclf.core.errors import DataError
from segclf.core.maskstats import (
    THRESHOLDS,
    TOP_COLUMNS,
    TOP_LOGIT_COLUMNS,
    MaskStatistics,
    make_statistics,
    mask_statistics,
)
from segclf.summarize.volumes import stack_slices

N_SLICES = 6
EXACT = ("mean_p", "max_p", "mean_logit", "max_logit", "sum_log1mp", "lse_logit")


def statistics_of(logits, *, truth=None, px_size=4.0, **fixed):
    p = 1 / (1 + np.exp(-logits.astype(np.float64)))
    return mask_statistics(p, logits, px_size=px_size, truth=truth, component_t=0.5) | fixed


@pytest.fixture
def maps():
    """Logits (volume, slice, row, column), float32, and truth; the first volume has a lesion."""
    random = np.random.default_rng(3)
    logits = random.normal(-5, 2, (3, N_SLICES, 20, 24)).astype(np.float32)
    logits[0, 2:4, 5:9, 6:12] += 9
    truth = np.zeros(logits.shape, np.uint8)
    truth[0, 2:4, 5:9, 6:12] = 1
    return logits, truth


def stacked_of(logits, truth, *, drop=(), thickness=5.0):
    rows, table = [], []
    for v in range(len(logits)):
        for z in range(N_SLICES):
            name = f"v{v}#{z}"
            table.append({"case_id": name, "volume_id": f"v{v}", "slice_spacing_mm": thickness})
            if name not in drop:
                known = None if truth is None else truth[v, z]
                fixed = {"case_id": name, "finding": "f", "fold": pd.NA}
                rows.append(statistics_of(logits[v, z], truth=known, **fixed))
    order = np.random.default_rng(0).permutation(len(rows))  # slices come in any order
    return stack_slices(make_statistics([rows[i] for i in order]), pd.DataFrame(table))


def definition(logits, truth):
    """Of whole volumes, by `mask_statistics` on (slice, row, column)."""
    return make_statistics(
        [
            statistics_of(
                each, truth=None if truth is None else truth[v], px_size=20.0,
                case_id=f"v{v}", finding="f", fold=pd.NA,
            )
            for v, each in enumerate(logits)
        ]
    )  # fmt: skip


def ordered(statistics):
    order = statistics.frame["case_id"].argsort().to_numpy()
    frame = statistics.frame.iloc[order].reset_index(drop=True)
    return MaskStatistics(frame, statistics.area_curve[order], statistics.overlap_curve[order])


def test_sums_maxima_and_curves_are_those_of_the_stacked_maps(maps):
    stacked, left_out = stacked_of(*maps)
    found, expected = ordered(stacked), definition(*maps)
    assert left_out.empty
    np.testing.assert_array_equal(found.area_curve, expected.area_curve)
    np.testing.assert_array_equal(found.overlap_curve, expected.overlap_curve)
    for name in EXACT:
        np.testing.assert_allclose(found.frame[name], expected.frame[name], rtol=1e-12)
    for name in ("case_id", "finding", "n_px", "px_size", "is_volume", "true_px", "component_t"):
        assert found.frame[name].to_list() == expected.frame[name].to_list()
    assert found.frame["fold"].isna().all()
    assert found.frame.dtypes.to_list() == expected.frame.dtypes.to_list()


def test_means_of_the_top_fractions_come_from_the_curve(maps):
    logits, truth = maps
    logits[2] -= 9  # a volume with hardly a pixel above p = 0.001
    found, expected = ordered(stacked_of(logits, truth)[0]).frame, definition(logits, truth).frame
    steps = np.diff(np.concatenate([[0], THRESHOLDS, [1]])).max() / 2
    for name in TOP_COLUMNS:
        assert (abs(found[name] - expected[name]) < steps).all()
        assert (found[name] <= expected["max_p"]).all()
    close = [0, 1]  # these have the pixels above p = 0.001 that the curve can count
    beyond = (expected["max_logit"] - np.log(999)).clip(lower=0) / 2
    for name in TOP_LOGIT_COLUMNS[:3]:
        off = abs(found[name] - expected[name])[close]
        assert (off <= np.maximum(beyond[close], 0.06)).all()
    assert abs(found.loc[1, "top_logit_2"] - expected.loc[1, "top_logit_2"]) < 0.03
    assert (found.loc[2, list(TOP_LOGIT_COLUMNS)] <= expected.loc[2, "max_logit"]).all()


def test_components_are_those_of_single_slices(maps):
    found = ordered(stacked_of(*maps)[0]).frame
    each = [statistics_of(z, px_size=4.0) for v in maps[0] for z in v]
    largest = np.array([s["largest_component_px"] for s in each]).reshape(-1, N_SLICES)
    number = np.array([s["n_components"] for s in each]).reshape(-1, N_SLICES)
    assert found["largest_component_px"].to_list() == largest.max(1).tolist()
    assert found["n_components"].to_list() == number.sum(1).tolist()
    assert found[["surface_dice", "hd95_mm"]].isna().all(axis=None)


def test_a_volume_without_one_of_its_slices_is_left_out_and_counted(maps):
    stacked, left_out = stacked_of(*maps, drop=("v1#4",))
    assert sorted(stacked.frame["case_id"]) == ["v0", "v2"]
    assert left_out[["volume_id", "n_slices", "n_missing"]].to_numpy().tolist() == [["v1", 6, 1]]
    found, expected = ordered(stacked), definition(*maps)
    np.testing.assert_array_equal(found.area_curve, expected.area_curve[[0, 2]])


def test_folds_and_findings_stay_apart():
    logits = np.full((2, 2), -3.0, np.float32)
    rows = [
        statistics_of(logits + f + 2 * k, case_id=f"v#{z}", finding=name, fold=f)
        for f in (0, 1)
        for k, name in enumerate("ab")
        for z in range(2)
    ]
    slices = pd.DataFrame({"case_id": ["v#0", "v#1"], "volume_id": "v"})
    frame = stack_slices(make_statistics(rows), slices)[0].frame
    assert frame[["finding", "fold"]].to_numpy().tolist() == [
        ["a", 0], ["b", 0], ["a", 1], ["b", 1],
    ]  # fmt: skip
    np.testing.assert_allclose(frame["max_logit"], [-3, -1, -2, 0])
    assert frame["px_size"].isna().all()  # nobody knows how far slices are apart


def test_truth_that_is_not_known_in_a_slice_is_not_known_in_the_volume(maps):
    logits, truth = maps
    rows = []
    for z in range(N_SLICES):
        known = truth[0, z] if z != 3 else None
        rows.append(
            statistics_of(logits[0, z], truth=known, case_id=f"v#{z}", finding="f", fold=pd.NA)
        )
    slices = pd.DataFrame({"case_id": [f"v#{z}" for z in range(N_SLICES)], "volume_id": "v"})
    stacked, _ = stack_slices(make_statistics(rows), slices)
    assert stacked.frame["true_px"].isna().all()
    assert (stacked.overlap_curve == -1).all()


def test_what_cannot_be_stacked_says_why(maps):
    logits = maps[0][0, 0]
    one = make_statistics([statistics_of(logits, case_id="a", finding="f", fold=pd.NA)])
    with pytest.raises(DataError, match="no column 'volume_id'"):
        stack_slices(one, pd.DataFrame({"case_id": ["a"]}))
    with pytest.raises(DataError, match="a case has no volume"):
        stack_slices(one, pd.DataFrame({"case_id": ["a"], "volume_id": [None]}))
    rows = [statistics_of(logits, case_id=c, finding="f", fold=pd.NA) for c in "ab"]
    rows[1]["component_t"] = float(THRESHOLDS[60])
    with pytest.raises(DataError, match="different thresholds"):
        stack_slices(make_statistics(rows), pd.DataFrame({"case_id": ["a", "b"], "volume_id": "v"}))


def test_nothing_to_stack_gives_no_rows():
    rows = stack_slices(make_statistics([]), pd.DataFrame({"case_id": ["a"], "volume_id": ["v"]}))
    assert len(rows[0].frame) == 0
    assert rows[0].area_curve.shape == (0, 129)
