"""Side tables that a recipe names."""

import hashlib
import os

import pandas as pd
import pytest

from segclf.core.config import make_recipe
from segclf.core.errors import ConfigError, DataError
from segclf.manifest import read_manifest, write_side_table

MANIFEST = "image,mask,label\na.png,a_mask.png,1\nb.png,,\nc.png,,0"


def test_a_recipe_lays_its_side_tables_over_the_manifest_in_order(data):
    folder = data.root / "later"
    folder.mkdir()
    data.mask("later/p.png", "..........\n" * 8)
    write_side_table(
        folder / "one.parquet", pd.DataFrame({"case_id": ["b"], "mask": ["p.png"], "site": ["x"]})
    )
    (data.root / "two.csv").write_text("case_id,site,label\nb,y,0\n")
    names = ["later/one.parquet", "two.csv"]
    table = data.read(MANIFEST, side_tables_of_recipe=names)
    assert table.cases[1].masks[0].path == folder / "p.png"
    assert table.cases[1].labels == (0.0,)
    assert table.frame["site"].tolist()[1] == "y"
    files = [data.root / name for name in ("manifest.csv", *names)]
    digests = [hashlib.sha256(path.read_bytes()).hexdigest() for path in files]
    assert table.manifest_sha256 == digests[0]
    assert table.sha256 == hashlib.sha256("".join(digests).encode()).hexdigest()


def test_without_side_tables_the_hash_is_that_of_the_manifest(data):
    table = data.read(MANIFEST)
    digest = hashlib.sha256((data.root / "manifest.csv").read_bytes()).hexdigest()
    assert (table.sha256, table.manifest_sha256) == (digest, digest)


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("../outside.csv", "is not allowed"),
        ("/etc/passwd", "is not allowed"),
        ("absent.csv", "does not exist"),
        (".", "is not a regular file"),
        ("link.csv", "is a link that leaves"),
    ],
)
def test_a_side_table_lies_beside_the_manifest(data, name, says):
    (data.root.parent / "outside.csv").write_text("case_id,site\nb,y\n")
    (data.root / "link.csv").symlink_to(data.root.parent / "outside.csv")
    with pytest.raises(ConfigError, match=says) as caught:
        data.read(MANIFEST, side_tables_of_recipe=[name])
    assert caught.value.where == f"side_tables: {name!r}"
    assert caught.value.fix == "correct the path; it is relative to the manifest's folder"


@pytest.fixture
def run(data, monkeypatch):
    """A folder of a run beside the data, in the current folder, with a side table and its mask."""
    monkeypatch.chdir(data.root.parent)
    folder = data.root.parent / "runs/first/pseudolabel/own"
    folder.mkdir(parents=True)
    data.mask("p.png", "..........\n" * 8)
    (data.root / "p.png").rename(folder / "p.png")
    (folder / "side.csv").write_text("case_id,mask,mask_source\nb,p.png,pseudo\n")
    return folder


def test_a_side_table_may_lie_in_a_run_wherever_the_command_is_given(data, run, monkeypatch):
    name = "runs/first/pseudolabel/own/side.csv"
    (mask,) = data.read(MANIFEST, side_tables_of_recipe=[name]).cases[1].masks
    assert (mask.path, mask.is_pseudo) == (run / "p.png", True)
    second = data.root.parent / "runs/second"
    second.mkdir()
    monkeypatch.chdir("/")
    settings = {"manifest": "../../data/manifest.csv", "side_tables": [name]}
    table = read_manifest(make_recipe(settings, where="test"), base=second)
    assert table.cases[1].masks == (mask,)


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("runs/../outside.csv", "is not allowed"),
        ("runs/first/pseudolabel/../../../outside.csv", "is not allowed"),
        ("{here}/runs/first/pseudolabel/own/side.csv", "is not allowed"),
        ("runs/first/link.csv", "is a link that leaves"),
        ("runs/first/elsewhere/outside.csv", "is a link that leaves"),
        ("runs/first/pipe.csv", "is not a regular file"),
        ("runs/first/absent.csv", "does not exist"),
        ("runs", "does not exist"),
        ("other/side.csv", "does not exist"),
    ],
)
def test_a_side_table_of_a_run_lies_in_the_folder_of_runs(data, run, name, says):
    here = data.root.parent
    (here / "outside.csv").write_text("case_id,site\nb,y\n")
    (here / "other").mkdir()
    (here / "other/side.csv").write_text("case_id,site\nb,y\n")
    (here / "runs/first/link.csv").symlink_to(here / "outside.csv")
    (here / "runs/first/elsewhere").symlink_to(here)
    os.mkfifo(here / "runs/first/pipe.csv")
    with pytest.raises(ConfigError, match=says):
        data.read(MANIFEST, side_tables_of_recipe=[name.format(here=here)])


@pytest.mark.parametrize("mask", ["../p.png", "{here}/p.png", "link.png", "pipe.png"])
def test_masks_of_a_side_table_in_a_run_lie_beside_it(data, run, mask):
    (run / "p.png").rename(run.parent / "p.png")
    (run / "link.png").symlink_to(run.parent / "p.png")
    os.mkfifo(run / "pipe.png")
    (run / "side.csv").write_text(f"case_id,mask\nb,{mask.format(here=run.parent)}\n")
    with pytest.raises(DataError, match=r"not allowed|link that leaves|not a regular file"):
        data.read(MANIFEST, side_tables_of_recipe=["runs/first/pseudolabel/own/side.csv"])


def test_a_side_table_of_other_cases_is_refused(data):
    (data.root / "side.csv").write_text("case_id,site\nz,y\n")
    with pytest.raises(DataError, match="the case 'z' is not in the manifest"):
        data.read(MANIFEST, side_tables_of_recipe=["side.csv"])
