"""The command, its help and docs/semi.md name the methods and settings that exist."""

import re
from pathlib import Path

import pytest
from typer.main import get_command

from segclf import options
from segclf.cli import app
from segclf.core.errors import UsageError
from segclf.core.semi_settings import SemiSettings
from segclf.pseudolabel.semi import SEMI

PAGE = (Path(__file__).parents[3] / "docs/semi.md").read_text()


def test_the_page_has_two_rows_for_each_method_and_no_other():
    rows = re.findall(r"^\| `(\w+)` \|", PAGE, flags=re.M)
    assert sorted(rows) == sorted([*SEMI, *SEMI])


def test_the_page_names_every_setting():
    for name in SemiSettings.model_fields:
        if name not in ("method", "boosted", "rounds"):  # these have options
            assert re.search(rf"`(semi\.)?{name}`", PAGE), name


def test_the_help_and_the_setting_name_every_method():
    command = get_command(app).commands["train-seg"]
    (option,) = [p for p in command.params if "--semi" in p.opts]
    setting = SemiSettings.model_fields["method"].description
    for name in SEMI:
        assert name in option.help
        assert f"`{name}`" in setting


def test_the_options_stand_for_settings():
    recipe = Path("recipe.yaml")
    both = ["semi.method=pseudo", "semi.rounds=2", "semi.boosted=true"]
    assert options.semi_settings("pseudo", 2, True, config=None) == both
    assert options.semi_settings("pseudo", 2, True, config=recipe) == both
    assert options.semi_settings("cps", None, False, config=recipe) == ["semi.method=cps"]
    off = ["semi.method=cps", "semi.rounds=1", "semi.boosted=false"]  # not what a run remembers
    assert options.semi_settings("cps", None, False, config=None) == off
    assert options.semi_settings(None, None, False, config=None) == []


@pytest.mark.parametrize(
    ("given", "wrong"), [((None, 2, False), "--rounds"), ((None, None, True), "--boosted")]
)
def test_options_without_a_method_are_refused(given, wrong):
    with pytest.raises(UsageError, match=f"^{wrong} would have no effect") as caught:
        options.semi_settings(*given, config=None)
    assert "fix:      add --semi METHOD" in str(caught.value)


def test_an_unknown_method_is_refused_before_a_run_is_made():
    with pytest.raises(UsageError, match="no semi-supervised method called 'mean_techer'") as no:
        options.semi_settings("mean_techer", None, False, config=None)
    assert "did you mean 'mean_teacher'" in str(no.value)
