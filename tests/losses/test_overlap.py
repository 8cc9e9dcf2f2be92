"""Dice and Tversky against MONAI where everything is known, and by hand where it is not."""

import pytest
import torch
from monai.losses.dice import DiceLoss
from monai.losses.tversky import TverskyLoss

from segclf.losses import ce, dice, dice_ce, tversky

NAN = float("nan")


@pytest.fixture
def drawn():
    """Random logits, and a fully known target in which every case has both findings."""
    draw = torch.Generator().manual_seed(0)
    klass = torch.randint(0, 3, (4, 6, 5), generator=draw)
    target = torch.stack([klass == 1, klass == 2], dim=1).float()
    assert (target.sum((2, 3)) > 0).all()
    return torch.randn(4, 3, 6, 5, generator=draw), target


@pytest.mark.parametrize("batch", [True, False])
def test_known_findings_give_the_dice_loss_of_monai(drawn, batch):
    logits, target = drawn
    expected = DiceLoss(sigmoid=True, batch=batch)(logits[:, 1:], target)
    ours = dice(logits[:, 1:], target, exclusive=False, batch=batch)
    torch.testing.assert_close(ours, expected, rtol=0, atol=1e-6)
    onehot = torch.cat([1 - target.sum(1, keepdim=True), target], dim=1)
    expected = DiceLoss(softmax=True, include_background=False, batch=batch)(logits, onehot)
    ours = dice(logits, target, exclusive=True, batch=batch)
    torch.testing.assert_close(ours, expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize("batch", [True, False])
def test_known_findings_give_the_tversky_loss_of_monai(drawn, batch):
    logits, target = drawn
    expected = TverskyLoss(sigmoid=True, alpha=0.2, beta=0.6, batch=batch)(logits[:, 1:], target)
    ours = tversky(logits[:, 1:], target, exclusive=False, alpha=0.2, beta=0.6, batch=batch)
    torch.testing.assert_close(ours, expected, rtol=0, atol=1e-6)


def test_dice_ce_is_the_weighted_sum(drawn):
    logits, target = drawn
    ours = dice_ce(logits, target, exclusive=True, dice_weight=2.0, ce_weight=0.5)
    parts = 2 * dice(logits, target, exclusive=True) + 0.5 * ce(logits, target, exclusive=True)
    assert float(ours) == pytest.approx(float(parts))


def test_unknown_planes_leave_the_dice_loss_of_the_known_cases(drawn):
    logits, target = drawn
    logits = logits[:, 1:]
    target[0, 1] = target[3, 1] = NAN
    monai = DiceLoss(sigmoid=True, batch=True)
    expected = (monai(logits[:, :1], target[:, :1]) + monai(logits[1:3, 1:], target[1:3, 1:])) / 2
    torch.testing.assert_close(dice(logits, target, exclusive=False), expected, rtol=0, atol=1e-6)
    target[:, 1] = NAN  # a finding that nobody knows does not enter the mean
    expected = monai(logits[:, :1], target[:, :1])
    torch.testing.assert_close(dice(logits, target, exclusive=False), expected, rtol=0, atol=1e-6)


def logit(p):
    return torch.as_tensor(p, dtype=torch.float64).logit()


@pytest.fixture
def tiny():
    """Two cases of 1000 pixels: 4 target pixels in the first, none in the second."""
    target = torch.zeros(2, 1, 1000, dtype=torch.float64)
    target[0, 0, :4] = 1
    return target


def gradient_by_probability(loss, probability, target):
    """Derivative of a loss by the probabilities that its logits stand for."""
    logits = logit(probability).requires_grad_()
    loss(logits, target).backward()
    return logits.grad / (probability * (1 - probability))


def test_at_the_start_a_tiny_target_is_not_drawn_to_an_empty_mask(tiny):
    # TP = 0.008, P = 4, T = 4: 2 TP / (P + T)^2 = 0.00025, 2 / (P + T) = 0.25
    start = torch.full_like(tiny, 0.002)
    gradient = gradient_by_probability(lambda z, t: dice(z, t, exclusive=False), start, tiny)
    torch.testing.assert_close(
        gradient, 0.00025 - 0.25 * tiny, rtol=1e-3, atol=0
    )  # 1e-5 of smoothing in MONAI
    assert float(gradient.sum()) == pytest.approx(-0.5, rel=1e-3)


@pytest.mark.parametrize(("batch", "cost"), [(True, 0.125), (False, 0.0005)])
def test_a_false_pixel_in_an_empty_case_costs_more_in_a_sum_over_the_batch(tiny, batch, cost):
    found = tiny.clamp(1e-9, 1 - 1e-9)
    gradient = gradient_by_probability(
        lambda z, t: dice(z, t, exclusive=False, batch=batch), found, tiny
    )
    assert gradient[1].flatten().tolist() == pytest.approx([cost] * 1000, rel=1e-4)


def test_an_empty_case_has_no_cliff(tiny):
    """MONAI's constants pull a nearly empty map to zero; the mean probability does not."""
    nearly = torch.full_like(tiny, 1e-5)
    monai = gradient_by_probability(DiceLoss(sigmoid=True), nearly, tiny)
    ours = gradient_by_probability(
        lambda z, t: dice(z, t, exclusive=False, batch=False), nearly, tiny
    )
    assert float(monai[0].sum()) == pytest.approx(-1.0, rel=0.05)  # the lesion, halved
    assert float(monai[1].sum()) > 40
    assert float(ours[0].sum()) == pytest.approx(float(monai[0].sum()))
    assert float(ours[1].sum()) == pytest.approx(0.5)


def test_without_any_target_the_loss_is_the_mean_probability_of_known_pixels():
    probability = torch.tensor([[[0.1, 0.3]], [[0.8, 0.8]], [[0.2, 0.6]]], dtype=torch.float64)
    target = torch.tensor([[[0.0, 0.0]], [[NAN, NAN]], [[0.0, 0.0]]], dtype=torch.float64)
    for loss in (dice, tversky):
        for batch in (True, False):
            value = loss(logit(probability), target, exclusive=False, batch=batch)
            assert float(value) == pytest.approx((0.1 + 0.3 + 0.2 + 0.6) / 4)


def test_the_tversky_loss_by_hand():
    # TP = 0.8, FP = 0.5, FN = 0.2: 1 - 0.8 / (0.8 + 0.3 * 0.5 + 0.7 * 0.2)
    logits = logit([[[0.8, 0.5]]])
    target = torch.tensor([[[1.0, 0.0]]], dtype=torch.float64)
    value = float(tversky(logits, target, exclusive=False))
    assert value == pytest.approx(1 - 0.8 / 1.09, rel=1e-4)
