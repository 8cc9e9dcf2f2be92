"""Single unknown pixels, soft truth and boxes: MONAI and torch on the known pixels, and by hand."""

from math import log

import pytest
import torch
from monai.losses.dice import DiceLoss
from monai.losses.focal_loss import FocalLoss
from monai.losses.tversky import TverskyLoss
from torch.nn import functional

from segclf.core.config import LossSettings
from segclf.losses import LOSSES, box_loss, build_loss, ce, dice, focal, tversky
from segclf.losses.pixelwise import exclusive_nll

NAN = float("nan")
SHAPE = (3, 1, 7, 6)


@pytest.fixture
def drawn():
    """Logits, a target of 0 and 1, and which of its pixels are known: about two thirds."""
    draw = torch.Generator().manual_seed(3)
    target = (torch.rand(SHAPE, generator=draw) > 0.7).float()
    known = torch.rand(SHAPE, generator=draw) > 0.3
    return torch.randn(SHAPE, generator=draw), target, known


MONAI = {
    "ce": lambda z, t: functional.binary_cross_entropy_with_logits(z, t),
    "dice": DiceLoss(sigmoid=True, batch=True),
    "dice_ce": lambda z, t: (
        DiceLoss(sigmoid=True)(z, t) + functional.binary_cross_entropy_with_logits(z, t)
    ),
    "focal": FocalLoss(gamma=2.0),
    "tversky": TverskyLoss(sigmoid=True, alpha=0.3, beta=0.7, batch=True),
}


@pytest.mark.parametrize("name", sorted(MONAI))
def test_every_loss_is_that_of_the_known_pixels_alone(drawn, name):
    logits, target, known = drawn
    loss = build_loss(LossSettings(name=name), exclusive=False)
    ours = loss(logits, torch.where(known, target, NAN))
    alone = (plane[known][None, None] for plane in (logits, target))  # one row of known pixels
    torch.testing.assert_close(ours, MONAI[name](*alone), rtol=0, atol=1e-6)


@pytest.mark.parametrize("name", sorted(LOSSES))
@pytest.mark.parametrize("exclusive", [False, True])
def test_what_a_network_says_at_an_unknown_pixel_changes_nothing(drawn, name, exclusive):
    logits, target, known = drawn
    loss = build_loss(LossSettings(name=name), exclusive=exclusive)
    target = torch.where(known, target, NAN)
    logits = torch.cat([logits, -logits], dim=1) if exclusive else logits
    changed = torch.where(known, logits, 40.0).requires_grad_()
    value = loss(changed, target)
    value.backward()
    assert float(value.detach()) == pytest.approx(float(loss(logits, target)), rel=1e-6)
    assert (changed.grad[(~known).expand_as(changed)] == 0).all()
    assert (changed.grad[known.expand_as(changed)] != 0).any()


def test_exclusive_cross_entropy_is_that_of_the_known_pixels():
    draw = torch.Generator().manual_seed(0)
    klass = torch.randint(0, 3, (2, 4, 4), generator=draw)
    known = torch.rand((2, 4, 4), generator=draw) > 0.4
    target = torch.stack([klass == 1, klass == 2], dim=1).float()
    target = torch.where(known[:, None], target, NAN)
    logits = torch.randn(2, 3, 4, 4, generator=draw)
    expected = functional.cross_entropy(logits.movedim(1, -1)[known], klass[known])
    torch.testing.assert_close(ce(logits, target, exclusive=True), expected, rtol=0, atol=1e-6)


def test_dice_and_cross_entropy_by_hand_on_4_x_4():
    # known: two target pixels (p 0.8, 0.6) and three others (p 0.1, 0.2, 0.3); all else unknown
    target = torch.full((4, 4), NAN, dtype=torch.float64)
    probability = torch.full((4, 4), 0.9, dtype=torch.float64)
    target[1, :2], target[2, :3] = 1, 0
    probability[1, :2] = torch.tensor([0.8, 0.6])
    probability[2, :3] = torch.tensor([0.1, 0.2, 0.3])
    arguments = probability.logit()[None, None], target[None, None]
    by_hand = 1 - 2 * 1.4 / (2.0 + 2)
    assert float(dice(*arguments, exclusive=False)) == pytest.approx(by_hand, abs=1e-5)
    by_hand = -(log(0.8) + log(0.6) + log(0.9) + log(0.8) + log(0.7)) / 5
    assert float(ce(*arguments, exclusive=False)) == pytest.approx(by_hand)


@pytest.fixture
def soft():
    draw = torch.Generator().manual_seed(1)
    truth = torch.rand(SHAPE, generator=draw)
    truth[0] = (truth[0] > 0.5).float()  # a hard case among soft ones
    return torch.randn(SHAPE, generator=draw), truth


