"""Measurements and decisions of one case as a DICOM SR document (TID 1500).

The document says what was measured and what a threshold makes of it. It is preliminary and
unverified, and its words are those of research (docs/wording.md): no diagnosis.
"""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from segclf import __version__
from segclf.export.codes import Code, label, private
from segclf.export.records import RESEARCH_ONLY, Measured
from segclf.export.seg import NAME, Maker, concept, equipment
from segclf.export.source import Source
from segclf.io.dicom_open import of_frame

if TYPE_CHECKING:
    from pydicom.dataset import Dataset, FileDataset

UNITS = {
    "mm2": Code("mm2", "UCUM", "square millimeter"),
    "mL": Code("ml", "UCUM", "milliliter"),
    "px": Code("{pixels}", "UCUM", "pixels"),
    "%": Code("%", "UCUM", "percent"),
    "": Code("1", "UCUM", "no units"),
}
SIZES = {
    "mm2": Code("42798000", "SCT", "Area"),
    "mL": Code("118565006", "SCT", "Volume"),
    "px": private("n_px", "Pixels of the mask"),
}
MEANINGS = {
    "tau": "mean probability of all pixels",
    "mean": "mean probability of all pixels",
    "max": "highest probability of a pixel",
    "topk": "mean probability of the top pixels",
    "largest_component": "pixels of the largest component",
}
"""What the score of a rule is, where few words say it."""
DECISIONS = {
    1.0: private("above", "Above the threshold"),
    0.0: private("not_above", "Not above the threshold"),
}
NO_DECISION = private("no_decision", "No decision: a value or threshold is missing")


def report(
    source: Source, seg: "Dataset | None", findings: Sequence[Measured], maker: Maker
) -> "Dataset":
    """The document: an image library, then a group of measurements for each finding.

    Args:
        source: The series.
        seg: Its segmentation; finding k is segment k + 1. None if no finding has a pixel.
        findings: What was measured.
        maker: What made the masks.
    """
    from highdicom import UID, sr
    from pydicom.sr.codedict import codes

    device = sr.DeviceObserverIdentifyingAttributes(
        uid=UID(), name=NAME, manufacturer_name=NAME, model_name=NAME, serial_number=maker.model
    )
    context = sr.ObservationContext(
        observer_device_context=sr.ObserverContext(
            observer_type=codes.DCM.Device, observer_identifying_attributes=device
        )
    )
    groups = [_group(source, seg, k, found, maker) for k, found in enumerate(findings, start=1)]
    content = sr.MeasurementReport(
        observation_context=context,
        procedure_reported=codes.SCT.ImagingProcedure,
        title=codes.DCM.ImagingMeasurementReport,
        imaging_measurements=groups,
        referenced_images=_library(source),
    )
    return sr.Comprehensive3DSR(
        evidence=[*source.datasets, *([] if seg is None else [seg])],
        content=content,
        is_complete=True,
        is_final=False,
        is_verified=False,
        series_description="Measurements by segclf (research use only)",
        **equipment("sr", maker),
    )


def _library(source: Source) -> "list[FileDataset] | None":
    """The images for the library, which may be left out; None if their headers lack its fields."""
    from highdicom.sr import ImageLibrary

    try:
        ImageLibrary(source.datasets[:1])
    except (AttributeError, IndexError, TypeError, ValueError):  # e.g. no PatientOrientation
        return None
    return source.datasets


def _group(
    source: Source, seg: "Dataset | None", number: int, found: Measured, maker: Maker
) -> Any:  # noqa: ANN401 (a template of highdicom)
    """Measurements of one finding, with its segment where that has a pixel."""
    from highdicom import UID, sr
    from pydicom.sr.codedict import codes

    common = {
        "tracking_identifier": sr.TrackingIdentifier(
            uid=UID(), identifier=label(found.score.finding)
        ),
        "finding_type": concept(found.code.kind),
        "finding_category": concept(found.code.category),
        "algorithm_id": sr.AlgorithmIdentification(
            name=NAME,
            version=__version__,
            parameters=[f"model {maker.model}", f"method {maker.method}", RESEARCH_ONLY],
            family=codes.DCM.ArtificialIntelligence,
        ),
        "measurements": _measurements(found, maker.method),
        "qualitative_evaluations": [_decision(found)],
    }
    frames = [] if seg is None else _frames_of(seg, number)
    if seg is None or not frames:
        return sr.MeasurementsAndQualitativeEvaluations(**common)
    if source.n_slices == 1:
        return sr.PlanarROIMeasurementsAndQualitativeEvaluations(
            referenced_segment=_frame(source, seg, frames[0], number), **common
        )
    series = sr.SourceSeriesForSegmentation(source.datasets[0].SeriesInstanceUID)
    segment = sr.ReferencedSegment(
        seg.SOPClassUID, seg.SOPInstanceUID, number, source_series=series
    )
    return sr.VolumetricROIMeasurementsAndQualitativeEvaluations(
        referenced_segment=segment, **common
    )


def _frame(source: Source, seg: "Dataset", frame: int, number: int) -> Any:  # noqa: ANN401
    """The frame of a segment, and the picture it was made from."""
    from highdicom import sr

    picture = source.datasets[0]
    is_multi_frame = "NumberOfFrames" in picture
    image = sr.SourceImageForSegmentation(
        picture.SOPClassUID, picture.SOPInstanceUID, [1] if is_multi_frame else None
    )
    segment = sr.ReferencedSegmentationFrame(
        seg.SOPClassUID, seg.SOPInstanceUID, frame, number, image
    )
    # A frame has one segment, and the standard wants the number of one of both (C.18.4).
    del segment[0].ReferencedSOPSequence[0].ReferencedSegmentNumber
    return segment


def _frames_of(seg: "Dataset", number: int) -> list[int]:
    """Numbers of the frames of a segment; a single segment is stated once for all frames."""
    groups = [
        of_frame(seg, index, "SegmentIdentificationSequence")
        for index in range(int(seg.NumberOfFrames))
    ]
    return [
        index
        for index, group in enumerate(groups, start=1)
        if group is not None and int(group.ReferencedSegmentNumber) == number
    ]


def _measurements(found: Measured, method: str) -> list[Any]:
    """The size of the mask and the numbers of the score table; what is not defined is left out."""
    from highdicom import sr

    row = found.score
    meaning = MEANINGS.get(method)
    score = f"Score by {method}: {meaning}" if meaning else f"Score by {method}"
    numbers = [
        (SIZES[found.unit], found.amount, found.unit),
        (private("t", "Probability above which a pixel is in the mask"), row.t, ""),
        (private("score", score), row.score, ""),
        (private("decision_value", "What is compared with the threshold"), row.decision_value,
         row.unit),
        (private("threshold", "Threshold of the decision"), row.threshold, row.unit),
        (private("probability", "Calibrated probability"), row.probability, ""),
    ]  # fmt: skip
    return [
        sr.Measurement(name=concept(name), value=float(value), unit=concept(UNITS[unit]))
        for name, value, unit in numbers
        if math.isfinite(value)
    ]


def _decision(found: Measured) -> Any:  # noqa: ANN401 (a template of highdicom)
    from highdicom import sr

    value = DECISIONS.get(found.score.decision, NO_DECISION)
    name = private("decision", "Decision at the threshold (research use)")
    return sr.QualitativeEvaluation(name=concept(name), value=concept(value))
