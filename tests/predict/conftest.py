"""Small trained-looking models and drawn cases that the prediction tests share."""

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from segclf.core.atomic import sha256_of
from segclf.core.config import make_recipe
from segclf.core.records import Case, MaskSource, MaskState
from segclf.io import write_image, write_mask
from segclf.networks import build_segmenter
from segclf.training import ModelCard


@pytest.fixture(autouse=True)
def one_thread():
    """Byte-equal predictions are promised for one number of threads."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def a_recipe():
    """Make a recipe with a tiny 2D network; nested settings are given as dicts."""

    def make(**values):
        tiny = {"options": {"encoder_depth": 3, "decoder_channels": [16, 8, 4]}}
        predict = {"batch_size": 3, "part_size": 4, "precision": "fp32"}
        return make_recipe(
            {
                **values,
                "network": values.get("network", tiny),
                "predict": predict | values.get("predict", {}),
            },
            where="test",
        )

    return make


@pytest.fixture
def a_model(tmp_path_factory):
    """Write a segmenter with random weights and batch-norm statistics; returns its folder."""

    def make(recipe, *, findings=("lesion",), seed=0, n_channels=1, spoil=lambda network: None):
        n_outputs = len(findings) + int(recipe.exclusive)
        torch.manual_seed(seed)
        network = build_segmenter(
            recipe.network,
            n_channels=n_channels,
            n_outputs=n_outputs,
            spatial_dims=recipe.image.spatial_dims,
        )
        for module in network.modules():
            if isinstance(module, torch.nn.modules.batchnorm._BatchNorm):
                module.running_mean.normal_(0, 0.3)
                module.running_var.uniform_(0.5, 2)
        spoil(network)
        folder = tmp_path_factory.mktemp("model")
        save_file(network.state_dict(), folder / "model.safetensors")
        card = ModelCard(
            kind="segment", data="user", findings=findings, exclusive=recipe.exclusive,
            n_channels=n_channels, n_outputs=n_outputs, spatial_dims=recipe.image.spatial_dims,
            size_px=None, network=recipe.network, image=recipe.image, seed=0, fold=None,
            n_train=1, n_val=1, n_quarantined=0, n_steps=1, best_step=1, select_by="auroc",
            precision="fp32", validation={}, sha256=sha256_of(folder / "model.safetensors"),
            recipe=recipe.model_dump(mode="json"), versions={},
        )  # fmt: skip
        (folder / "model.json").write_text(card.model_dump_json())
        return folder

    return make


@pytest.fixture
def some_cases(tmp_path):
    """Write images with blobs as PNG, or NIfTI in 3D, and return their cases.

    Masks of cases 0, 3, 6, … are drawn, of 1, 4, … empty, of 2, 5, … not known.
    """

    def make(n, shape=(40, 48), *, n_findings=1, folder="images"):
        suffix = ".png" if len(shape) == 2 else ".nii.gz"
        cases = []
        for i in range(n):
            rng = np.random.default_rng(i)
            image = rng.integers(0, 120, (1, *shape)).astype(np.uint8)
            mask = np.zeros(shape, np.uint8)
            centre = tuple(slice(k := int(rng.integers(4, 10)), k + 8) for _ in shape)
            mask[centre] = 1
            image[0][centre] += 100
            stem = tmp_path / folder / f"case{i}"
            write_image(stem.with_suffix(suffix), image)
            write_mask(stem.with_name(f"mask{i}{suffix}"), mask)
            state = (MaskState.DRAWN, MaskState.EMPTY, MaskState.UNKNOWN)[i % 3]
            path = stem.with_name(f"mask{i}{suffix}") if state is MaskState.DRAWN else None
            cases.append(
                Case(
                    case_id=f"case{i}",
                    images=(stem.with_suffix(suffix),),
                    masks=(MaskSource(state, path),) * n_findings,
                    labels=(float(i % 3 == 0),) * n_findings,
                    patient_id=f"secret{i}",
                    spacing_mm=(0.5, 0.25) if len(shape) == 2 else None,
                )
            )
        return cases

    return make
