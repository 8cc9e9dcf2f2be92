"""Score tables of other tools, from the command to the page."""

import json

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from segclf.cli import app

N = 240


def write_method(folder, name, *, lean, **columns):
    """Three images per patient, a tube that goes along with the label, a size of positives."""
    rng = np.random.default_rng(3)
    patient = np.repeat(np.arange(N // 3), 3)
    label = np.repeat(rng.random(N // 3) < 0.4, 3).astype(int)
    tube = (rng.random(N) < np.where(label == 1, 0.7, 0.3)).astype(float)
    tube[:4] = np.nan
    rng = np.random.default_rng(len(name))
    score = label + lean * np.nan_to_num(tube) + rng.normal(size=N)
    frame = pd.DataFrame(
        {
            "case_id": [f"c{i:03d}" for i in range(N)],
            "subject": [f"p{i:03d}" for i in patient],
            "label": label,
            "score": score,
            "probability": 1 / (1 + np.exp(-score)),
            "split": np.where(patient % 4 == 0, "val", "test"),
            "sex": np.where(patient % 2 == 0, "F", "M"),
            "site": np.array(["north", "south"])[patient % 2],
            "target_size": np.where(label == 1, 10.0 + np.arange(N), np.nan),
            "tube": tube,
        }
    ).assign(**columns)
    frame.to_csv(folder / f"{name}.csv", index=False)


@pytest.fixture
def run(tmp_path, monkeypatch):
    """`run(words)`: the command in a folder with the tables a.csv and bb.csv."""
    monkeypatch.chdir(tmp_path)
    write_method(tmp_path, "a", lean=0.2)
    write_method(tmp_path, "bb", lean=2.0)

    def call(*words):
        return CliRunner().invoke(app, list(words))

    return call


COMMAND = (
    *("eval-subgroups", "--scores", "a.csv", "--scores", "bb.csv", "--columns"),
    *("patient_id=subject", "--by", "sex", "--by", "site", "--by", "target_size"),
    *("--shortcut", "tube=1", "--set", "evaluate.n_boot=60"),
)


def test_the_command_of_two_outside_tables_and_its_page(run, tmp_path):
    done = run(*COMMAND, "--threshold-from", "val", "--margin", "auroc=0.3")
    assert done.exit_code == 0, done.output
    assert "AUROC of a - bb: " in done.output
    assert "robust, absent" in done.output
    assert "next: segclf report --evaluation evaluation" in done.output
    out = tmp_path / "evaluation"
    metrics = pd.read_parquet(out / "metrics.parquet")
    assert set(metrics["method"]) == {"a", "bb"}
    assert {"sex", "site", "target_size"} < set(metrics["group_column"])
    ledger = json.loads((out / "ledger.json").read_text())
    blank = [e for e in ledger["exclusions"] if "tube=1 is blank" in e["reason"]]
    assert blank
    assert {fit["fitted_on"] for fit in ledger["thresholds"]} == {"val"}
    comparisons = pd.read_csv(out / "comparisons.csv")
    assert set(comparisons["kind"]) == {
        *("methods", "groups", "heterogeneity", "relative improvement"),
    }
    shown = run("report", "--evaluation", "evaluation")
    assert shown.exit_code == 0, shown.output
    page = (out / "index.html").read_text()
    assert "What was left out" in page
    assert "tube=1 is blank" in page
    assert "p001" not in page
    assert "Cases of one patient are in one part only" not in page


def test_twice_gives_the_same_bytes(run, tmp_path):
    contents = []
    for _ in range(2):
        assert run(*COMMAND).exit_code == 0
        tables = sorted((tmp_path / "evaluation").glob("*.csv"))
        contents.append([table.read_bytes() for table in tables])
        assert len(tables) == 7
    assert contents[0] == contents[1]


def test_a_threshold_from_test_cases_is_refused_and_if_allowed_marked_everywhere(run, tmp_path):
    refused = run(*COMMAND, "--threshold-from", "test")
    assert refused.exit_code != 0
    assert "a threshold chosen on the test cases" in str(refused.exception)
    assert not (tmp_path / "evaluation").exists()
    allowed = run(*COMMAND, "--threshold-from", "test", "--exploratory")
    assert allowed.exit_code == 0, allowed.output
    assert "WARNING: EXPLORATORY" in allowed.output
    assert json.loads((tmp_path / "evaluation/ledger.json").read_text())["exploratory"]
    assert json.loads((tmp_path / "evaluation/evaluation.json").read_text())["exploratory"]
    run("report", "--evaluation", "evaluation")
    assert "EXPLORATORY" in (tmp_path / "evaluation/index.html").read_text()
    for path in (tmp_path / "evaluation").glob("*.csv"):
        assert pd.read_csv(path)["caution"].str.contains("exploratory").all(), path.name


def test_images_without_patients_are_called_independent_in_every_output(run, tmp_path):
    words = [word for word in COMMAND if word not in ("--columns", "patient_id=subject")]
    done = run(*words)
    assert "images are treated as independent" in done.output
    assert "images are treated as independent" in (tmp_path / "evaluation/ledger.json").read_text()
    run("report", "--evaluation", "evaluation")
    assert "treated as independent" in (tmp_path / "evaluation/index.html").read_text()


def test_patients_in_test_and_validation_are_said(run, tmp_path):
    write_method(tmp_path, "a", lean=0.2, split=np.where(np.arange(N) % 3 == 0, "val", "test"))
    write_method(tmp_path, "bb", lean=2.0, split=np.where(np.arange(N) % 3 == 0, "val", "test"))
    assert "80 patients of test cases have cases in another split" in run(*COMMAND).output


def test_patients_that_are_tested_in_one_fold_and_validate_in_another_are_no_leak(run, tmp_path):
    for name in ("a", "bb"):
        table = pd.read_csv(tmp_path / f"{name}.csv")
        swapped = table["split"].map({"val": "test", "test": "val"})
        both = [table.assign(fold=0), table.assign(fold=1, split=swapped)]
        pd.concat(both).to_csv(tmp_path / f"{name}.csv", index=False)
    done = run(*COMMAND)
    assert done.exit_code == 0, done.output
    assert "in another split" not in done.output


@pytest.mark.parametrize(
    ("words", "wrong"),
    [
        (("--margin", "0.03"), "'0.03' has no two sides"),
        (("--columns", "subject"), "'subject' has no two sides"),
        (("--set", "train.lr=1"), "the setting 'train' says nothing about score tables"),
        (("--set", "evaluate.n_bot=1"), "unknown setting 'evaluate.n_bot'"),
        (("--margin", "auroc=-1"), "evaluate.margins.auroc = -1 does not fit"),
        (("--interval", "wald"), "evaluate.interval = 'wald' does not fit"),
        (("--unit", "volume"), "there is no column called 'volume_id'"),
        (("--margin", "aurok=0.1"), "there is no metric called 'aurok'"),
        (("--set", "evaluate.prespecified=[sx]"), "there is no column of --by called 'sx'"),
        (("--set", "seed=abc"), "seed = 'abc' does not fit"),
        (("--out", "a.csv"), "'a.csv' is a file"),
        (("--by", "all"), "a column called 'all' cannot make groups"),
    ],
)
def test_options_that_cannot_be_say_what_is_wrong(run, words, wrong):
    done = run(*COMMAND, *words)
    assert done.exit_code != 0
    assert wrong in str(done.exception)


def test_a_folder_with_something_else_is_left_alone(run, tmp_path):
    (tmp_path / "evaluation").mkdir()
    (tmp_path / "evaluation/notes.txt").write_text("mine")
    done = run(*COMMAND)
    assert "the folder 'evaluation' holds something else" in str(done.exception)
    assert [p.name for p in (tmp_path / "evaluation").iterdir()] == ["notes.txt"]


def test_a_killed_evaluation_can_be_made_again(run, tmp_path):
    assert run(*COMMAND).exit_code == 0
    (tmp_path / "evaluation/evaluation.json").unlink()  # as after a kill: it is written last
    assert "no finished evaluation" in str(run("report", "--evaluation", "evaluation").exception)
    assert run(*COMMAND).exit_code == 0
    assert run("report", "--evaluation", "evaluation").exit_code == 0


def test_a_report_of_no_evaluation_says_what_to_run(run):
    done = run("report", "--evaluation", "nowhere")
    assert "there is no finished evaluation" in str(done.exception)


def test_intervals_of_every_kind_and_a_deployment_prevalence(run, tmp_path):
    for kind in ("percentile", "bca", "delong"):
        done = run(*COMMAND, "--interval", kind, "--deploy-prevalence", "0.1")
        assert done.exit_code == 0, done.output
        metrics = pd.read_parquet(tmp_path / "evaluation/metrics.parquet")
        found = metrics.query("metric == 'auroc' and group_column == 'all'")["interval"].iloc[0]
        assert kind.lower() in found.lower()
        assert "brier_deployed" in set(metrics["metric"])
