"""Trainings at nested subsets: resumed, never on test, one failure costs no other."""

import json
import shutil
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score
from typer.testing import CliRunner

from segclf.cli import app
from segclf.core.errors import StoppedError, UsageError
from segclf.core.records import MaskState
from segclf.core.statstable import read_statistics
from segclf.experiment import new_experiment
from segclf.phantom import PhantomSettings, write_phantom
from segclf.study.advise.flow import open_data
from segclf.study.advise.look_at import doubt_of
from segclf.study.advise.measure import Size, measure, parse_sizes, subset_experiment, train_cell
from segclf.study.advise.next_cases import next_cases
from segclf.study.advise.pages import write_page
from segclf.study.advise.spend import (
    Wish,
    _buy_section,
    check_wish,
    measure_and_plan,
    sizes_of,
)

SETTINGS = (
    "train.steps=2", "train.batch_size=4", "train.validate_every=2", "train.warmup_steps=1",
    "network.options={encoder_depth: 3, decoder_channels: [16, 8, 8]}", "name=few",
)  # fmt: skip
SIZES = [Size(0.2), Size(0.5), Size(1.0)]


@pytest.fixture(scope="module")
def exp(tmp_path_factory):
    """A tiny phantom whose test files are gone: whoever opened one would fail."""
    home = tmp_path_factory.mktemp("measure")
    patch = pytest.MonkeyPatch()
    patch.chdir(home)
    patch.setattr("os.fsync", lambda _descriptor: None)
    sizes = {"train": 30, "val": 16, "test": 12}
    settings = {"n_cases": sizes, "size_px": (32, 32), "area_fraction": 0.02}
    write_phantom(home / "data", PhantomSettings.model_validate(settings))
    table = pd.read_csv(home / "data/manifest.csv")
    for name in table.loc[table["split"] == "test", ["image", "mask"]].stack().dropna():
        np.savez(home / "nan.npz", image=np.full((32, 32), np.nan))
        (home / "nan.npz").replace(home / "data" / name)
    yield new_experiment(home / "data/recipe.yaml", None, None, SETTINGS)
    patch.undo()


def fake(exp, size, number, folder, fold, on_event):
    """A training whose AUROC follows the number of its masks."""
    few = subset_experiment(exp, size, number, folder, fold)
    n = sum(case.masks[0].state is MaskState.DRAWN for case in few.table.cases)
    folder.mkdir(parents=True)
    value = 1 - 0.4 * (n / 5) ** -0.7 + 0.01 * number
    return {"n_masks": n, "n_labels": 30, "auroc": {"lesion": {
        "value": value, "variance": 1e-4, "variance_of_cases": 1e-4, "n_positive": 8,
        "n_negative": 8}}}  # fmt: skip


def test_a_second_call_trains_nothing_and_another_recipe_trains_anew(exp):
    calls = []

    def train(*arguments):
        calls.append(arguments[3])
        return fake(*arguments)

    frame, code = measure(exp, SIZES, 3, train=train)
    assert (len(calls), code, len(frame)) == (9, 0, 9)
    assert len(set(calls)) == 9
    again, _ = measure(exp, SIZES, 3, train=train)
    assert len(calls) == 9
    pd.testing.assert_frame_equal(frame, again)
    other = exp.recipe.model_copy(update={"train": exp.recipe.train.model_copy(update={"lr": 0.5})})
    measure(replace(exp, recipe=other), SIZES[:1], 3, train=train)
    assert len(calls) == 12
    shutil.rmtree(exp.run.stage("advise"))


def test_cases_that_change_places_are_trained_anew(exp):
    measure(exp, SIZES, 3, train=fake)
    split = exp.split.copy()
    first, second = (split.index[split["split"] == part][0] for part in ("train", "test"))
    split.loc[[first, second], "split"] = ["test", "train"]  # as many of each as before
    told = []

    def train(*args):
        told.append(args)
        return fake(*args)

    measure(replace(exp, split=split), SIZES, 3, train=train)
    assert len(told) == 3 * len(SIZES)
    shutil.rmtree(exp.run.stage("advise"))


