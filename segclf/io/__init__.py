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
from segclf.io.slices import plane_affine, plane_axes, plane_of, read_volume, volume_of
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
    "placed_on",
    "plane_affine",
    "plane_axes",
    "plane_of",
    "probe",
    "read_image",
    "read_mask",
    "read_soft_mask",
    "read_volume",
    "suffix_of",
    "turn_like",
    "volume_of",
    "write_image",
    "write_mask",
]
