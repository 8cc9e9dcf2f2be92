import pytest

from segclf.core.text import counted, plural, visible


@pytest.mark.parametrize(
    "character",
    ["\x00", "\x1b", "\x9b", "\xad", "\u061c", "\u200b", "\u200f", "\u2028", "\u202e", "\u2069",
     "\ufeff", "\udc80", "\U000e0041"],
)  # fmt: skip
def test_a_hidden_character_is_taken_out_or_replaced(character):
    assert visible(f"a{character}b") == "ab"
    assert visible(f"a{character}b", instead=" ") == "a b"
    assert visible(f"a{character}b", keep=character) == f"a{character}b"


def test_what_can_be_seen_stays():
    text = "Ünïcode 日本 عربي é\N{NO-BREAK SPACE}µm² 😀"
    assert visible(text) == text


def test_words_have_a_plural():
    assert [plural(word) for word in ("patient", "study", "day")] == ["patients", "studies", "days"]


def test_one_is_counted_in_the_singular():
    assert [counted(n, "study") for n in (0, 1, 2)] == ["0 studies", "1 study", "2 studies"]
