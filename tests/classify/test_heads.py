import math
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from sklearn.utils.class_weight import compute_class_weight
from torch.nn import functional

from segclf.classify import HEADS, Targets
from segclf.classify.head import label_loss, label_probabilities
from segclf.classify.targets import balanced
from segclf.core.config import make_recipe
from segclf.core.errors import DataError
from segclf.core.records import Case
from segclf.losses import exclusive_loss, independent_loss

NAN = float("nan")
RAW = torch.tensor([[0.3, -1.0, 2.0], [1.5, 0.2, -0.7], [0.0, 0.4, 0.1]])
RECIPE = make_recipe({}, where="test")


def case(number, *labels, **classes):
    return Case(f"c{number}", (), (), labels, f"p{number}", classes=classes)


def loss_of(targets, raw, label):
    return label_loss(raw, SimpleNamespace(label=label), targets)


def test_the_sigmoid_loss_is_torchs_over_the_known_labels():
    raw = RAW[:, :2]
    label = torch.tensor([[1.0, NAN], [0.0, 1.0], [NAN, NAN]])
    known = torch.tensor([[True, False], [True, True], [False, False]])
    expected = functional.binary_cross_entropy_with_logits(raw[known], label[known])
    torch.testing.assert_close(loss_of(Targets(("a", "b")), raw, label), expected)


def test_the_softmax_loss_of_known_labels_is_torchs_cross_entropy():
    label = torch.tensor([[0.0, 1.0], [0.0, 0.0], [1.0, 0.0]])  # second finding, none, first
    expected = functional.cross_entropy(RAW, torch.tensor([2, 0, 1]))
    targets = Targets(("a", "b"), exclusive=True)
    torch.testing.assert_close(loss_of(targets, RAW, label), expected)


@pytest.mark.parametrize(
    ("label", "allowed"),
    [
        ([NAN, 1.0], [2]),  # a positive settles the class
        ([0.0, NAN], [0, 2]),  # background or the second finding
        ([NAN, 0.0], [0, 1]),
    ],
)
def test_the_softmax_loss_of_partly_known_labels_is_the_probability_of_what_is_left(label, allowed):
    p = [math.exp(value) for value in RAW[0].tolist()]
    expected = -math.log(sum(p[c] for c in allowed) / sum(p))
    assert float(exclusive_loss(RAW[:1], torch.tensor([label]))) == pytest.approx(expected)


TARGETS = {
    "findings": Targets(("a", "b")),
    "exclusive findings": Targets(("a", "b"), exclusive=True),
    "one column": Targets(classes={"kind": ("x", "y")}),
    "two columns": Targets(classes={"kind": ("x", "y"), "density": ("H", "L", "M")}),
}


@pytest.mark.parametrize("targets", TARGETS.values(), ids=TARGETS)
def test_unknown_labels_move_nothing(targets):
    raw = torch.randn(3, targets.n_outputs).requires_grad_()
    loss = loss_of(targets, raw, torch.full((3, len(targets.names)), NAN))
    loss.backward()
    assert loss.item() == 0.0
    assert torch.equal(raw.grad, torch.zeros_like(raw))


@pytest.mark.parametrize("targets", TARGETS.values(), ids=TARGETS)
def test_gradients_are_finite_for_certain_outputs(targets):
    raw = (100 * torch.randn(1, targets.n_outputs)).requires_grad_()
    cases = {"kind": "y", "density": "H"}
    label = targets.labels(case(0, 1.0, 0.0, **cases))
    (loss_of(targets, raw, torch.tensor([label])) + raw.sum()).backward()
    assert raw.grad.isfinite().all()


