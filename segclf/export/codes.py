"""What findings are called in DICOM: a code, its scheme and its meaning."""

from dataclasses import dataclass

from segclf.core.atomic import hash_of
from segclf.core.catalog import unknown_name
from segclf.core.errors import ConfigError, SegclfError
from segclf.core.text import visible

PRIVATE = "99SEGCLF"
"""Scheme of the codes that no public scheme has, or that nobody chose."""
MAX_VALUE = 16
MAX_MEANING = 64
EXAMPLE = "SCT:50960005:Hemorrhage"


@dataclass(frozen=True)
class Code:
    """One code."""

    value: str
    scheme: str
    meaning: str


ABNORMAL = Code("49755003", "SCT", "Morphologically Abnormal Structure")
ANATOMICAL = Code("91723000", "SCT", "Anatomical Structure")

CODES = {
    "cyst": Code("367643001", "SCT", "Cyst"),
    "edema": Code("79654002", "SCT", "Edema"),
    "effusion": Code("41699000", "SCT", "Effusion"),
    "hemorrhage": Code("50960005", "SCT", "Hemorrhage"),
    "hippocampus": Code("5366008", "SCT", "Hippocampus"),
    "lesion": Code("52988006", "SCT", "Lesion"),
    "mass": Code("4147007", "SCT", "Mass"),
    "neoplasm": Code("108369006", "SCT", "Neoplasm"),
    "nodule": Code("27925004", "SCT", "Nodule"),
    "pneumothorax": Code("36118008", "SCT", "Pneumothorax"),
}
"""Common findings, as the context groups of DICOM PS3.16 name them in SNOMED CT."""
STRUCTURES = ("hippocampus",)
"""Of these, what is a part of the body and no abnormality."""


@dataclass(frozen=True)
class FindingCode:
    """The code of a finding, and the category it belongs to."""

    kind: Code
    category: Code


def finding_code(finding: str, codes: dict[str, str]) -> FindingCode:
    """What a finding is called; a private code if the recipe names none.

    Nothing is guessed from the name of a finding: what people call `mass` in a table need not be
    what SNOMED CT calls so.

    Args:
        finding: Its name.
        codes: `export.codes` of the recipe.

    Raises:
        ConfigError: The text is no code and no name of the table.
    """
    text = codes.get(finding)
    if text is None:
        return FindingCode(private(finding, finding), ABNORMAL)
    kind, _, category = (part.strip() for part in text.partition("|"))
    is_structure = kind.lower() in STRUCTURES
    if category:
        return FindingCode(_code(kind, finding), _code(category, finding))
    return FindingCode(_code(kind, finding), ANATOMICAL if is_structure else ABNORMAL)


def check_codes(codes: dict[str, str], findings: tuple[str, ...]) -> None:
    """Refuse codes of findings that are not there, and texts that are no codes.

    Raises:
        ConfigError: One of these.
    """
    for finding in codes:
        if finding not in findings:
            raise _refused(unknown_name(finding, findings, kind="finding"), "export.codes")
        finding_code(finding, codes)


def private(value: str, meaning: str) -> Code:
    """A code of our own; values that are too long for DICOM end in a hash, to stay apart."""
    text = visible(value).replace("\\", "/").strip()
    if text != value or not 0 < len(text) <= MAX_VALUE:
        text = f"{text[:7]}-{hash_of(value)[:8]}"
    return Code(text, PRIVATE, label(meaning))


def label(text: str) -> str:
    """`text` as a DICOM label: one line of at most 64 characters without backslash."""
    short = visible(text, instead=" ").replace("\\", "/").strip() or "?"
    return short if len(short) <= MAX_MEANING else f"{short[: MAX_MEANING - 3]}..."


def _code(text: str, finding: str) -> Code:
    if text.lower() in CODES:
        return CODES[text.lower()]
    scheme, _, rest = (part.strip() for part in text.partition(":"))
    value, _, meaning = (part.strip() for part in rest.partition(":"))
    is_short = 0 < len(value) <= MAX_VALUE and 0 < len(scheme) <= MAX_VALUE
    if is_short and meaning and meaning == label(meaning) and "\\" not in text:
        return Code(value, scheme, meaning)
    if ":" not in text:
        raise _refused(unknown_name(text, CODES, kind="code"), f"export.codes.{finding}")
    raise ConfigError(
        f"{text!r} is no code.",
        where=f"export.codes.{finding}",
        expected="SCHEME:VALUE:MEANING, with at most 16, 16 and 64 characters",
        fix=f"write for example {EXAMPLE}",
    )


def _refused(error: SegclfError, where: str) -> ConfigError:
    return ConfigError(error.wrong, where=where, expected=error.expected, fix=error.fix)
