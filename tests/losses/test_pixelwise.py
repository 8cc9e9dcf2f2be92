"""Cross-entropy and focal loss against torch and MONAI, and by hand where findings are unknown."""

from math import log

import pytest
import torch
from monai.losses.focal_loss import FocalLoss
from torch.nn import functional

from segclf.losses import ce, focal
from segclf.losses.pixelwise import exclusive_nll

NAN = float("nan")


@pytest.fixture
def drawn():
    """Random logits, and a fully known target of two findings that never overlap."""
    draw = torch.Generator().manual_seed(0)
    klass = torch.randint(0, 3, (4, 6, 5), generator=draw)
    target = torch.stack([klass == 1, klass == 2], dim=1).float()
    return torch.randn(4, 3, 6, 5, generator=draw), klass, target


def test_known_independent_findings_give_binary_cross_entropy(drawn):
    logits, _, target = drawn
    expected = functional.binary_cross_entropy_with_logits(logits[:, 1:], target)
    torch.testing.assert_close(
        ce(logits[:, 1:], target, exclusive=False), expected, rtol=0, atol=1e-6
    )


def test_known_exclusive_findings_give_categorical_cross_entropy(drawn):
    logits, klass, target = drawn
    expected = functional.cross_entropy(logits, klass)
    torch.testing.assert_close(ce(logits, target, exclusive=True), expected, rtol=0, atol=1e-6)


def test_binary_cross_entropy_is_that_of_the_known_planes(drawn):
    logits, _, target = drawn
    logits = logits[:, 1:]
    target[0, 1] = target[2, 0] = NAN
    known = [(b, f) for b in range(4) for f in range(2) if (b, f) not in ((0, 1), (2, 0))]
    expected = functional.binary_cross_entropy_with_logits(
        torch.stack([logits[k] for k in known]), torch.stack([target[k] for k in known])
    )
    torch.testing.assert_close(ce(logits, target, exclusive=False), expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize("alpha", [None, 0.7])
def test_known_findings_give_the_focal_loss_of_monai(drawn, alpha):
    logits, klass, target = drawn
    expected = FocalLoss(gamma=1.5, alpha=alpha)(logits[:, 1:], target)
    ours = focal(logits[:, 1:], target, exclusive=False, gamma=1.5, alpha=alpha)
    torch.testing.assert_close(ours, expected, rtol=0, atol=1e-6)
    onehot = functional.one_hot(klass, 3).movedim(-1, 1).float()
    softmax = FocalLoss(gamma=1.5, alpha=alpha, use_softmax=True, reduction="none")
    # MONAI also averages over the classes, all but one of which are 0 at a pixel
    expected = softmax(logits, onehot).sum(1).mean()
    ours = focal(logits, target, exclusive=True, gamma=1.5, alpha=alpha)
    torch.testing.assert_close(ours, expected, rtol=0, atol=1e-6)


def test_an_unknown_exclusive_finding_may_be_where_nothing_known_is():
    # Probabilities 0.5 background, 0.3 first, 0.2 second finding at both pixels. The second
    # finding is not known. Pixel 0: the first is there, and nothing else: -log 0.3. Pixel 1: the
    # first is not there; background or the second: -log(0.5 + 0.2).
    logits = torch.tensor([0.5, 0.3, 0.2]).log().reshape(1, 3, 1).expand(1, 3, 2)
    target = torch.tensor([[[1.0, 0.0], [NAN, NAN]]])
    nll, counted = exclusive_nll(logits, target)
    assert nll[0].tolist() == pytest.approx([-log(0.3), -log(0.7)], rel=1e-6)
    assert counted.all()
    loss = ce(logits, target, exclusive=True)
    assert float(loss) == pytest.approx((-log(0.3) - log(0.7)) / 2, rel=1e-6)
    weighted = focal(logits, target, exclusive=True, gamma=2, alpha=0.9)
    by_hand = (0.9 * 0.7**2 * -log(0.3) + 0.1 * 0.3**2 * -log(0.7)) / 2
    assert float(weighted) == pytest.approx(by_hand, rel=1e-5)


def test_a_case_without_any_known_finding_is_not_counted():
    logits = torch.tensor([0.5, 0.3, 0.2]).log().reshape(1, 3, 1).expand(2, 3, 2)
    target = torch.tensor([[[1.0, 1.0], [0.0, 0.0]], [[NAN, NAN], [NAN, NAN]]])
    assert exclusive_nll(logits, target)[1].tolist() == [[True, True], [False, False]]
    assert float(ce(logits, target, exclusive=True)) == pytest.approx(-log(0.3), rel=1e-6)
