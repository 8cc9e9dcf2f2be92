"""Sentences say what the tests show: each verdict, what is missing, and what to keep in mind."""

import pytest

from segclf.study.compare.figures import phrase
from segclf.study.compare.words import conclusion, difference_sentence, shortcut_sentences

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
    (text,) = shortcut_sentences([row], PHRASES, margin=margin, with_masks=["joint"])
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


def test_cases_are_counted_once_where_they_stay_the_same():
    rows = [comparison(0.1, 0.0, 0.2, 0.01, "better", n_cases=n) for n in (258, 258, 200)]
    found = conclusion(FOUND | {"differences": rows, "robust": []}, PHRASES, SETTINGS)
    begins = [text.partition(",")[0] for text in found["Which method is better?"]]
    assert begins == [
        "On 258 test cases of 15 patients", "On the same cases", "On 200 test cases of 15 patients",
    ]  # fmt: skip


MANY = {f"m{number}": f"m{number}" for number in range(8)} | {"softmax": "softmax"}


def test_many_comparisons_that_ended_alike_share_a_sentence():
    rows = [
        comparison(0.1, 0.0, 0.2, 0.01, "better" if number < 5 else "inconclusive")
        | {"first": f"m{number}", "second": "softmax"}
        for number in range(8)
    ]
    rows[7] |= {"difference": None, "reason": "one class only"}
    found = conclusion(FOUND | {"differences": rows, "robust": []}, MANY, SETTINGS)
    better, unclear, missing = found["Which method is better?"]
    assert better.startswith("On 258 test cases of 15 patients, 5 methods were better than softmax")
    assert "m0 (0.100, 0.000 to 0.200; adjusted p 0.010); m1 (" in better
    assert "m5 (" not in better
    assert unclear.startswith(
        "On the same cases, no difference in AUROC from softmax could be shown for 2 methods: m5 ("
    )
    assert missing.endswith("m7 and softmax cannot be compared in AUROC: one class only.")


def test_many_leans_of_one_kind_share_a_sentence():
    gaps = [gap(f"m{number}", 0.5, 0.4, 0.6) for number in range(4)]
    gaps += [gap(f"m{number}", 0.01, -0.02, 0.04) for number in (4, 5)]
    gaps += [gap(f"m{number}", None, None, None, f"reason {number}") for number in (6, 7)]
    sentences = list(shortcut_sentences(gaps, MANY, margin=None, with_masks=["m2", "m3"]))
    assert sentences == [
        "The rankings of 2 methods follow tube (all above 0.1): m0 (aligned minus robust AUROC "
        "0.500, 0.400 to 0.600); m1 (aligned minus robust AUROC 0.500, 0.400 to 0.600).",
        "The rankings of 2 methods relearned tube, although they learned from masks (all above "
        "0.1): m2 (aligned minus robust AUROC 0.500, 0.400 to 0.600); m3 (aligned minus robust "
        "AUROC 0.500, 0.400 to 0.600).",
        "That the rankings of 2 methods lean on tube could not be shown; a lean of 0.1 is "
        "excluded: m4 (aligned minus robust AUROC 0.010, -0.020 to 0.040); m5 (aligned minus "
        "robust AUROC 0.010, -0.020 to 0.040).",
        "Whether the ranking of m6 follows tube cannot be estimated: reason 6.",
        "Whether the ranking of m7 follows tube cannot be estimated: reason 7.",
    ]


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
