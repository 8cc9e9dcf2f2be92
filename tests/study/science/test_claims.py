"""What is said of a claim, from figures made by hand."""

from dataclasses import asdict, replace

import pytest

from segclf.study.science.claims import CLAIMS, verdict

FACTOR, RARE, SHORTCUT, COARSE = (
    CLAIMS[name] for name in ("label-efficiency", "rare-subgroup", "shortcut", "coarseness")
)
PAIR = {"arm": "segmentation", "other": "classifier"}
NO_ENDS = {"lo": None, "hi": None}


def factor(value, lo, hi, state="exact", regime="claimed", level="400", **more):
    row = {"regime": regime, "level": level, "metric": "auroc", "group": None, "state": state}
    return PAIR | row | {"value": value, "lo": lo, "hi": hi, "seeds": [0, 1, 2, 3, 4]} | more


def gain(value, lo, hi, regime="claimed", metric="robust_auroc", group=None, **more):
    row = {"regime": regime, "level": "all", "metric": metric, "group": group, "value": 0.7}
    row["other_value"] = 0.7 - value / 200
    low, high = (None if end is None else end / 200 for end in (lo, hi))
    row["relative"] = {"value": value, "lo": lo, "hi": hi}
    row["difference"] = {"value": value / 200, "lo": low, "hi": high}
    return PAIR | row | {"seeds": [0, 1, 2, 3, 4]} | more


def trend(*lows, highs=(0.5, 0.5), regime="claimed", values=(0.46, 0.72, 0.82)):
    steps = [
        {
            "first": first, "second": second, "value": values[k + 1], "other_value": values[k],
            "difference": {"value": values[k + 1] - values[k], "lo": low, "hi": highs[k]},
            "p": 0.01, "seeds": [0, 1, 2, 3, 4],
        }
        for k, (second, first, low) in enumerate(
            zip(("label", "box"), ("box", "mask"), lows, strict=True)
        )
    ]  # fmt: skip
    is_rising = all(low is not None and low > 0 for low in lows)
    row = {"regime": regime, "level": "all", "metric": "robust_auroc", "group": None}
    return row | {"order": ["label", "box", "mask"], "steps": steps, "is_rising": is_rising}


@pytest.mark.parametrize(
    ("row", "state", "is_sure", "words"),
    [
        (factor(12, 10.5, 20), "confirmed", True, "a factor of 12 (95 % interval 10.5 to 20)"),
        (factor(12, 1.5, 20), "confirmed", False, "the goal is 10, below which the interval"),
        (factor(12, 0.9, 20), "not confirmed", False, "no effect (1) cannot be excluded"),
        (factor(9.9, 5, 20), "not confirmed", False, "the goal is 10, which is not reached"),
        (factor(16, 16, None, "at least"), "confirmed", True, "of at least 16 (95 % interval 16 "
         "to beyond what was measured) over 5 trainings"),
        (factor(16, None, 16, "at most"), "not confirmed", False, "which is not reached and no"),
        (factor(None, None, None, None, reason="no training of segmentation"), "not run", None,
         "not run: no training of segmentation"),
        (factor(None, None, None, None, reason="no negative test case"), "not confirmed", None,
         "not confirmed: no negative test case"),
    ],
)  # fmt: skip
def test_a_factor_is_confirmed_if_it_reaches_the_goal_and_excludes_one(row, state, is_sure, words):
    found = verdict(FACTOR, {"factor": [row]})
    assert (found["state"], found["is_sure"]) == (state, is_sure)
    assert words in found["text"]
    assert found["fade"]["state"] == "not run"


def test_the_largest_size_is_judged_unless_another_is_named():
    rows = [factor(4, 2, 8, level="100"), factor(12, 2, 30, level="400")]
    assert verdict(FACTOR, {"factor": rows})["value"] == 12
    assert verdict(replace(FACTOR, level="100"), {"factor": rows})["value"] == 4
    assert verdict(replace(FACTOR, level="50"), {"factor": rows})["state"] == "not run"


@pytest.mark.parametrize(
    ("row", "state"),
    [
        (gain(60, 20, 100), "confirmed"),
        (gain(60, 20, None), "confirmed"),
        (gain(44.8, 0.1, 100), "confirmed"),
        (gain(44.7, 20, 100), "not confirmed"),
        (gain(60, -1, 100), "not confirmed"),
        (gain(60, None, None), "not confirmed"),
    ],
)
def test_a_gain_is_confirmed_if_it_reaches_the_goal_and_excludes_zero(row, state):
    found = verdict(SHORTCUT, {"paired": [row]})
    assert found["state"] == state
    assert f" at all: 0.700 and {row['other_value']:.3f} over 5 trainings" in found["text"]
    assert "the goal is 44.8 %" in found["text"]


def test_a_gain_of_a_group_is_read_from_its_own_rows():
    rows = [
        gain(10, 5, 15, metric="recall"),
        gain(200, 100, 300, metric="recall", group="rare"),
    ]
    found = verdict(RARE, {"paired": rows})
    assert (found["value"], found["state"]) == (200, "confirmed")
    assert "recall in rare of segmentation" in found["text"]


@pytest.mark.parametrize(
    ("row", "state"),
    [
        (factor(1.1, 0.7, 1.6), "fades"),
        (factor(1.8, 1.2, 2.0), "fades"),
        (factor(1.5, 0.5, 4), "fades"),
        (factor(0.5, 0.3, 0.8), "fades"),
        (factor(1.5, 0.2, 30), "open"),  # nor can the goal be excluded
        (factor(3, 0.9, 8), "open"),
        (factor(1, 0.5, None, "at least"), "open"),
        (factor(3, 1.5, 8), "does not fade"),
        (factor(1.0, None, 1.0, "at most"), "fades"),
    ],
)
def test_an_effect_fades_where_it_is_small_and_the_goal_is_excluded(row, state):
    found = verdict(FACTOR, {"factor": [row | {"regime": "faded"}]})
    assert (found["state"], found["fade"]["state"]) == ("not run", state)
    assert "regime faded" in found["fade"]["text"]


