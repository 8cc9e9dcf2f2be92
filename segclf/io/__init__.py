"""Image and mask files: one table of formats, sizes checked before memory is taken."""

from segclf.io.dicom_series import DICOM_SUFFIXES, OF_FILE, series_folder
from segclf.io.files import (
    FORMATS,
    format_of,
    identify,
    probe,
    read_image,
    read_mask,
    stem_of,
    suffix_of,
    whole_headers,
    write_image,
    write_mask,
)
from segclf.io.original import on_stored_grid
from segclf.io.paths import confine, confiner
from segclf.io.placing import Grid, check_grid, grid_of, mask_on, placed_on
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
from segclf.io.stamps import file_stamp
from segclf.io.turning import turn_like

__all__ = [
    "DEFAULT_LIMITS",
    "DICOM_SUFFIXES",
    "FORMATS",
    "OF_FILE",
    "Format",
    "Grid",
    "Header",
    "Limits",
    "Picture",
    "bad_file",
    "check_grid",
    "check_size",
    "confine",
    "confiner",
    "decoding",
    "file_stamp",
    "format_of",
    "grid_of",
    "identify",
    "mask_on",
    "on_stored_grid",
    "placed_on",
    "plane_affine",
    "plane_axes",
    "plane_of",
    "probe",
    "read_image",
    "read_mask",
    "read_soft_mask",
    "read_volume",
    "series_folder",
    "stem_of",
    "suffix_of",
    "turn_like",
    "volume_of",
    "whole_headers",
    "write_image",
    "write_mask",
]
