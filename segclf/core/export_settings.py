"""The settings of exported masks."""

from pydantic import Field

from segclf.core.settings_base import Settings


class ExportSettings(Settings):
    """What masks are called outside of segclf (docs/export.md)."""

    codes: dict[str, str] = Field(default_factory=dict)
    """Finding to its code in DICOM: a name of the built-in table (`hemorrhage`, `neoplasm`, …), or
    `SCHEME:VALUE:MEANING`, or two of these, `TYPE | CATEGORY`. Others get a private code."""