@pytest.mark.parametrize(
    ("row", "state"),
    [
        (gain(3, -5, 11), "fades"),
        (gain(3, -5, 60), "open"),
        (gain(9, 8, 11.2), "fades"),  # a quarter of 44.8
        (gain(20, 8, 30), "does not fade"),
    ],
)
def test_a_gain_fades_likewise(row, state):
    found = verdict(SHORTCUT, {"paired": [row | {"regime": "faded"}]})
    assert found["fade"]["state"] == state


def test_a_trend_is_confirmed_if_every_step_is_shown():
    up = verdict(COARSE, {"trend": [trend(0.1, 0.02)]})
    assert (up["state"], up["fade"]["state"]) == ("confirmed", "not run")
    assert "0.460 (label), 0.720 (box), 0.820 (mask)" in up["text"]
    assert "label to box +0.260 (+0.100 to +0.500, p 0.010)" in up["text"]
    assert verdict(COARSE, {"trend": [trend(0.1, -0.01)]})["state"] == "not confirmed"
    lacking = trend(0.1, 0.1) | {"is_rising": None}
    lacking["steps"][1] |= {"value": None, "reason": "no training of both has a value"}
    assert verdict(COARSE, {"trend": [lacking]})["state"] == "not run"


@pytest.mark.parametrize(
    ("lows", "highs", "state", "why"),
    [
        ((-0.01, -0.02), (0.5, 0.01), "open", "; a step of +0.025 or more cannot be excluded."),
        ((-0.01, -0.02), (0.024, 0.01), "fades", "; every interval ends below +0.025."),
        ((-0.01, -0.02), (0.024, 0.026), "open", "; a step of +0.025 or more cannot be excluded."),
        ((-0.01, None), (0.024, None), "open", "; a step of +0.025 or more cannot be excluded."),
        ((0.1, -0.2), (0.5, 0.01), "open", "; a step of +0.025 or more cannot be excluded."),
        ((0.1, 0.02), (0.5, 0.5), "does not fade", "p 0.010)."),
    ],
)
def test_a_trend_fades_only_if_every_step_is_small_as_a_whole(lows, highs, state, why):
    found = verdict(COARSE, {"trend": [trend(*lows, highs=highs, regime="faded")]})
    assert found["fade"]["state"] == state
    assert found["fade"]["text"].endswith(why)


@pytest.mark.parametrize("regime", ["claimed", "faded"])
@pytest.mark.parametrize(
    ("claim", "key", "row"),
    [
        (FACTOR, "factor", factor(12, 10.5, 20)),
        (FACTOR, "factor", factor(1.1, 0.9, 1.3)),
        (SHORTCUT, "paired", gain(60, 20, 100)),
        (SHORTCUT, "paired", gain(3, -1, 4)),
        (COARSE, "trend", trend(0.1, 0.02)),
        (COARSE, "trend", trend(-0.1, -0.1, highs=(0.01, 0.01))),
    ],
)
def test_one_training_confirms_nothing_and_no_effect_fades_in_it(claim, key, row, regime):
    row = row | {"regime": regime, "seeds": [0]}
    if "steps" in row:
        row["steps"] = [step | {"seeds": [0], "p": None} for step in row["steps"]]
    found = verdict(claim, {key: [row]})
    assert found["state"] == ("not confirmed" if regime == "claimed" else "not run")
    assert found["fade"]["state"] == ("not run" if regime == "claimed" else "open")
    text = found["text"] if regime == "claimed" else found["fade"]["text"]
    assert "of patients alone: one training" in text
    if regime == "faded":
        assert text.endswith("; one training: its noise is not known.")


def test_a_recall_stands_beside_the_specificity_of_both_arms_in_its_own_cases():
    def of(metric, group, value, other, **more):
        row = gain(200, 100, 300, metric=metric, group=group)
        return row | {"value": value, "other_value": other} | more

    rows = [
        of("specificity", None, 0.9, 0.91),
        of("specificity", "rare", 0.99, 0.98, level="other"),
        of("specificity", "rare", 0.872, 0.8449),
        of("recall", "rare", 0.6, 0.2),
    ]
    text = " at all: 0.600 and 0.200 (at a specificity of 0.87 and 0.84) over 5 trainings;"
    assert text in verdict(RARE, {"paired": rows})["text"]
    assert " at all: 0.600 and 0.200 over" in verdict(RARE, {"paired": rows[3:]})["text"]
    faded = [row | {"regime": "faded"} for row in rows]
    assert text.split(" over")[0] in verdict(RARE, {"paired": faded})["fade"]["text"]


def test_an_interval_without_ends_reads_plainly():
    low = verdict(FACTOR, {"factor": [factor(2.08, None, 3.54)]})["text"]
    assert "(95 % interval from below what was measured to 3.54)" in low
    both = "no lower and no upper end: they lie beyond the sizes of the study"
    none = verdict(FACTOR, {"factor": [factor(0.25, None, None, "at most", reason=both)]})["text"]
    assert f"at most 0.25 (no interval: {both})" in none


def test_a_study_that_has_not_run_says_so_of_every_claim():
    for claim in CLAIMS.values():
        found = verdict(claim, {})
        assert found["text"] == f"{claim.name}: not run."
        assert asdict(claim)["words"]
