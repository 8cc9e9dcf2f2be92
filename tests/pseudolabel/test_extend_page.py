"""The example of docs/extend/filter.md works as it stands, under its entry point."""

import csv
import json
import re
from pathlib import Path
from types import SimpleNamespace

import numpy as np

from segclf.core import catalog
from segclf.predict import predict_maps
from segclf.pseudolabel import make_pseudo_masks

PAGE = Path(__file__).parents[2] / "docs" / "extend" / "filter.md"


def test_the_filter_of_the_page_is_found_by_name_and_fills_the_ledger(exp, monkeypatch):
    code = re.findall(r"```python\n(.*?)```", PAGE.read_text(), flags=re.S)[0]
    space: dict = {}
    exec(code, space)  # the page's own code
    point = SimpleNamespace(name="solid", load=lambda: space["SOLID"], value="my_package:SOLID")
    monkeypatch.setattr(
        catalog,
        "entry_points",
        lambda *, group: [point] if group == "segclf.pseudo_filters" else [],
    )
    folder = make_pseudo_masks(exp, filter_name="solid")
    with open(folder / "ledger.csv", newline="") as stream:
        lines = {row["case_id"]: row for row in csv.DictReader(stream)}
    cases = [case for case in exp.table.cases if lines[case.case_id]["n_px"]]
    assert len(cases) == 12
    t = json.loads((folder / "record.json").read_text())["fitted"][0]["t"]
    for case_id, (p,) in predict_maps(cases, exp.run.stage("segment"), exp.recipe):
        inside = p[p > np.float64(t)]
        is_solid = inside.size > 0 and inside.mean() > 0.5
        expected = ("kept", "solid") if is_solid else ("dropped", "not_solid")
        assert (lines[case_id]["action"], lines[case_id]["reason"]) == expected
