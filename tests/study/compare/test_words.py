"""Sentences say what the tests show: each verdict, what is missing, and what to keep in mind."""

import pytest

from segclf.study.compare.figures import phrase, short_phrase
from segclf.study.compare.leans import shortcut_sentences
from segclf.study.compare.words import conclusion, difference_sentence

FOUND = {"finding": "lesion", "reference": "softmax"}
PHRASES = {"tau": "segmentation with tau", "softmax": "softmax", "joint": "joint"}


def comparison(difference, lo, hi, p, verdict, **more):
    row = {"metric": "auroc", "group": "all", "first": "tau", "second": "softmax"}
    row |= {"difference": difference, "lo": lo, "hi": hi, "p": p, "p_adjusted": p}
    row |= {"verdict": verdict, "margin": None, "p_equivalence_adjusted": None, "reason": ""}
    row |= {"n_cases": 258, "n_patients": 15, "n_positive": 12, "n_negative": 30}
    return row | more


@pytest.mark.parametrize(
    ("row", "said"),
    [
        (
            comparison(0.041, 0.012, 0.070, 0.0031, "better"),
            "On 258 test cases of 15 patients, segmentation with tau was better than softmax by "
            "0.041 AUROC (0.012 to 0.070; adjusted p 0.003).",
        ),
        (
            comparison(-0.041, -0.070, -0.012, 0.0001, "worse"),
            "On 258 test cases of 15 patients, segmentation with tau was worse than softmax by "
            "0.041 AUROC (0.012 to 0.070; adjusted p < 0.001).",
        ),
        (
            comparison(-0.006, -0.031, 0.018, 0.61, "inconclusive"),
            "On 258 test cases of 15 patients, no difference in AUROC between segmentation with "
            "tau and softmax could be shown (difference -0.006, -0.031 to 0.018; adjusted p "
            "0.610).",
        ),
        (
            comparison(-0.006, -0.031, 0.018, 0.61, "inconclusive", margin=0.03),
            "On 258 test cases of 15 patients, no difference in AUROC between segmentation with "
            "tau and softmax could be shown (difference -0.006, -0.031 to 0.018; adjusted p "
            "0.610), nor that they differ by less than the declared margin of 0.03.",
        ),
        (
            comparison(
                0.002, -0.01, 0.014, 0.7, "equivalent", margin=0.03, p_equivalence_adjusted=0.0201
            ),
            "On 258 test cases of 15 patients, segmentation with tau and softmax were equivalent "
            "in AUROC: they differ by less than the declared margin of 0.03 (difference 0.002, "
            "-0.010 to 0.014; adjusted p of equivalence 0.020).",
        ),
        (
            comparison(None, None, None, None, "", reason="fewer than 5 patients of a class"),
            "On 258 test cases of 15 patients, segmentation with tau and softmax cannot be "
            "compared in AUROC: fewer than 5 patients of a class.",
        ),
        (
            comparison(0.1, None, None, None, "", reason="no interval: 3 of 100 are defined"),
            "On 258 test cases of 15 patients, no difference in AUROC between segmentation with "
            "tau and softmax could be shown (difference 0.100; no interval: 3 of 100 are defined).",
        ),
        (
            comparison(0.04, 0.01, 0.07, 0.02, "better", n_cases=1, n_patients=1),
            "On 1 test case of 1 patient, segmentation with tau was better than softmax by 0.040 "
            "AUROC (0.010 to 0.070; adjusted p 0.020).",
        ),
    ],
    ids=["better", "worse", "open", "open, margin", "equivalent", "undefined", "bare", "one"],
)
def test_a_sentence_says_what_the_test_shows(row, said):
    assert difference_sentence(row, PHRASES, "patient") == said


def test_robust_auroc_is_said_with_the_cases_that_it_rests_on():
    row = comparison(0.4, 0.3, 0.5, 0.001, "better", group="robust")
    assert difference_sentence(row, PHRASES, "patient", shortcut="tube").startswith(
        "On positives without tube against negatives with it (12 positive, 30 negative), "
        "segmentation with tau was better than softmax by 0.400 robust AUROC"
    )