@pytest.mark.parametrize("targets", TARGETS.values(), ids=TARGETS)
def test_probabilities_are_torchs_sigmoid_or_softmax_of_each_group(targets):
    raw = torch.randn(4, targets.n_outputs)
    groups = raw.split(targets.sizes or targets.n_outputs, 1)
    if not targets.sizes:
        expected = raw.sigmoid()
    else:
        expected = torch.cat([group.softmax(1) for group in groups], 1)
        expected = expected[:, 1:] if targets.exclusive else expected
    found = label_probabilities(raw, targets)
    assert found.shape == (4, len(targets.names))
    torch.testing.assert_close(found.float(), expected)


def test_names_and_labels_of_class_columns():
    targets = TARGETS["two columns"]
    assert targets.names == ("kind=x", "kind=y", "density=H", "density=L", "density=M")
    assert targets.labels(case(0, kind="y", density="H")) == (0, 1, 1, 0, 0)
    np.testing.assert_equal(targets.labels(case(0, density="M")), (NAN, NAN, 0, 0, 1))
    (relabelled,) = targets.relabelled([case(0, kind="x", density="L")])
    assert relabelled.labels == (1, 0, 0, 1, 0)


def test_weights_are_scikit_learns_and_enter_the_losses():
    labels = np.array([[1, 0], [0, 0], [0, NAN], [NAN, 1], [1, 0]])
    cases = [case(i, *row) for i, row in enumerate(labels)]
    weights = np.array(balanced(Targets(("a", "b")), cases).weights).reshape(2, 2)
    for number in range(2):
        known = labels[~np.isnan(labels[:, number]), number]
        expected = compute_class_weight("balanced", classes=np.array([0, 1]), y=known)
        np.testing.assert_allclose(weights[:, number], expected)
    label, raw = torch.tensor(labels, dtype=torch.float32), torch.randn(5, 2)
    known = ~label.isnan()
    each = functional.binary_cross_entropy_with_logits(raw[known], label[known], reduction="none")
    rows, columns = known.nonzero(as_tuple=True)
    weight = torch.tensor(
        [weights[int(label[r, c]), c] for r, c in zip(rows, columns, strict=True)]
    )
    torch.testing.assert_close(
        independent_loss(raw, label, weights.ravel()), (each * weight).mean().float()
    )


def test_weights_of_classes_are_scikit_learns_and_torchs():
    kinds = ["x", "y", "y", None, "y", "x"]
    cases = [case(i, **({"kind": kind} if kind else {})) for i, kind in enumerate(kinds)]
    targets = balanced(Targets(classes={"kind": ("x", "y", "z")}), cases)
    known = np.array([kind for kind in kinds if kind])
    expected = compute_class_weight("balanced", classes=np.array(["x", "y"]), y=known)
    np.testing.assert_allclose(targets.weights, [*expected, 1.0])  # no case of z: nothing to weigh
    raw, truth = torch.randn(5, 3), torch.tensor([0, 1, 1, 1, 0])
    label = functional.one_hot(truth, 3).float()
    each = functional.cross_entropy(
        raw, truth, weight=torch.tensor(targets.weights), reduction="none"
    )
    torch.testing.assert_close(loss_of(targets, raw, label), each.mean())


def test_weights_of_exclusive_findings_count_none_as_a_class():
    labels = [(1, 0), (0, 0), (0, 0), (0, NAN), (0, 1), (0, 0)]
    cases = [case(i, *row) for i, row in enumerate(labels)]
    targets = balanced(Targets(("a", "b"), exclusive=True), cases)
    settled = np.array([1, 0, 0, 2, 0])
    expected = compute_class_weight("balanced", classes=np.array([0, 1, 2]), y=settled)
    np.testing.assert_allclose(targets.weights, expected)


def test_two_findings_in_one_case_contradict_softmax():
    parts = {"train": [case(7, 1.0, 1.0)], "val": [], "test": []}
    assert HEADS["sigmoid"].targets(parts, ("a", "b"), RECIPE).names == ("a", "b")
    with pytest.raises(DataError, match="'c7' has the findings a and b") as caught:
        HEADS["softmax"].targets(parts, ("a", "b"), RECIPE)
    assert "sigmoid" in caught.value.fix
