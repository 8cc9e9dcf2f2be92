"""The unlabelled loss of each method, by hand on one case of 4 x 4, and where it is zero."""

import math
from dataclasses import replace
from math import log, nan

import pytest
import torch
from torch import nn

from segclf.data import Batch
from segclf.losses import build_loss
from segclf.pseudolabel.semi.cps import cps_loss
from segclf.pseudolabel.semi.fixmatch import fixmatch_loss
from segclf.pseudolabel.semi.mean_teacher import mean_teacher_loss
from segclf.pseudolabel.semi.pseudo import parted, pseudo_loss
from segclf.pseudolabel.semi.two_step import features_loss
from segclf.pseudolabel.semi.uncertainty import dropping, entropy, uncertainty_loss
from segclf.pseudolabel.semi.views import perturbed

STUDENT = [[0.8, 0.6, 0.2, 0.2]] + [[0.2] * 4] * 3
TEACHER = [[0.9, 0.3, 0.2, 0.2]] + [[0.2] * 4] * 3
"""They differ by 0.1 at one pixel and by 0.3 at another; one teacher pixel is above 0.5."""
NOWHERE = [[0.2] * 4] * 4


def test_mean_teacher_by_hand(four, fixed):
    case = four(STUDENT)
    loss = mean_teacher_loss(case.part, fixed([[TEACHER]]), case.scene)
    assert loss.item() == pytest.approx((0.1**2 + 0.3**2) / 16, rel=1e-5)
    loss.backward()
    assert case.raw.grad[0, 0, 0, :2].abs().min() > 0  # it moves these two pixels
    assert case.raw.grad[0, 0, 1:].abs().max() < 1e-9


def test_a_teacher_that_says_the_same_without_noise_teaches_nothing(four, fixed):
    case = four(STUDENT)
    for method in (mean_teacher_loss, uncertainty_loss):
        loss = method(case.part, fixed([[STUDENT]]), case.scene)
        assert loss.item() == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize(
    ("label", "teacher", "least_area", "expected"),
    [
        # label 0: the target is the empty mask
        (0, TEACHER, 0, (0.8**2 + 0.6**2 + 14 * 0.2**2) / 16),
        # label 1, and one pixel of 16 above 0.5: as it is
        (1, TEACHER, 0, (0.1**2 + 0.3**2) / 16),
        # label 1, and no pixel (or no more than allowed) above 0.5: it would teach background
        (1, NOWHERE, 0, 0),
        (1, TEACHER, 1 / 16, 0),
        # label unknown: only pixels surer than 0.75, all but the one at 0.3
        (nan, TEACHER, 0, 0.1**2 / 15),
    ],
)
def test_boosted_by_hand(four, fixed, label, teacher, least_area, expected):
    case = four(STUDENT, label=label, boosted=True, least_area=least_area, confidence=0.75)
    loss = mean_teacher_loss(case.part, fixed([[teacher]]), case.scene)
    assert loss.item() == pytest.approx(expected, rel=1e-5)


def test_boosted_looks_at_each_finding_by_itself(four, fixed):
    """Label 1 of the first finding, whose target misses it; label 0 of the second."""
    case = four([STUDENT, STUDENT], n_planes=2, boosted=True)
    case.part.label[0] = torch.tensor([1.0, 0.0])
    loss = mean_teacher_loss(case.part, fixed([NOWHERE, TEACHER]), case.scene)
    assert loss.item() == pytest.approx((0.8**2 + 0.6**2 + 14 * 0.2**2) / 16, rel=1e-5)


def test_a_finding_whose_mask_is_known_is_left_out(four, fixed):
    case = four([STUDENT, STUDENT], n_planes=2)
    case.part.planes[0, 1] = False
    loss = mean_teacher_loss(case.part, fixed([TEACHER, NOWHERE]), case.scene)
    assert loss.item() == pytest.approx((0.1**2 + 0.3**2) / 16, rel=1e-5)


def test_uncertainty_by_hand(four, fixed):
    """Two passes; their mean is 0.9 and 0.5 at the first pixels, and 0.5 is never sure."""
    one = [[0.85, 0.4, 0.2, 0.2]] + [[0.2] * 4] * 3
    other = [[0.95, 0.6, 0.2, 0.2]] + [[0.2] * 4] * 3
    case = four(STUDENT, passes=2)
    teacher = fixed([[one]], [[other]])
    loss = uncertainty_loss(case.part, teacher, case.scene)
    assert teacher.n_asked == 2
    assert loss.item() == pytest.approx(0.1**2 / 15, rel=1e-4)