def gap(method, estimate, lo, hi, reason=""):
    row = {"method": method, "quantity": "aligned - robust", "shortcut": "tube"}
    return row | {"estimate": estimate, "lo": lo, "hi": hi, "reason": reason}


@pytest.mark.parametrize(
    ("row", "margin", "said"),
    [
        (
            gap("softmax", 0.5, 0.4, 0.6),
            None,
            "The ranking of softmax follows tube (aligned minus robust AUROC 0.500, 0.400 to "
            "0.600: all above 0.1).",
        ),
        (
            gap("joint", 0.5, 0.4, 0.6),
            None,
            "The ranking of joint relearned tube, although it learned from masks (aligned minus",
        ),
        (
            gap("tau", 0.05, 0.01, 0.09),
            None,
            "The ranking of segmentation with tau leans on tube (aligned minus robust AUROC 0.050, "
            "0.010 to 0.090: above 0, but not all above 0.1).",
        ),
        (gap("tau", 0.05, 0.04, 0.09), 0.03, "The ranking of segmentation with tau follows tube"),
        (
            gap("tau", 0.01, -0.02, 0.04),
            None,
            "That the ranking of segmentation with tau leans on tube could not be shown (aligned "
            "minus robust AUROC 0.010, -0.020 to 0.040); a lean of 0.1 is excluded.",
        ),
        (
            gap("tau", 0.01, -0.2, 0.2),
            None,
            "That the ranking of segmentation with tau leans on tube could not be shown (aligned "
            "minus robust AUROC 0.010, -0.200 to 0.200).",
        ),
        (gap("tau", -0.3, -0.4, -0.2), None, "The ranking of segmentation with tau leans against"),
        (
            gap("tau", None, None, None, "robust: 2 positive patients (fewer than 5)"),
            None,
            "Whether the ranking of segmentation with tau follows tube cannot be estimated: "
            "robust: 2 positive patients (fewer than 5).",
        ),
    ],
    ids=["follows", "relearned", "leans", "margin", "excluded", "open", "against", "undefined"],
)
def test_a_ranking_follows_the_shortcut_only_if_the_whole_interval_says_so(row, margin, said):
    (text,) = shortcut_sentences([row], PHRASES, short=PHRASES, margin=margin, with_masks=["joint"])
    assert text.startswith(said)


SETTINGS = {
    "unit": "patient", "n_seeds": 1, "margin": None, "shortcut": "tube", "with_masks": (),
}  # fmt: skip


def test_one_training_says_that_the_spread_over_trainings_is_not_known():
    found = {
        "reference": "softmax",
        "differences": [comparison(0.04, 0.01, 0.07, 0.02, "better")],
        "robust": [],
    }
    text = " ".join(conclusion(found, PHRASES, SETTINGS)["To be kept in mind"])
    assert "trained once" in text
    assert "is not known" in text
    text = " ".join(conclusion(found, PHRASES, SETTINGS | {"n_seeds": 5})["To be kept in mind"])
    assert "means over 5 trainings" in text
    assert "trained once" not in text
    assert "poor interval" not in text
    text = " ".join(conclusion(found, PHRASES, SETTINGS | {"n_seeds": 2})["To be kept in mind"])
    assert "Two trainings make a poor interval" in text


def test_cases_are_counted_once_where_they_stay_the_same():
    rows = [comparison(0.1, 0.0, 0.2, 0.01, "better", n_cases=n) for n in (258, 258, 200)]
    found = conclusion(FOUND | {"differences": rows, "robust": []}, PHRASES, SETTINGS)
    begins = [text.partition(",")[0] for text in found["Which method is better?"]]
    assert begins == [
        "On 258 test cases of 15 patients", "On the same cases", "On 200 test cases of 15 patients",
    ]  # fmt: skip


MANY = {f"m{number}": f"m{number}" for number in range(8)} | {"softmax": "softmax"}


