import numpy as np
import pytest
import torch
from torch import nn

from segclf.core.config import make_recipe
from segclf.core.errors import DataError
from segclf.core.records import Case
from segclf.data import Batch
from segclf.losses import build_loss
from segclf.segment import infer_logits
from segclf.segment.infer import window_px
from segclf.segment.measure import measure_masks, pixel_prior
from segclf.training import MEASURES

NAN = float("nan")


class Pointwise(nn.Module):
    """Two outputs per pixel, x and 1 - x, whatever is around; notes the shapes it sees."""

    def __init__(self):
        super().__init__()
        self.seen = []

    def forward(self, image):
        self.seen.append(tuple(image.shape))
        return torch.cat([image, 1 - image], dim=1).bfloat16()


@pytest.mark.parametrize("shape", [(9, 20), (10, 11, 12), (5, 6)])
def test_windows_put_together_give_the_whole_image(shape):
    image = torch.rand(2, 1, *shape, generator=torch.Generator().manual_seed(0))
    image = image.bfloat16().float()
    network = Pointwise()
    patch = (6,) * len(shape)
    raw = infer_logits(network, image, patch_px=patch, overlap=0.5, batch_size=3)
    assert raw.dtype == torch.float32
    torch.testing.assert_close(raw, torch.cat([image, 1 - image], dim=1), rtol=0, atol=4e-3)
    assert all(seen[2:] == patch and seen[0] <= 3 for seen in network.seen)


def test_an_image_smaller_than_the_window_is_continued_by_its_edge():
    def mean_of_window(window):
        return window.mean((2, 3), keepdim=True).expand_as(window).clone()

    raw = infer_logits(mean_of_window, torch.full((1, 1, 4, 5), 3.0), patch_px=(8, 8))
    torch.testing.assert_close(raw, torch.full((1, 1, 4, 5), 3.0))


def test_without_a_window_the_network_sees_the_whole_image():
    network = Pointwise()
    infer_logits(network, torch.rand(2, 1, 9, 7))
    assert network.seen == [(2, 1, 9, 7)]


@pytest.mark.parametrize(
    ("image", "segment", "predict", "expected"),
    [
        (2, [8, 8], None, None),
        (2, None, [16, 16], (16, 16)),
        (3, [8, 8, 8], None, (8, 8, 8)),
        (3, [8, 8, 8], [16, 16, 16], (16, 16, 16)),
        (3, None, None, None),
    ],
)
def test_the_window_is_the_training_crop_in_3d_unless_one_is_given(
    image, segment, predict, expected
):
    recipe = make_recipe(
        {
            "image": {"spatial_dims": image},
            "segment": {"patch_px": segment},
            "predict": {"patch_px": predict},
        },
        where="test",
    )
    assert window_px(recipe) == expected


class Fixed(nn.Module):
    """Logits that do not depend on the image."""

    def __init__(self, logits):
        super().__init__()
        self.logits = torch.tensor(logits)

    def forward(self, image):
        return (
            self.logits.expand(len(image), *self.logits.shape[1:])
            if len(self.logits) == 1
            else self.logits
        )


def test_measures_of_drawn_masks_by_hand():
    logits = [
        [[[2.0, 2.0], [-2.0, -2.0]]],
        [[[-2.0, 2.0], [-2.0, -2.0]]],
        [[[2.0, -2.0], [2.0, 2.0]]],
    ]
    target = torch.tensor(
        [[[[1.0, 0.0], [1.0, 0.0]]], [[[0.0, 0.0], [0.0, 0.0]]], [[[NAN, NAN], [NAN, NAN]]]]
    )
    batch = Batch(
        image=torch.zeros(3, 1, 2, 2),
        target=target,
        label=torch.tensor([[1.0], [NAN], [NAN]]),
        case_id=["a", "b", "c"],
        step=0,
    )
    recipe = make_recipe({}, where="test")
    loss = build_loss(recipe.loss, exclusive=False)
    values = measure_masks(Fixed(logits), batch, recipe=recipe, loss=loss)
    named = {name: values[:, 0, i].tolist() for i, name in enumerate(MEASURES)}
    high, low = 1 / (1 + np.exp(-2.0)), 1 / (1 + np.exp(2.0))
    assert named["score"] == pytest.approx(
        [(high + low) / 2, (high + 3 * low) / 4, (3 * high + low) / 4]
    )
    assert named["overlap_px"][:2] == [1, 0]
    assert named["predicted_px"] == [2, 1, 3]
    assert named["true_px"][:2] == [2, 0]
    assert np.isnan(named["true_px"][2])
    assert named["label"][:2] == [1, 0]  # the second from its mask, which is known and empty
    assert np.isnan(named["label"][2])
    assert named["loss"] == pytest.approx([float(loss(torch.tensor(logits), target))] * 3)


def test_exclusive_findings_are_measured_by_their_softmax():
    raw = torch.tensor([[0.0, 1.0, -1.0]])[:, :, None, None].expand(1, 3, 2, 2)
    batch = Batch(
        image=torch.zeros(1, 1, 2, 2), target=torch.zeros(1, 2, 2, 2),
        label=torch.zeros(1, 2), case_id=["a"], step=0,
    )  # fmt: skip
    recipe = make_recipe({"exclusive": True}, where="test")
    loss = build_loss(recipe.loss, exclusive=True)
    values = measure_masks(Fixed(raw.tolist()), batch, recipe=recipe, loss=loss)
    expected = torch.tensor([0.0, 1.0, -1.0]).softmax(0)[1:]
    assert values[0, :, 1] == pytest.approx(expected.numpy(), abs=1e-6)
    assert values[0, :, 4].tolist() == [4, 0]


class DrawnCache:
    """Positive pixels of images of 10 x 10, as a cache tells them."""

    def __init__(self, foreground):
        self.foreground = foreground

    def known_px(self, case):
        return tuple(None if n is None else 100 for n in self.foreground[case.case_id])

    def foreground_px(self, case):
        return self.foreground[case.case_id]


def test_the_prior_is_the_share_of_positive_pixels_in_known_masks():
    cache = DrawnCache({"a": (3, None), "b": (0, 10), "c": (None, 0)})
    cases = [Case(name, (), (), (NAN, NAN), name) for name in "abc"]
    assert pixel_prior(cases, cache, ["x", "y"]) == (3 / 200, 10 / 200)


@pytest.mark.parametrize(
    ("foreground", "cause"),
    [((0,), "its known masks are all empty"), ((None,), "none of its masks is known")],
)
def test_a_finding_that_is_never_drawn_is_refused(foreground, cause):
    case = Case("a", (), (), (NAN,), "a")
    with pytest.raises(DataError, match="'x' has no positive pixel") as caught:
        pixel_prior([case], DrawnCache({"a": foreground}), ["x"])
    assert cause in str(caught.value)
