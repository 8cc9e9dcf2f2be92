import math

import pytest
import torch
from torch.nn import functional

from segclf.classify import HEADS
from segclf.classify.heads import check_labels
from segclf.core.errors import DataError
from segclf.core.records import Case

NAN = float("nan")
RAW = torch.tensor([[0.3, -1.0, 2.0], [1.5, 0.2, -0.7], [0.0, 0.4, 0.1]])


def test_the_sigmoid_loss_is_torchs_over_the_known_labels():
    raw = RAW[:, :2]
    label = torch.tensor([[1.0, NAN], [0.0, 1.0], [NAN, NAN]])
    known = torch.tensor([[True, False], [True, True], [False, False]])
    expected = functional.binary_cross_entropy_with_logits(raw[known], label[known])
    torch.testing.assert_close(HEADS["sigmoid"].loss(raw, label), expected)


def test_the_softmax_loss_of_known_labels_is_torchs_cross_entropy():
    label = torch.tensor([[0.0, 1.0], [0.0, 0.0], [1.0, 0.0]])  # second finding, none, first
    expected = functional.cross_entropy(RAW, torch.tensor([2, 0, 1]))
    torch.testing.assert_close(HEADS["softmax"].loss(RAW, label), expected)


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
    assert float(HEADS["softmax"].loss(RAW[:1], torch.tensor([label]))) == pytest.approx(expected)


@pytest.mark.parametrize("name", HEADS)
def test_unknown_labels_move_nothing(name):
    raw = RAW[:, : HEADS[name].n_outputs(2)].clone().requires_grad_()
    loss = HEADS[name].loss(raw, torch.full((3, 2), NAN))
    loss.backward()
    assert loss.item() == 0.0
    assert torch.equal(raw.grad, torch.zeros_like(raw))


@pytest.mark.parametrize("name", HEADS)
def test_gradients_are_finite_for_certain_outputs(name):
    raw = (100 * RAW[:, : HEADS[name].n_outputs(2)]).requires_grad_()
    HEADS[name].loss(raw, torch.tensor([[1.0, 0.0], [0.0, 0.0], [NAN, 1.0]])).backward()
    assert raw.grad.isfinite().all()
    assert raw.grad.abs().sum() > 0


def test_two_findings_in_one_case_contradict_softmax():
    case = Case("c7", (), (), (1.0, 1.0), "p7")
    check_labels(HEADS["sigmoid"], [case], ["a", "b"])
    with pytest.raises(DataError, match="'c7' has the findings a and b") as caught:
        check_labels(HEADS["softmax"], [case], ["a", "b"])
    assert "sigmoid" in caught.value.fix
