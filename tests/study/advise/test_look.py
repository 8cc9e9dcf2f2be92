"""What is read from masks and tables, against counts by hand and statsmodels; and never of test."""

import json

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from statsmodels.stats.proportion import proportion_confint
from typer.main import get_command
from typer.testing import CliRunner

from segclf.cli import app
from segclf.core.errors import UsageError
from segclf.study.advise.flow import advise, open_data
from segclf.study.advise.show import as_html, as_markdown, as_text
from segclf.study.advise.verdict import judge
from segclf.study.advise.words import EXPERIMENT, sections_of

N = 36
"""Cases: one per patient, 24 train, 6 val, 6 test; every third is negative."""


@pytest.fixture
def home(tmp_path):
    """Positive case k has a mask of k + 1 of 100 pixels; every fifth positive has none."""
    rows = []
    for k in range(N):
        Image.fromarray(np.full((10, 10), k, np.uint8)).save(tmp_path / f"i{k}.png")
        mask = ""
        if k % 3 and k % 5:
            plane = np.zeros(100, np.uint8)
            plane[: k + 1] = 255
            mask = f"m{k}.png"
            Image.fromarray(plane.reshape(10, 10)).save(tmp_path / mask)
        split = "train" if k < 24 else "val" if k < 30 else "test"
        rows.append(
            {"case_id": f"c{k}", "image": f"i{k}.png", "mask": mask, "label": int(k % 3 > 0),
             "patient_id": f"p{k}", "split": split, "scanner": "AB"[k % 3 > 0],
             "sex": "FM"[k % 2], "share": (k + 1 if k % 3 else 0) / 100}
        )  # fmt: skip
    pd.DataFrame(rows).to_csv(tmp_path / "manifest.csv", index=False)
    return tmp_path


def plan(home, *more):
    opened = open_data(home / "manifest.csv", None, None, ["findings=[lesion]", *more])
    return advise(opened)


def test_counts_and_areas_are_those_of_the_files(home):
    found = plan(home)
    own = found["findings"]["lesion"]
    positives = [k for k in range(30) if k % 3]
    drawn = [k for k in positives if k % 5]
    assert (found["n_cases"], found["n_patients"]) == (30, 30)
    assert (own["n_positive"], own["n_negative"]) == (20, 10)
    assert own["masks"] == {"drawn": 16, "empty": 10, "unknown": 4, "pseudo": 0}
    assert own["positives_without_mask"] == len(positives) - len(drawn) == 4
    assert own["area_percent"]["n"] == 16
    assert own["area_percent"]["median"] == pytest.approx(np.median([k + 1 for k in drawn]))
    assert own["area_percent"]["q95"] == pytest.approx(np.quantile([k + 1 for k in drawn], 0.95))
    lo, hi = proportion_confint(20, 30, method="wilson")
    assert own["prevalence"]["lo"] == pytest.approx(lo)
    assert own["prevalence_patients"]["hi"] == pytest.approx(hi)
    sex = {row["group"]: row for row in found["groups"] if row["column"] == "sex"}
    assert sex["F"]["n_cases"] == 15
    assert sex["F"]["findings"]["lesion"]["n_positive"] == sum(k % 2 == 0 for k in positives)


def test_what_is_made_from_the_answer_is_listed_apart_and_not_tested(home):
    # the scanner parts the labels without a fault, so that it looks made from them: said aloud
    found = plan(home)
    assert {row["column"] for row in found["derived"]} == {"share", "scanner"}
    assert "would be a perfect shortcut" in as_text(sections_of(found))
    found = plan(home, "roles.scanner=acquisition")
    assert {row["column"] for row in found["derived"]} == {"share"}
    tested = {row["column"]: row for row in found["associations"]}
    assert set(tested) == {"scanner", "sex"}
    assert tested["scanner"]["role"] == "acquisition"
    assert tested["scanner"]["effect"] == pytest.approx(1.0)
    assert tested["scanner"]["p_adjusted"] == pytest.approx(2 * tested["scanner"]["p"])
    reasons = found["verdict"]["lesion"]["because"]
    assert any("scanner goes along with the label" in reason for reason in reasons)


def test_the_theory_gives_the_area_share_and_the_background_of_positives(home):
    found = plan(home)
    row, own = found["theory"]["lesion"], found["findings"]["lesion"]
    alpha = own["area_percent"]["median"] / 100
    assert row["at_most"] == pytest.approx(alpha)
    share = 20 / 30  # of positives; the share of background pixels that lie in them, by hand:
    assert row["background_of_positives"] == pytest.approx(
        20 * (1 - alpha) / (20 * (1 - alpha) + 10)
    )
    assert own["prevalence"]["value"] == pytest.approx(share)


