"""What was measured is kept for the same weights alone."""

import hashlib
from types import SimpleNamespace

from segclf.core.runs import Run
from segclf.study.compare.methods import choose_methods
from segclf.study.compare.speed import _weights


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
