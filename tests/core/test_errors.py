import pytest

from segclf.core.errors import (
    CaseError,
    ConfigError,
    DataError,
    ExitCode,
    IntegrityError,
    MissingExtraError,
    SegclfError,
    StoppedError,
    UsageError,
)


def test_the_message_has_four_parts_on_four_lines():
    error = UsageError("it is wrong.", where="here", expected="this", fix="do that")
    assert str(error) == ("it is wrong.\n  where:    here\n  expected: this\n  fix:      do that")
    assert (error.wrong, error.where, error.expected, error.fix) == (
        "it is wrong.",
        "here",
        "this",
        "do that",
    )


def test_no_part_can_be_left_out():
    with pytest.raises(TypeError):
        SegclfError("it is wrong.", where="here", expected="this")


@pytest.mark.parametrize(
    ("kind", "code"),
    [(UsageError, 2), (ConfigError, 2), (DataError, 3), (IntegrityError, 5), (StoppedError, 6)],
)
def test_each_kind_of_error_has_its_exit_code(kind, code):
    error = kind("w", where="x", expected="y", fix="z")
    assert int(error.exit_code) == code
    assert isinstance(error, SegclfError)


def test_exit_codes_are_those_of_the_design():
    assert {code.name: code.value for code in ExitCode} == {
        "OK": 0,
        "USAGE": 2,
        "DATA": 3,
        "QUARANTINED": 4,
        "INTEGRITY": 5,
        "STOPPED": 6,
        "INTERRUPTED": 130,
        "TERMINATED": 143,
    }


def test_a_case_error_keeps_its_reason_code():
    error = CaseError("missing_file", "no file.", where="row 3", expected="a file", fix="add it")
    assert error.reason == "missing_file"
    assert isinstance(error, DataError)


def test_a_missing_extra_is_named_in_the_first_line():
    error = MissingExtraError("pydicom", extra="dicom", needed_for="reading DICOM")
    first = str(error).splitlines()[0]
    assert first == "reading DICOM needs the package 'pydicom': install segclf[dicom]"
    assert error.fix == "pip install 'segclf[dicom]'"
