"""Data sets of other tools and contests to a manifest, and back to the layout of nnU-Net."""

from segclf.importers.record import Job, LeftOut, Made, Mapping, Options
from segclf.importers.run import import_data, import_text
from segclf.importers.table import IMPORTERS, Importer

__all__ = [
    "IMPORTERS",
    "Importer",
    "Job",
    "LeftOut",
    "Made",
    "Mapping",
    "Options",
    "import_data",
    "import_text",
]