def test_nan_images_masks_and_labels_of_test_change_no_byte(home):
    clean = json.dumps(plan(home))
    table = pd.read_csv(home / "manifest.csv", dtype=str, keep_default_na=False)
    for row in table.index[table["split"] == "test"]:
        for column in ("image", "mask"):
            if table.loc[row, column]:
                (home / table.loc[row, column]).unlink()
                np.save(home / "nan.npy", np.full((10, 10), np.nan))
                (home / "nan.npy").rename(home / table.loc[row, column])
    table.loc[table["split"] == "test", ["scanner", "sex", "share"]] = ["X", "Y", "9"]
    table.to_csv(home / "manifest.csv", index=False)
    assert json.dumps(plan(home)) == clean


def test_test_cases_are_not_read_where_the_split_of_the_manifest_cannot_train(home):
    table = pd.read_csv(home / "manifest.csv", dtype=str, keep_default_na=False)
    table.loc[table["split"] == "test", "label"] = "1"  # no negative: `make_split` refuses
    table.to_csv(home / "manifest.csv", index=False)
    (home / "m34.png").write_bytes(b"of test")
    found = plan(home)
    assert (found["n_cases"], found["looked_at"]["n_test"]) == (30, 6)
    assert not found["broken_masks"]
    assert "no training could use this split" in found["looked_at"]["note"]


def test_a_broken_mask_is_set_aside_and_the_exit_code_says_so(home):
    (home / "m1.png").write_bytes(b"no picture")
    arguments = ["advise", "--manifest", str(home / "manifest.csv"), "--json"]
    result = CliRunner().invoke(app, [*arguments, "--out", str(home / "a.html")])
    assert result.exit_code == 4
    found = json.loads(result.stdout.splitlines()[-1])
    assert [row["case_id"] for row in found["broken_masks"]] == ["c1"]
    assert found["findings"]["target"]["area_percent"]["n"] == 15
    page = (home / "a.html").read_text()
    assert "<h1>" in page
    assert "src=" not in page
    assert not (home / "runs").exists()


def test_what_is_resampled_is_called_by_its_name(home):
    text = as_text(sections_of(plan(home) | {"unit_name": "eye"}))
    assert " eyes were looked at" in text
    assert "with the eye as the unit" in text
    assert "eyes with a positive / a negative" in text


