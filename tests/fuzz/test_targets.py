"""Every target of the fuzzer under drawn headers and mutated seeds; longer runs are `run.py`."""

import importlib.util
import json
import random
import struct
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

HERE = Path(__file__).parent
few = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def load(name):
    """A module beside this one; tests are no package."""
    spec = importlib.util.spec_from_file_location(f"fuzz_{name}", HERE / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


TARGETS = load("targets").TARGETS
changed = load("run").changed

odd_text = st.one_of(
    st.sampled_from(
        ["", "NA", "nan", "1e999", "-1", "0", "1", "2", "a.png", "../a.png", "/etc/passwd", "a;b",
         "0.5 0.5", "1x0", "dilated:3", "box", "train", "\u202e", "=1+1", "caf\u00e9", "9" * 400,
         "1.0", "True", "normal", "C:\\a.png", "a\x00b"]
    ),
    st.text(max_size=8),
)  # fmt: skip
headers = st.sampled_from(
    ["case_id", "image", "image_t1", "mask", "mask_lesion", "label", "label_lesion", "class_kind",
     "patient_id", "split", "fold", "spacing_mm", "mask_kind", "mask_source", "n_findings",
     "volume_id", "slice_index", "age", "", "label_"]
)  # fmt: skip


@few
@given(data=st.data(), names=st.lists(headers, min_size=1, max_size=6))
def test_manifests_of_odd_columns_and_cells(data, names):
    rows = data.draw(st.lists(st.tuples(*[odd_text] * len(names)), max_size=4))
    quoted = [",".join(f'"{cell}"' for cell in row) for row in rows]
    text = "\n".join([",".join(["image", *names]), *(f'"a.png",{row}' for row in quoted)])
    TARGETS["manifest"].one_input(text.encode("utf-8", "surrogatepass"))


scalars = st.one_of(
    st.none(), st.booleans(), st.integers(-(2**70), 2**70), st.floats(), odd_text,
    st.sampled_from(["no", "1e-3", "*x", "&x a", "!!python/name:os.system", "{", "? a", "<<"]),
)  # fmt: skip
keys = st.sampled_from(
    ["manifest", "findings", "train", "steps", "lr", "image", "size_px", "columns", "mask_values",
     "predict", "loss", "name", "options", "roles", "<<", "1"]
)  # fmt: skip
trees = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys, inner, max_size=4)
)


@few
@given(tree=trees, cut=st.integers(0, 40))
def test_recipes_of_odd_values(tree, cut):
    text = json.dumps(tree)  # flow style is YAML too
    for whole in (text, text.replace('"', ""), text[:cut]):
        TARGETS["yaml"].one_input(whole.encode())


shorts = st.integers(-(2**15), 2**15 - 1)
singles = st.floats(width=32)


@few
@given(
    n_axes=st.integers(-1, 8), sizes=st.lists(st.integers(0, 5) | shorts, min_size=7, max_size=7),
    code=st.sampled_from([0, 1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 768, 1024, 2304]) | shorts,
    bits=shorts, offset=singles, pixdim=st.lists(singles, min_size=8, max_size=8),
    scale=st.tuples(singles, singles), units=st.integers(0, 255),
    forms=st.tuples(shorts, shorts), rows=st.lists(singles, min_size=18, max_size=18),
    order=st.sampled_from("<>"), n_pixels=st.integers(0, 200),
)  # fmt: skip
def test_nifti_headers(
    n_axes, sizes, code, bits, offset, pixdim, scale, units, forms, rows, order, n_pixels
):
    head = bytearray(352)
    struct.pack_into(order + "i", head, 0, 348)
    struct.pack_into(order + "8h", head, 40, n_axes, *sizes)
    struct.pack_into(order + "2h", head, 70, code, bits)
    struct.pack_into(order + "8f", head, 76, *pixdim)
    struct.pack_into(order + "3f", head, 108, offset, *scale)
    head[123] = units
    struct.pack_into(order + "2h18f", head, 252, *forms, *rows)
    head[344:348] = b"n+1\0"
    for name in ("nifti", "nifti_gz"):
        TARGETS[name].one_input(bytes(head) + b"\1" * n_pixels)


tags = st.sampled_from(
    [0x00280002, 0x00280004, 0x00280008, 0x00280010, 0x00280011, 0x00280030, 0x00280100, 0x00280101,
     0x00280102, 0x00280103, 0x00281052, 0x00281053, 0x00200032, 0x00200037, 0x52009229, 0x52009230,
     0x00280301, 0x00283000, 0x00281101, 0x7FE00010]
)  # fmt: skip
kinds = st.sampled_from(["US", "IS", "DS", "CS", "SQ", "OW", "OB", "UN", "UL", "FD", "LO", "??"])
values = st.binary(max_size=12) | st.sampled_from(
    [b"\x00\x00", b"\x01\x00", b"\xff\xff", b"1\\2", b"nan ", b"1e400", b"MONOCHROME1", b"-1"]
)


@few
@given(
    elements=st.lists(st.tuples(tags, kinds, values, st.booleans()), max_size=8),
    seed=st.integers(0, 2),
)
def test_dicom_headers(elements, seed):
    """Listed fields with values of any kind and length, put into a whole file in order."""
    data = TARGETS["dicom"].seeds()[seed]
    at = data.index(b"\x28\x00\x02\x00") if b"\x28\x00\x02\x00" in data else len(data) // 2
    body = b""
    for tag, kind, value, lies in sorted(elements):
        head = struct.pack("<HH", tag >> 16, tag & 0xFFFF) + kind.encode()
        size = 2**31 if lies else len(value)
        long = kind in ("SQ", "OW", "OB", "UN")
        body += head + (
            b"\0\0" + struct.pack("<I", size) if long else struct.pack("<H", size % 2**16)
        )
        body += value
    TARGETS["dicom"].one_input(data[:at] + body + data[at:])
    TARGETS["dicom"].one_input(data[:at] + body)


@pytest.mark.parametrize("name", TARGETS)
def test_mutated_seeds_raise_nothing_of_their_own(name):
    rng, seeds = random.Random(name), TARGETS[name].seeds()
    for seed in seeds:
        TARGETS[name].one_input(seed)
    for _ in range(60):
        TARGETS[name].one_input(changed(rng, rng.choice(seeds), rng.choice(seeds)))


def test_the_driver_finds_an_error_and_keeps_the_input(tmp_path):
    """A target that fails on a byte, run as a user would run the table."""
    code = (
        "import sys, runpy; sys.path.insert(0, sys.argv.pop(1))\n"
        "import targets\n"
        "def fails(data):\n    assert b'\\xff' not in data\n"
        "targets.TARGETS['bad'] = targets.Target(fails, lambda: [b'abc'])\n"
        "sys.argv = ['run.py', 'bad', '--plain', '--seconds', '30', '--folder', sys.argv[1]]\n"
        f"runpy.run_path({str(HERE / 'run.py')!r}, run_name='__main__')\n"
    )
    call = [sys.executable, "-c", code, str(HERE), str(tmp_path)]
    done = subprocess.run(call, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 1
    assert "AssertionError" in done.stderr
    (kept,) = tmp_path.glob("bad.found-*")
    assert b"\xff" in kept.read_bytes()
