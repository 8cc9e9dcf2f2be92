"""Files that crash or hang their decoder in sets that are imported, exported, or only a folder."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pydicom
import pytest
from PIL import Image
from pydicom.data import get_testdata_file

from segclf.core.config import make_recipe
from segclf.importers import import_data
from segclf.importers.export import export_data
from segclf.manifest import read_manifest
from segclf.predict.feed import Quarantined, read_ahead

AGREED = {"crash": "decoder_crash", "sleep": "timeout"}
NAMES = ("a", "crash", "c", "sleep")


def pictures(folder: Path, *, square: int | None = None) -> Path:
    folder.mkdir(parents=True)
    for seed, name in enumerate(NAMES):
        pixels = np.random.default_rng(seed).integers(0, 255, (8, 8)).astype(np.uint8)
        if square is not None:
            pixels[:] = 0
            pixels[2:5, 2 : 5 + seed] = 255 * (seed % 2 == square)
        Image.fromarray(pixels).save(folder / f"{name}.png")
    return folder


def test_masks_that_crash_or_hang_are_left_out_of_an_import(traps):
    pictures(traps / "set" / "images")
    pictures(traps / "set" / "masks", square=0)
    result = import_data("folder", traps / "set", traps / "out" / "manifest.csv")
    assert result["n_cases"] == 4
    assert {each["where"]: each["reason"] for each in result["left_out"]} == {
        f"masks/{name}.png": reason for name, reason in AGREED.items()
    }
    assert result["findings"]["target"]["masks"]["unknown"] == 2


def test_cases_that_crash_or_hang_are_left_out_of_an_export(traps):
    pictures(traps / "set" / "images")
    pictures(traps / "set" / "masks", square=0)
    rows = [f"{name},images/{name}.png,masks/a.png" for name in NAMES]
    (traps / "set" / "manifest.csv").write_text("\n".join(["case_id,image,mask", *rows]))
    result = export_data("nnunet", traps / "out", None, traps / "set" / "manifest.csv", None)
    assert {each["where"]: each["reason"] for each in result["left_out"]} == AGREED
    assert sorted(p.name for p in (traps / "out" / "imagesTr").iterdir()) == [
        "a_0000.png",
        "c_0000.png",
    ]


def test_files_of_a_folder_that_crash_or_hang_are_set_aside(traps):
    for k, name in enumerate(("ok/one", "ok/two", "bad/crash", "bad/three", "late/sleep")):
        (traps / "set" / name).parent.mkdir(parents=True, exist_ok=True)
        made = pydicom.dcmread(str(get_testdata_file("CT_small.dcm")))
        made.ImagePositionPatient = [0, 0, 5.0 * k]
        made.save_as(traps / "set" / name)
    Image.new("L", (8, 8)).save(traps / "set" / "crash.png")
    settings = {"manifest": "set", "image": {"spatial_dims": 3}}
    recipe = make_recipe(settings, where="test")
    table = read_manifest(recipe, base=traps, strict=False, need_truth=False)
    assert [case.case_id for case in table.cases] == ["bad", "crash", "late/sleep", "ok"]
    *aside, ready = read_ahead(table.cases, recipe, n_channels=1, with_truth=False)
    reasons = {item.case_id: item.reason for item in aside if isinstance(item, Quarantined)}
    assert reasons == {"bad": "decoder_crash", "crash": "decoder_crash", "late/sleep": "timeout"}
    assert ready.sample.input_shape == (128, 128, 2)


CHECK = """
import sys
from segclf.__main__ import main
sys.argv = ["segclf", "check", "manifest.csv"]
main()
"""
READ = """
from segclf.core.config import make_recipe
from segclf.manifest import read_manifest
from segclf.predict.feed import read_ahead
recipe = make_recipe({"manifest": "manifest.csv"}, where="test")
for _ in read_ahead(read_manifest(recipe).cases, recipe, n_channels=1, with_truth=False):
    print("read", flush=True)
"""


@pytest.mark.parametrize("code", [CHECK, READ])
def test_ctrl_c_does_not_wait_for_a_file_that_hangs(traps, code):
    pictures(traps / "set")
    rows = [f"{name},{name}.png,0" for name in ("a", "c", "sleep")]
    (traps / "set" / "manifest.csv").write_text("\n".join(["case_id,image,label", *rows]))
    process = subprocess.Popen(
        [sys.executable, "-c", code], cwd=traps / "set", start_new_session=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    time.sleep(15)
    assert process.poll() is None, process.communicate()
    begin = time.monotonic()
    os.killpg(process.pid, signal.SIGINT)
    try:
        process.communicate(timeout=30)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
    assert time.monotonic() - begin < 15
    assert process.returncode in (130, -signal.SIGINT)
