from math import log

import pytest
import torch

from segclf.core.config import NetworkSettings
from segclf.networks import build_segmenter, finding_logits, set_output_bias


@pytest.fixture
def network():
    settings = NetworkSettings(name="basicunet", options={"features": [8, 8, 8, 8, 8, 8]})
    return build_segmenter(settings, n_channels=1, n_outputs=3, spatial_dims=2)


def test_independent_findings_start_at_the_logit_of_their_prior(network):
    set_output_bias(network, [0.5, 0.25, 0.004], exclusive=False)
    assert network.head.bias.tolist() == pytest.approx([0, log(1 / 3), log(0.004 / 0.996)])
    assert float(network.head.weight.detach().norm()) == pytest.approx(0.1 * 3**0.5)


def test_exclusive_findings_start_at_the_log_of_their_prior_behind_the_background(network):
    set_output_bias(network, [0.1, 0.02], exclusive=True)
    assert network.head.bias.softmax(0).tolist() == pytest.approx([0.88, 0.1, 0.02])


def test_setting_it_twice_is_setting_it_once(network):
    set_output_bias(network, [0.1, 0.02], exclusive=True)
    weight = network.head.weight.clone()
    set_output_bias(network, [0.1, 0.02], exclusive=True)
    torch.testing.assert_close(network.head.weight, weight)


def test_a_finding_that_was_never_drawn_starts_at_the_floor(network):
    set_output_bias(network, [0.0, 1.0, 1e-9], exclusive=False)
    assert network.head.bias.sigmoid().tolist() == pytest.approx([1e-4, 1 - 1e-4, 1e-4])


@pytest.mark.parametrize("prior", [[0.1], [0.1, 0.2, 0.3, 0.4], [0.1, -0.1, 0.1], [0.1, 0.1, 2]])
def test_a_prior_that_does_not_fit_is_refused(network, prior):
    with pytest.raises(ValueError, match="expected 3 shares in") as caught:
        set_output_bias(network, prior, exclusive=False)
    assert str(prior) in str(caught.value)
    with pytest.raises(ValueError, match="expected 3 shares"):
        set_output_bias(network, [0.1, 0.1, float("nan")], exclusive=False)
    with pytest.raises(ValueError, match="sum up to less than 1"):
        set_output_bias(network, [0.6, 0.5], exclusive=True)


def test_a_head_without_bias_is_refused(network):
    network.head = torch.nn.Conv2d(8, 3, 1, bias=False)
    with pytest.raises(ValueError, match="must end in a convolution with 3 outputs and a bias"):
        set_output_bias(network, [0.1, 0.1, 0.1], exclusive=False)


def test_the_sigmoid_of_a_finding_logit_is_its_softmax():
    raw = 5 * torch.randn(2, 4, 3, 3, generator=torch.Generator().manual_seed(0))
    expected = raw.softmax(1)[:, 1:]
    torch.testing.assert_close(finding_logits(raw, True).sigmoid(), expected)
    assert finding_logits(raw, False) is raw


def test_one_exclusive_finding_is_the_difference_to_the_background():
    raw = torch.tensor([[1.0, 3.5], [200.0, -300.0]])
    assert finding_logits(raw, True).tolist() == [[2.5], [-500.0]]


def test_half_precision_outputs_are_not_rounded_again():
    raw = torch.tensor([[0.0, 100.0, 99.5]], dtype=torch.bfloat16)
    logits = finding_logits(raw, True)
    assert logits.dtype == torch.float32
    assert logits[0].tolist() == pytest.approx([0.5, -0.5])


def test_exclusive_outputs_need_a_finding():
    with pytest.raises(ValueError, match="got 1"):
        finding_logits(torch.zeros(1, 1, 2, 2), True)
