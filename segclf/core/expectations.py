"""What a setting expects, in words, where its model refuses a value."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import BaseModel
from pydantic.fields import FieldInfo

WORDS = {
    "bool_type": "true or false",
    "dict_type": "`key: value` pairs",
    "finite_number": "a finite number",
    "float_parsing": "a number",
    "float_type": "a number",
    "greater_than": "a number above {gt:g}",
    "greater_than_equal": "a number of at least {ge:g}",
    "int_from_float": "a whole number",
    "int_parsing": "a whole number",
    "int_type": "a whole number",
    "invalid_key": "a text as key",
    "less_than": "a number below {lt:g}",
    "less_than_equal": "a number of at most {le:g}",
    "literal_error": "{expected}",
    "missing": "one value more in the list",
    "model_type": "`key: value` pairs",
    "string_type": "a text",
    "too_long": "at most {max_length} values",
    "too_short": "at least {min_length} values",
    "tuple_type": "a list: values in brackets, separated by commas",
    "value_error": "settings that fit each other",
}
"""Kind of pydantic's errors to words; `{}` takes what the error brings."""
ENUMERATED = ("bool_type", "literal_error")
"""Kinds whose words are examples already."""


def expectation(model: type[BaseModel], error: Mapping[str, Any]) -> str:
    """What was expected where one error of pydantic occurred, with an example if there is one.

    Args:
        model: What was validated.
        error: An element of `ValidationError.errors()`.
    """
    field, is_inside = field_at(model, error["loc"])
    if error["type"] == "string_pattern_mismatch" and field and field.description:
        # people do not read regular expressions
        words = " ".join(field.description.split()).rstrip(".")
    else:
        kind, context = str(error["type"]), error.get("ctx") or {}
        words = WORDS[kind].format_map(context) if kind in WORDS else str(error["msg"])
    is_part = is_inside and error["type"] != "missing"
    shown = None if field is None or is_part else _example(field)
    return words if shown is None or error["type"] in ENUMERATED else f"{words}; such as {shown}"


def field_at(
    model: type[BaseModel], location: Sequence[int | str]
) -> tuple[FieldInfo | None, bool]:
    """The setting that `location` leads to, and whether it goes on inside the setting's value."""
    field = None
    for depth, part in enumerate(location):
        field = model.model_fields.get(str(part))
        annotation = field.annotation if field else None
        if not (isinstance(annotation, type) and issubclass(annotation, BaseModel)):
            return field, depth + 1 < len(location)
        model = annotation
    return field, False


def _example(field: FieldInfo) -> str | None:
    """A value that fits, as it is written in YAML."""
    value = field.examples[0] if field.examples else field.default
    is_plain = isinstance(value, (str, int, float, tuple)) and value not in ("", ())
    return json.dumps(value, ensure_ascii=False).strip('"') if is_plain else None
