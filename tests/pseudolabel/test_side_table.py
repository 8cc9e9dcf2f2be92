"""What the manifest reader and the data pipeline make of `side.csv`."""

import csv
from dataclasses import replace

import numpy as np
from PIL import Image

from segclf.data import read_case
from segclf.manifest import read_manifest
from segclf.pseudolabel import make_pseudo_masks

KNOWN = {"kept": "drawn", "changed": "drawn", "drawn": "drawn", "empty": "empty"}


def with_side_table(exp, folder):
    """The cases of the run with the side table laid over, and the ledger lines, by id."""
    table = read_manifest(exp.recipe, base=exp.run.path, side_tables=[folder / "side.csv"])
    with open(folder / "ledger.csv", newline="") as stream:
        lines = {row["case_id"]: row for row in csv.DictReader(stream)}
    return {case.case_id: case for case in table.cases}, lines


def test_pseudo_masks_are_masks_of_a_network_and_everything_else_stays(exp):
    settings = exp.recipe.pseudolabel.model_copy(update={"min_confidence": 0.5})
    exp = replace(exp, recipe=exp.recipe.model_copy(update={"pseudolabel": settings}))
    folder = make_pseudo_masks(exp, filter_name="boosted")
    cases, lines = with_side_table(exp, folder)
    n_pseudo = 0
    for before in exp.table.cases:
        case, line = cases[before.case_id], lines[before.case_id]
        (mask,) = case.masks
        if line["action"] in ("kept", "changed"):
            assert (mask.state, mask.is_pseudo, mask.kind) == ("drawn", True, "full")
            assert mask.path == (folder / line["mask"]).resolve()
            n_pseudo += 1
        else:
            assert (mask.state, mask.path) == (before.masks[0].state, before.masks[0].path)
            assert not mask.is_pseudo
            assert mask.state == KNOWN.get(line["action"], mask.state)
    assert n_pseudo > 3


def test_uncertain_pixels_are_nan_in_the_target_of_the_next_training(exp):
    settings = exp.recipe.pseudolabel.model_copy(update={"uncertain": (0.02, 0.5)})
    exp = replace(exp, recipe=exp.recipe.model_copy(update={"pseudolabel": settings}))
    folder = make_pseudo_masks(exp, filter_name="confidence")
    cases, lines = with_side_table(exp, folder)
    n_unknown = 0
    for case_id, line in lines.items():
        if line["mask_kind"] == "uncertain":
            target = read_case(cases[case_id], exp.recipe).target.numpy()[0]
            stored = np.asarray(Image.open(folder / line["mask"]))
            np.testing.assert_array_equal(np.isnan(target), stored == 2)
            np.testing.assert_array_equal(target[stored < 2], stored[stored < 2])
            n_unknown += (stored == 2).sum()
    assert n_unknown > 0


def test_soft_masks_are_probabilities_in_the_target_of_the_next_training(exp):
    folder = make_pseudo_masks(exp, filter_name="none", soft=True)
    cases, lines = with_side_table(exp, folder)
    soft = [case_id for case_id, line in lines.items() if line["mask_kind"] == "soft"]
    assert len(soft) == 12
    for case_id in soft:
        target = read_case(cases[case_id], exp.recipe).target.numpy()[0]
        stored = np.asarray(Image.open(folder / lines[case_id]["mask"]))
        np.testing.assert_allclose(target, stored / 65535, atol=1e-6)


def test_pseudo_masks_of_an_earlier_round_are_made_anew(exp):
    folder = make_pseudo_masks(exp, filter_name="none")
    cases, lines = with_side_table(exp, folder)
    again = make_pseudo_masks(exp, filter_name="none", cases=list(cases.values()))
    with open(again / "ledger.csv", newline="") as stream:
        second = {row["case_id"]: row["action"] for row in csv.DictReader(stream)}
    assert second == {case_id: line["action"] for case_id, line in lines.items()}
