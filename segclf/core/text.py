"""Foreign texts (ids, headers, messages) without what cannot be seen."""

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
