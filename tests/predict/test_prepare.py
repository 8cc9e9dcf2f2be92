"""A prepared network answers as the trained one does."""

import copy

import pytest
import torch
from torch.nn.modules.batchnorm import _BatchNorm

from segclf.core.config import NetworkSettings
from segclf.networks import build_segmenter
from segclf.predict.prepare import fold_batch_norm, prepare_network

CPU = torch.device("cpu")


def a_network(name, encoder="resnet18", options=None, spatial_dims=2):
    torch.manual_seed(0)
    settings = NetworkSettings(name=name, encoder=encoder, options=options or {})
    network = build_segmenter(settings, n_channels=1, n_outputs=2, spatial_dims=spatial_dims).eval()
    for module in network.modules():
        if isinstance(module, _BatchNorm):  # as if trained: folding the identity proves nothing
            module.running_mean.normal_(0, 0.2)
            module.running_var.uniform_(0.5, 2)
            torch.nn.init.uniform_(module.weight, 0.5, 1.5)
            torch.nn.init.normal_(module.bias, 0, 0.2)
    return network


def n_batch_norms(network):
    return sum(isinstance(module, _BatchNorm) for module in network.modules())


SMALL = {"encoder_depth": 3, "decoder_channels": [16, 8, 4]}
MONAI_UNET = {"channels": [8, 16, 32], "strides": [2, 2], "norm": "batch"}


@pytest.mark.parametrize(
    ("network", "n_left"),
    [
        (("unet", "resnet18", {}), 0),
        (("fpn", "mobilenet_v2", {}), 0),
        (("unet", "densenet121", {}), None),  # norms before convolutions cannot be folded
        (("monai_unet", "", MONAI_UNET), 0),  # transposed convolutions
        (("monai_unet", "", MONAI_UNET, 3), 0),
        (("segresnet", "", {"init_filters": 8}), 0),  # group norm: there is nothing to fold
    ],
    ids=lambda value: "-".join(map(str, value[:2])) if isinstance(value, tuple) else "",
)
def test_folding_changes_no_logit(network, n_left):
    before = a_network(*network)
    image = torch.randn(2, 1, *[48] * len(before.divisor_px))
    folded = fold_batch_norm(copy.deepcopy(before))
    with torch.no_grad():
        expected, found = before(image), folded(image)
    torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-3)
    assert expected.std() > 1e-3
    if n_left is None:
        assert 0 < n_batch_norms(folded) < n_batch_norms(before)
    else:
        assert n_batch_norms(folded) == n_left


def test_a_convolution_that_is_read_twice_is_not_folded():
    class TwoReaders(torch.nn.Module):
        """Reads its convolution beside the norm, which folding would change."""

        def __init__(self, encoder):
            super().__init__()
            self.encoder = encoder
            self.conv = torch.nn.Conv2d(1, 1, 1)
            self.norm = torch.nn.BatchNorm2d(1)
            self.norm.running_mean.fill_(3.0)

        def forward(self, image):
            seen = self.conv(image)
            return self.encoder(self.norm(seen) + seen)

    network = a_network("unet", options=SMALL)
    network.encoder = TwoReaders(network.encoder).eval()
    n_before = n_batch_norms(network)
    assert n_batch_norms(fold_batch_norm(network)) == n_before


def test_bf16_keeps_the_logits_in_float32_and_close():
    network = a_network("unet", options=SMALL)
    image = torch.randn(2, 1, 64, 64)
    with torch.no_grad():
        expected = network(image)
    prepared = prepare_network(network, "bf16", CPU)
    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16):
        logits = prepared(image)
    assert logits.dtype == torch.float32
    assert len(logits.unique()) > 0.9 * logits.numel()  # bf16 would leave some hundred values
    assert (logits - expected).abs().mean() < 0.02 * expected.std()
    assert prepared.encoder.conv1.weight.dtype == torch.bfloat16