def test_a_failed_training_costs_no_other_and_is_tried_again(exp):
    def train(*arguments):
        if arguments[1] == SIZES[1] and arguments[2] == 1:
            raise StoppedError("the loss is NaN.", where="x", expected="y", fix="z")
        return fake(*arguments)

    frame, code = measure(exp, SIZES, 3, train=train)
    assert code == 6
    assert frame["auroc"].isna().sum() == 1
    assert frame.loc[frame["auroc"].isna(), "reason"].tolist() == ["the loss is NaN"]
    shutil.rmtree(exp.run.stage("advise", "measure"), ignore_errors=False)
    frame, code = measure(exp, SIZES, 3, train=fake)
    assert (code, frame["auroc"].isna().sum()) == (0, 0)


def test_a_curve_of_collapsed_trainings_says_so_first(exp):
    shutil.rmtree(exp.run.stage("advise"), ignore_errors=True)

    def train(*arguments):
        return fake(*arguments) | {"collapsed": arguments[2] == 1}

    frame, code = measure(exp, SIZES, 3, train=train)
    assert (code, frame["auroc"].isna().sum()) == (0, 0)
    _, sections, *_ = measure_and_plan(exp, SIZES, 3, Wish())
    assert sections[0].text[0].startswith("3 of 9 trainings collapsed: no mask of theirs fits")
    states = [row[-1] for row in sections[0].rows]
    assert states.count("done: its masks say nothing (collapsed)") == 3
    shutil.rmtree(exp.run.stage("advise"))


def test_an_interruption_keeps_what_has_finished(exp):
    shutil.rmtree(exp.run.stage("advise"), ignore_errors=True)
    calls = []

    def train(*arguments):
        calls.append(arguments[2])
        if len(calls) == 4:
            raise KeyboardInterrupt
        return fake(*arguments)

    with pytest.raises(KeyboardInterrupt):
        measure(exp, SIZES, 3, train=train)
    measure(exp, SIZES, 3, train=train)
    assert len(calls) == 4 + 6


def test_the_answer_is_written_and_says_what_the_mix_costs(exp, monkeypatch):
    monkeypatch.setattr("segclf.study.advise.measure.train_cell", fake)
    shutil.rmtree(exp.run.stage("advise"), ignore_errors=True)
    wish = Wish(target=0.8, minutes_per_mask=3, minutes_per_label=0.5)
    result, sections, figures, code = measure_and_plan(exp, SIZES, 3, wish)
    folder = exp.run.stage("advise", "measure")
    assert code == 0
    assert json.loads((folder / "curves.json").read_text()) == json.loads(json.dumps(result))
    assert figures == [folder / "curve_lesion.svg"]
    assert figures[0].read_text().count("<svg") == 1
    assert result["data"] == "phantom"
    assert set(pd.read_csv(folder / "measured.csv")["data"]) == {"phantom"}
    for name in ("page.html", "page.md"):
        write_page(exp.run.path / name, sections, result["data"], figures)
    page, md = ((exp.run.path / name).read_text() for name in ("page.html", "page.md"))
    assert '<header><h1>Planning the drawing of masks</h1><p class="soft">data: phantom' in page
    assert page.count("<svg") == 1
    assert "data: phantom" in md
    assert "![Learning curve](<advise/measure/curve_lesion.svg>)" in md
    row = result["findings"]["lesion"]
    assert row["stock"]["labels"] == 30
    assert row["mix"]["minutes"] >= 0
    text = " ".join(sentence for section in sections for sentence in section.text)
    assert "AUROC 0.8 at least cost, from what there is" in text
    # 17 of 30 labels are positive and drawn: 15 more masks need 27 labels, 45 + 13.5 min
    assert "One more hour of drawing gives 15 masks" in text
    assert "27 further labels have to be read first, which takes 14 min" in text
    assert "labels cannot be traded for masks here" in text


def test_a_real_training_reads_no_test_file_and_its_auroc_is_that_of_scikit_learn(exp, tmp_path):
    found = train_cell(exp, SIZES[1], 0, tmp_path, None, lambda _event: None, keep_model=True)
    few = subset_experiment(exp, SIZES[1], 0, tmp_path, None)
    frame = read_statistics(tmp_path / "predict/val").frame
    label = {case.case_id: case.labels[0] for case in exp.table.cases}
    truth = [label[case_id] for case_id in frame["case_id"]]
    assert len(frame) == 16
    assert found["auroc"]["lesion"]["value"] == pytest.approx(roc_auc_score(truth, frame["mean_p"]))
    assert few.recipe.seed == exp.recipe.seed
    before = (tmp_path / "segment/model.json").read_bytes()
    assert train_cell(exp, SIZES[1], 0, tmp_path, None, lambda _event: None) == found
    assert (tmp_path / "segment/model.json").read_bytes() == before
    assert not (tmp_path / "segment/model.safetensors").exists()