def test_many_comparisons_that_ended_alike_share_a_sentence_with_the_best_and_the_worst():
    rows = [
        comparison(0.1 + number / 100, 0.0, 0.2, 0.01, "better" if number < 5 else "inconclusive")
        | {"first": f"m{number}", "second": "softmax"}
        for number in range(8)
    ]
    rows[7] |= {"difference": None, "reason": "one class only"}
    phrases = {name: f"segmentation with {name}" for name in MANY} | {"softmax": "softmax"}
    found = conclusion(
        FOUND | {"differences": rows, "robust": []}, phrases, SETTINGS | {"short": MANY}
    )
    assert found["Which method is better?"] == [
        "On 258 test cases of 15 patients, 5 methods were better than softmax in AUROC "
        "(differences from 0.100 (m0) to 0.140 (m4)): m0, m1, m2, m3, m4.",
        "On the same cases, no difference in AUROC from softmax could be shown for 2 methods "
        "(differences from 0.150 (m5) to 0.160 (m6)): m5, m6.",
        "On the same cases, segmentation with m7 and softmax cannot be compared in AUROC: one "
        "class only.",
    ]


def test_many_leans_of_one_kind_share_a_sentence():
    gaps = [gap(f"m{number}", 0.5 + number / 100, 0.4, 0.6) for number in range(4)]
    gaps += [gap(f"m{number}", 0.01, -0.02, 0.04) for number in (4, 5)]
    gaps += [gap(f"m{number}", None, None, None, f"reason {number}") for number in (6, 7)]
    sentences = list(
        shortcut_sentences(gaps, MANY, short=MANY, margin=None, with_masks=["m2", "m3"])
    )
    assert sentences == [
        "The rankings of 2 methods follow tube (aligned minus robust AUROC 0.500 (m0) to 0.510 "
        "(m1): all above 0.1): m0, m1.",
        "The rankings of 2 methods relearned tube, although they learned from masks (aligned minus "
        "robust AUROC 0.520 (m2) to 0.530 (m3): all above 0.1): m2, m3.",
        "That the rankings of 2 methods lean on tube could not be shown (aligned minus robust "
        "AUROC 0.010 (m4) to 0.010 (m4)); a lean of 0.1 is excluded: m4, m5.",
        "Whether the ranking of m6 follows tube cannot be estimated: reason 6.",
        "Whether the ranking of m7 follows tube cannot be estimated: reason 7.",
    ]


def test_an_interval_that_two_seeds_cannot_give_is_not_printed():
    row = comparison(0.3, None, None, 0.31, "inconclusive", reason="too few seeds for an interval")
    assert difference_sentence(row, PHRASES, "patient").endswith(
        "(difference 0.300, too few seeds for an interval; adjusted p 0.310)."
    )


def test_a_margin_that_was_set_after_the_results_is_not_called_declared():
    row = comparison(0.0, -0.01, 0.01, 0.7, "equivalent", margin=0.03, p_equivalence_adjusted=0.02)
    row["margin_is_late"] = True
    text = difference_sentence(row, PHRASES, "patient")
    assert "less than a margin of 0.03 that was set after there were results (" in text
    assert "declared" not in text


def test_a_collapsed_segmenter_comes_first_and_marks_every_sentence():
    bad = {"collapsed": [{"seed": 1, "fold": None}], "unlearned": []}
    fine = {"collapsed": [], "unlearned": []}
    phrases = PHRASES | {"tau": phrase("tau", "rule", collapsed=True)}
    found = {
        "differences": [comparison(-0.2, -0.3, -0.1, 0.01, "worse")],
        "robust": [gap("tau", 0.5, 0.4, 0.6)],
    }
    settings = SETTINGS | {"health": {"tau": bad, "softmax": fine}}
    said = conclusion(FOUND | found, phrases, settings)
    assert next(iter(said)) == "To be known first"
    assert said["To be known first"] == [
        "The segmenter of seed 1 collapsed: Dice of its masks is below 0.01. What is said of tau "
        "is said of masks that show nothing, and is no finding about these methods."
    ]
    assert "segmentation with tau (collapsed segmenter) was worse than softmax" in " ".join(
        said["Which method is better?"]
    )
    assert "The ranking of segmentation with tau (collapsed segmenter) follows" in " ".join(
        said["Which rankings follow the shortcut?"]
    )
    assert short_phrase("fc-val", "trained", collapsed=True) == (
        "fc-val (uses extra labels; collapsed segmenter)"
    )
    said = conclusion(FOUND | found, phrases, SETTINGS | {"health": {"tau": fine}})
    assert "To be known first" not in said