def test_the_threshold_of_the_entropy_rises_with_the_ramp(four, fixed):
    """At the first step 0.75 ln 2 = 0.52: entropy 0.61 of a probability of 0.3 is too much."""
    assert entropy(torch.tensor([0.3, 0.0, 1.0])).tolist() == pytest.approx(
        [-0.3 * log(0.3) - 0.7 * log(0.7), 0, 0]
    )
    early, late = (four(STUDENT, passes=1, step=step) for step in (0, 100))
    losses = [
        uncertainty_loss(case.part, fixed([[TEACHER]]), case.scene).item() for case in (early, late)
    ]
    assert losses[0] == pytest.approx(0.1**2 / 15, rel=1e-5)
    assert losses[1] == pytest.approx((0.1**2 + 0.3**2) / 16, rel=1e-5)


def test_the_teachers_passes_drop_and_nothing_else_changes():
    network = nn.Sequential(nn.Conv2d(1, 4, 1), nn.BatchNorm2d(4), nn.Dropout(0.5)).eval()
    with dropping(network):
        assert [module.training for module in network] == [False, False, True]
        image = torch.ones(1, 1, 4, 4)
        assert not torch.equal(network(image), network(image))
    assert not any(module.training for module in network.modules())


def test_cps_by_hand(four):
    """Masks: the first network marks two pixels, the second one of them."""
    case = four(STUDENT)
    second = torch.logit(torch.tensor(TEACHER, dtype=torch.float64)).reshape(1, 1, 4, 4)
    second.requires_grad_()
    loss = cps_loss(case.part, second, case.scene)
    first_learns = -(log(0.8) + log(0.4) + 14 * log(0.8)) / 16
    second_learns = -(log(0.9) + log(0.3) + 14 * log(0.8)) / 16
    assert loss.item() == pytest.approx(first_learns + second_learns, rel=1e-5)
    loss.backward()
    assert case.raw.grad.abs().min() > 0
    assert second.grad.abs().min() > 0
    assert case.raw.grad[0, 0, 0, 1] > 0 > second.grad[0, 0, 0, 1]  # each towards the other's mask


def test_cps_boosted_by_hand(four):
    """Label 1: the second network has no mask, so that it teaches nothing; the first does."""
    case = four(STUDENT, label=1, boosted=True)
    second = torch.logit(torch.tensor(NOWHERE, dtype=torch.float64)).reshape(1, 1, 4, 4)
    loss = cps_loss(case.part, second, case.scene)
    assert loss.item() == pytest.approx(-(2 * log(0.2) + 14 * log(0.8)) / 16, rel=1e-5)
    empty = four(STUDENT, label=0, boosted=True)
    loss = cps_loss(empty.part, second, empty.scene)
    both_empty = -(log(0.2) + log(0.4) + 14 * log(0.8) + 16 * log(0.8)) / 16
    assert loss.item() == pytest.approx(both_empty, rel=1e-5)


def test_fixmatch_by_hand(four):
    """Sure above 0.75: the pixel at 0.6 is left out, not made background."""
    case = four(STUDENT, method="fixmatch", confidence=0.75)
    strong = torch.logit(torch.tensor(TEACHER, dtype=torch.float64)).reshape(1, 1, 4, 4)
    strong.requires_grad_()
    loss = fixmatch_loss(case.part, strong, case.scene)
    assert loss.item() == pytest.approx(-(log(0.9) + 14 * log(0.8)) / 15, rel=1e-5)
    loss.backward()
    assert case.raw.grad is None  # the weak view teaches and does not learn
    assert strong.grad[0, 0, 0, 1] == 0
    assert strong.grad[0, 0, 0, 0] < 0 < strong.grad[0, 0, 1, 1]


def test_fixmatch_below_its_threshold_is_zero(four):
    case = four(STUDENT, method="fixmatch")
    assert case.scene.confidence == 0.95
    strong = torch.zeros(1, 1, 4, 4, requires_grad=True)
    loss = fixmatch_loss(case.part, strong, case.scene)
    assert loss.item() == 0
    loss.backward()
    assert strong.grad.abs().max() == 0


def test_fixmatch_of_exclusive_findings_by_hand(four):
    """Background, then two findings; softmax of logits that are logarithms of probabilities."""
    share = torch.full((3, 4, 4), 0.01, dtype=torch.float64)
    share[0] = 0.98
    share[:, 0, 0] = torch.tensor([0.02, 0.97, 0.01])  # surely the first finding
    share[:, 0, 1] = torch.tensor([0.5, 0.3, 0.2])  # nothing is sure
    case = four(None, raw=share.log()[None], exclusive=True, n_planes=2, method="fixmatch")
    strong = torch.full((3, 4, 4), 0.2, dtype=torch.float64)
    strong[0] = 0.6
    loss = fixmatch_loss(case.part, strong.log()[None], case.scene)
    assert loss.item() == pytest.approx(-(log(0.2) + 14 * log(0.6)) / 15, rel=1e-5)