def with_recipe(exp, **sections):
    """The run with other settings in these sections of its recipe."""
    changed = {
        name: getattr(exp.recipe, name).model_copy(update=settings)
        for name, settings in sections.items()
    }
    return replace(exp, recipe=exp.recipe.model_copy(update=changed))


def test_cells_train_as_the_recipe_says_and_are_trained_anew_when_it_changes(exp, tmp_path):
    shutil.rmtree(exp.run.stage("advise"), ignore_errors=True)
    sums, calls = set(), []
    for method in (None, "mean_teacher"):
        own = with_recipe(exp, semi={"method": method, "weight": 9.0, "ramp": 0.0})
        folder = tmp_path / str(method)
        train_cell(own, SIZES[0], 0, folder, None, lambda _event: None, keep_model=True)
        identity = json.loads((folder / "segment/identity.json").read_text())
        assert identity.get("semi.method") == method
        sums.add(json.loads((folder / "segment/model.json").read_text())["sha256"])
        measure(own, SIZES[:1], 3, train=lambda *a: calls.append(a[3]) or fake(*a))
    assert len(sums) == 2  # the unlabelled cases taught something
    assert len(set(calls)) == 6
    heavier = with_recipe(exp, semi={"method": "mean_teacher", "weight": 1.0})
    measure(heavier, SIZES[:1], 3, train=lambda *a: calls.append(a[3]) or fake(*a))
    assert len(set(calls)) == 9
    shutil.rmtree(exp.run.stage("advise"))


@pytest.mark.parametrize(
    ("sections", "message"),
    [
        ({"semi": {"method": "pseudo"}}, "'pseudo' makes pseudo-masks in rounds"),
        ({"semi": {"method": "two_step"}}, "'two_step' makes pseudo-masks in rounds"),
        ({"semi": {"method": "cps", "rounds": 2}}, "'cps' has no rounds"),
        ({"segment": {"refine_from": "coarse"}}, "with a network that has seen all of them"),
    ],
)
def test_trainings_that_would_see_masks_outside_their_subset_are_refused(exp, sections, message):
    with pytest.raises(UsageError, match=message):
        measure(with_recipe(exp, **sections), SIZES, 3, train=fake)


