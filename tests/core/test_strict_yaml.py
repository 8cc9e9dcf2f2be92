import math
import time

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from segclf.core.errors import ConfigError
from segclf.core.strict_yaml import MAX_YAML_BYTES, dump_yaml, parse_yaml, read_yaml

LAUGHS = "\n".join(
    ["a0: &a0 [lol]", *(f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]" for i in range(1, 10))]
)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e-3", 0.001),
        ("1E5", 100000.0),
        (".5", 0.5),
        ("-3.", -3.0),
        ("+7", 7),
        ("010", 10),
        ("no", "no"),
        ("on", "on"),
        ("NO", "NO"),
        ("true", True),
        ("False", False),
        ("null", None),
        ("", None),
        ("12:30:45", "12:30:45"),
        ("2024-01-31", "2024-01-31"),
        ("0x1F", "0x1F"),
        ("1_000", "1_000"),
        ("'010'", "010"),
        ("{a: [1, x]}", {"a": [1, "x"]}),
        ("<<: {a: 1}", {"<<": {"a": 1}}),
    ],
)
def test_scalars_are_what_people_write(text, value):
    found = parse_yaml(text, where="here")
    assert found == value
    assert type(found) is type(value)


def test_infinity_and_nan_are_written_with_a_point():
    assert parse_yaml("-.inf", where="here") == -math.inf
    assert math.isnan(parse_yaml(".nan", where="here"))
    assert parse_yaml("inf", where="here") == "inf"


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("a: 1\na: 2", "the key 'a' appears twice"),
        ("x: {b: 1, b: 1}", "the key 'b' appears twice"),
        ("a: &x 1\nb: *x", "aliases (*name) are not allowed"),
        (LAUGHS, "aliases (*name) are not allowed"),
        ("[1, 2]: 3", "a key has to be a text or a number"),
        ("? {a: 1}\n: 3", "a key has to be a text or a number"),
        ("a: !!python/object/apply:os.system [ls]", "could not determine a constructor"),
        ("a: [1, 2", "expected ',' or ']'"),
        ("a: 1\n---\nb: 2", "but found another document"),
        ("9" * 5000, "4300 digits"),
        ("!!timestamp x", ""),
        ("!!bool x", ""),
        ("a: \x00", "special characters are not allowed"),
    ],
)
def test_what_silently_surprises_is_refused(text, problem):
    with pytest.raises(ConfigError) as caught:
        parse_yaml(text, where="recipe.yaml")
    assert problem in caught.value.wrong
    assert caught.value.where.startswith("recipe.yaml")


def test_a_repeated_key_is_reported_with_its_line():
    with pytest.raises(ConfigError) as caught:
        parse_yaml("a: 1\nb: 2\na: 3\n", where="recipe.yaml")
    assert caught.value.where == "recipe.yaml, line 3"


def test_an_alias_bomb_is_refused_at_once():
    start = time.monotonic()
    with pytest.raises(ConfigError):
        parse_yaml(LAUGHS, where="here")
    assert time.monotonic() - start < 1.0


def test_deep_nesting_and_long_texts_are_refused():
    with pytest.raises(ConfigError):
        parse_yaml("[" * 5000, where="here")
    with pytest.raises(ConfigError) as caught:
        parse_yaml("a" * (MAX_YAML_BYTES + 1), where="here")
    assert caught.value.wrong == "the YAML text is too long."


@given(st.text(max_size=60))
def test_any_text_is_read_or_refused_in_our_words(text):
    fix = "correct that line"
    try:
        parse_yaml(text, where="here")
    except ConfigError as error:
        fix = error.fix
    assert fix == "correct that line"


scalars = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text(max_size=12)
    | st.sampled_from(["1e-3", "no", "08", "~", "null", "1:30", ".inf", "<<", "=", "*a", "&a"])
)
plain = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3)
    ),
    max_leaves=8,
)


@given(plain)
@example({"\x85": None, "a\u2028b": "\u2029"})
def test_what_is_written_is_read_back_the_same(value):
    assert parse_yaml(dump_yaml(value), where="here") == value


def test_a_value_that_appears_twice_is_written_twice_without_an_alias():
    shared = [1, 2]
    assert parse_yaml(dump_yaml({"a": shared, "b": shared}), where="here") == {
        "a": [1, 2],
        "b": [1, 2],
    }


def test_keys_stay_in_order():
    assert dump_yaml({"b": 1, "a": 2}) == "b: 1\na: 2\n"


def test_a_file_that_is_not_there_or_not_utf8_is_reported(tmp_path):
    with pytest.raises(ConfigError) as caught:
        read_yaml(tmp_path / "none.yaml")
    assert caught.value.wrong == "the file cannot be read: FileNotFoundError."
    (tmp_path / "latin.yaml").write_bytes(b"name: caf\xe9")
    with pytest.raises(ConfigError) as caught:
        read_yaml(tmp_path / "latin.yaml")
    assert caught.value.wrong == "the file cannot be read: UnicodeDecodeError."


def test_a_file_is_read(tmp_path):
    (tmp_path / "a.yaml").write_text("lr: 1e-3\n", encoding="utf-8")
    assert read_yaml(tmp_path / "a.yaml") == {"lr": 0.001}
