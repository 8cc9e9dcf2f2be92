"""Words for people: foreign texts without what cannot be seen, and how many of something."""

import unicodedata

HIDDEN = ("Cc", "Cf", "Cs", "Zl", "Zp")
"""Unicode categories: control, format (those that reorder what follows are among them), halves of
surrogate pairs, line and paragraph separators."""


def visible(text: str, *, instead: str = "", keep: str = "") -> str:
    r"""`text` without hidden characters, so that an id cannot pass itself off as another.

    Args:
        text: From a file or a user.
        instead: What stands in the place of each.
        keep: Hidden characters that stay, such as `\n`.
    """
    return "".join(
        instead if unicodedata.category(character) in HIDDEN and character not in keep
        else character
        for character in text
    )  # fmt: skip


def plural(word: str) -> str:
    """Several of what `word` names."""
    is_y = word[-1:] == "y" and word[-2:-1] not in tuple("aeiou")
    return f"{word[:-1]}ies" if is_y else f"{word}s"


def counted(n: int, word: str) -> str:
    """`n` of what `word` names: `1 patient`, `2 patients`."""
    return f"{n} {word if n == 1 else plural(word)}"


def guarded(text: str) -> str:
    """The text for a cell of a CSV: with an apostrophe before what a spreadsheet would run."""
    return "'" + text if text[:1] in _FORMULA else text


def unguarded(text: str) -> str:
    """The text that `guarded` was given."""
    return text[1:] if text[:1] == "'" and text[1:2] in _FORMULA else text


# Characters that make a spreadsheet read a cell as a formula, and the apostrophe that stops it.
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "'")
