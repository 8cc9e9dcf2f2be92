"""What is fuzzed: `one_input(data)` may raise a SegclfError and nothing else.

`python tests/fuzz/run.py NAME` mutates the seeds of a target; with atheris installed it is guided
by coverage.
"""

import csv
import gzip
import io
import struct
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import nibabel as nib
import numpy as np
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, ImplicitVRLittleEndian

from segclf.core.config import make_recipe
from segclf.core.errors import SegclfError
from segclf.core.strict_yaml import dump_yaml, parse_yaml
from segclf.io import probe, read_image, read_mask, write_image
from segclf.io.rle import decode_counts, decode_runs
from segclf.manifest import read_manifest

MAX_INPUT_BYTES = 4096


@dataclass(frozen=True)
class Target:
    """One thing that reads foreign bytes."""

    one_input: Callable[[bytes], None]
    seeds: Callable[[], list[bytes]]
    """Whole inputs that mutations start from."""


def file_target(suffix: str, pack: Callable[[bytes], bytes] = bytes) -> Callable[[bytes], None]:
    """Probe a file of these bytes and read it as image and as mask."""
    folder = Path(tempfile.mkdtemp(prefix="segclf-fuzz-"))
    path = folder / f"input{suffix}"

    def one_input(data: bytes) -> None:
        path.write_bytes(pack(data))
        for read in (probe, read_image, read_mask):
            try:
                read(path)
            except SegclfError as error:
                str(error)

    return one_input


def manifest_input(data: bytes) -> None:
    """A manifest is read leniently, as `segclf check` does."""
    base = Path(tempfile.gettempdir()) / "segclf-fuzz-manifest"
    base.mkdir(exist_ok=True)
    (base / "manifest.csv").write_bytes(data)
    for settings in ({}, {"mask_class": "class_kind", "exclusive": True}):
        try:
            recipe = make_recipe({"manifest": "manifest.csv", **settings}, where="fuzz")
            read_manifest(recipe, base=base, strict=False)
        except SegclfError as error:
            str(error)


def yaml_input(data: bytes) -> None:
    """A recipe is parsed, checked, written and parsed again."""
    try:
        value = parse_yaml(data.decode("utf-8", "replace"), where="fuzz")
        if isinstance(value, dict):
            make_recipe(value, where="fuzz")
        parse_yaml(dump_yaml(value), where="fuzz")
    except SegclfError as error:
        str(error)


def manifest_seeds() -> list[bytes]:
    """Tables with every kind of column."""
    rows = [
        ["case_id", "image", "mask", "label", "patient_id", "split", "age", "spacing_mm"],
        ["a", "a.png", "a_mask.png", "1", "p1", "train", "50", "0.5 0.5"],
        ["b", "b.png", "", "0", "p2", "val", "", "1x1"],
        ["NA", "\u00e9.nii.gz", "", "", "p2", "test", "1e3", ""],
    ]
    kinds = [
        ["image_t1", "image_t2", "mask_lesion", "label_lesion", "class_kind", "mask_kind", "fold"],
        ["x.nii", "../y.nii", "m.png", "1", "benign", "box", "0"],
        ["/etc/passwd", "C:\\y.nii", "m.png", "0", "normal", "dilated:3", "1"],
    ]
    return [_csv(rows), _csv(kinds), b"\xef\xbb\xbf" + _csv(rows), _csv(rows).replace(b",", b";")]


def _csv(rows: list[list[str]]) -> bytes:
    text = io.StringIO()
    csv.writer(text).writerows(rows)
    return text.getvalue().encode()


def rle_input(data: bytes) -> None:
    """Two bytes of a size, then a code, taken as pairs and as COCO's counts."""
    shape = (data[0] % 64 + 1, data[1] % 64 + 1) if len(data) > 1 else (4, 5)
    text = data[2:].decode("latin-1")
    numbers = [int.from_bytes(data[k : k + 4], "little", signed=True) for k in range(2, 90, 4)]
    calls = [lambda: decode_counts(text, shape, where="x")]
    calls += [lambda: decode_counts(numbers, shape, where="x")]
    for relative in (True, False):
        calls.append(lambda r=relative: decode_runs(text, shape, where="x", relative=r))
    for call in calls:
        try:
            mask = call()
        except SegclfError as error:
            str(error)
        else:
            assert mask.shape == shape


def rle_seeds() -> list[bytes]:
    """Pairs of both kinds, packed counts, and counts as numbers."""
    counts = b"".join(n.to_bytes(4, "little") for n in (3, 4, 13))
    return [b"\x03\x041 2 3 4", b"\x03\x041 1 5 3", b"\x03\x0434=", b"\x03\x04" + counts]


def yaml_seeds() -> list[bytes]:
    """Recipes, and what a strict reader refuses."""
    recipe = {"manifest": "m.csv", "findings": ["lesion"], "train": {"lr": 1e-3, "steps": 2}}
    odd = (
        b"a: &x [1, 2]\nb: *x\n",
        b"a: no\na: 1e-3\n",
        b"!!python/object:os.system x",
        b"? [a]\n: 1",
    )
    more = {"mask_values": {1: "a", 2: "b"}, "columns": {"label.lesion": "x"}, "t": [None, True]}
    return [dump_yaml(recipe).encode(), dump_yaml(more).encode(), *odd, b"- .inf\n- 2001-01-01\n"]


