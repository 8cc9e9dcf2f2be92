"""Side tables that a recipe names."""

import hashlib

import pandas as pd
import pytest

from segclf.core.errors import ConfigError, DataError
from segclf.manifest import write_side_table

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


def test_a_side_table_of_other_cases_is_refused(data):
    (data.root / "side.csv").write_text("case_id,site\nz,y\n")
    with pytest.raises(DataError, match="the case 'z' is not in the manifest"):
        data.read(MANIFEST, side_tables_of_recipe=["side.csv"])
