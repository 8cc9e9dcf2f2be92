"""Whole DICOM headers, parsed where files are decoded and handed on as files written anew.

Objects that refer to a series repeat what it says of the patient, so that this is the one place
that reads such fields. Pixels and private fields are left behind.
"""

from io import BytesIO
from pathlib import Path

import numpy as np

from segclf.io.dicom_open import reading
from segclf.io.dicom_series import series_files
from segclf.io.records import DicomHeaders, Limits, bad_file

ICON = (0x0088, 0x0200)
"""IconImageSequence: a picture in the header."""
MAX_HEADER_BYTES = 2**26
"""Of one file; that of an enhanced series of 10,000 frames has some 10 MB."""


def rewritten_headers(path: Path, _limits: Limits) -> DicomHeaders:
    """The headers of a file or series, by name of the files.

    Raises:
        CaseError: As `series_files`; `unreadable`; `too_large`.
    """
    from pydicom import dcmread
    from pydicom.uid import ExplicitVRLittleEndian

    written: list[bytes] = []
    with reading(path):
        for file in series_files(path):
            dataset = dcmread(file, stop_before_pixels=True)
            dataset.remove_private_tags()
            for tag in [each.tag for each in dataset if " or " in each.VR or each.tag == ICON]:
                del dataset[tag]  # values of pixels, whose meaning pixels would have to tell
            dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
            dataset.preamble = bytes(128)
            stream = BytesIO()
            dataset.save_as(stream, implicit_vr=False, little_endian=True)
            written.append(stream.getvalue())
            if len(written[-1]) > MAX_HEADER_BYTES:
                raise bad_file(
                    "too_large",
                    path,
                    f"a header of the series has {len(written[-1])} bytes.",
                    expected=f"at most {MAX_HEADER_BYTES} bytes",
                    fix="export the series again without what was put into its headers",
                )
    array = np.frombuffer(b"".join(written), np.uint8)
    return DicomHeaders(array, tuple(int(end) for end in np.cumsum([len(w) for w in written])))
