"""Drawn DICOM series, and a run with random weights whose cases are scored."""

import contextlib
import shutil

import numpy as np
import pandas as pd
import pytest
import torch
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, generate_uid
from safetensors.torch import save_file

from segclf.core.atomic import sha256_of
from segclf.core.config import make_recipe, recipe_yaml
from segclf.core.runs import Run
from segclf.experiment import open_experiment
from segclf.networks import build_segmenter
from segclf.pipeline import predict_own, summarize_masks
from segclf.training import ModelCard

CANARY = "CANARY"
NETWORKS = {
    3: {"name": "segresnet", "options": {"init_filters": 8, "blocks_down": [1, 1],
                                         "blocks_up": [1]}},
    2: {"name": "unet", "options": {"encoder_depth": 3, "decoder_channels": [16, 8, 4]}},
}  # fmt: skip


def a_slice(k, n_slices, rng, *, orientation=(1, 0, 0, 0, 1, 0), uids=None, **fields):
    """One CT slice; its patient is called after the canary."""
    uids = uids or [generate_uid() for _ in range(3)]
    normal = np.cross(orientation[:3], orientation[3:])
    ct = Dataset()
    ct.file_meta = FileMetaDataset()
    ct.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    ct.SOPClassUID, ct.SOPInstanceUID = CTImageStorage, generate_uid()
    ct.StudyInstanceUID, ct.SeriesInstanceUID, ct.FrameOfReferenceUID = uids
    ct.Modality, ct.InstanceNumber, ct.SeriesNumber = "CT", n_slices - k, 3
    ct.SpecificCharacterSet = "ISO_IR 100"
    ct.PatientName, ct.PatientID, ct.PatientBirthDate = f"{CANARY}^Jäne", f"{CANARY}-7", "19330112"
    ct.PatientSex, ct.StudyID, ct.AccessionNumber = "F", CANARY, CANARY
    ct.StudyDate, ct.StudyTime, ct.ReferringPhysicianName = "20200102", "030405", CANARY
    ct.InstitutionName = ct.StudyDescription = ct.SeriesDescription = CANARY
    ct.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
    ct.PositionReferenceIndicator = ct.Manufacturer = ct.KVP = ct.AcquisitionNumber = ""
    ct.Rows, ct.Columns, ct.SamplesPerPixel = 20, 24, 1
    ct.PhotometricInterpretation, ct.PixelRepresentation = "MONOCHROME2", 1
    ct.BitsAllocated = ct.BitsStored = 16
    ct.HighBit = 15
    ct.RescaleSlope, ct.RescaleIntercept = 1, 0
    ct.PixelSpacing, ct.SliceThickness = [0.75, 0.5], 2.5
    place = np.array([10.0, -20, 30]) + 2.5 * k * normal
    ct.ImagePositionPatient = [round(float(x), 6) for x in place]
    ct.ImageOrientationPatient = [float(x) for x in orientation]
    ct.PixelData = rng.integers(-100, 300, (20, 24)).astype(np.int16).tobytes()
    for name, value in fields.items():
        if value is None:
            delattr(ct, name)
        else:
            setattr(ct, name, value)
    return ct


def a_series(folder, n_slices=9, *, seed=0, order=7, **fields):
    """A folder of slices whose names are in another order than they lie."""
    folder.mkdir(parents=True)
    rng, uids = np.random.default_rng(seed), [generate_uid() for _ in range(3)]
    for k in range(n_slices):
        ct = a_slice(k, n_slices, rng, uids=uids, **fields)
        ct.save_as(folder / f"{(k * order) % n_slices:03}.dcm", enforce_file_format=True)
    return folder


def make_model(recipe, folder, findings, *, silent=()):
    """Random weights, written where a run keeps its segmenter; findings in `silent` stay empty."""
    dims = recipe.image.spatial_dims
    torch.manual_seed(0)
    network = build_segmenter(
        recipe.network, n_channels=1, n_outputs=len(findings), spatial_dims=dims
    )
    state = network.state_dict()
    for name, value in state.items():
        if name.endswith("running_var"):
            value.uniform_(0.5, 2)
    biases = [v for v in state.values() if v.shape == (len(findings),)]
    assert biases
    for k in silent:
        biases[-1][k] = -1e4
    folder.mkdir(parents=True)
    save_file(state, folder / "model.safetensors")
    card = ModelCard(
        kind="segment", data="user", findings=findings, exclusive=False, n_channels=1,
        n_outputs=len(findings), spatial_dims=dims, size_px=None, network=recipe.network,
        image=recipe.image, seed=0, fold=None, n_train=1, n_val=1, n_quarantined=0, n_steps=1,
        best_step=1, select_by="auroc", precision="fp32", validation={},
        sha256=sha256_of(folder / "model.safetensors"), recipe=recipe.model_dump(mode="json"),
        versions={},
    )  # fmt: skip
    (folder / "model.json").write_text(card.model_dump_json())


