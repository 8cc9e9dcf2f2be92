"""Files that crash or hang their decoder in sets that are imported, exported, or only a folder."""

import contextlib
import os
import shutil
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

from segclf.core.config import load_recipe, make_recipe
from segclf.importers import import_data
from segclf.importers.export import export_data
from segclf.io import guard
from segclf.manifest import read_manifest
from segclf.predict.feed import Quarantined, read_ahead
from segclf.reporting import gallery_item
from segclf.summarize.maps.find import find_maps
from segclf.summarize.maps.read import Meaning
from segclf.summarize.maps.stream import Measure, stream_maps

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
from segclf.core.config import load_recipe, make_recipe
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
    latest = time.monotonic() + 120
    while not (traps / "set" / "sleep.png.asleep").exists() and time.monotonic() < latest:
        assert process.poll() is None, process.communicate()
        time.sleep(0.1)
    begin = time.monotonic()
    os.killpg(process.pid, signal.SIGINT)
    try:
        process.communicate(timeout=30)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
    assert time.monotonic() - begin < 15
    assert process.returncode in (130, -signal.SIGINT)


def limits_of(monkeypatch):
    """The time that each file is given from now on."""
    given, ask = [], guard._Decoder.ask

    def noted(self, request, seconds):
        given.append(seconds)
        return ask(self, request, seconds)

    monkeypatch.setattr(guard._Decoder, "ask", noted)
    return given


def test_the_limit_of_the_recipe_holds_in_exports_folders_maps_and_galleries(tmp_path, monkeypatch):
    pictures(tmp_path / "set" / "images")
    pictures(tmp_path / "set" / "masks", square=0)
    rows = [f"{name},images/{name}.png,masks/{name}.png" for name in NAMES]
    (tmp_path / "set" / "manifest.csv").write_text("\n".join(["case_id,image,mask", *rows]))
    recipe_path = tmp_path / "set" / "recipe.yaml"
    recipe_path.write_text("manifest: manifest.csv\nimage: {decode_limit_s: 71}\n")
    recipe = load_recipe(recipe_path)
    given = limits_of(monkeypatch)
    export_data("nnunet", tmp_path / "out", recipe_path, None, None)
    assert {*given} == {71}
    given.clear()
    made = get_testdata_file("CT_small.dcm")
    shutil.copy(made, tmp_path / "set" / "images" / "other.dcm")
    folder = recipe.model_copy(update={"manifest": "images"})
    read_manifest(folder, base=tmp_path / "set", strict=False, need_truth=False)
    assert {*given} == {71}
    given.clear()
    table = read_manifest(recipe, base=tmp_path / "set")
    fit = {"finding": "target", "t": 0.5, "threshold": 1, "unit": "px"}
    row = {"case_id": "a", "kind": "missed"}
    gallery_item(table.cases[0], 0, row, np.zeros((8, 8)), fit, recipe)
    assert {*given} == {71}
    given.clear()
    with guard.time_limit(None):
        measure = Measure(Meaning(("target",), {}, "labels"), 0.5, (), 71)
        files = find_maps(tmp_path / "set" / "masks", [*NAMES], ("target",)).of_case
        stream_maps(
            tmp_path / "set" / "masks", files, table.cases, measure, tmp_path / "m", n_threads=1
        )
    assert {*given} == {71}


def test_a_limit_that_the_user_took_away_is_not_set_again():
    with guard.time_limit(5), guard.default_limit():
        assert guard._limit_s.get() == 5
    with guard.time_limit(None), guard.default_limit():
        assert not guard.is_watched()
    with guard.default_limit():
        assert guard._limit_s.get() == guard.DECODE_LIMIT_S
