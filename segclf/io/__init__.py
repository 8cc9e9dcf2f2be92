"""Image and mask files: one table of formats, sizes checked before memory is taken."""

from segclf.io.files import (
    FORMATS,
    format_of,
    probe,
    read_image,
    read_mask,
    suffix_of,
    write_image,
    write_mask,
)
from segclf.io.nifti import turn_like
from segclf.io.original import on_stored_grid
from segclf.io.paths import confine, confiner
from segclf.io.placing import placed_on
from segclf.io.records import (
    DEFAULT_LIMITS,
    Format,
    Header,
    Limits,
    Picture,
    bad_file,
    check_size,
    decoding,
)
from segclf.io.soft import read_soft_mask

__all__ = [
    "DEFAULT_LIMITS",
    "FORMATS",
    "Format",
    "Header",
    "Limits",
    "Picture",
    "bad_file",
    "check_size",
    "confine",
    "confiner",
    "decoding",
    "format_of",
    "on_stored_grid",
    "placed_on",
    "probe",
    "read_image",
    "read_mask",
    "read_soft_mask",
    "suffix_of",
    "turn_like",
    "write_image",
    "write_mask",
]
