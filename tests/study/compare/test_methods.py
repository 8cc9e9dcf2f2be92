"""Methods by name: families, aliases, near names, and the reference."""

import pytest

from segclf.core.errors import UsageError
from segclf.study.compare import methods
from segclf.study.compare.methods import choose_methods, choose_reference


def test_names_may_be_separated_or_repeated_and_come_in_the_order_of_families():
    chosen = choose_methods(["softmax, tau", "mean", "tau", "avg_pool"])
    assert [method.name for method in chosen] == ["tau", "mean", "softmax"]
    assert [method.family for method in chosen] == ["rule", "rule", "head"]


def test_an_unknown_method_is_refused_with_near_names():
    with pytest.raises(UsageError) as error:
        choose_methods(["softmx"])
    assert "there is no method called 'softmx'" in str(error.value)
    assert "did you mean 'softmax'" in str(error.value)


def test_the_default_names_what_this_installation_has():
    names = {method.name for method in choose_methods()}
    assert {"tau", "mean", "softmax", "sigmoid"} <= names <= set(methods.DEFAULT)


def test_trained_summarizers_drop_in_by_name(monkeypatch):
    monkeypatch.setattr(methods, "trained_names", lambda: ("fc", "logistic"))
    plain, on_val, out_of_fold = choose_methods(["fc", "fc-val", "logistic-oof"])
    assert {m.family for m in (plain, on_val, out_of_fold)} == {"trained"}
    assert plain.settings == {"summarize": {"fit_on": "train", "out_of_fold": False}}
    assert on_val.settings == {"summarize": {"fit_on": "val", "out_of_fold": False}}
    assert on_val.fits_on_val
    assert out_of_fold.settings == {"summarize": {"fit_on": "train", "out_of_fold": True}}
    assert (plain.base, on_val.base, out_of_fold.base) == ("fc", "fc", "logistic")


def test_what_a_method_is_trained_from_follows_from_its_name():
    tau, head, init = choose_methods(["tau", "softmax", "softmax-init"])
    assert (tau.needs_segmenter, tau.uses_masks) == (True, True)
    assert (head.needs_segmenter, head.uses_masks) == (False, False)
    assert (init.needs_segmenter, init.uses_masks, init.base) == (True, True, "softmax")


@pytest.mark.parametrize(
    ("names", "expected"),
    [("tau,sigmoid,softmax", "softmax"), ("tau,sigmoid", "sigmoid"), ("tau,mean", "tau")],
)
def test_the_reference_is_a_classifier_where_there_is_one(names, expected):
    assert choose_reference(None, choose_methods([names])).name == expected


def test_a_reference_that_is_not_compared_is_refused():
    with pytest.raises(UsageError, match="no compared method called 'mean'"):
        choose_reference("mean", choose_methods(["tau,softmax"]))
    with pytest.raises(UsageError, match="one method alone cannot be compared"):
        choose_reference(None, choose_methods(["tau"]))
