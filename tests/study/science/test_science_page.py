"""docs/science.md is made of its table alone."""

import json
import os
from pathlib import Path

import pytest

from segclf.study.science import __main__ as science
from segclf.study.science.source import open_pool
from segclf.study.science.studies import STUDIES

ROOT = Path(__file__).parents[3]


def test_the_page_of_the_repository_is_the_one_that_its_table_makes(tmp_path, monkeypatch):
    table, page = ROOT / science.TABLE, ROOT / science.PAGE
    made = tmp_path / "docs"
    made.mkdir()
    if table.is_file():
        (made / table.name).write_bytes(table.read_bytes())
    monkeypatch.chdir(tmp_path)
    science.write_page()
    assert (made / page.name).read_text("utf-8") == page.read_text("utf-8")
    for figure in made.glob("*.svg"):
        assert figure.read_bytes() == (page.parent / figure.name).read_bytes()


def test_what_has_not_run_reads_so_and_every_study_has_its_section(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "docs").mkdir()
    science.write_page()
    text = (tmp_path / science.PAGE).read_text("utf-8")
    assert text.count("\nNot run.\n") == len(science.PHANTOM_STUDIES) + 1 + len(science.REAL)
    assert all(f"## {study.title}" in text for study in STUDIES.values())
    assert "- Label efficiency: not run." in text


def test_a_study_of_images_without_the_folder_of_images_is_not_run(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("SEGCLF_REALDATA", raising=False)
    assert science.main(["ct_ich_label_efficiency"]) == 0
    assert "SEGCLF_REALDATA" in capsys.readouterr().err
    assert not (tmp_path / science.TABLE).exists()


def test_an_entry_is_kept_and_told(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "docs").mkdir()
    monkeypatch.setattr(science, "_run", lambda name: {"about": f"It is {name}.", "exit_code": 4})
    assert science.main(["budget"]) == 4
    assert json.loads((tmp_path / science.TABLE).read_text("utf-8"))["budget"]["exit_code"] == 4
    assert "It is budget." in (tmp_path / science.PAGE).read_text("utf-8")


@pytest.mark.realdata
@pytest.mark.parametrize("name", [*science.REAL])
def test_the_image_sets_can_give_every_level_that_is_asked_of_them(name, monkeypatch):
    if "SEGCLF_REALDATA" not in os.environ:
        pytest.skip("SEGCLF_REALDATA is not set")
    monkeypatch.chdir(ROOT)
    study = science.REAL[name].build()
    pool = open_pool(study.source)
    for level in study.regimes[0].levels:
        for number, fold in enumerate(pool.folds or [None]):
            selection = level.select(pool, number, fold)
            label = {case.case_id: case.labels[0] for case in pool.table.cases}
            for part in (selection.train, selection.val, selection.test):
                assert {label[case_id] for case_id in part} == {0, 1}
