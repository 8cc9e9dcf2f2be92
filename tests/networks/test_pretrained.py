"""Encoder weights from files, always made here; nothing is downloaded."""

import hashlib
import json

import pytest
import segmentation_models_pytorch as smp
import torch
from safetensors.torch import load_file, save_file

from segclf.core.config import NetworkSettings
from segclf.core.errors import ConfigError
from segclf.networks import build_classifier, build_segmenter, load_encoder, save_encoder

SMALL = {"features": [8, 8, 8, 8, 8, 8]}
BOTH = [
    NetworkSettings(name="unet", encoder="resnet18"),
    NetworkSettings(name="basicunet", options=SMALL),
]


def digest(network):
    state = network.encoder.state_dict()
    return hashlib.sha256(b"".join(state[key].numpy().tobytes() for key in state)).hexdigest()


def segmenter(settings, n_channels=1, seed=None):
    if seed is not None:
        torch.manual_seed(seed)
    return build_segmenter(settings, n_channels=n_channels, n_outputs=1, spatial_dims=2)


@pytest.mark.parametrize("settings", BOTH, ids=["smp", "monai"])
def test_segmenter_and_classifier_end_with_the_same_bytes(settings, tmp_path):
    origin = segmenter(settings, seed=1)
    save_encoder(origin, tmp_path / "encoder.safetensors")
    pretrained = settings.model_copy(update={"pretrained": str(tmp_path / "encoder.safetensors")})
    torch.manual_seed(2)
    one = segmenter(pretrained)
    other = build_classifier(pretrained, n_channels=1, n_outputs=4, spatial_dims=2)
    assert digest(one) == digest(other) == digest(origin)
    assert digest(segmenter(settings)) != digest(origin)  # from scratch it differs


def test_the_file_of_a_whole_segmenter_serves_too(tmp_path):
    origin = segmenter(BOTH[1], seed=1)
    save_file(origin.state_dict(), tmp_path / "model.safetensors")
    network = segmenter(BOTH[1], seed=2)
    used = load_encoder(network, tmp_path / "model.safetensors")
    assert digest(network) == digest(origin)
    n_encoder = len(origin.encoder.state_dict())
    assert used == (n_encoder, 0, len(origin.state_dict()) - n_encoder)


def test_a_pytorch_file_with_a_classifier_on_top_is_read_without_unpickling(tmp_path):
    origin = segmenter(BOTH[0], seed=1)
    state = dict(origin.encoder.state_dict())
    state |= {"fc.weight": torch.zeros(10, 512), "fc.bias": torch.zeros(10)}
    state = {n: t for n, t in state.items() if not n.endswith("num_batches_tracked")}
    torch.save({"state_dict": state, "epoch": 3}, tmp_path / "resnet18.pth")
    network = segmenter(BOTH[0], seed=2)
    used = load_encoder(network, tmp_path / "resnet18.pth")
    assert digest(network) == digest(origin)
    assert used.n_left_aside == 2


class Trap:
    def __reduce__(self):
        return (open, ("trap-was-run", "w"))


def test_a_file_with_objects_is_refused_and_not_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    torch.save({"weight": Trap()}, tmp_path / "evil.pt")
    with pytest.raises(ConfigError, match=r"'evil\.pt' cannot be read: it holds objects"):
        load_encoder(segmenter(BOTH[1]), tmp_path / "evil.pt")
    assert not (tmp_path / "trap-was-run").exists()


@pytest.mark.parametrize("n_channels", [1, 2, 4])
def test_input_channels_are_converted_as_smp_does(n_channels, tmp_path):
    colour = segmenter(BOTH[0], n_channels=3, seed=1)
    save_encoder(colour, tmp_path / "rgb.safetensors")
    reference = smp.encoders.get_encoder("resnet18", in_channels=3, weights=None)
    reference.load_state_dict(load_file(tmp_path / "rgb.safetensors"))
    reference.set_in_channels(n_channels, pretrained=True)
    network = segmenter(BOTH[0], n_channels=n_channels)
    used = load_encoder(network, tmp_path / "rgb.safetensors")
    assert used.n_adapted == 1
    torch.testing.assert_close(network.encoder.conv1.weight, reference.conv1.weight)
    if n_channels == 1:
        grey = torch.rand(1, 1, 32, 32)
        with torch.no_grad():
            ours = network.encoder.conv1(grey)
            torch.testing.assert_close(ours, colour.encoder.conv1(grey.expand(-1, 3, -1, -1)))


def test_all_first_convolutions_of_a_monai_network_are_converted(tmp_path):
    # a residual unit reads the image twice
    settings = NetworkSettings(name="monai_unet", options={"channels": [8, 16], "strides": [2]})
    save_encoder(segmenter(settings, n_channels=3, seed=1), tmp_path / "rgb.safetensors")
    assert load_encoder(segmenter(settings), tmp_path / "rgb.safetensors").n_adapted == 2


