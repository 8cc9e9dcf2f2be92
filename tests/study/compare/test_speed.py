"""What was measured is kept for the same weights alone."""

import hashlib
from types import SimpleNamespace

from segclf import pipeline
from segclf.classify import metric
from segclf.core.runs import Run
from segclf.experiment import new_experiment
from segclf.phantom import PhantomSettings, write_phantom
from segclf.study.compare.methods import choose_methods
from segclf.study.compare.speed import _weights, measure_speed


def test_a_head_that_was_fitted_anew_is_measured_anew(tmp_path):
    exp = SimpleNamespace(run=Run(tmp_path / "runs" / "tiny"))
    tau, fc = choose_methods(["tau", "fc"])
    for name, content in (("segment/model.safetensors", b"a"), ("summarize/fc/card.json", b"b")):
        path = exp.run.path / name
        path.parent.mkdir(parents=True)
        path.write_bytes(content)
    segmenter, card = (hashlib.sha256(content).hexdigest() for content in (b"a", b"b"))
    assert _weights(exp, tau, None) == [segmenter]
    assert _weights(exp, fc, None) == [segmenter, card]
    (exp.run.path / "summarize/fc/card.json").write_bytes(b"c")
    assert _weights(exp, fc, None) != [segmenter, card]


def test_the_speed_of_metric_includes_the_search_in_its_gallery(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    data = {"n_cases": {"train": 24, "val": 24, "test": 12}, "size_px": (32, 32)}
    write_phantom(tmp_path / "data", PhantomSettings.model_validate(data))
    settings = ("train.steps=2", "train.batch_size=8", "classify.head=metric")
    exp = new_experiment(tmp_path / "data/recipe.yaml", None, None, settings)
    pipeline.train_clf(exp, lambda _event: None)
    searched = []
    real = metric.classify

    def classify(queries, gallery, settings):
        searched.append(len(queries))
        return real(queries, gallery, settings)

    monkeypatch.setattr(metric, "classify", classify)
    rates = measure_speed(exp, choose_methods(["metric", "softmax"])[:1], tmp_path, n_images=8)
    least, most = rates["metric"]["images_per_s_range"]
    assert 0 < least <= rates["metric"]["images_per_s"] <= most
    assert sum(searched) >= 2 * 8  # the first pass, which does not count, and at least one more
    assert sum(searched) % 8 == 0
    said = capsys.readouterr().err
    assert "measuring the speed of 1 method, one after the other" in said
    n_searched = len(searched)
    again = measure_speed(exp, choose_methods(["metric", "softmax"])[:1], tmp_path, n_images=8)
    assert again == rates
    assert len(searched) == n_searched
    assert capsys.readouterr().err == ""  # nothing is measured, so nothing is said
