"""What every loss of the catalog promises, with independent and with exclusive findings."""

import pytest
import torch

from segclf.core.config import LossSettings
from segclf.losses import LOSSES, build_loss

NAN = float("nan")


@pytest.fixture(params=sorted(LOSSES))
def name(request):
    return request.param


@pytest.fixture(params=[False, True], ids=["independent", "exclusive"])
def exclusive(request):
    return request.param


@pytest.fixture
def loss(name, exclusive):
    return build_loss(LossSettings(name=name), exclusive=exclusive)


def target_2d():
    """Two cases, two findings, never both at a pixel; the second case has nothing."""
    target = torch.zeros(2, 2, 8, 8)
    target[0, 0, 1:4, 1:4] = 1
    target[0, 1, 5:7, 4:8] = 1
    return target


def logits_for(target, exclusive, right=4.0):
    """Outputs that are sure of the target by `right` (or of its opposite, if negative)."""
    findings = right * (2 * target - 1)
    if not exclusive:
        return findings
    return torch.cat([-right * (2 * target.amax(1, keepdim=True) - 1), findings], dim=1)


def test_a_better_mask_costs_less(loss, exclusive):
    target = target_2d()
    costs = [float(loss(logits_for(target, exclusive, right), target)) for right in (6, 2, 0, -2)]
    assert costs == sorted(costs)
    assert costs[0] < 0.1
    assert costs[-1] > 2 * costs[0]


def test_the_value_and_the_gradient_are_finite_on_any_target(loss, exclusive):
    tiny = torch.zeros(2, 2, 8, 8)
    tiny[1, 1, 3, 5] = 1
    for target in (target_2d(), tiny, torch.zeros(2, 2, 8, 8)):
        for right in (30.0, 0.1, -30.0):
            logits = logits_for(target, exclusive, right).requires_grad_()
            value = loss(logits, target)
            value.backward()
            assert value.shape == ()
            assert value.isfinite()
            assert logits.grad.isfinite().all()


def test_an_empty_target_lowers_every_logit_of_a_finding(loss, exclusive):
    target = torch.zeros(2, 2, 8, 8)
    logits = logits_for(target, exclusive, right=0.5).requires_grad_()
    loss(logits, target).backward()
    findings = logits.grad[:, 1:] if exclusive else logits.grad
    assert (findings > 1e-6).all()


def test_what_is_said_about_an_unknown_finding_does_not_count(name):
    loss = build_loss(LossSettings(name=name), exclusive=False)
    target = target_2d()
    target[1, 1] = NAN
    logits = torch.randn(2, 2, 8, 8, generator=torch.Generator().manual_seed(0))
    changed = logits.clone()
    changed[1, 1] = 50.0
    assert float(loss(logits, target)) == pytest.approx(float(loss(changed, target)))
    changed[1, 0] = 50.0  # a known one does count
    assert float(loss(logits, target)) != pytest.approx(float(loss(changed, target)))


def test_exclusive_findings_of_an_unknown_case_do_not_count(name):
    loss = build_loss(LossSettings(name=name), exclusive=True)
    target = target_2d()
    target[1] = NAN
    logits = torch.randn(2, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    assert float(loss(logits, target)) == pytest.approx(float(loss(logits[:1], target[:1])))


def test_a_batch_with_nothing_known_costs_nothing_and_still_has_a_gradient(loss, exclusive):
    target = torch.full((2, 2, 8, 8), NAN)
    logits = torch.randn(2, 2 + exclusive, 8, 8, requires_grad=True)
    value = loss(logits, target)
    value.backward()
    assert float(value.detach()) == 0.0
    assert torch.equal(logits.grad, torch.zeros_like(logits))


def test_a_volume_works_like_an_image(loss, exclusive):
    target = target_2d()
    logits = torch.randn(2, 2 + exclusive, 8, 8, generator=torch.Generator().manual_seed(0))
    volume, thick = target[..., None], logits[..., None]
    assert float(loss(thick, volume)) == pytest.approx(float(loss(logits, target)), rel=1e-6)


def test_half_precision_gives_the_loss_of_float32(loss, exclusive):
    target = target_2d()
    logits = torch.randn(2, 2 + exclusive, 8, 8, generator=torch.Generator().manual_seed(0))
    half = logits.bfloat16()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        value = loss(half, target)
    assert value.dtype == torch.float32
    assert float(value) == float(loss(half.float(), target))


def test_the_derivative_is_right(loss, exclusive):
    target = target_2d().double()
    target[0, 1] = NAN
    shape = (2, 2 + exclusive, 8, 8)
    logits = torch.randn(shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    assert torch.autograd.gradcheck(lambda z: loss(z, target), logits.requires_grad_())


def test_it_never_waits_for_the_device(name, exclusive):
    # on the meta device there are no values: reading one, or indexing by a mask, is an error
    logits = torch.empty(2, 2 + exclusive, 8, 8, device="meta", requires_grad=True)
    target = torch.empty(2, 2, 8, 8, device="meta")
    value = LOSSES[name](logits, target, exclusive=exclusive)
    value.backward()
    assert value.shape == ()


def test_a_target_of_a_thousandth_of_the_area_does_not_collapse(loss, exclusive):
    """Four cases of 64 x 64, half of them empty, 4 pixels (0.1 %) in the others.

    The network is one weight and one bias per finding on a noisy image in which the target is
    brighter by eight standard deviations; it starts at the pixel prior.
    """
    draw = torch.Generator().manual_seed(0)
    image = torch.randn(4, 1, 64, 64, generator=draw)
    target = torch.zeros(4, 1, 64, 64)
    for case in range(2):
        row, column = torch.randint(0, 62, (2,), generator=draw).tolist()
        target[case, :, row : row + 2, column : column + 2] = 1
    image = image + 8 * target
    weight = torch.zeros((), requires_grad=True)
    bias = torch.tensor(-7.6, requires_grad=True)  # logit of 8 / (4 * 4096)
    optimizer = torch.optim.Adam([weight, bias], lr=0.1)
    for _ in range(150):
        logits = weight * image + bias
        raw = torch.cat([torch.zeros_like(logits), logits], dim=1) if exclusive else logits
        optimizer.zero_grad()
        loss(raw, target).backward()
        optimizer.step()
    mask = (weight * image + bias > 0).float()
    dice = 2 * (mask * target).sum() / (mask.sum() + target.sum())
    assert float(dice) > 0.8


def test_logits_and_target_must_fit(loss, exclusive):
    with pytest.raises(ValueError, match=rf"\(2, {2 + exclusive}, 8, 8\) expected") as caught:
        loss(torch.zeros(2, 5, 8, 8), torch.zeros(2, 2, 8, 8))
    assert "got (2, 5, 8, 8)" in str(caught.value)
    assert f"exclusive={exclusive}" in str(caught.value)
