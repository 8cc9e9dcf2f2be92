"""What a study ends in: entry, page, command."""

import json
import re

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score
from typer.testing import CliRunner

from segclf.cli import app
from segclf.core.errors import UsageError
from segclf.study.science import flow
from segclf.study.science import run as run_module
from segclf.study.science.own import Question, numbers_of, own_study
from segclf.study.science.page import study_html
from segclf.study.science.plan import Level, Regime, Study
from segclf.study.science.pool import PoolError
from segclf.study.science.run import run_study, write_pages
from segclf.study.science.source import open_pool, phantom_source
from segclf.study.science.studies import BOTH, RHOS, STUDIES, chosen, sized
from segclf.study.science.trap import with_shortcut

TINY = {
    "size_px": [16, 16],
    "area_fraction": 0.02,
    "rho": {"train": 0.5, "val": 0.5, "test": 0.5},
    "n_cases": {"train": 80, "val": 40, "test": 60},
}


@pytest.fixture(scope="session")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("entries")


@pytest.fixture
def drawn(monkeypatch):
    """Scores without training: the arm's skill times the label, and noise of the cell's own."""

    def train(cell, training, on_event):
        if cell.is_search:
            return pd.DataFrame(), {"val_auroc": 0.5}
        rng = np.random.default_rng([cell.seed, len(cell.arm.name)])
        table = open_pool(cell.source).table
        label_of = {case.case_id: case.labels[0] for case in table.cases}
        patient_of = {case.case_id: case.patient_id for case in table.cases}
        label = np.array([label_of[i] for i in cell.selection.test])
        score = (3 if cell.arm.family == "segment" else 0.2) * label + rng.normal(size=len(label))
        place = {"regime": cell.regime, "level": cell.level, "x": cell.x, "arm": cell.arm.name}
        frame = pd.DataFrame(
            {
                **place,
                "seed": cell.seed,
                "fold": pd.array([cell.fold] * len(label), dtype="Int64"),
                "case_id": list(cell.selection.test),
                "patient_id": [patient_of[i] for i in cell.selection.test],
                "label": label,
                "score": score,
                "decision": (score > 1.5).astype(float),
            }
        )
        n = {"n_train": len(cell.selection.train), "n_train_positive": 1, "n_val": 1}
        return frame, {**n, "val_auroc": 0.5, "lr": 0.1, "steps": 1}

    monkeypatch.setattr(flow, "train_cell", train)


@pytest.fixture
def trap():
    levels = tuple(
        Level(f"rho {rho:g}", rho, chosen(with_shortcut, "tube", 1, rho, 30, rhos=RHOS))
        for rho in RHOS
    )
    regime = Regime("claimed", "small", levels, BOTH, TINY, searched="rho 0.8")
    metrics = (("robust_auroc", None), ("auroc", None))
    return Study(
        "trap", "A trap", "rho", (regime,), (), metrics, about="Drawn.", spurious=("tube", None)
    )


def test_an_entry_agrees_with_scikit_learn_and_counts_the_trap(trap, folder, drawn):
    entry = run_study(trap, folder, n_seeds=3)
    scores = pd.concat(map(pd.read_parquet, (folder / "trap" / "scores").glob("*.parquet")))
    own = scores[(scores["level"] == "rho 0.95") & (scores["arm"] == "segmentation")]
    [row] = [
        r
        for r in entry["curves"]
        if (r["metric"], r["level"], r["arm"]) == ("auroc", "rho 0.95", "segmentation")
    ]
    each = [roc_auc_score(one["label"], one["score"]) for _, one in own.groupby("seed")]
    assert row["value"] == pytest.approx(np.mean(each))
    [told] = [text for name, text in entry["counts"].items() if "rho 0.95" in name]
    train = list(map(int, re.search(r"train (\d+)/(\d+)/(\d+)/(\d+)", told).groups()))
    assert sum(train) == 30
    assert (train[0] + train[3]) / 30 == pytest.approx(0.95, abs=0.04)
    assert entry["exit_code"] == 0
    assert json.loads(json.dumps(entry)) == entry