def test_the_features_of_two_step_by_hand():
    """Cosines: 1 at twelve places, 0 at two, -1 at two."""
    weak = torch.zeros(1, 2, 4, 4)
    weak[:, 0] = 3.0
    strong = weak.clone() / 2
    strong[0, :, 0, 0] = strong[0, :, 0, 1] = torch.tensor([0.0, 5.0])
    strong[0, :, 1, 0] = strong[0, :, 1, 1] = torch.tensor([-1.0, 0.0])
    assert features_loss(weak, strong).item() == pytest.approx(1 - (12 - 2) / 16, rel=1e-6)
    assert features_loss(weak, 7 * weak).item() == pytest.approx(0, abs=1e-6)


def test_pseudo_by_hand(four):
    """Of a known and a soft pseudo-mask; pixels of the latter at 0.6 are left out."""
    case = four(STUDENT, method="pseudo", weight=0.5)
    soft = torch.full((4, 4), 0.1)
    soft[0] = torch.tensor([0.9, 0.6, 0.4, 0.1])
    batch = Batch(
        image=torch.zeros(2, 1, 4, 4),
        target=torch.stack([torch.zeros(1, 4, 4), soft[None]]),
        label=torch.tensor([[0.0], [nan]]),
        case_id=["known", "u"],
        step=0,
    )
    raw = torch.stack([case.raw.detach()[0], case.raw.detach()[0]])
    task = _plain_task(case.scene.recipe)
    known = -(log(0.2) + log(0.4) + 14 * log(0.8)) / 16
    sure = 0.9 * log(0.8) + 0.1 * log(0.2) + 13 * (0.1 * log(0.2) + 0.9 * log(0.8))
    loss = pseudo_loss(task, raw, batch, case.scene)
    assert loss.item() == pytest.approx(known + 0.5 * -sure / 14, rel=1e-5)


def test_what_is_neither_known_nor_sure_enough_is_left_out():
    target = torch.tensor([[[1.0, 0.0, nan, 0.0]], [[1.0, 0.64, 0.3, nan]]])[:, :, None]
    known, pseudo = parted(target, torch.tensor([[False], [True]]), confidence=0.65)
    assert known.isnan().tolist() == [[[[False, False, True, False]]], [[[True] * 4]]]
    assert pseudo.isnan().tolist() == [[[[True] * 4]], [[[False, True, False, True]]]]


def test_the_weight_is_zero_at_first_and_full_after_its_share_of_the_steps(four):
    scene = four(STUDENT, weight=2.0, ramp=0.4).scene
    weights = [scene.weight(step) for step in (0, 10, 20, 39, 40, 99)]
    by_hand = [0, *(2 * math.exp(-5 * (1 - x) ** 2) for x in (0.25, 0.5, 0.975)), 2, 2]
    assert weights == pytest.approx(by_hand)
    longer = four(STUDENT, weight=2.0, ramp=0.4).scene
    steps = longer.recipe.train.model_copy(update={"steps": 1000})
    longer = replace(longer, recipe=longer.recipe.model_copy(update={"train": steps}))
    assert longer.weight(399) < longer.weight(400) == 2.0
    assert four(STUDENT, ramp=0).scene.weight(0) == 1.0


def test_a_perturbed_view_differs_by_contrast_brightness_and_noise():
    image = torch.rand(3, 2, 16, 16)
    torch.testing.assert_close(perturbed(image, strength=0, noise=0), image)
    torch.manual_seed(1)
    changed = perturbed(image, strength=0.5, noise=0)
    flat, seen = image.flatten(2), changed.flatten(2)
    for case in range(3):  # one affine map per case: contrast times brightness, and an offset
        gain = (seen.std(2) / flat.std(2))[case]
        torch.testing.assert_close(gain[0], gain[1])
        ratio = seen.mean(2)[case] / flat.mean(2)[case]
        torch.testing.assert_close(ratio[0], ratio[1])
        assert 0.5 <= ratio[0] <= 1.5
    noise = perturbed(image, strength=0, noise=0.1) - image
    assert noise.abs().max() <= 0.2 + 1e-6
    # a normal variable moved to the nearer end beyond two deviations
    inside, beyond = math.erf(math.sqrt(2)) - 4 * math.exp(-2) / math.sqrt(2 * math.pi), 0.0455
    assert noise.std() == pytest.approx(0.1 * math.sqrt(inside + 4 * beyond), rel=0.05)


def _plain_task(recipe):
    ce = build_loss(recipe.loss.model_copy(update={"name": "ce"}), exclusive=False)

    class Plain:
        @staticmethod
        def loss(raw, batch):
            return ce(raw, batch.target)

    return Plain
