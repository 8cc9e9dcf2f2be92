"""`make results`: cell by cell, resumable, and a failed cell costs no other."""

from types import SimpleNamespace

import pytest

from segclf.core.atomic import read_json
from segclf.core.errors import StoppedError
from segclf.core.runs import Run
from segclf.study import results
from segclf.study.experiments import PAGE


@pytest.fixture
def study(tmp_path, monkeypatch):
    """The recipe busi_lesion with two folds, whose stages only note that they were called."""
    calls, broken = [], set()
    run = Run(tmp_path / "runs" / "busi_lesion")
    recipe = SimpleNamespace(name="busi_lesion", classify=SimpleNamespace(head="sigmoid"))
    exp = SimpleNamespace(recipe=recipe, run=run, folds=lambda: [0, 1])

    def train(stage, *part):
        def call(_exp, _on_event, *, fold, resume):
            assert resume
            calls.append((stage, fold))
            if (stage, fold) in broken:
                raise StoppedError("the loss is NaN.", where="x", expected="x", fix="x")
            model = run.stage(*part, fold=fold) / "model.json"
            model.parent.mkdir(parents=True, exist_ok=True)
            model.write_text("{}")

        return call

    stages = {
        "segment": train("segment", "segment"),
        "classify": train("classify", "classify", "sigmoid"),
    }
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SEGCLF_REALDATA", str(tmp_path))
    monkeypatch.setattr(results, "STAGES", stages)
    monkeypatch.setattr(results, "new_experiment", lambda *_: exp)
    monkeypatch.setattr(results, "measured_line", lambda _: "numbers")
    monkeypatch.setattr(results, "measure", lambda *_: {"measured": len(calls)})
    (tmp_path / "docs").mkdir()
    return SimpleNamespace(calls=calls, broken=broken)


def test_a_failed_cell_is_noted_costs_no_other_and_is_run_again(study):
    study.broken.add(("classify", 0))
    assert results.main(["busi_lesion"]) == 6
    assert study.calls == [("segment", 0), ("classify", 0), ("segment", 1), ("classify", 1)]
    entry = read_json(results.TABLE)["busi_lesion"]
    assert entry["cells"]["classify fold 0"]["failed"] == "the loss is NaN."
    assert "measured" not in entry
    assert "classify fold 0 the loss is NaN." in PAGE.read_text()
    study.broken.clear()
    study.calls.clear()
    assert results.main(["busi_lesion"]) == 0
    assert ("classify", 0) in study.calls  # the stages keep what is finished
    entry = read_json(results.TABLE)["busi_lesion"]
    assert entry["measured"] == len(study.calls)
    assert "failed" not in entry["cells"]["classify fold 0"]


def test_a_change_of_the_recipe_marks_the_cell_instead_of_measuring_old_weights(study):
    assert results.main(["busi_lesion"]) == 0
    study.broken.add(("segment", 0))  # as the stage refuses weights of another recipe
    assert results.main(["busi_lesion"]) == 6
    assert "segment fold 0 the loss is NaN." in PAGE.read_text()


def test_the_time_of_an_interrupted_cell_counts(study, monkeypatch):
    now = [0.0]
    monkeypatch.setattr(results.time, "monotonic", lambda: now[0])

    def interrupted(*_, **__):
        now[0] += 120
        raise KeyboardInterrupt

    whole = results.STAGES["segment"]
    monkeypatch.setitem(results.STAGES, "segment", interrupted)
    with pytest.raises(KeyboardInterrupt):
        results.main(["busi_lesion"])

    def slow(*args, **more):
        now[0] += 60
        whole(*args, **more)

    monkeypatch.setitem(results.STAGES, "segment", slow)
    assert results.main(["busi_lesion"]) == 0
    assert results.main(["busi_lesion"]) == 0  # nothing is left to do: the time stays
    cells = read_json(results.TABLE)["busi_lesion"]["cells"]
    assert cells["segment fold 0"] == {"minutes": 3.0}
    assert cells["segment fold 1"] == {"minutes": 1.0}


def test_while_the_first_cell_runs_the_others_read_not_run(study, monkeypatch):
    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setitem(results.STAGES, "classify", interrupted)
    with pytest.raises(KeyboardInterrupt):
        results.main(["busi_lesion"])
    page = PAGE.read_text()
    assert page.count("fold 0 not run") == 1
    assert page.count("fold 1 not run") == 2


def test_without_the_data_nothing_is_run(study, monkeypatch, capsys):
    monkeypatch.delenv("SEGCLF_REALDATA")
    assert results.main([]) == 2
    assert "SEGCLF_REALDATA" in capsys.readouterr().err
    assert study.calls == []