def test_trainings_that_learned_nothing_or_disagree_are_named():
    rows = [
        {"method": "fc", "auroc_seed_min": 0.4, "auroc_seed_max": 0.875},
        {"method": "tau", "auroc_seed_min": 0.9, "auroc_seed_max": 0.95},
        {"method": "softmax", "auroc": None},
    ]
    places = [{"seed": 0, "fold": 1}, {"seed": 0, "fold": 2}]
    health = {"fc": {"collapsed": [], "unlearned": places}}
    found = FOUND | {"differences": [], "robust": [], "rows": rows}
    phrases = PHRASES | {"fc": "fc"}
    text = conclusion(found, phrases, SETTINGS | {"n_seeds": 2, "health": health})
    unlearned, spread = text["To be kept in mind"]
    assert unlearned.startswith(
        "fc learned next to nothing in seed 0, fold 1 and seed 0, fold 2: the loss of the training "
        "stayed above 95% of that of answering with the share of positives."
    )
    assert spread == (
        "The trainings of fc (0.400 to 0.875) disagree by more than 0.1 AUROC: one alone says "
        "little about such a method."
    )


def test_leans_may_be_said_of_some_methods_alone():
    gaps = [gap(name, 0.5, 0.4, 0.6) for name in PHRASES]
    found = conclusion(
        FOUND | {"differences": [], "robust": gaps},
        PHRASES,
        SETTINGS | {"leaning": ["joint"]},
    )
    assert len(found["Which rankings follow the shortcut?"]) == 1


def test_without_two_finished_methods_nothing_is_concluded():
    found = conclusion(FOUND | {"differences": [], "robust": []}, PHRASES, SETTINGS)
    assert found["Which method is better?"] == [
        "The reference and another method have to finish before anything can be compared."
    ]


def test_no_sentence_uses_words_that_the_tests_cannot_carry():
    rows = [comparison(d, d - 0.1, d + 0.1, 0.01, v) for d, v in ((0.2, "better"), (-0.2, "worse"))]
    rows += [comparison(0.2, 0.1, 0.3, 0.01, "better", group="robust")]
    gaps = [gap("tau", 0.0, -0.1, 0.05), gap("joint", 0.5, 0.4, 0.6)]
    found = conclusion(FOUND | {"differences": rows, "robust": gaps}, PHRASES, SETTINGS)
    text = " ".join(sentence for own in found.values() for sentence in own).lower()
    for word in ("unbiased", "because", "causes", "proves", "debiased", "significant", "diagnos"):
        assert word not in text


def test_families_are_told_apart_in_words():
    assert phrase("tau", "rule") == "segmentation with tau"
    assert phrase("fc", "trained") == "segmentation with the trained summarizer fc"
    assert phrase("softmax", "head") == "softmax"


def test_a_reference_that_scores_other_findings_is_replaced_and_that_is_said():
    found = {"finding": "lesion", "reference": "joint", "robust": []}
    found |= {"unscored": {"softmax": "scores density=..., not lesion"}}
    row = comparison(0.041, 0.012, 0.070, 0.0031, "better") | {"second": "joint"}
    settings = SETTINGS | {"declared": "softmax"}
    said = conclusion({**found, "differences": [row]}, PHRASES, settings)
    first, second = said["Which method is better?"]
    assert first == (
        "The declared reference, softmax, scores density=..., not lesion: here the others are "
        "compared with joint."
    )
    assert "segmentation with tau was better than joint" in second
    found |= {"differences": [], "reference": "softmax"}
    found["unscored"] = dict.fromkeys(("tau", "joint"), "scores lesion, not density=L")
    said = conclusion(found | {"finding": "density=L"}, PHRASES, settings)
    assert said["Which method is better?"] == [
        "No method but softmax scores density=L, so none is compared."
    ]
