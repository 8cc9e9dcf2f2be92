"""What one bad file costs each stage, and that no text of a header gets out."""

import base64
import gzip
import io
import json
import re
import subprocess
import sys
import zipfile
import zlib
from dataclasses import replace
from pathlib import Path

import nibabel as nib
import nrrd
import numpy as np
import pandas as pd
import pytest
import SimpleITK as sitk
import tifffile
from PIL import Image, PngImagePlugin
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, generate_uid

from segclf.core.config import make_recipe
from segclf.core.records import Case, MaskSource, MaskState
from segclf.core.slice_settings import SliceSettings
from segclf.data import CaseCache, prepare_cases
from segclf.io import write_image
from segclf.manifest import check_manifest, read_manifest
from segclf.manifest.slices import in_slices
from segclf.predict.feed import Quarantined, read_ahead

REASONS = {"b": "decoder_crash", "d": "timeout"}


@pytest.fixture
def four(hostile):
    """A manifest of four cases; reading b kills its process, reading d takes forever."""
    for seed, name in enumerate("ac"):
        noise = np.random.default_rng(seed).integers(0, 255, (1, 8, 8), dtype=np.uint8)
        write_image(hostile / f"{name}.png", noise)
    rows = ["case_id,image,label", "a,a.png,0", "b,one.crash,0", "c,c.png,0", "d,one.sleep,0"]
    (hostile / "manifest.csv").write_text("\n".join(rows))
    values = {"manifest": "manifest.csv", "image": {"decode_limit_s": 3}}
    recipe = make_recipe(values, where="test")
    return read_manifest(recipe, base=hostile), recipe


def test_check_names_a_decoder_that_crashes_or_hangs_and_goes_on(four):
    report = check_manifest(four[0], workers=2)
    errors = {p.case_id: p for p in report.problems if p.severity == "error"}
    assert {name: p.reason for name, p in errors.items()} == REASONS
    assert errors["b"].wrong == "one.crash: reading the file crashed the decoder (SIGSEGV)."
    assert errors["d"].wrong == "one.sleep: decoding took more than 3 s."
    assert report.summary["images"]["shapes"] == {"8 x 8": 2}


def test_training_sets_such_cases_aside_before_the_first_step(four):
    table, recipe = four
    good, bad = prepare_cases(table.cases, recipe, CaseCache(table.cases, recipe, None))
    assert [case.case_id for case in good] == ["a", "c"]
    assert {case_id: reason for case_id, reason, _ in bad} == REASONS


@pytest.mark.parametrize("workers", [0, 1])
def test_prediction_sets_such_cases_aside(four, workers):
    table, recipe = four
    recipe = recipe.model_copy(
        update={"predict": recipe.predict.model_copy(update={"workers": workers})}
    )
    found = list(read_ahead(table.cases, recipe, n_channels=1, with_truth=True))
    aside = [item for item in found if isinstance(item, Quarantined)]
    assert {item.case_id: item.reason for item in aside} == REASONS
    assert [item.index for item in found] == [0, 1, 2, 3]


def test_a_mask_that_crashes_its_decoder_costs_its_case(four):
    table, recipe = four
    drawn = MaskSource(MaskState.DRAWN, table.cases[1].images[0])
    case: Case = replace(table.cases[0], masks=(drawn,))
    (found,) = read_ahead([case], recipe, n_channels=1, with_truth=True)
    assert isinstance(found, Quarantined)
    assert found.reason == "decoder_crash"


def test_a_volume_that_crashes_its_decoder_is_cut_into_one_case_that_is_set_aside(four):
    table, recipe = four
    recipe = recipe.model_copy(update={"slices": SliceSettings(cut=True)})
    crashing = replace(table, cases=table.cases[1:2], frame=table.frame.iloc[1:2])
    cut = in_slices(crashing, recipe)
    (found,) = read_ahead(cut.cases, recipe, n_channels=1, with_truth=False)
    assert isinstance(found, Quarantined)
    assert found.reason == "decoder_crash"


CANARY = "CANARYJANE"
COMMANDS = (
    "check manifest.csv --config recipe.yaml",
    "check manifest.csv --config recipe.yaml --json",
    "train-seg --config recipe.yaml",
    "train-clf --config recipe.yaml",
    "predict --save-maps nifti",
    "summarize --rule tau",
    "eval-subgroups --by site --exploratory",
    "report",
)
ALL_COMMANDS = """
import contextlib, sys, warnings
from segclf.__main__ import main
for command in {commands!r}:
    sys.argv = ["segclf", *command.split(), "--debug"]
    try:
        main()
    except SystemExit as end:
        print("EXIT", command.split()[0], end.code, flush=True)
"""


