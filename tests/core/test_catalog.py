import pytest

from segclf.core import catalog
from segclf.core.catalog import lookup, plugin_points, unknown_name
from segclf.core.errors import UsageError

TABLE = {"dice": "the dice loss", "focal": "the focal loss"}


class Point:
    """An entry point that notes whether it was loaded."""

    def __init__(self, name):
        self.name = name
        self.was_loaded = False

    def load(self):
        self.was_loaded = True
        return f"plug-in {self.name}"


@pytest.fixture
def plugins(monkeypatch):
    points = [Point("tversky"), Point("boundary"), Point("dice")]
    monkeypatch.setattr(
        catalog, "entry_points", lambda *, group: points if group == "segclf.losses" else []
    )
    return {point.name: point for point in points}


def test_a_built_in_entry_is_found():
    assert lookup("focal", TABLE, kind="loss") == "the focal loss"


def test_a_plug_in_is_found_and_no_other_is_imported(plugins):
    found = lookup("tversky", TABLE, kind="loss", group="segclf.losses")
    assert found == "plug-in tversky"
    assert plugins["tversky"].was_loaded
    assert not plugins["boundary"].was_loaded


def test_a_plug_in_cannot_take_the_name_of_a_built_in(plugins):
    assert lookup("dice", TABLE, kind="loss", group="segclf.losses") == "the dice loss"
    assert not plugins["dice"].was_loaded


def test_plug_ins_of_another_group_do_not_count(plugins):
    assert plugin_points("segclf.formats") == []
    assert plugin_points(None) == []
    with pytest.raises(UsageError):
        lookup("tversky", TABLE, kind="loss", group="segclf.formats")


def test_an_unknown_name_lists_all_and_suggests_the_nearest(plugins):
    with pytest.raises(UsageError) as caught:
        lookup("diec", TABLE, kind="loss", group="segclf.losses")
    error = caught.value
    assert error.wrong == "there is no loss called 'diec'."
    assert error.expected == "one of boundary, dice, focal, tversky"
    assert error.fix == "did you mean 'dice'?"
    assert not plugins["boundary"].was_loaded


def test_a_name_that_is_near_to_nothing_gets_no_suggestion():
    error = unknown_name("zzz", TABLE, kind="loss", where="recipe.yaml")
    assert error.fix == "choose one of these"
    assert error.where == "recipe.yaml"


def test_an_empty_table_says_that_nothing_is_known():
    assert unknown_name("x", [], kind="loss").expected == "one of (none are known)"
