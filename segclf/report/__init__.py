"""Rows to tables and figures, and one self-contained HTML page."""

from segclf.report.compare_page import write_comparison
from segclf.report.content import GalleryItem, Plane, ReportContent, planes_of
from segclf.report.gallery import ErrorFacts, explain_error, pick_errors
from segclf.report.page import write_report

__all__ = [
    "ErrorFacts",
    "GalleryItem",
    "Plane",
    "ReportContent",
    "explain_error",
    "pick_errors",
    "planes_of",
    "write_comparison",
    "write_report",
]