def test_the_page_shows_the_section_and_never_html_of_a_text(trap, folder, drawn):
    entry = run_study(trap, folder, n_seeds=2)
    page = write_pages(trap, entry, folder / "trap").read_text(encoding="utf-8")
    assert "<table>" in page
    assert "<svg" in page
    assert "data: phantom" in page
    assert "<script" not in study_html("<script>", "a <script>x</script> b", {}, "user")


def test_what_no_level_can_have_ends_the_study_before_any_training(folder, monkeypatch):
    monkeypatch.setattr(flow, "train_cell", lambda *_: pytest.fail("it trained"))
    levels = (Level("4000 images", 4000, sized(4000)), Level("12 images", 12, sized(12)))
    regime = Regime("claimed", "", levels, BOTH, TINY, searched="12 images")
    with pytest.raises(PoolError, match="4000 cases"):
        run_study(Study("large", "L", "x", (regime,), ()), folder, n_seeds=1)


@pytest.mark.parametrize("name", [*STUDIES])
def test_every_study_has_levels_on_a_table_of_the_user(name, folder):
    source = phantom_source(folder, {"seed": 4, **TINY})
    asked = Question(column="tube", minutes_per_label=0.5, minutes_per_mask=1)
    study = own_study(name, source, asked)
    [regime] = study.regimes
    pool = open_pool(source)
    for level in regime.levels:
        selection = level.select(pool, 0, None)
        assert len(selection.train) >= 4
        parts = [selection.train, selection.val, selection.test]
        assert len(set().union(*parts)) == sum(map(len, parts))
    assert study.claims == ()


@pytest.mark.parametrize(
    ("name", "asked", "message"),
    [
        ("shortcut", Question(), "a column that was not named"),
        ("rare-subgroup", Question(), "a column that was not named"),
        ("budget", Question(minutes_per_mask=1), "which were not given"),
        ("shortcut", Question(column="target_size"), "derived from the truth"),
    ],
)
def test_a_question_that_lacks_something_is_refused(name, asked, message, folder):
    with pytest.raises(UsageError, match=message):
        own_study(name, phantom_source(folder, {"seed": 4, **TINY}), asked)


def test_sizes_are_whole_numbers():
    assert numbers_of("50, 100") == (50, 100)
    assert numbers_of(None) == ()
    with pytest.raises(UsageError, match="no numbers of images"):
        numbers_of("50,1e2")


def test_the_command_writes_a_page_and_a_second_call_trains_nothing(
    trap, tmp_path, monkeypatch, drawn
):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(run_module, "STUDIES", {"trap": trap})
    first = CliRunner().invoke(app, ["study", "trap", "--seeds", "2", "--json"])
    assert first.exit_code == 0, first.output
    page = tmp_path / "runs" / "study" / "trap" / "index.html"
    before = {p: p.read_bytes() for p in page.parent.rglob("*") if p.is_file()}
    monkeypatch.setattr(flow, "train_cell", lambda *_: pytest.fail("it trained again"))
    second = CliRunner().invoke(app, ["study", "trap", "--seeds", "2", "--json"])
    assert second.exit_code == 0
    assert {p: p.read_bytes() for p in page.parent.rglob("*") if p.is_file()} == before


def test_the_command_names_studies_and_refuses_options_that_have_no_effect():
    listed = CliRunner().invoke(app, ["study", "list"])
    assert all(name in listed.output for name in STUDIES)
    unknown = CliRunner().invoke(app, ["study", "label-eficiency"]).exception
    assert isinstance(unknown, UsageError)
    assert "did you mean 'label-efficiency'" in str(unknown)
    refused = CliRunner().invoke(app, ["study", "shortcut", "--column", "tube"]).exception
    assert isinstance(refused, UsageError)
    assert "--manifest" in str(refused)