def nifti_seeds() -> list[bytes]:
    """Version 1 and 2; a volume, a picture and several channels."""
    arrays = np.arange(24, dtype=np.int16).reshape(2, 3, 4), np.ones((4, 5, 1), np.float32)
    seeds = [nib.Nifti1Image(array, np.diag([1, 2, 3, 1.0])).to_bytes() for array in arrays]
    four = np.zeros((2, 2, 2, 3), np.uint8)
    seeds.append(nib.Nifti2Image(four, np.eye(4)).to_bytes())
    scaled = nib.Nifti1Image(arrays[0], np.eye(4))
    scaled.header.set_slope_inter(2.0, -1024)
    return [*seeds, scaled.to_bytes()]


def dicom_seeds() -> list[bytes]:
    """A slice in two transfer syntaxes, and one with several frames."""
    return [
        _dicom(np.arange(12, dtype=np.int16).reshape(3, 4), ExplicitVRLittleEndian),
        _dicom(np.arange(12, dtype=np.uint8).reshape(3, 4), ImplicitVRLittleEndian),
        _dicom(np.zeros((2, 3, 4), np.uint16), ExplicitVRLittleEndian),
    ]


def _dicom(pixels: np.ndarray, syntax: str) -> bytes:
    made = Dataset()
    made.file_meta = FileMetaDataset()
    made.file_meta.TransferSyntaxUID = syntax
    made.file_meta.MediaStorageSOPClassUID = made.SOPClassUID = CTImageStorage
    made.file_meta.MediaStorageSOPInstanceUID = made.SOPInstanceUID = "1.2.3"
    made.SeriesInstanceUID, made.Modality, made.PatientName = "1.2", "CT", "A^B"
    made.Rows, made.Columns = pixels.shape[-2:]
    made.NumberOfFrames = pixels.shape[0] if pixels.ndim == 3 else 1
    made.SamplesPerPixel, made.PhotometricInterpretation = 1, "MONOCHROME1"
    made.BitsAllocated = made.BitsStored = 8 * pixels.itemsize
    made.HighBit, made.PixelRepresentation = made.BitsStored - 1, int(pixels.dtype.kind == "i")
    made.PixelSpacing, made.RescaleSlope, made.RescaleIntercept = [1.0, 1.0], "1.5", "-1024"
    made.ImagePositionPatient, made.ImageOrientationPatient = [0, 0, 0], [1, 0, 0, 0, 1, 0]
    made.PixelData = pixels.tobytes()
    stream = io.BytesIO()
    made.save_as(stream, enforce_file_format=True)
    return stream.getvalue()


def written(suffix: str, *arrays: np.ndarray) -> Callable[[], list[bytes]]:
    """Files that segclf writes itself."""

    def seeds() -> list[bytes]:
        with tempfile.TemporaryDirectory() as folder:
            path, found = Path(folder) / f"seed{suffix}", []
            for array in arrays:
                write_image(path, array)
                found.append(path.read_bytes())
        return found

    return seeds


def analyze_seeds() -> list[bytes]:
    """Headers alone, of odd sizes."""
    head = bytearray(nifti_seeds()[0][:352])
    huge = bytes(head[:40]) + struct.pack("<8h", 3, *(32767,) * 7) + bytes(head[56:])
    return [bytes(head), huge, b"", b"\0" * 348]


GREY = np.arange(48, dtype=np.uint8).reshape(1, 6, 8)
COLOUR = np.arange(72, dtype=np.uint8).reshape(3, 4, 6)
VOLUME = np.arange(24, dtype=np.int16).reshape(1, 2, 3, 4)

TARGETS: dict[str, Target] = {
    "manifest": Target(manifest_input, manifest_seeds),
    "yaml": Target(yaml_input, yaml_seeds),
    "nifti": Target(file_target(".nii"), lambda: nifti_seeds() + analyze_seeds()),
    "nifti_gz": Target(file_target(".nii.gz", gzip.compress), nifti_seeds),
    "dicom": Target(file_target(".dcm"), dicom_seeds),
    "png": Target(file_target(".png"), written(".png", GREY, COLOUR)),
    "jpeg": Target(file_target(".jpg"), written(".jpg", GREY, COLOUR)),
    "tiff": Target(file_target(".tif"), written(".tif", GREY, COLOUR)),
    "nrrd": Target(file_target(".nrrd"), written(".nrrd", VOLUME)),
    "metaimage": Target(file_target(".mha"), written(".mha", VOLUME)),
    "npz": Target(file_target(".npz"), written(".npz", GREY)),
    "rle": Target(rle_input, rle_seeds),
}
"""Name to target. What a target reads with is imported above and not inside it: atheris counts
branches only of modules that are imported while it watches."""