def dicom(path, pixels):
    made = Dataset()
    made.file_meta = FileMetaDataset()
    made.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    made.file_meta.MediaStorageSOPClassUID = made.SOPClassUID = CTImageStorage
    made.file_meta.MediaStorageSOPInstanceUID = made.SOPInstanceUID = generate_uid()
    made.file_meta.SourceApplicationEntityTitle = CANARY
    made.file_meta.PrivateInformationCreatorUID = "1.2.3"
    made.file_meta.PrivateInformation = CANARY.encode()
    made.SeriesInstanceUID, made.Modality = generate_uid(), "CT"
    for keyword in ("PatientName", "PatientID", "InstitutionName", "StudyDescription",
                    "SeriesDescription", "ImageComments", "OperatorsName"):  # fmt: skip
        setattr(made, keyword, CANARY)
    made.private_block(0x0011, CANARY, create=True).add_new(1, "LO", CANARY)
    made.Rows, made.Columns = pixels.shape
    made.SamplesPerPixel, made.PhotometricInterpretation = 1, "MONOCHROME2"
    made.BitsAllocated = made.BitsStored = 8
    made.HighBit, made.PixelRepresentation = 7, 0
    made.PixelData = pixels.tobytes()
    made.save_as(path, enforce_file_format=True)


def png(path, pixels):
    about = PngImagePlugin.PngInfo()
    about.add_text("Comment", CANARY)
    about.add_itxt("Author", CANARY, zip=True)
    Image.fromarray(pixels).save(path, pnginfo=about, exif=exif())


def jpeg(path, pixels):
    Image.fromarray(pixels).save(path, quality=95, comment=CANARY, exif=exif())


def exif():
    found = Image.Exif()
    found[0x010E] = CANARY
    return found.tobytes()


def tiff(path, pixels):
    tifffile.imwrite(path, pixels, description=CANARY, software=CANARY, metadata=None)


def nifti(path, pixels):
    image = nib.Nifti1Image(pixels.T[:, ::-1], np.diag([0.5, 0.5, 1, 1]))
    for field in ("descrip", "aux_file", "db_name", "intent_name"):
        image.header[field] = CANARY.encode()
    image.header.extensions.append(nib.nifti1.Nifti1Extension("comment", CANARY.encode()))
    nib.save(image, path)


def nrrd_file(path, pixels):
    nrrd.write(str(path), pixels.T, {"owner": CANARY, "content": CANARY}, index_order="F")


def metaimage(path, pixels):
    image = sitk.GetImageFromArray(pixels)
    image.SetMetaData("Name", CANARY)
    sitk.WriteImage(image, str(path))


WRITERS = {
    ".png": png, ".tif": tiff, ".dcm": dicom, ".nii": nifti, ".nii.gz": nifti, ".jpg": jpeg,
    ".nrrd": nrrd_file, ".mha": metaimage,
}  # fmt: skip


