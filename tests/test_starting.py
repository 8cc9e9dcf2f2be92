"""What `segclf init` writes and refuses, and `segclf check` of a table without a case."""

import pytest

from segclf.core.config import Recipe
from segclf.core.errors import ConfigError, DataError, UsageError
from segclf.starting import check_data, explained_yaml, init_phantom


def test_every_setting_of_a_written_recipe_has_its_explanation_above_it():
    lines = explained_yaml(Recipe()).splitlines()
    bare = [
        line
        for above, line in zip(["", *lines], lines, strict=False)
        if not line.lstrip().startswith(("#", "-")) and not above.lstrip().startswith("#")
    ]
    assert bare == []
    assert "# The training loop; segmenter and classifier use the same." in lines
    assert "  # Cases per step, over all devices." in lines
    assert "    # Neighbours that vote, for `knn`." in lines


def test_a_phantom_is_not_written_where_a_file_is(tmp_path):
    taken = tmp_path / "afile"
    taken.write_text("mine")
    with pytest.raises(UsageError, match="'afile' is a file") as caught:
        init_phantom(taken, ())
    assert caught.value.expected == "a new or an empty folder"
    assert taken.read_text() == "mine"


def test_a_wrong_setting_of_the_phantom_names_its_assignment(tmp_path):
    with pytest.raises(ConfigError) as caught:
        init_phantom(tmp_path / "new", ("n_cases.trian=64",))
    assert caught.value.where == "--set n_cases.trian=64"
    assert caught.value.fix == "did you mean 'n_cases.train'?"
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("content", [b"", b"\xef\xbb\xbf", b"\n \n"])
def test_a_table_without_anything_in_it_is_said_to_be_empty(tmp_path, content):
    (tmp_path / "empty.csv").write_bytes(content)
    with pytest.raises(DataError) as caught:
        check_data(tmp_path / "empty.csv", None, (), 1, lambda _event: None)
    assert caught.value.wrong == "the table is empty."
    assert caught.value.where == "empty.csv"
    assert caught.value.expected == "CSV: a header and one row per case"
    assert caught.value.fix == "export the table again, or correct the path"
