"""Case tables: read a manifest, check its files, split its patients."""

from segclf.manifest.check import CheckReport, check_manifest
from segclf.manifest.images import folder_table, image_cases
from segclf.manifest.pairs import read_pairs
from segclf.manifest.parts import read_fold_file
from segclf.manifest.records import CaseTable, Problem
from segclf.manifest.sources import write_side_table
from segclf.manifest.split import cases_of, deal, make_split, patient_labels
from segclf.manifest.table import read_manifest
from segclf.manifest.text import check_text, split_text

__all__ = [
    "CaseTable",
    "CheckReport",
    "Problem",
    "cases_of",
    "check_manifest",
    "check_text",
    "deal",
    "folder_table",
    "image_cases",
    "make_split",
    "patient_labels",
    "read_fold_file",
    "read_manifest",
    "read_pairs",
    "split_text",
    "write_side_table",
]