def make_run(folder, images, *, dims, findings=("lesion", "bleeding"), silent=(), **values):
    """An experiment of these images, four of which train, validate and test in turn."""
    rows = [
        {
            "case_id": case_id, "image": str(path.relative_to(folder)), "patient_id": f"p{k}",
            "split": ("train", "val", "test")[k // 4],
            **{f"label_{finding}": k % 2 for finding in findings},
        }
        for k, (case_id, path) in enumerate(images.items())
    ]  # fmt: skip
    pd.DataFrame(rows).to_csv(folder / "cases.csv", index=False)
    recipe = make_recipe(
        {
            "name": "r", "manifest": "../../cases.csv", "network": NETWORKS[dims],
            "image": {"spatial_dims": dims}, "predict": {"precision": "fp32", "batch_size": 2},
            **values,
        },
        where="test",
    )  # fmt: skip
    run = Run(folder / "runs" / "r")
    run.path.mkdir(parents=True)
    run.config.write_text(recipe_yaml(recipe))
    make_model(recipe, run.stage("segment"), findings, silent=silent)
    exp = open_experiment(run)
    predict_own(exp, lambda event: None)
    return exp


def middle_t(exp):
    """A threshold of the grid that about half of the pixels pass."""
    from segclf.core.maskstats import THRESHOLDS
    from segclf.core.statstable import read_statistics

    curve = read_statistics(exp.run.stage("predict", "own")).area_curve
    share = curve[0] / curve[0, 0]
    return float(THRESHOLDS[int(np.abs(share - 0.3).argmin())])


@pytest.fixture(scope="session")
def volumes(tmp_path_factory):
    """A scored run of twelve CT series, the second finding of which is nowhere: (run, t)."""
    folder = tmp_path_factory.mktemp("volumes")
    turned = (0.8, 0.6, 0, 0, 0, -1)
    images = {
        f"case {k}": a_series(
            folder / f"ct{k}", seed=k, **({"orientation": turned} if k % 4 == 1 else {})
        )
        for k in range(12)
    }
    torch.set_num_threads(1)
    exp = make_run(folder, images, dims=3, silent=(1,))
    t = middle_t(exp)
    summarize_masks(exp, "tau", t=t, tau="0.1mL")
    summarize_masks(exp, "mean")
    return exp, t


@pytest.fixture(scope="session")
def pictures(tmp_path_factory):
    """A scored run of twelve single DICOM files: (run, t)."""
    folder = tmp_path_factory.mktemp("pictures")
    images = {}
    for k in range(12):
        path = folder / f"im{k}.dcm"
        a_slice(0, 1, np.random.default_rng(k)).save_as(path, enforce_file_format=True)
        images[f"case{k}"] = path
    torch.set_num_threads(1)
    exp = make_run(folder, images, dims=2)
    t = middle_t(exp)
    summarize_masks(exp, "tau", t=t, tau="20mm2")
    return exp, t


@pytest.fixture
def series(tmp_path):
    """Write a series: `series(name, n_slices, **fields)` gives its folder."""

    def make(name="ct", n_slices=9, **fields):
        return a_series(tmp_path / name, n_slices, **fields)

    return make


@pytest.fixture
def copied(tmp_path):
    """A copy of a run's folder, for tests that change it."""

    def make(exp):
        shutil.copytree(exp.run.path.parents[1], tmp_path / "copy")
        return open_experiment(Run(tmp_path / "copy" / "runs" / exp.run.path.name))

    return make


@pytest.fixture
def inside():
    """Work in the folder that holds `runs/`, as a user does."""

    def enter(exp):
        return contextlib.chdir(exp.run.path.parents[1])

    return enter
