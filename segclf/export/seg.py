"""Masks of one case as a DICOM SEG object, one segment per finding, on the grid of its series."""

from collections.abc import Sequence
from copy import copy
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from segclf import __version__
from segclf.export.codes import PRIVATE, Code, FindingCode, label
from segclf.export.records import RESEARCH_ONLY
from segclf.export.source import Source

if TYPE_CHECKING:
    from highdicom.sr import CodedConcept
    from pydicom.dataset import Dataset

NAME = "segclf"
UTF8 = "ISO_IR 192"
LEVELS = 255
"""Steps of a FRACTIONAL segmentation: probability p is stored as p x 255, rounded."""
SERIES_NUMBER = {"seg": 8001, "sr": 8002}
"""Numbers that scanners do not reach."""


@dataclass(frozen=True)
class Maker:
    """What made the masks."""

    model: str
    """First digits of the SHA-256 of its weights."""
    method: str
    """The rule or summarizer that decides."""
    series_uids: dict[str, str]
    """UID of the new series of each kind: `seg` and `sr`."""


def equipment(kind: str, maker: Maker) -> dict[str, Any]:
    """What both kinds of object say of the program that made them."""
    from highdicom import UID

    return {
        "series_instance_uid": maker.series_uids[kind],
        "series_number": SERIES_NUMBER[kind],
        "sop_instance_uid": UID(),
        "instance_number": 1,
        "manufacturer": NAME,
        "manufacturer_model_name": NAME,
        "software_versions": __version__,
        "device_serial_number": maker.model,
        "specific_character_set": UTF8,
        "coding_schemes": [_scheme()],
    }


def segmentation(
    source: Source,
    maps: np.ndarray,
    findings: Sequence[str],
    codes: Sequence[FindingCode],
    maker: Maker,
) -> "Dataset | None":
    """The object, segment k + 1 being finding k; None if no pixel of any finding is above 0.

    Frames without a pixel are left out. Segments may overlap.

    Args:
        source: The series.
        maps: (finding, *space) on its grid: bool gives a BINARY segmentation, probabilities a
            FRACTIONAL one.
        findings: Names of the findings; they become labels.
        codes: What they are called.
        maker: What made the masks.
    """
    from highdicom.seg import Segmentation, SegmentDescription

    planes = source.planes(maps)
    is_binary = planes.dtype == bool
    stored = planes if is_binary else np.rint(planes * LEVELS)
    if not stored.any():
        return None
    described = [
        SegmentDescription(
            segment_number=number,
            segment_label=label(finding),
            segmented_property_category=concept(code.category),
            segmented_property_type=concept(code.kind),
            algorithm_type="AUTOMATIC",
            algorithm_identification=_algorithm(maker),
            tracking_uid=None,
            tracking_id=None,
        )
        for number, (finding, code) in enumerate(zip(findings, codes, strict=True), start=1)
    ]
    made = Segmentation(
        source_images=[_with_thickness(dataset) for dataset in source.datasets],
        pixel_array=planes.astype(np.uint8) if is_binary else planes.astype(np.float32),
        segmentation_type="BINARY" if is_binary else "FRACTIONAL",
        segment_descriptions=described,
        max_fractional_value=LEVELS,
        content_label="SEGCLF",
        content_description=RESEARCH_ONLY,
        series_description="Masks by segclf (research use only)",
        pixel_measures=_measures(source),
        **equipment("seg", maker),
    )
    if "SliceThickness" not in source.datasets[0] and source.n_slices == 1:
        for shared in made.SharedFunctionalGroupsSequence:
            for measures in shared.get("PixelMeasuresSequence", ()):
                measures.pop("SliceThickness", None)
    if "FrameOfReferenceUID" not in made:  # then the standard asks how the picture is held
        made.PatientOrientation = source.datasets[0].get("PatientOrientation") or ""
    return made


def concept(code: Code) -> "CodedConcept":
    """A code as highdicom has it."""
    from highdicom.sr import CodedConcept

    return CodedConcept(value=code.value, scheme_designator=code.scheme, meaning=code.meaning)


def _algorithm(maker: Maker) -> Any:  # noqa: ANN401 (a sequence of highdicom)
    from highdicom import AlgorithmIdentificationSequence
    from pydicom.sr.codedict import codes

    return AlgorithmIdentificationSequence(
        name=NAME,
        family=codes.DCM.ArtificialIntelligence,
        version=__version__,
        source=NAME,
        parameters={"model": maker.model, "note": RESEARCH_ONLY},
    )


def _with_thickness(dataset: "Dataset") -> "Dataset":
    """The header, or a copy with the thickness that highdicom reads and never writes."""
    if "SliceThickness" in dataset:
        return dataset
    dataset = copy(dataset)
    dataset.SliceThickness = 1
    return dataset


def _measures(source: Source) -> Any:  # noqa: ANN401 (a sequence of highdicom, or None)
    """Spacing of a series with that of its slices, which files state seldom and not always well."""
    from highdicom import PixelMeasuresSequence

    first, affine = source.datasets[0], source.header.stored_affine
    if len(source.datasets) == 1 or affine is None:
        return None  # taken from the file
    columns, rows, step = (float(length) for length in np.linalg.norm(affine[:3, :3], axis=0))
    thickness = float(first.get("SliceThickness") or 0) or step
    return PixelMeasuresSequence((rows, columns), thickness, spacing_between_slices=step)


def _scheme() -> Any:  # noqa: ANN401 (an item of highdicom)
    from highdicom.coding_schemes import CodingSchemeIdentificationItem

    return CodingSchemeIdentificationItem(
        designator=PRIVATE, name="Codes of segclf", responsible_organization=NAME
    )
