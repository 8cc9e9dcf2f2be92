"""The table of docs/hardening.md: each row of what can go wrong names tests that exist."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs/hardening.md"
ROWS = dict(re.findall(r"^\| (\d+) \|(.*)\|$", PAGE.read_text(encoding="utf-8"), flags=re.M))


def functions_of(path):
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}


def test_every_row_has_a_line():
    assert [int(number) for number in ROWS] == [*range(22, 43)]


@pytest.mark.parametrize("number", ROWS)
def test_the_tests_of_a_row_exist(number):
    named = re.findall(r"`([\w/]+\.py)::(\w+)`", ROWS[number])
    assert named
    for path, test in named:
        assert test in functions_of(ROOT / "tests" / path), f"{path}::{test}"
