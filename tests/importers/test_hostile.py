"""JSON and tables that mean harm: an import, or a refusal in words, and never anything else."""

import copy
import json
import random
import shutil

import pytest

from segclf.core.config import load_recipe
from segclf.core.errors import SegclfError
from segclf.importers import import_data
from segclf.manifest import read_manifest

POISON = (
    None, True, -1, 0, 10**30, 1.5, float("inf"), "", "x", "../x", "/etc/passwd", "0", [], {},
    [[]], [None], {"a": []}, ["images/scan000.png"], "\x00", "é\u202e", 10**9,
)  # fmt: skip
SEED, TRIES = 7, 25
FILES = {
    "coco": "annotations/instances_all.json",
    "monai": "datalist.json",
    "msd": "dataset.json",
    "nnunet": "dataset.json",
}


def places(value, before=()):
    """Every key and index in nested JSON."""
    items = (
        value.items()
        if isinstance(value, dict)
        else enumerate(value)
        if isinstance(value, list)
        else ()
    )
    for key, inner in items:
        yield (*before, key)
        yield from places(inner, (*before, key))


def poisoned(data, draw):
    """The data with one or two nodes replaced; early ones as often as the many late ones."""
    data = copy.deepcopy(data)
    for _ in range(draw.choice((1, 2))):
        known = list(places(data))
        depth = draw.choice(sorted({len(place) for place in known}))
        *path, last = draw.choice([place for place in known if len(place) == depth])
        inner = data
        for key in path:
            inner = inner[key]
        inner[last] = copy.deepcopy(draw.choice(POISON))
    return data


def outcome(kind, source, out):
    """'' after an import whose paths all lie in SRC, else the words of the refusal."""
    try:
        import_data(kind, source, out / "manifest.csv")
    except SegclfError as error:
        is_left = (out / "manifest.csv").exists()
        said = "a manifest was left behind" if is_left else str(error)
    else:
        table = read_manifest(load_recipe(out / "manifest.yaml"), base=out, strict=False)
        paths = [path for case in table.cases for path in case.images]
        paths += [mask.path for case in table.cases for mask in case.masks if mask.path]
        inside = (str(source), str(out))
        said = "" if all(str(path).startswith(inside) for path in paths) else "left SRC"
    shutil.rmtree(out, ignore_errors=True)
    return said


@pytest.mark.parametrize("kind", sorted(FILES))
def test_poisoned_json_is_imported_or_refused_in_words(tree, tmp_path, kind):
    source = tree(kind)
    for folder in ("images", "scans", "imagesTr", "labelsTr"):  # six cases are enough here
        for path in sorted((source / folder).glob("*"))[12:]:
            path.unlink()
    path = source / FILES[kind]
    data = json.loads(path.read_text())
    for key in ("training", "images", "annotations"):
        if key in data:
            data[key] = data[key][:6]
    draw = random.Random(SEED)
    said = []
    for number in range(TRIES):
        path.write_text(json.dumps(poisoned(data, draw)))
        said.append(outcome(kind, source, tmp_path / f"out{number}"))
    assert said.count("") > TRIES / 8
    assert not {"left SRC", "a manifest was left behind"} & {*said}
    assert not any(str(tmp_path) in text for text in said)


@pytest.mark.parametrize("kind", ["siim", "rsna-pneumonia", "rsna-spine", "gandlf"])
def test_damaged_tables_are_imported_or_refused_in_words(tree, tmp_path, kind):
    source = tree(kind)
    path = next(p for p in sorted(source.glob("*.csv")) if "class" not in p.name)
    text = path.read_text()
    draw = random.Random(SEED)
    said = []
    for number in range(TRIES):
        damaged = list(text)
        for _ in range(draw.randrange(1, 6)):
            place = draw.randrange(len(damaged))
            damaged[place] = draw.choice([",", "\n", '"', "-", "9" * 30, "", "\x00", "=", "é"])
        path.write_text("".join(damaged))
        said.append(outcome(kind, source, tmp_path / f"out{number}"))
    assert not {"left SRC", "a manifest was left behind"} & {*said}
