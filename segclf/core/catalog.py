"""Catalogs: a dict literal of names to functions, plus entry points of installed packages."""

import difflib
from collections.abc import Iterable, Mapping
from importlib.metadata import EntryPoint, entry_points
from typing import TypeVar

from segclf.core.errors import UsageError

T = TypeVar("T")


def lookup(
    name: str,
    table: Mapping[str, T],
    *,
    kind: str,
    group: str | None = None,
    others: Iterable[str] = (),
) -> T:
    """The entry of `table` called `name`, else the one that an installed plug-in offers.

    Args:
        name: What the user typed.
        table: The built-in entries; a plug-in cannot take the name of one of them.
        kind: The field's word for the entries, used in the error ("network", "loss").
        group: Entry-point group of plug-ins, e.g. `segclf.summarizers`. Only the plug-in that
            was asked for is imported.
        others: Names that the user may have meant and that are looked up elsewhere; only the
            error lists them.

    Raises:
        UsageError: No entry has that name; the message lists near names.
    """
    if name in table:
        return table[name]
    plugins = {point.name: point for point in plugin_points(group)}
    if name in plugins:
        return plugins[name].load()
    raise unknown_name(name, [*table, *plugins, *others], kind=kind)


def plugin_points(group: str | None) -> list[EntryPoint]:
    """Entry points of `group` in the installed packages, without importing any."""
    return [] if group is None else sorted(entry_points(group=group), key=lambda p: p.name)


def unknown_name(
    name: str, known: Iterable[str], *, kind: str, where: str = "", prefix: str = ""
) -> UsageError:
    """The error for a name that is not in a list, with the nearest names as the fix.

    `prefix` stands before the names of the fix, to make them what the user has to type.
    """
    known = sorted(set(known))
    matches = difflib.get_close_matches(name, known, n=3, cutoff=0.5)
    near = " or ".join(repr(f"{prefix}{match}") for match in matches)
    return UsageError(
        f"there is no {kind} called {name!r}.",
        where=where or f"{kind} = {name!r}",
        expected=f"one of {', '.join(known) or '(none are known)'}",
        fix=f"did you mean {near}?" if near else "choose one of these",
    )
