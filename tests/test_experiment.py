"""One run, one recipe: what later commands may change, and what a failed start leaves."""

from pathlib import Path

import pandas as pd
import pytest

from segclf.core.config import load_recipe
from segclf.core.errors import DataError, IntegrityError, SegclfError, UsageError
from segclf.core.runs import Run
from segclf.experiment import find_experiment, new_experiment, open_experiment
from segclf.phantom import PhantomSettings, write_phantom
from segclf.pipeline import train_seg


@pytest.fixture
def recipe(tmp_path, monkeypatch):
    """The recipe of a small phantom in a folder of its own."""
    monkeypatch.chdir(tmp_path)
    sizes = {"train": 16, "val": 16, "test": 16}
    write_phantom(Path("data"), PhantomSettings.model_validate({"n_cases": sizes}))
    return Path("data/recipe.yaml")


def begun(recipe, *overrides):
    """A run in which a segmenter has been begun."""
    exp = new_experiment(recipe, None, "a", overrides)
    folder = exp.run.stage("segment")
    (folder / "checkpoints" / "step-00000001").mkdir(parents=True)
    (folder / "identity.json").write_text("{}")
    return exp


@pytest.mark.parametrize(
    ("override", "shown"),
    [
        ("train.steps=20", "train.steps: "),
        ("network.encoder=resnet34", "network.encoder: 'resnet18' -> 'resnet34'"),
        ("image.size_px=[64,64]", "image.size_px: "),
        ("augment.probability=0", "augment.probability: "),
    ],
)
def test_a_run_with_a_network_refuses_another_budget_or_network(recipe, override, shown):
    exp = begun(recipe)
    before = exp.run.config.read_bytes()
    with pytest.raises(IntegrityError) as caught:
        new_experiment(recipe, None, "a", (override,))
    assert shown in caught.value.wrong
    assert "for all methods of a run" in caught.value.expected
    assert exp.run.config.read_bytes() == before


def test_before_any_training_the_recipe_may_change(recipe):
    exp = new_experiment(recipe, None, "a", ())
    new_experiment(recipe, None, "a", ("train.steps=20",))
    assert load_recipe(exp.run.config).train.steps == 20


def test_a_training_that_fails_before_its_first_step_locks_nothing(recipe):
    wrong = "network.options={channels: [8, 8], strides: [2], nonsense: 1}"
    tiny = ("network.name=monai_unet", "image.size_px=[16,16]", "train.workers=0")
    exp = new_experiment(recipe, None, "a", (*tiny, wrong))
    with pytest.raises(SegclfError, match="nonsense"):
        train_seg(exp, lambda _event: None)
    assert list(exp.run.path.rglob("identity.json"))  # it had begun
    right = "network.options={channels: [8, 8], strides: [2]}"
    again = new_experiment(recipe, None, "a", (*tiny, right))
    assert "nonsense" not in load_recipe(again.run.config).network.options


def test_settings_without_effect_on_weights_may_change_after_training(recipe):
    begun(recipe)
    exp = new_experiment(recipe, None, "a", ("train.workers=1", "classify.head=softmax"))
    assert load_recipe(exp.run.config).classify.head == "softmax"


def test_a_setting_of_a_later_stage_holds_for_that_call_alone(recipe):
    exp = begun(recipe)
    later = open_experiment(exp.run, ("summarize.objective=sensitivity", "summarize.target=0.9"))
    assert later.recipe.summarize.objective == "sensitivity"
    assert load_recipe(exp.run.config).summarize.objective == "youden"
    assert open_experiment(exp.run).recipe.summarize.objective == "youden"


@pytest.mark.parametrize("name", ["a", "runs/a"])
def test_a_run_is_named_by_its_name_or_its_folder(recipe, name):
    exp = begun(recipe)
    assert new_experiment(None, None, name, ()).run == exp.run
    found = find_experiment(None, name, (), needs="split.parquet", made_by="segclf split")
    assert found.run.path.resolve() == exp.run.path.resolve()


def test_a_run_folder_elsewhere_is_found_by_its_path(recipe, tmp_path, monkeypatch):
    exp = begun(recipe)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    again = new_experiment(None, None, str(tmp_path / exp.run.path), ())
    assert len(again.table.cases) == 48


def test_a_start_that_fails_leaves_no_run_behind(recipe, tmp_path):
    (tmp_path / "bad.csv").write_text("case_id,image\n")
    with pytest.raises(DataError):
        new_experiment(None, tmp_path / "bad.csv", "b", ())
    assert not Run(Path("runs/b")).path.exists()


def test_an_unknown_run_beside_data_is_refused_and_says_what_to_give(recipe, tmp_path):
    (tmp_path / "my.csv").write_text("case_id,image\n")
    (tmp_path / "data").rename(tmp_path / "other")
    with pytest.raises(UsageError, match="--config or --manifest"):
        new_experiment(None, None, "nope", ())


def test_weights_named_in_a_recipe_are_found_from_the_recipe(recipe):
    Path("data/encoder.safetensors").write_bytes(b"")
    exp = new_experiment(recipe, None, "a", ("network.pretrained=encoder.safetensors",))
    assert exp.recipe.network.pretrained == str(Path("data/encoder.safetensors").resolve())
    named = new_experiment(recipe, None, "b", ("network.pretrained=imagenet",))
    assert named.recipe.network.pretrained == "imagenet"


def test_a_split_seed_keeps_the_split_while_the_seed_changes(recipe):
    settings = {"images_per_patient": 1, "n_cases": {"train": 40, "val": 1, "test": 1}}
    write_phantom(Path("data"), PhantomSettings.model_validate(settings))
    table = pd.read_csv("data/manifest.csv").drop(columns="split")
    table.to_csv("data/manifest.csv", index=False)
    first = new_experiment(recipe, None, "a", ("seed=3",))
    same = new_experiment(recipe, None, "b", ("seed=4", "split.seed=3"))
    other = new_experiment(recipe, None, "c", ("seed=4",))
    assert first.split.equals(same.split)
    assert not first.split.equals(other.split)
