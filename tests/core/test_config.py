import inspect
from pathlib import Path

import pydantic
import pytest

from segclf.core.config import Recipe, assign, load_recipe, make_recipe, recipe_yaml
from segclf.core.errors import ConfigError
from segclf.core.sameness import SHARED_SETTINGS, flat_settings
from segclf.core.strict_yaml import parse_yaml


@pytest.fixture
def recipe_file(tmp_path):
    def write(text):
        path = tmp_path / "recipe.yaml"
        path.write_text(text, encoding="utf-8")
        return path

    return write


def test_a_number_written_as_1e_minus_3_is_a_number(recipe_file):
    assert load_recipe(recipe_file("train:\n  lr: 1e-3\n")).train.lr == 0.001


@pytest.mark.parametrize("text", ["no", "off", "0", "'false'"])
def test_a_switch_takes_true_and_false_only(recipe_file, text):
    with pytest.raises(ConfigError) as caught:
        load_recipe(recipe_file(f"exclusive: {text}\n"))
    assert caught.value.wrong.startswith("exclusive = ")
    assert caught.value.expected == "true or false"


def test_a_country_code_stays_a_text(recipe_file):
    assert load_recipe(recipe_file("mask_class_empty: [no, on]\n")).mask_class_empty == ("no", "on")


def test_a_repeated_key_is_an_error_with_file_and_line(recipe_file):
    path = recipe_file("seed: 1\nseed: 2\n")
    with pytest.raises(ConfigError) as caught:
        load_recipe(path)
    assert "the key 'seed' appears twice" in caught.value.wrong
    assert caught.value.where == f"{path}, line 2"


def test_an_alias_is_an_error(recipe_file):
    with pytest.raises(ConfigError, match="aliases"):
        load_recipe(recipe_file("train: &t {lr: 1}\nimage: *t\n"))


def test_an_unknown_key_is_an_error_with_the_nearest_name(recipe_file):
    with pytest.raises(ConfigError) as caught:
        load_recipe(recipe_file("train:\n  batchsize: 4\n"))
    assert caught.value.wrong == "unknown setting 'train.batchsize'."
    assert "batch_size" in caught.value.expected
    assert caught.value.fix == "did you mean 'batch_size'?"


def test_an_unknown_key_at_the_top_is_an_error_with_the_nearest_name():
    with pytest.raises(ConfigError) as caught:
        make_recipe({"manifst": "a.csv"}, where="recipe.yaml")
    assert caught.value.fix == "did you mean 'manifest'?"


def test_a_value_that_does_not_fit_is_shown_with_its_key():
    with pytest.raises(ConfigError) as caught:
        make_recipe({"train": {"lr": -1, "steps": 0}}, where="recipe.yaml")
    assert caught.value.wrong == "train.steps = 0 does not fit (and 1 more)."
    assert caught.value.expected == "a number of at least 1; such as 800"


@pytest.mark.parametrize("value", [".inf", ".nan"])
def test_a_setting_is_never_infinite_or_nan(value):
    with pytest.raises(ConfigError) as caught:
        load_recipe(None, (f"train.lr={value}",))
    assert caught.value.expected == "a finite number; such as 0.001"


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({"train": {"steps": "many"}}, "a whole number; such as 800"),
        ({"train": {"optimizer": "adamax"}}, "'adamw', 'adam' or 'sgd'"),
        ({"train": {"ema": 1}}, "a number below 1"),
        ({"train": 3}, "`key: value` pairs"),
        ({"image": {"size_px": 64}}, "a list: values in brackets, separated by commas"),
        ({"image": {"size_px": ["a"]}}, "a whole number"),
        (
            {"split": {"fractions": [0.5, 0.5]}},
            "one value more in the list; such as [0.6, 0.2, 0.2]",
        ),
        ({"manifest": 3}, "a text"),
    ],
)
def test_what_is_expected_is_said_in_words_with_an_example(values, expected):
    with pytest.raises(ConfigError) as caught:
        make_recipe(values, where="recipe.yaml")
    assert caught.value.expected == expected


def test_a_run_name_that_does_not_fit_is_answered_in_words():
    with pytest.raises(ConfigError) as caught:
        load_recipe(None, ("name=my run",))
    assert caught.value.where == "--set name=my run"
    assert "letters, digits, `.`, `_` and `-`, at most 64" in caught.value.expected
    assert caught.value.expected.endswith("; such as my_run-2")
    assert "[A-Z" not in caught.value.expected