def test_soft_truth_gives_the_losses_of_monai_for_soft_labels(soft):
    expected = DiceLoss(sigmoid=True, batch=True, soft_label=True)(*soft)
    torch.testing.assert_close(dice(*soft, exclusive=False), expected, rtol=0, atol=1e-6)
    expected = TverskyLoss(sigmoid=True, alpha=0.3, beta=0.7, batch=True, soft_label=True)(*soft)
    torch.testing.assert_close(tversky(*soft, exclusive=False), expected, rtol=0, atol=1e-6)
    expected = functional.binary_cross_entropy_with_logits(*soft)
    torch.testing.assert_close(ce(*soft, exclusive=False), expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize("name", sorted(LOSSES))
@pytest.mark.parametrize("exclusive", [False, True])
def test_the_best_answer_to_soft_truth_is_that_truth(name, exclusive):
    loss = build_loss(LossSettings(name=name), exclusive=exclusive)
    truth = torch.full((1, 1, 4, 4), 0.3, dtype=torch.float64)
    answers = (0.02, 0.1, 0.2, 0.29, 0.3, 0.31, 0.4, 0.6, 0.98)
    costs = {}
    for p in answers:
        logits = torch.full_like(truth, p).logit()
        raw = torch.cat([torch.zeros_like(logits), logits], dim=1) if exclusive else logits
        costs[p] = float(loss(raw, truth))
    assert min(costs, key=costs.get) == 0.3


def test_soft_shares_of_exclusive_findings_give_the_cross_entropy_of_torch():
    draw = torch.Generator().manual_seed(0)
    shares = torch.rand((2, 3, 4, 4), generator=draw).softmax(1)
    logits = torch.randn(2, 3, 4, 4, generator=draw)
    expected = functional.cross_entropy(logits, shares)
    ours = ce(logits, shares[:, 1:], exclusive=True)
    torch.testing.assert_close(ours, expected, rtol=0, atol=1e-6)


def test_what_a_soft_finding_leaves_open_is_background_or_an_unknown_finding():
    # p = 0.5, 0.3, 0.2; the first finding covers 0.4 of the pixel, the second is not known
    logits = torch.tensor([0.5, 0.3, 0.2]).log().reshape(1, 3, 1)
    nll, counted = exclusive_nll(logits, torch.tensor([[[0.4], [NAN]]]))
    assert float(nll) == pytest.approx(-0.4 * log(0.3) - 0.6 * log(0.7), rel=1e-6)
    assert counted.all()


def test_focal_loss_of_soft_truth_by_hand():
    # |0.4 - 0.9|^2 (-0.4 log 0.9 - 0.6 log 0.1), for one finding and for its two outputs
    by_hand = 0.25 * (-0.4 * log(0.9) - 0.6 * log(0.1))
    z, target = torch.tensor([[[0.9]]]).logit(), torch.tensor([[[0.4]]])
    assert float(focal(z, target, exclusive=False, gamma=2)) == pytest.approx(by_hand, rel=1e-5)
    raw = torch.cat([torch.zeros_like(z), z], dim=1)
    assert float(focal(raw, target, exclusive=True, gamma=2)) == pytest.approx(by_hand, rel=1e-5)


@pytest.fixture
def boxed():
    """4 x 4: a box of four pixels with p 0.1, 0.2, 0.7, 0.4; outside p 0.25, and background."""
    target = torch.zeros(1, 1, 4, 4)
    target[..., 1:3, 1:3] = -1
    probability = torch.full((1, 1, 4, 4), 0.25)
    probability[..., 1:3, 1:3] = torch.tensor([[0.1, 0.2], [0.7, 0.4]])
    return probability, target


def test_a_box_asks_for_one_positive_pixel_by_hand(boxed):
    probability, target = boxed
    z = probability.logit().requires_grad_()
    value = box_loss(z, target, exclusive=False)
    assert float(value.detach()) == pytest.approx(-log(0.7), rel=1e-6)
    value.backward()
    assert z.grad.nonzero().tolist() == [[0, 0, 2, 1]]
    assert float(z.grad[0, 0, 2, 1]) == pytest.approx(0.7 - 1)
    raw = torch.cat([torch.zeros_like(z), z], dim=1)
    assert float(box_loss(raw.detach(), target, exclusive=True)) == pytest.approx(
        -log(0.7), rel=1e-6
    )


def test_a_box_is_background_outside_and_asks_for_one_pixel_inside(boxed):
    probability, target = boxed
    loss = build_loss(LossSettings(name="ce"), exclusive=False)
    value = loss(probability.logit(), target)
    assert float(value) == pytest.approx(-log(0.75) - log(0.7), rel=1e-6)


def test_each_box_of_a_case_is_a_term_and_boxes_that_touch_are_one():
    p = torch.full((1, 1, 5, 5), 0.05)
    p[..., 0, 0], p[..., 4, 4], p[..., 4, 0] = 0.9, 0.2, 0.6
    target = torch.zeros(1, 1, 5, 5)
    target[..., :2, :2] = target[..., 3:, 3:] = -1
    z = p.logit().requires_grad_()
    value = box_loss(z, target, exclusive=False)
    assert float(value.detach()) == pytest.approx((-log(0.9) - log(0.2)) / 2, rel=1e-5)
    value.backward()
    assert z.grad[0, 0].nonzero().tolist() == [[0, 0], [4, 4]]
    target[..., 2, 2] = -1  # joins both at their corners
    value = float(box_loss(z.detach(), target, exclusive=False))
    assert value == pytest.approx(-log(0.9), rel=1e-5)


def test_boxes_are_averaged_and_cases_without_one_do_not_count(boxed):
    probability, target = boxed
    second = probability.flip(3) * 0.5  # largest inside: 0.35
    both = torch.cat([probability, second, probability]).logit()
    targets = torch.cat([target, target, torch.zeros_like(target)])
    by_hand = (-log(0.7) - log(0.35)) / 2
    assert float(box_loss(both, targets, exclusive=False)) == pytest.approx(by_hand, rel=1e-6)
    assert float(box_loss(both, targets.clamp_min(0), exclusive=False)) == 0.0
