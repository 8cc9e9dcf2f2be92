"""Codes of findings: the built-in table against pydicom's dictionary of DICOM PS3.16."""

import pytest
from pydicom.sr.codedict import codes as dictionary

from segclf.core.errors import ConfigError
from segclf.export.codes import (
    ABNORMAL,
    ANATOMICAL,
    CODES,
    PRIVATE,
    check_codes,
    finding_code,
    label,
)


@pytest.mark.parametrize("name", CODES)
def test_codes_of_the_table_are_those_of_the_standard(name):
    known = getattr(dictionary.SCT, name.capitalize())
    code = CODES[name]
    assert (code.value, code.scheme, code.meaning) == (
        known.value, known.scheme_designator, known.meaning,
    )  # fmt: skip


def test_categories_are_those_of_the_standard():
    for ours, theirs in (
        (ABNORMAL, dictionary.SCT.MorphologicallyAbnormalStructure),
        (ANATOMICAL, dictionary.SCT.AnatomicalStructure),
    ):
        assert (ours.value, ours.meaning) == (theirs.value, theirs.meaning)


def test_a_finding_has_the_code_that_the_recipe_names():
    codes = {"a": "hemorrhage", "b": "hippocampus", "c": "SCT:233604007:Pneumonia | neoplasm"}
    assert finding_code("a", codes).kind == CODES["hemorrhage"]
    assert finding_code("a", codes).category == ABNORMAL
    assert finding_code("b", codes).category == ANATOMICAL
    assert finding_code("c", codes).kind.meaning == "Pneumonia"
    assert finding_code("c", codes).category == CODES["neoplasm"]


def test_a_finding_that_nobody_coded_has_a_private_code_whatever_it_is_called():
    code = finding_code("hemorrhage", {}).kind
    assert (code.value, code.scheme, code.meaning) == ("hemorrhage", PRIVATE, "hemorrhage")
    long = [finding_code(f"intraparenchymal_{k}", {}).kind.value for k in range(9)]
    assert len({*long}) == 9
    assert max(map(len, long)) <= 16
    assert "\\" not in finding_code("a\\b", {}).kind.meaning


def test_labels_fit_the_field():
    assert label("x" * 80) == "x" * 61 + "..."
    assert label("a\nb\\c") == "a b/c"
    assert label("\u202e") == "?"


@pytest.mark.parametrize(
    ("codes", "words"),
    [
        ({"lesion": "hemorhage"}, "did you mean 'hemorrhage'"),
        ({"lesion": "SCT:50960005"}, "write for example SCT:50960005:Hemorrhage"),
        ({"lesion": "SCT:12345678901234567:Too long"}, "at most 16, 16 and 64"),
        ({"lesions": "mass"}, "no finding called 'lesions'"),
    ],
)
def test_texts_that_are_no_codes_are_refused(codes, words):
    with pytest.raises(ConfigError, match=words) as caught:
        check_codes(codes, ("lesion",))
    assert "export.codes" in caught.value.where