@pytest.mark.parametrize(
    ("override", "fix"),
    [
        ("train.stpes=3", "did you mean 'train.steps'?"),
        ("manifst=a.csv", "did you mean 'manifest'?"),
        ("train={stpes: 3}", "did you mean 'train.steps'?"),
        ("train.steps.many=3", "correct train.steps"),
    ],
)
def test_a_wrong_assignment_is_not_blamed_on_the_recipe_file(recipe_file, override, fix):
    path = recipe_file("train: {lr: 1e-3}\n")
    with pytest.raises(ConfigError) as caught:
        load_recipe(path, ("seed=1", override, "train.ema=0.9"))
    assert caught.value.where == f"--set {override}"
    assert caught.value.fix == fix


def test_a_wrong_value_of_the_file_is_not_blamed_on_an_assignment(recipe_file):
    path = recipe_file("train: {step: 3}\n")
    with pytest.raises(ConfigError) as caught:
        load_recipe(path, ("train.steps=5", "train.lr=1e-2"))
    assert caught.value.where == str(path)


def test_set_wins_over_the_file_and_fixed_values_over_both(recipe_file):
    path = recipe_file("seed: 1\nname: a\ntrain: {steps: 5}\n")
    recipe = load_recipe(path, ("seed=2", "train.lr=1e-2", "name=b"), name="c", manifest=None)
    assert (recipe.seed, recipe.name) == (2, "c")
    assert (recipe.train.steps, recipe.train.lr) == (5, 0.01)


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        ("train.lr", "'train.lr' is not an assignment."),
        ("=3", "'=3' is not an assignment."),
        ("seed.x=3", "'seed' holds a value, not settings."),
    ],
)
def test_a_bad_assignment_is_shown(text, wrong):
    with pytest.raises(ConfigError) as caught:
        assign({"seed": 1}, [text])
    assert caught.value.wrong == wrong
    assert caught.value.where.startswith("--set")


def test_a_value_may_hold_equals_signs_and_lists():
    values = {}
    assign(values, ["columns.label=a=b", "image.size_px=[64, 96]"])
    assert values == {"columns": {"label": "a=b"}, "image": {"size_px": [64, 96]}}


def test_a_recipe_that_is_a_list_is_refused(recipe_file):
    with pytest.raises(ConfigError, match="the recipe is not a mapping"):
        load_recipe(recipe_file("- a\n- b\n"))


def test_an_empty_file_is_the_defaults(recipe_file):
    assert load_recipe(recipe_file("")) == Recipe()


def test_the_resolved_recipe_is_read_back_the_same():
    recipe = load_recipe(
        None,
        (
            "columns={label.a: no, mask.a: '1e-3'}",
            "mask_values={1: a, 2: '08'}",
            "image.size_px=[32, 32]",
            "train.lr=1e-5",
            "split.folds=5",
        ),
    )
    assert make_recipe(parse_yaml(recipe_yaml(recipe), where="here"), where="here") == recipe
    assert recipe.columns["mask.a"] == "1e-3"


def test_settings_cannot_be_changed():
    with pytest.raises(pydantic.ValidationError, match="frozen"):
        Recipe().seed = 3


@pytest.mark.parametrize("name", ["../x", "a/b", "", "-x", "x" * 65, "a b", "a\n"])
def test_a_run_name_cannot_leave_the_runs_folder(name):
    with pytest.raises(ConfigError):
        make_recipe({"name": name}, where="here")


def test_a_missing_recipe_file_is_a_config_error():
    with pytest.raises(ConfigError, match="cannot be read"):
        load_recipe(Path("does-not-exist.yaml"))


def settings_of(model, prefix=""):
    for name, field in model.model_fields.items():
        inner = field.annotation
        if isinstance(inner, type) and issubclass(inner, pydantic.BaseModel):
            yield f"{prefix}{name}", inspect.getdoc(inner)
            yield from settings_of(inner, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", field.description


def test_every_setting_of_the_recipe_is_explained():
    texts = dict(settings_of(Recipe))
    assert len(texts) > 80
    assert [name for name, text in texts.items() if not text] == []


def test_settings_that_came_later_count_only_where_they_are_used():
    plain = flat_settings(Recipe(), ["segment"])
    assert "segment.strict_coarse" not in plain
    assert "segment.patch_px" in plain
    used = make_recipe({"segment": {"strict_coarse": True}}, where="test")
    assert flat_settings(used, ["segment"]) == plain | {"segment.strict_coarse": True}


def test_slices_that_are_not_used_change_no_training_and_no_prediction():
    plain, cut = Recipe(), make_recipe({"slices": {"cut": True}}, where="test")
    assert not [key for key in flat_settings(plain, SHARED_SETTINGS) if key.startswith("slices")]
    assert flat_settings(cut, SHARED_SETTINGS)["slices.cut"] is True
    assert plain.slices.in_use == {}
    assert cut.slices.in_use["slices"]["axis"] == "auto"
