"""The example of docs/extend/loss.md works as it stands."""

import re
from pathlib import Path

import pytest
import torch

from segclf.core.config import LossSettings
from segclf.losses import LOSSES, build_loss

PAGE = Path(__file__).parents[2] / "docs" / "extend" / "loss.md"


def test_the_loss_of_the_page_is_the_brier_score_of_known_pixels(monkeypatch):
    names = {}
    for block in re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL):
        exec(block, names)
    monkeypatch.setitem(LOSSES, "brier", names["brier"])
    loss = build_loss(LossSettings(name="brier", options={"power": 2}), exclusive=False)
    logits = torch.tensor([[[0.9, 0.2]], [[0.5, 0.5]]]).logit().requires_grad_()
    target = torch.tensor([[[1.0, 0.0]], [[float("nan")] * 2]])
    value = loss(logits, target)
    value.backward()
    assert value.item() == pytest.approx((0.1**2 + 0.2**2) / 2)
    assert logits.grad[1].tolist() == [[0.0, 0.0]]
