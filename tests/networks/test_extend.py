"""The example of docs/extend/network.md works as it stands."""

import re
from pathlib import Path

import torch

from segclf.core.config import NetworkSettings
from segclf.networks import NETWORKS, build_classifier, build_segmenter, set_output_bias

PAGE = Path(__file__).parents[2] / "docs" / "extend" / "network.md"


def test_the_network_of_the_page_is_a_segmenter_and_a_classifier(monkeypatch):
    names = {}
    for block in re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL):
        exec(block, names)
    monkeypatch.setitem(NETWORKS, "two_level", names["build_two_level"])
    settings = NetworkSettings(name="two_level", options={"width": 4})
    segmenter = build_segmenter(settings, n_channels=1, n_outputs=2, spatial_dims=2)
    set_output_bias(segmenter, [0.01, 0.02], exclusive=False)
    classifier = build_classifier(settings, n_channels=1, n_outputs=3, spatial_dims=2)
    image = torch.rand(2, 1, 7, 9)
    assert segmenter(image).shape == (2, 2, 7, 9)
    assert classifier.embed(image).shape == (2, 8)