def test_too_few_subsets_are_refused_before_a_run_is_begun(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    result = CliRunner().invoke(app, ["advise", "--measure", "10,20", "--subsets", "2"])
    assert isinstance(result.exception, UsageError)
    assert "2 subsets of a size do not show" in str(result.exception)
    assert result.stderr == ""
    assert not list(tmp_path.iterdir())


def test_a_trained_run_adds_doubt_and_diversity_and_still_reads_no_other_part(exp):
    from segclf.segment import train_segmenter

    recipe = exp.recipe
    train_segmenter(exp.table, exp.split, recipe, exp.run.stage("segment"))
    data = exp.table.root
    text = (data / "manifest.csv").read_text()
    table = pd.read_csv(data / "manifest.csv", dtype=str, keep_default_na=False)
    gone = (table["split"] == "train") & (table["label"] == "1") & (table.index % 3 > 0)
    table.loc[gone, "mask"] = ""
    others = table["split"] == "val"
    for name in table.loc[others, "image"]:
        (data / name).rename(data / f"{name}.kept")
        np.savez(data / "nan.npz", image=np.full((32, 32), np.nan))
        (data / "nan.npz").replace(data / name)
    try:
        table.to_csv(data / "manifest.csv", index=False)
        found = next_cases(open_data(None, None, "few", ()), 100)
    finally:
        (data / "manifest.csv").write_text(text)
        for name in table.loc[others, "image"]:
            (data / f"{name}.kept").replace(data / name)
    assert found.has_model
    assert not found.quarantined
    assert {row["case_id"] for row in found.rows} == set(table.loc[gone, "case_id"])
    assert all(0 < row["doubt"] <= 1 and 0 <= row["diversity"] <= 1 for row in found.rows)
    products = [r["doubt"] * r["diversity"] * r["group"] * r["chance"] for r in found.rows]
    assert [r["score"] for r in found.rows] == pytest.approx(products, abs=1e-5)


def test_the_doubt_by_hand():
    maps = np.array([[1.0, 1.0, 0.0, 0.0], [0.5, 0.5, 0.0, 0.0], [0.9, 0.1, 0.0, 0.0], [0.0] * 4])
    assert doubt_of(maps) == pytest.approx([0.0, 0.5, 0.18, 1.0])


@pytest.mark.parametrize(
    ("text", "shares"),
    [("40,10,20%", [0.1, 0.2, 0.4]), ("25masks, 50masks", [0.25, 0.5]), ("100,100", [1.0])],
)
def test_sizes_are_per_cent_or_numbers_of_masks(text, shares):
    assert parse_sizes(text, 100) == pytest.approx(shares)


@pytest.mark.parametrize("text", ["0", "101", "few", "101masks", "10,,20"])
def test_what_is_no_size_is_refused(text):
    with pytest.raises(UsageError, match="is not a size"):
        parse_sizes(text, 100)


def test_fewer_labels_are_measured_at_the_largest_number_of_masks(exp):
    found = sizes_of(exp, "20,50", "40,100", None)
    assert found == [Size(0.2), Size(0.5), Size(0.5, 0.4)]


def bought(**changes):
    """The section of what drawing buys, as one text."""
    mix = {"masks": 104, "labels": 451, "more_masks": 1, "more_labels": 0, "minutes": 3.0,
           "masks_lo": 66.0, "masks_hi": None, "reached_by": 0.53}  # fmt: skip
    hour = {"now": {"auroc": 0.470}, "then": {"auroc": 0.484}, "more_masks": 13, "more_labels": 6,
            "label_minutes": 6.0, "gain": {"value": 0.01, "lo": 0.0, "hi": 0.02}}  # fmt: skip
    row = {"hour": hour, "target": 0.9, "mix": mix, "mix_anew": mix, "curve": {"has_labels": True}}
    return "\n".join(_buy_section("lesion", row | changes).text)


def test_what_drawing_buys_is_said_in_words_that_add_up():
    text = bought()
    assert "gives 13 masks: median AUROC of the curves 0.470 now and 0.484 then" in text
    assert "median of their gains 0.010 (0.000 to 0.020)" in text
    assert "6 further labels have to be read first, which takes 6 min of that hour" in text
    assert "104 masks (95 %: 66 or more) and 451 labels, of which 1 mask and 0 labels" in text
    never = {"minutes": None, "reason": "it is not reached"}
    assert bought(mix=never, mix_anew=never).count("it is not reached") == 1


def test_with_several_findings_it_says_what_is_counted(exp, monkeypatch):
    def of_two(*arguments):
        found = fake(*arguments)
        return found | {"auroc": found["auroc"] | {"other": found["auroc"]["lesion"]}}

    monkeypatch.setattr("segclf.study.advise.measure.train_cell", of_two)
    shutil.rmtree(exp.run.stage("advise"), ignore_errors=True)
    two = replace(exp, table=replace(exp.table, findings=("lesion", "other")))
    _, sections, *_ = measure_and_plan(two, SIZES, 3, Wish())
    for section in sections:
        assert "counted over all findings together" in " ".join(section.text)
    shutil.rmtree(exp.run.stage("advise"))


@pytest.mark.parametrize(
    ("wish", "message"),
    [
        (Wish(target=1.0, minutes_per_mask=3), "an AUROC of 1 is no target"),
        (Wish(target=0.9), "no cheapest mix without the price of a mask"),
        (Wish(minutes_per_mask=-1), "-1 minutes cannot be spent"),
    ],
)
def test_wishes_that_mean_nothing_are_refused(wish, message):
    with pytest.raises(UsageError, match=message):
        check_wish(wish)


def test_two_subsets_of_a_size_are_refused(exp):
    with pytest.raises(UsageError, match="do not show how much trainings differ"):
        measure(exp, SIZES, 2)
