import numpy as np
import pytest

from segclf.core.errors import UsageError
from segclf.summarize.share import share


def rows(*masses, case_id="a", n_px=100, fold=None):
    """Rows of one case: the mean probability of malignant, benign, cyst."""
    names = ("malignant", "benign", "cyst")
    return [
        {"case_id": case_id, "finding": name, "mean_p": mass, "n_px": n_px, "fold": fold}
        for name, mass in zip(names, masses, strict=False)
    ]


def test_the_share_is_one_mass_over_the_sum_of_masses(statistics):
    stats = statistics([*rows(0.3, 0.1), *rows(0.003, 0.001, case_id="b", n_px=900)])
    # a tenth of the size in more pixels: the same share
    np.testing.assert_allclose(share(stats, finding="malignant"), [0.75, 0.75])
    np.testing.assert_allclose(share(stats, finding="benign"), [0.25, 0.25])


def test_the_findings_that_share_can_be_named(statistics):
    stats = statistics(rows(0.3, 0.1, 0.6))
    assert share(stats, finding="malignant") == pytest.approx([0.3])
    members = ("malignant", "benign")
    assert share(stats, finding="malignant", share_of=members) == pytest.approx([0.75])


def test_folds_of_one_case_do_not_mix(statistics):
    stats = statistics([*rows(0.3, 0.1, fold=0), *rows(0.1, 0.1, fold=1)])
    np.testing.assert_allclose(share(stats, finding="malignant"), [0.75, 0.5])


def test_the_order_of_rows_does_not_matter(statistics):
    table = [*rows(0.3, 0.1), *rows(0.2, 0.2, case_id="b")]
    np.testing.assert_allclose(
        share(statistics([table[i] for i in (3, 0, 2, 1)]), finding="malignant"), [0.75, 0.5]
    )


def test_no_mass_at_all_scores_nothing(statistics):
    assert share(statistics(rows(0.0, 0.0)), finding="malignant").tolist() == [0.0]


@pytest.mark.parametrize(
    ("masses", "share_of", "wrong"),
    [
        ((0.3,), (), "the share of 'malignant' among malignant says nothing."),
        ((0.3, 0.1), ("benign",), "the share of 'malignant' among benign says nothing."),
        ((0.3, 0.1), ("benign", "cyst"), "there is no finding called 'cyst'."),
        (
            (0.3, 0.1, 0.1),
            ("benign", "cyst"),
            "the share of 'malignant' among benign, cyst says nothing.",
        ),
    ],
)
def test_a_share_needs_two_findings_and_its_own_among_them(statistics, masses, share_of, wrong):
    with pytest.raises(UsageError) as caught:
        share(statistics(rows(*masses)), finding="malignant", share_of=share_of)
    assert caught.value.wrong == wrong
