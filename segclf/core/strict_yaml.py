"""YAML read strictly: no aliases, no duplicate keys, and numbers as people write them."""

import re
from pathlib import Path
from typing import Any

import yaml

from segclf.core.errors import ConfigError

MAX_YAML_BYTES = 1_000_000


class _StrictLoader(yaml.SafeLoader):
    """SafeLoader that refuses what silently surprises: aliases and repeated keys."""

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:  # noqa: ANN401
        if self.check_event(yaml.AliasEvent):
            event = self.peek_event()
            raise yaml.constructor.ConstructorError(
                None, None, "aliases (*name) are not allowed", event.start_mark
            )
        return super().compose_node(parent, index)

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[Any] = set()
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True)
            if not isinstance(key, str | int | float | None):
                raise yaml.constructor.ConstructorError(
                    None, None, "a key has to be a text or a number", key_node.start_mark
                )
            if key in seen:
                raise yaml.constructor.ConstructorError(
                    None, None, f"the key {key!r} appears twice", key_node.start_mark
                )
            seen.add(key)
        return super().construct_mapping(node, deep=deep)


# YAML 1.2 scalars: `1e-3` is a number, `no` and `on` are text, `010` is ten, times are text.
_StrictLoader.yaml_implicit_resolvers = {}
for _tag, _pattern, _first in (
    ("bool", r"^(?:true|false|True|False)$", "tTfF"),
    ("null", r"^(?:~|null|Null|)$", ["~", "n", "N", ""]),
    ("int", r"^[-+]?[0-9]+$", "-+0123456789"),
    ("float", r"^[-+]?(?:[0-9]+\.[0-9]*|\.?[0-9]+)(?:[eE][-+]?[0-9]+)?$", "-+.0123456789"),
    ("float", r"^[-+]?\.(?:inf|Inf)$|^\.(?:nan|NaN)$", "-+."),
):
    _StrictLoader.add_implicit_resolver(f"tag:yaml.org,2002:{_tag}", re.compile(_pattern), _first)


class _StrictDumper(yaml.SafeDumper):
    """SafeDumper that quotes what `_StrictLoader` would read as something else than text."""

    def ignore_aliases(self, data: Any) -> bool:  # noqa: ANN401
        return True


def _represent_text(dumper: _StrictDumper, text: str) -> yaml.ScalarNode:
    # only double quotes escape the line breaks of Unicode, which reading would fold to a space
    style = '"' if re.search("[\x85\u2028\u2029]", text) else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_StrictDumper.yaml_implicit_resolvers = _StrictLoader.yaml_implicit_resolvers
_StrictDumper.add_representer(str, _represent_text)


def _construct_int(loader: _StrictLoader, node: yaml.ScalarNode) -> int:
    return int(loader.construct_scalar(node))


_StrictLoader.add_constructor("tag:yaml.org,2002:int", _construct_int)


def parse_yaml(text: str, *, where: str) -> Any:  # noqa: ANN401
    """The value that `text` describes: dicts, lists, strings, numbers, booleans or None.

    Raises:
        ConfigError: The text is not YAML, repeats a key, uses an alias or is over 1 MB.
    """
    if len(text) > MAX_YAML_BYTES:
        raise ConfigError(
            "the YAML text is too long.",
            where=where,
            expected=f"at most {MAX_YAML_BYTES} characters",
            fix="a recipe is short; is this the right file?",
        )
    try:
        return yaml.load(text, Loader=_StrictLoader)  # noqa: S506 (a hardened SafeLoader)
    except (yaml.YAMLError, RecursionError, ValueError, LookupError, AttributeError) as error:
        # The last three come from PyYAML's constructors for tags like `!!timestamp x`.
        mark = getattr(error, "problem_mark", None)
        place = f"{where}, line {mark.line + 1}" if mark else where
        raise ConfigError(
            f"the YAML cannot be read: {getattr(error, 'problem', None) or error}.",
            where=place,
            expected="plain YAML: no aliases, each key once",
            fix="correct that line",
        ) from None


def read_yaml(path: Path) -> Any:  # noqa: ANN401
    """The value in a YAML file; see `parse_yaml`."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(
            f"the file cannot be read: {error.__class__.__name__}.",
            where=str(path),
            expected="a YAML file in UTF-8",
            fix="check the path given to --config",
        ) from None
    return parse_yaml(text, where=str(path))


def dump_yaml(value: Any) -> str:  # noqa: ANN401
    """YAML text of plain data, in the order given."""
    return yaml.dump(value, Dumper=_StrictDumper, sort_keys=False, allow_unicode=True)
