"""docs/summarizers.md says of each rule what the catalog declares."""

import re
from pathlib import Path

import pytest

from segclf.core.settings import SummarizeSettings
from segclf.summarize import SUMMARIZERS, find_summarizer
from segclf.summarize.table import ALIASES
from segclf.summarize.trained import TRAINED

DASH = "\u2013"
PAGE = (Path(__file__).parents[2] / "docs" / "summarizers.md").read_text(encoding="utf-8")


def table(header):
    """Rule to the cells of the table whose first line starts with `header`."""
    lines = PAGE[PAGE.index(header) :].split("\n\n")[0].splitlines()[2:]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    return {row[0].strip("`"): row[1:] for row in rows}


RULES = table("| rule | score |")
FITTED = table("| trained | reads |")
ADVICE = table("| rule | use it when |")


def number(text):
    return float(text.replace(DASH, "-").replace("infinity", "inf"))


def changes(text):
    return frozenset() if text == DASH else frozenset(text.split(", "))


def test_every_rule_of_the_catalog_is_on_the_page_and_no_other():
    assert list(RULES) == list(SUMMARIZERS)
    assert set(ADVICE) == set(SUMMARIZERS)
    assert all(all(cells) for cells in [*RULES.values(), *ADVICE.values()])
    for alias, rule in ALIASES.items():
        assert f"`{alias}` is another name for `{rule}`" in PAGE


@pytest.mark.parametrize("rule", SUMMARIZERS)
def test_range_and_invariances_are_those_that_the_rule_declares(rule):
    _, score_range, invariant, decided_by, area_invariant = RULES[rule]
    declared = find_summarizer(rule)[1]
    assert tuple(map(number, score_range.split(" to "))) == declared.score_range
    assert changes(invariant) == declared.invariant_to
    assert changes(area_invariant) == declared.decision_invariant_to
    assert (decided_by == "score") == (declared.decision is None)


def test_every_trained_summarizer_is_on_the_page_as_the_catalog_declares_it():
    assert list(FITTED) == list(TRAINED)
    for rule, (reads, head, invariant) in FITTED.items():
        assert reads.split(":")[0] == TRAINED[rule].reads
        assert head
        assert changes(invariant) == TRAINED[rule].invariant_to
    assert "(extend/trained_summarizer.md)" in PAGE


def test_every_setting_on_the_page_exists():
    for name in re.findall(r"`summarize\.(\w+)", PAGE):
        assert name in SummarizeSettings.model_fields
    for method in ("platt", "isotonic", "temperature", "none"):
        assert f"`{method}`" in PAGE
        SummarizeSettings(calibrate=method)
