"""What a study ends in: entry, page, command."""

import json
import re
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score
from statsmodels.stats.multitest import multipletests
from typer.testing import CliRunner

from segclf.cli import app
from segclf.core.errors import SegclfError, UsageError
from segclf.manifest import cases_of
from segclf.study.science import flow
from segclf.study.science import run as run_module
from segclf.study.science.cells import Arm
from segclf.study.science.own import numbers_of, own_study
from segclf.study.science.own_levels import Question
from segclf.study.science.page import study_html
from segclf.study.science.plan import Level, Regime, Study
from segclf.study.science.pool import PoolError
from segclf.study.science.run import run_study, write_pages
from segclf.study.science.source import Source, open_pool, phantom_source
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


def test_searches_that_end_at_the_edge_of_the_grid_are_counted(trap, folder, drawn, monkeypatch):
    train = flow.train_cell

    def graded(cell, training, on_event):
        scores, row = train(cell, training, on_event)
        rate, steps = (float(text.partition("=")[2]) for text in cell.overrides)
        if cell.is_search:  # the segmenter learns best fast, the classifier as the recipe says
            row["val_auroc"] = rate if cell.arm.family == "segment" else -rate * steps
        return scores, row

    monkeypatch.setattr(flow, "train_cell", graded)
    regime = replace(trap.regimes[0], searched=None)
    shared = replace(trap.regimes[0], name="shared")
    study = replace(trap, name="edges", regimes=(regime, shared))
    entry = run_study(study, folder, n_seeds=2)
    each = {"n": 4, "n_at_edge": 4}  # of three levels, and one for all of the other regime
    assert entry["search_edges"] == {"segment": each, "classify": {"n": 4, "n_at_edge": 0}}
    assert len(entry["settings"]) == 8


def test_p_values_of_a_metric_are_adjusted_together_over_all_comparisons(trap, folder, drawn):
    third = Arm("other", "segment", masks="box")
    regime = replace(trap.regimes[0], arms=(*BOTH, third))
    entry = run_study(replace(trap, name="three", regimes=(regime,)), folder, n_seeds=3)
    for metric in ("robust_auroc", "auroc"):
        rows = [row for row in entry["paired"] if row["metric"] == metric]
        assert {row["arm"] for row in rows} == {"segmentation", "other"}
        witness = multipletests([row["p"] for row in rows], method="holm")[1]
        assert [row["p_adjusted"] for row in rows] == pytest.approx(witness)
        assert len(rows) == 2 * len(RHOS)


def test_a_recall_is_judged_beside_two_ways_of_knowing_its_specificity():
    study = STUDIES["rare-subgroup"]
    [claim] = study.claims
    assert study.metrics[0] == (claim.metric, claim.group)
    assert {("specificity", claim.group), ("recall_at_specificity", claim.group)} < {*study.metrics}


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


ASKED = {
    "rare-subgroup": Question(column="tube"),
    "shortcut": Question(column="tube"),
    "budget": Question(minutes_per_label=0.5, minutes_per_mask=1),
}


@pytest.mark.parametrize("name", [*STUDIES])
def test_every_study_has_levels_on_a_table_of_the_user(name, folder):
    source = phantom_source(folder, {"seed": 4, **TINY})
    study = own_study(name, source, ASKED.get(name, Question()))
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
        ("budget", Question(None, None, (9,), 1, 1), "budget does not read --sizes"),
        ("budget", Question(None, None, (), 0.01, 9), "buy fewer than 8 images with masks"),
        ("prevalence", Question(minutes_per_mask=1), "does not read --minutes-per-mask"),
        ("mask-noise", Question(column="tube"), "mask-noise does not read --column"),
        ("shortcut", Question(column="target_size"), "derived from the truth"),
    ],
)
def test_a_question_that_lacks_something_is_refused(name, asked, message, folder):
    with pytest.raises(SegclfError, match=message):
        own_study(name, phantom_source(folder, {"seed": 4, **TINY}), asked)


def test_both_arms_of_a_budget_spend_its_minutes(folder):
    source = phantom_source(folder, {"seed": 4, **TINY})
    study = own_study("budget", source, Question(minutes_per_label=0.1, minutes_per_mask=0.25))
    pool = open_pool(source)
    train = [case for case in cases_of(pool.table, pool.split, "train")]
    share = np.mean([case.labels[0] == 1 for case in train])
    for level in study.regimes[0].levels:
        per_image = 0.1 + (0.25 * share if level.arms == ("segmentation",) else 0)
        n = len(level.select(pool, 0, None).train)
        # whole patients of two images: the nearest number, so one image more or less
        assert abs(n - int(level.x / per_image + 1e-9)) <= 1


def test_levels_that_choose_the_same_cases_are_judged_all_the_same(
    folder, monkeypatch, tmp_path, drawn
):
    source = phantom_source(folder, {"seed": 4, **TINY})
    study = own_study("label-efficiency", source, Question(sizes=(20, 21)))
    train, trained = flow.train_cell, []
    monkeypatch.setattr(flow, "train_cell", lambda *a: (trained.append(a[0].key), train(*a))[1])
    entry = run_study(study, tmp_path, n_seeds=2)
    assert {row["state"] for row in entry["cells"]} == {"done"}
    assert len(entry["cells"]) == 8
    assert len(trained) == 6 + 4  # one search, and each arm and seed once
    values = {(row["arm"], row["level"]): row["value"] for row in entry["curves"]}
    assert values["classifier", "20 images"] == values["classifier", "21 images"]


def test_sizes_of_targets_need_masks(folder, tmp_path):
    source = phantom_source(folder, {"seed": 4, **TINY})
    table = pd.read_csv(source.base / "manifest.csv")
    columns = [name for name in table if name.startswith("mask")]
    bare = source.base / "without_masks.csv"
    table.drop(columns=columns).to_csv(bare, index=False)
    with pytest.raises(PoolError, match="0 positive training cases with a drawn mask"):
        own_study("target-size", Source(source.config, bare), Question())


def test_two_tables_of_one_name_have_two_folders_and_pixels_grow_with_images(folder):
    source = phantom_source(folder, {"seed": 4, **TINY, "size_px": [160, 160]})
    table = pd.read_csv(source.base / "manifest.csv")
    names = set()
    for n in (len(table), len(table) - 1):
        table.head(n).to_csv(source.base / "own.csv", index=False)
        study = own_study("mask-noise", Source(source.config, source.base / "own.csv"), Question())
        open_pool.cache_clear()
        names.add(study.name)
        masks = [arm.masks for arm in study.regimes[0].arms]
        assert masks[1:5] == ["eroded:2", "eroded:5", "shifted:5", "shifted:10"]
        assert study.regimes[0].arms[2].name == "eroded 5"
    assert len(names) == 2
    assert all(name.startswith("mask-noise-own-") for name in names)


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
