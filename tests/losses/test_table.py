import pytest
import torch

from segclf.core.config import LossSettings
from segclf.core.errors import ConfigError, UsageError
from segclf.losses import LOSSES, build_loss


def test_an_unknown_loss_names_the_nearest():
    with pytest.raises(UsageError) as caught:
        build_loss(LossSettings(name="dise"), exclusive=False)
    assert "no loss called 'dise'" in str(caught.value)
    assert "did you mean 'dice'" in str(caught.value)


def test_an_unknown_option_names_the_nearest():
    with pytest.raises(ConfigError) as caught:
        build_loss(LossSettings(name="focal", options={"gama": 2}), exclusive=False)
    assert "'focal' has no option 'gama'" in str(caught.value)
    assert "one of alpha, gamma" in str(caught.value)
    assert "did you mean 'gamma'" in str(caught.value)


def test_options_that_the_recipe_decides_elsewhere_are_refused():
    with pytest.raises(ConfigError, match="no option 'exclusive'"):
        build_loss(LossSettings(name="ce", options={"exclusive": True}), exclusive=False)


def test_an_option_that_is_no_number_is_refused():
    with pytest.raises(ConfigError, match=r"loss.options.gamma = 'high' is not a number"):
        build_loss(LossSettings(name="focal", options={"gamma": "high"}), exclusive=False)


def test_options_reach_the_loss():
    logits, target = torch.full((1, 1, 4, 4), 2.0), torch.ones(1, 1, 4, 4)
    plain, focused = (
        build_loss(LossSettings(name="focal", options={"gamma": gamma}), exclusive=False)
        for gamma in (0, 2)
    )
    p = torch.sigmoid(torch.tensor(2.0))
    assert float(plain(logits, target)) == pytest.approx(float(-p.log()), rel=1e-6)
    assert float(focused(logits, target)) == pytest.approx(float(-((1 - p) ** 2) * p.log()), 1e-5)


def test_a_loss_computes_in_float32_inside_autocast(monkeypatch):
    seen = []

    def product(logits, target, *, exclusive):
        seen.append((logits.flatten(1) @ target.flatten(1).T).dtype)
        return logits.sum()

    monkeypatch.setitem(LOSSES, "product", product)
    loss = build_loss(LossSettings(name="product"), exclusive=False)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss(torch.zeros(1, 1, 4, 4, dtype=torch.bfloat16), torch.zeros(1, 1, 4, 4))
    assert seen == [torch.float32]
