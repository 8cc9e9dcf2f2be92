import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from segclf.core.records import Case, MaskSource, MaskState
from segclf.data import CaseCache, read_case, read_truth, train_batches

pytestmark = [
    pytest.mark.realdata,
    pytest.mark.skipif("SEGCLF_REALDATA" not in os.environ, reason="SEGCLF_REALDATA is not set"),
]


def cases_in(name, *, values=(None,)):
    folder = Path(os.environ["SEGCLF_REALDATA"]) / name
    table = pd.read_csv(folder / "manifest.csv")
    cases = [
        Case(
            case_id=str(row.image),
            images=(folder / str(row.image),),
            masks=tuple(MaskSource(MaskState.DRAWN, folder / str(row.mask), v) for v in values),
            labels=(float(row.label),) * len(values),  # type: ignore[arg-type]
            patient_id=str(row.patient_id),
        )
        for row in table.itertuples()
    ]
    return cases, table


def test_no_haemorrhage_vanishes_at_a_quarter_of_the_sides(recipe):
    cases, table = cases_in("ct_ich_2d")
    positive = [cases[k] for k in np.flatnonzero(table["label"])[::8]]
    small = recipe(image={"size_px": [48, 48]})
    areas = [read_case(case, small).target.sum().item() for case in positive]
    assert len(areas) > 30
    assert min(areas) >= 1


def test_voxels_of_both_findings_are_the_volumes_of_the_table(recipe):
    cases, table = cases_in("hippocampus_3d", values=((1,), (2,)))
    settings = recipe(image={"spatial_dims": 3}, mask_values={1: "anterior", 2: "posterior"})
    for index in (0, 20, 43):
        sample = read_case(cases[index], settings)
        assert sample.spacing_mm == (1.0, 1.0, 1.0)
        truth = read_truth(cases[index], sample.input_shape)
        for finding, column in enumerate(("anterior_mm3", "posterior_mm3")):
            assert truth[finding].sum() == table[column][index]
            assert sample.target[finding].sum().item() == table[column][index]


def test_crops_of_scans_hold_the_haemorrhage(recipe):
    cases, _ = cases_in("ct_ich_3d")
    settings = recipe(
        image={"spatial_dims": 3, "intensity": "minmax"},
        segment={"patch_px": [64, 64, 16], "foreground_share": 1.0},
        augment={"flip_axes": [0]},
        train={"batch_size": 4},
    )
    some = cases[:8]
    steps = train_batches(
        some, settings, task="segment", cache=CaseCache(some, settings, None), n_steps=4
    )
    batches = list(steps)
    assert all(batch.image.shape == (4, 1, 64, 64, 16) for batch in batches)
    found = [
        target.sum() > 0
        for batch in batches
        for target, label in zip(batch.target, batch.label, strict=True)
        if label == 1
    ]
    assert np.mean(found) > 0.9  # a nearest-pixel zoom may step over a target of one voxel
