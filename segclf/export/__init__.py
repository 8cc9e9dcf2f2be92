"""Masks of scored cases for other tools: NIfTI, NRRD, MHA, PNG, and DICOM SEG with DICOM SR."""

from segclf.export.plan import Asked
from segclf.export.run import FORMATS, Exported, check_format, export

__all__ = ["FORMATS", "Asked", "Exported", "check_format", "export"]