def write_canaries(folder):
    """24 cases in eight formats, each with the canary wherever its header has room for text."""
    rng, rows = np.random.default_rng(0), []
    for number in range(24):
        suffix = [*WRITERS][number % 8]
        label = (number // 8 + number) % 2
        mask = np.zeros((32, 32), np.uint8)
        mask[8 : 8 + 9 * label, 10 : 10 + 7 * label] = 1
        image = (rng.integers(0, 90, (32, 32)) + 120 * mask).astype(np.uint8)
        path = folder / f"i{number}{suffix}"
        WRITERS[suffix](path, image)
        assert any(leaks(path.name, text) for text in texts_of(path, path.read_bytes()))
        mask_suffix = suffix if suffix in (".nii", ".nii.gz", ".dcm", ".nrrd") else ".png"
        WRITERS[mask_suffix](folder / f"m{number}{mask_suffix}", mask)
        rows.append([f"c{number}", f"i{number}{suffix}", f"m{number}{mask_suffix}", label,
                     ("train", "val", "test")[number // 8], "ab"[number % 2]])  # fmt: skip
    rows += write_broken(folder, image)
    names = ["case_id", "image", "mask", "label", "split", "site"]
    pd.DataFrame(rows, columns=names).to_csv(folder / "manifest.csv", index=False)


def write_broken(folder, image):
    """Each format once more, cut in the middle of its header and with its header scrambled."""
    rows, rng = [], np.random.default_rng(1)
    for suffix, write in WRITERS.items():
        write(folder / f"whole{suffix}", image)
        data = (folder / f"whole{suffix}").read_bytes()
        (folder / f"whole{suffix}").unlink()
        at = data.find(CANARY.encode())
        hurt = bytearray(data)
        for place in rng.integers(0, max(at, 40), 12):
            hurt[place] = rng.integers(0, 256)
        for name, broken in (("cut", data[: max(at, 8) + 6]), ("hurt", bytes(hurt))):
            case_id = f"{name}{suffix.replace('.', '_')}"
            (folder / f"{case_id}{suffix}").write_bytes(broken)
            rows.append([case_id, f"{case_id}{suffix}", "", 0, "test", "a"])
    return rows


def texts_of(path, data):
    """The bytes of a file, and what its packing hides."""
    yield data
    if path.suffix == ".gz":
        yield gzip.decompress(data)
    elif path.suffix == ".npz":
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            yield from (archive.read(name) for name in archive.namelist())
    elif path.suffix == ".parquet":
        table = pd.read_parquet(path)
        yield (table.to_csv() + repr(table.attrs)).encode()
    elif path.suffix == ".png":
        parts = re.findall(rb"(?:IDAT|zTXt|iTXt)(.*)", data, flags=re.S)
        yield from (zlib.decompressobj().decompress(part) for part in parts if part[:1] == b"x")
    elif path.suffix in (".html", ".svg"):
        for packed in re.findall(rb"base64,([A-Za-z0-9+/=]{16,})", data):
            inner = base64.b64decode(packed)
            yield inner
            if inner[:4] == b"\x89PNG":
                yield from texts_of(Path("a.png"), inner)


def leaks(name, data):
    return [
        f"{name}: {word!r}"
        for word in (CANARY, CANARY.lower())
        for form in (word.encode(), word.encode("utf-16-le"), base64.b64encode(word.encode())[:12])
        if form in data
    ]


def test_the_canary_is_found_where_it_is_hidden(tmp_path):
    """The search itself: packed, encoded and in columns."""
    pd.DataFrame({"x": [CANARY]}).to_parquet(tmp_path / "a.parquet", compression="zstd")
    (tmp_path / "a.gz").write_bytes(gzip.compress(CANARY.encode()))
    np.savez_compressed(tmp_path / "a.npz", a=np.frombuffer(CANARY.encode(), np.uint8))
    inner = io.BytesIO()
    png_info = PngImagePlugin.PngInfo()
    png_info.add_text("a", CANARY)
    Image.new("L", (2, 2)).save(inner, "PNG", pnginfo=png_info)
    (tmp_path / "a.html").write_bytes(b"base64," + base64.b64encode(inner.getvalue()))
    for path in tmp_path.iterdir():
        found = [w for text in texts_of(path, path.read_bytes()) for w in leaks(path.name, text)]
        assert found, path.name


def test_no_text_of_a_header_reaches_a_log_or_a_result(tmp_path):
    write_canaries(tmp_path)
    recipe = {
        "manifest": "manifest.csv",
        "image": {"size_px": [32, 32]},
        "network": {"options": {"encoder_depth": 3, "decoder_channels": [16, 8, 4]}},
        "train": {"steps": 2, "batch_size": 4, "validate_every": 2, "warmup_steps": 1},
        "evaluate": {"n_boot": 50, "min_group": 2},
    }
    (tmp_path / "recipe.yaml").write_text(json.dumps(recipe))
    before = {path for path in tmp_path.rglob("*")}
    call = [sys.executable, "-c", ALL_COMMANDS.format(commands=COMMANDS)]
    done = subprocess.run(call, cwd=tmp_path, capture_output=True, timeout=900, check=False)
    shown = done.stdout + done.stderr
    ends = dict(re.findall(r"EXIT (\S+) (\d+)", done.stdout.decode()))
    assert ends["check"] == "3", shown.decode()  # the broken files are found
    others = {name: code for name, code in ends.items() if name != "check"}
    assert len(others) == 6
    assert {*others.values()} <= {"0", "4"}, shown.decode()
    made = [p for p in tmp_path.rglob("*") if p not in before and p.is_file()]
    suffixes = {path.suffix for path in made}
    assert {".parquet", ".json", ".jsonl", ".html", ".gz", ".csv", ".safetensors"} <= suffixes
    found = leaks("terminal", shown)
    for path in made:
        for text in texts_of(path, path.read_bytes()):
            found += leaks(str(path.relative_to(tmp_path)), text)
    assert not found