def test_weights_of_another_encoder_are_refused_with_counts_and_nothing_is_loaded(tmp_path):
    # ResNet-34 has every tensor of ResNet-18, and more
    deeper = NetworkSettings(name="unet", encoder="resnet34")
    save_encoder(segmenter(deeper), tmp_path / "r34.safetensors")
    network = segmenter(BOTH[0], seed=2)
    before = digest(network)
    with pytest.raises(ConfigError, match="0 missing, 96 unexpected") as caught:
        load_encoder(network, tmp_path / "r34.safetensors")
    assert "layer1.2." in str(caught.value)
    assert "network.encoder" in caught.value.fix
    assert digest(network) == before
    save_encoder(network, tmp_path / "r18.safetensors")
    with pytest.raises(ConfigError, match=r"80 missing .*, 0 unexpected"):
        load_encoder(segmenter(deeper), tmp_path / "r18.safetensors")


def test_another_width_is_refused(tmp_path):
    wide = NetworkSettings(name="basicunet", options={"features": [16, 8, 8, 8, 8, 8]})
    save_encoder(segmenter(wide), tmp_path / "wide.safetensors")
    with pytest.raises(ConfigError, match=r"0 missing, 0 unexpected, \d+ of another shape"):
        load_encoder(segmenter(BOTH[1]), tmp_path / "wide.safetensors")


def test_a_missing_or_broken_file_says_so(tmp_path):
    settings = BOTH[1].model_copy(update={"pretrained": str(tmp_path / "none.safetensors")})
    with pytest.raises(ConfigError, match=r"'none\.safetensors' cannot be read: no such file") as e:
        segmenter(settings)
    assert str(tmp_path) not in str(e.value)
    (tmp_path / "broken.safetensors").write_bytes(b"\xff" * 64)
    (tmp_path / "broken.pt").write_bytes(b"\xff" * 64)
    (tmp_path / "list.pt").write_bytes(b"")
    torch.save([torch.zeros(1)], tmp_path / "list.pt")
    for name in ("broken.safetensors", "broken.pt", "list.pt"):
        with pytest.raises(ConfigError, match=f"'{name}' cannot be read") as caught:
            load_encoder(segmenter(BOTH[1]), tmp_path / name)
        assert "safetensors" in caught.value.fix


@pytest.fixture
def imagenet(tmp_path, monkeypatch):
    """A stand-in for the download: three-channel weights made here."""
    encoder = smp.encoders.get_encoder("resnet18", in_channels=3, weights=None)
    save_file(encoder.state_dict(), tmp_path / "model.safetensors")
    (tmp_path / "config.json").write_text(json.dumps({}))
    monkeypatch.setattr(
        smp.encoders, "hf_hub_download", lambda repo, *, filename, revision: tmp_path / filename
    )
    return encoder


@pytest.mark.parametrize("n_channels", [1, 3])
def test_imagenet_is_the_same_for_both_and_like_a_file(imagenet, n_channels, tmp_path):
    settings = NetworkSettings(pretrained="imagenet")
    one = segmenter(settings, n_channels=n_channels, seed=3)
    other = build_classifier(settings, n_channels=n_channels, n_outputs=2, spatial_dims=2)
    file = settings.model_copy(update={"pretrained": str(tmp_path / "model.safetensors")})
    assert digest(one) == digest(other) == digest(segmenter(file, n_channels=n_channels))
    weight = imagenet.conv1.weight
    expected = weight.sum(1, keepdim=True) if n_channels == 1 else weight
    assert torch.equal(one.encoder.conv1.weight, expected)


def test_a_failed_download_says_what_to_do(monkeypatch):
    def offline(*args, **kwargs):
        raise ConnectionError("no route to host")

    monkeypatch.setattr(smp.encoders, "hf_hub_download", offline)
    with pytest.raises(ConfigError, match=r"could not be downloaded .no route to host") as caught:
        segmenter(NetworkSettings(pretrained="imagenet"))
    assert "network.pretrained: null" in caught.value.fix


def test_from_scratch_nothing_is_asked_of_the_network(monkeypatch):
    def fail(*args, **kwargs):
        raise AssertionError("a download was tried")

    monkeypatch.setattr(smp.encoders, "hf_hub_download", fail)
    monkeypatch.setattr("socket.socket.connect", fail)
    segmenter(NetworkSettings())
    segmenter(NetworkSettings(encoder="tu-resnet10t.c3_in1k"))


def test_networks_of_monai_have_no_imagenet_weights():
    with pytest.raises(ConfigError, match="are no ImageNet weights"):
        segmenter(BOTH[1].model_copy(update={"pretrained": "imagenet"}))
