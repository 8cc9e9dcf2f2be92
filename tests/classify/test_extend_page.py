"""The example of docs/extend/head.md works as it stands, under its entry point."""

import re
from pathlib import Path
from types import SimpleNamespace

import torch
from torch.nn import functional

from segclf.classify import HEADS, Head
from segclf.core import catalog
from segclf.core.catalog import lookup
from segclf.core.config import make_recipe

PAGE = Path(__file__).parents[2] / "docs" / "extend" / "head.md"


def test_the_head_of_the_page_is_found_by_name_and_smooths_known_labels_alone(monkeypatch):
    code = re.findall(r"```python\n(.*?)```", PAGE.read_text(), flags=re.S)[0]
    space: dict = {}
    exec(code, space)  # the page's own code
    point = SimpleNamespace(name="smooth", load=lambda: space["SMOOTH"], value="my_package:SMOOTH")
    monkeypatch.setattr(
        catalog, "entry_points", lambda *, group: [point] if group == "segclf.heads" else []
    )
    head = lookup("smooth", HEADS, kind="head", group="segclf.heads")
    assert isinstance(head, Head)
    targets = head.targets({}, ("a", "b"), make_recipe({}, where="test"))
    raw = torch.tensor([[0.3, -1.0], [1.5, 0.2]])
    label = torch.tensor([[1.0, float("nan")], [0.0, 1.0]])
    expected = functional.binary_cross_entropy_with_logits(
        torch.tensor([0.3, 1.5, 0.2]), torch.tensor([0.95, 0.05, 0.95])
    )
    torch.testing.assert_close(head.loss(raw, SimpleNamespace(label=label), targets), expected)
    unknown = SimpleNamespace(label=torch.full((2, 2), float("nan")))
    torch.testing.assert_close(head.loss(raw, unknown, targets), torch.tensor(0.0))