def test_pages_and_the_console_say_the_same_and_hide_nothing_dangerous(home):
    table = pd.read_csv(home / "manifest.csv", dtype=str, keep_default_na=False)
    table["site"] = ["<script>|", "B"] * (N // 2)
    table.to_csv(home / "manifest.csv", index=False)
    sections = sections_of(plan(home))
    text, page, md = as_text(sections), as_html(sections, "user"), as_markdown(sections, "user")
    assert "lesion: it is open whether segmentation pays" in text
    assert "<script>" not in page
    assert "<script>\\|" in md
    assert "data: phantom (synthetic)" in as_html(sections, "phantom")
    for section in sections:
        assert section.title in text
        assert f"## {section.title}" in md
        for row in section.rows:
            assert len(row) == len(section.head)


def test_a_manifest_with_masks_and_no_label_is_asked_for_labels(home):
    table = pd.read_csv(home / "manifest.csv", dtype=str, keep_default_na=False)
    table.drop(columns="label").to_csv(home / "manifest.csv", index=False)
    table["label"] = ""
    table.to_csv(home / "manifest.csv", index=False)
    found = plan(home)
    own = found["verdict"]["lesion"]
    assert (own["answer"], own["lacks"]) == ("unknown", "labels")
    assert "no label is known" in own["against"]
    text = as_text(sections_of(found))
    assert "Fill in the labels" in text
    assert "Draw a few masks" not in text
    reasons = {row["column"]: row["reason"] for row in found["associations"]}
    assert reasons["sex"] == "no case has both a value and a label"


def test_a_column_that_is_blank_in_every_negative_is_derived(home):
    table = pd.read_csv(home / "manifest.csv", dtype=str, keep_default_na=False)
    draw = np.random.default_rng(0).permutation(N).astype(str)
    table["target_size"] = [draw[k] if k % 3 else "" for k in range(N)]
    table["told"] = [draw[k] if k % 3 and k % 5 else "" for k in range(N)]
    table["site"] = ["" if k % 3 and k % 2 else "AB"[k % 2] for k in range(N)]
    table.to_csv(home / "manifest.csv", index=False)
    because = {row["column"]: row["because"] for row in plan(home)["derived"]}
    assert because["target_size"] == "it is blank wherever the label of lesion is 0"
    assert "told" in because
    assert "site" not in because


def test_the_option_of_columns_to_balance_has_a_help_of_its_own():
    (own,) = (p for p in get_command(app).commands["advise"].params if "--by" in p.opts)
    assert "quantiles" not in own.help
    assert "balances" in own.help


def test_nothing_to_look_at_is_a_usage_error():
    with pytest.raises(UsageError, match="there is nothing to look at"):
        open_data(None, None, None, ())


def finding(median, n_positive=500, prevalence=0.5):
    area = {"n": 9, "median": median} if median else {"n": 0, "reason": "no drawn mask"}
    share = {"value": prevalence}
    counts = {"n_positive": n_positive, "n_negative": 500, "n_positive_patients": n_positive}
    return {"area_percent": area, "prevalence": share} | counts


@pytest.mark.parametrize(
    ("row", "answer"),
    [
        (finding(0.5), "likely"),
        (finding(3), "open"),
        (finding(3, n_positive=50), "likely"),
        (finding(12), "unlikely"),
        (finding(12, prevalence=0.05), "open"),
        (finding(None), "unknown"),
        (finding(0.5, n_positive=0), "unknown"),
    ],
)
def test_the_answer_follows_the_stated_rules(row, answer):
    assert judge("lesion", row, [], [], None)["answer"] == answer


def test_few_positives_are_few_patients_however_many_cases_they_have():
    many_slices = finding(0.5, n_positive=318) | {"n_positive_patients": 36}
    assert judge("lesion", many_slices, [], [], None)["because"][1] == (
        "there are few positives: 36 positive patients (< 200), with 318 positive cases"
    )
    alone = judge("lesion", finding(0.5, n_positive=36), [], [], None, unit="eye")["because"][1]
    assert alone == "there are few positives: 36 positive eyes (< 200)"
    assert len(judge("lesion", finding(0.5, n_positive=200), [], [], None)["because"]) == 1


def test_reasons_and_tests_name_the_unit_of_the_recipe(home):
    found = plan(home, "unit_name=near-duplicate group", "roles.sex=patient")
    reasons = " ".join(found["verdict"]["lesion"]["because"])
    assert "20 positive near-duplicate groups (< 200)" in reasons
    assert "fewer than 20 positive near-duplicate groups (fewest: sex" in reasons
    tests = {row["column"]: row for row in found["associations"]}
    assert tests["sex"]["test"] == "Fisher's exact, one row per near-duplicate group"
    assert "positive patient" not in as_text(sections_of(found))
    table = pd.read_csv(home / "manifest.csv").drop(columns="patient_id")
    table.to_csv(home / "manifest.csv", index=False)
    found = plan(home, "unit_name=near-duplicate group")
    assert "20 positive cases (< 200)" in " ".join(found["verdict"]["lesion"]["because"])


def test_masks_of_every_class_speak_against_it_and_no_lesion_is_claimed_where_none_is():
    """Breast ultrasound has class-valued masks, and normal images without any lesion."""
    row = judge("malignant", finding(3, n_positive=50), [], [], None, class_valued=True)
    assert row["answer"] == "open"
    assert "masks outline lesions of every class" in row["against"][-1]
    assert "every image" not in row["against"][-1]


def test_what_is_open_asks_for_no_mask_that_is_there_already():
    assert "masks that are drawn" in EXPERIMENT["open"]


@pytest.mark.parametrize(
    ("lo", "hi", "answer"), [(0.01, 0.1, "likely"), (-0.1, -0.01, "unlikely"), (-0.1, 0.1, "open")]
)
def test_what_was_measured_outweighs_the_theory(lo, hi, answer):
    measured = {"difference": {"than": "sigmoid", "value": (lo + hi) / 2, "lo": lo, "hi": hi}}
    assert judge("lesion", finding(0.5), [], [], measured)["answer"] == answer


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--target-auroc", "0.9"], "--target-auroc would have no effect"),
        (["--by", "sex"], "--by would have no effect"),
        (["--fold", "0"], "--fold would have no effect"),
        (["--next", "5", "--measure", "10"], "--next would have no effect"),
        (["--out", "advice.pdf"], "'advice.pdf' is not a kind of page"),
    ],
)
def test_options_that_do_not_go_together_are_refused(options, message):
    result = CliRunner().invoke(app, ["advise", *options])
    assert isinstance(result.exception, UsageError)
    assert message in str(result.exception)
