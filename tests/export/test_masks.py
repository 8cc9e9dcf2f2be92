"""Hard masks as files: at the t that decides, on the grid of the image, whole or not there."""

import json

import numpy as np
import pandas as pd
import pytest
import SimpleITK as sitk
from PIL import Image

from segclf.core.errors import IntegrityError, UsageError
from segclf.core.scoretable import read_scores
from segclf.export import Asked, export
from segclf.io import read_mask
from segclf.predict import predict_maps


def silent(event):
    """A sink."""


def test_cases(exp):
    ids = set(exp.split.query("split == 'test'")["case_id"])
    return [case for case in exp.table.cases if case.case_id in ids]


test_cases.__test__ = False


@pytest.mark.parametrize(
    ("kind", "suffix"), [("nifti", ".nii.gz"), ("nrrd", ".nrrd"), ("mha", ".mha")]
)
def test_masks_are_the_pixels_above_t_where_itk_has_the_series(kind, suffix, volumes, tmp_path):
    exp, t = volumes
    result = export(exp, Asked("tau"), kind=kind, out=tmp_path / "out", on_event=silent)
    assert (result.n_cases, result.n_made, result.n_quarantined) == (4, 4, 0)
    table = pd.read_csv(tmp_path / "out/index.csv").set_index(["case_id", "finding"])
    scores = read_scores(exp.run.stage("summarize", "tau")).set_index(["case_id", "finding"])
    cases = test_cases(exp)
    for case_id, probability in predict_maps(cases, exp.run.stage("segment"), exp.recipe):
        image = next(case.images[0] for case in cases if case.case_id == case_id)
        reader = sitk.ImageSeriesReader()
        reader.SetFileNames(reader.GetGDCMSeriesFileNames(str(image)))
        source = reader.Execute()
        for finding, plane in zip(("lesion", "bleeding"), probability, strict=True):
            row = table.loc[(case_id, finding)]
            path = tmp_path / "out" / row["file"]
            assert path.name == finding + suffix
            made = sitk.ReadImage(str(path))
            assert made.GetSize() == source.GetSize()
            np.testing.assert_allclose(made.GetSpacing(), source.GetSpacing(), atol=1e-5)
            np.testing.assert_allclose(made.GetOrigin(), source.GetOrigin(), atol=1e-4)
            np.testing.assert_allclose(made.GetDirection(), source.GetDirection(), atol=1e-5)
            np.testing.assert_array_equal(read_mask(path).array, plane > t)
            assert row["n_px"] == (plane > t).sum() == sitk.GetArrayFromImage(made).sum()
            expected = scores.loc[(case_id, finding)]
            assert row["amount"] == pytest.approx(expected["decision_value"], rel=1e-12)
            assert (row["unit"], row["threshold_unit"], row["t"]) == ("mL", "mL", pytest.approx(t))
            for name in ("score", "decision", "threshold"):
                assert row[name] == pytest.approx(expected[name], rel=1e-12)


def test_png_masks_are_black_and_white(pictures, tmp_path):
    exp, t = pictures
    export(exp, Asked("tau"), kind="png", out=tmp_path / "out", on_event=silent)
    for case_id, maps in predict_maps(test_cases(exp), exp.run.stage("segment"), exp.recipe):
        made = np.asarray(Image.open(tmp_path / f"out/{case_id}/lesion.png"))
        np.testing.assert_array_equal(made, np.where(maps[0] > t, 255, 0))


def test_a_rule_without_t_takes_the_one_that_is_asked_for(volumes, tmp_path):
    exp, t = volumes
    export(exp, Asked("mean", t=t), kind="nifti", out=tmp_path / "a", on_event=silent)
    export(exp, Asked("tau"), kind="nifti", out=tmp_path / "b", on_event=silent)
    export(exp, Asked("mean"), kind="nifti", out=tmp_path / "c", on_event=silent)
    n_px = [pd.read_csv(tmp_path / f"{name}/index.csv")["n_px"].tolist() for name in "abc"]
    assert n_px[0] == n_px[1] != n_px[2]
    with pytest.raises(UsageError, match=r"decided by the area above t = .*, not 0\.5"):
        export(exp, Asked("tau", t=0.5), kind="nifti", out=tmp_path / "d", on_event=silent)


def test_a_case_may_be_named_also_one_of_validation(volumes, tmp_path):
    exp, _ = volumes
    out = tmp_path / "out"
    asked = Asked("tau", cases=("case 5", "case 9"))
    assert export(exp, asked, kind="nifti", out=out, on_event=silent).n_made == 2
    assert [*pd.read_csv(out / "index.csv")["case_id"].unique()] == ["case 5", "case 9"]
    with pytest.raises(UsageError, match="has no case 'case 0'"):  # it trained
        export(exp, Asked("tau", cases=("case 0",)), kind="nifti", out=out, on_event=silent)


def test_finished_cases_stay_and_broken_ones_are_made_again(volumes, tmp_path):
    exp, _ = volumes
    out = tmp_path / "out"

    def run():
        return export(exp, Asked("tau"), kind="nifti", out=out, on_event=silent).n_made

    assert run() == 4
    index = (out / "index.csv").read_bytes()
    times = {path: path.stat().st_mtime_ns for path in out.glob("*/*")}
    assert run() == 0
    assert {path: path.stat().st_mtime_ns for path in out.glob("*/*")} == times
    broken, gone, killed, _ = sorted(path.parent for path in out.glob("*/case.json"))
    whole = (broken / "lesion.nii.gz").read_bytes()
    (broken / "lesion.nii.gz").write_bytes(whole[:50])
    (gone / "bleeding.nii.gz").unlink()
    (killed / "case.json").unlink()
    (killed / ".lesion.nii.gz.1234.part").write_bytes(b"half")
    assert run() == 3
    assert (broken / "lesion.nii.gz").read_bytes() == whole
    assert (out / "index.csv").read_bytes() == index
    assert {path.name for path in killed.iterdir()} == {
        "lesion.nii.gz", "bleeding.nii.gz", "case.json",
    }  # fmt: skip


def test_a_folder_of_something_else_is_refused(volumes, copied, tmp_path):
    exp, _ = volumes
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/thesis.txt").write_text("not yours")
    with pytest.raises(UsageError, match="the folder holds other files"):
        export(exp, Asked("tau"), kind="nifti", out=tmp_path / "mine", on_event=silent)
    assert [path.name for path in (tmp_path / "mine").iterdir()] == ["thesis.txt"]
    out = tmp_path / "out"
    one = ("case 9",)
    export(exp, Asked("tau", cases=one), kind="nifti", out=out, on_event=silent)
    with pytest.raises(IntegrityError, match="format is nifti there, nrrd now"):
        export(exp, Asked("tau", cases=one), kind="nrrd", out=out, on_event=silent)
    with pytest.raises(IntegrityError, match="method is tau there, mean now"):
        export(exp, Asked("mean", cases=one), kind="nifti", out=out, on_event=silent)
    (out / "export.json").write_text("{")
    with pytest.raises(IntegrityError, match=r"export\.json cannot be read"):
        export(exp, Asked("tau", cases=one), kind="nifti", out=out, on_event=silent)


def test_an_image_that_was_changed_since_it_was_scored_is_set_aside(pictures, copied, tmp_path):
    exp = copied(pictures[0])
    cases = test_cases(exp)
    other, target = cases[0].images[0], cases[1].images[0]
    data = bytearray(target.read_bytes())
    data[-400:] = bytes(400)
    target.write_bytes(bytes(data))
    result = export(exp, Asked("tau"), kind="png", out=tmp_path / "out", on_event=silent)
    assert (result.n_cases, result.n_quarantined) == (3, 1)
    (line,) = (tmp_path / "out/quarantine.jsonl").read_text().splitlines()
    record = json.loads(line)
    assert (record["case_id"], record["reason"]) == (cases[1].case_id, "mask_differs")
    assert "pixels now" in record["message"]
    other.unlink()
    result = export(exp, Asked("tau"), kind="png", out=tmp_path / "out", on_event=silent)
    records = [json.loads(x) for x in (tmp_path / "out/quarantine.jsonl").read_text().splitlines()]
    assert [record["reason"] for record in records] == ["missing_file", "mask_differs"]
