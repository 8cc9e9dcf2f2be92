"""One case as DICOM: `seg.dcm` with its masks and `sr.dcm` with its measurements."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from segclf.core.atomic import atomic_path
from segclf.export.codes import finding_code
from segclf.export.records import Prediction, measured
from segclf.export.seg import Maker, segmentation
from segclf.export.source import find_source, read_source, writing
from segclf.export.sr import report
from segclf.io import probe

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

SEG, SR = "seg.dcm", "sr.dcm"


@dataclass(frozen=True)
class DicomWriter:
    """Writes cases; what it holds is the same for all of them."""

    model_sha256: str
    method: str
    codes: dict[str, str] = field(default_factory=dict)
    """`export.codes` of the recipe."""
    series: Path | None = None
    """Folder of the series, each called like its case; None is the cases' own images."""
    fractional: bool = False

    def __call__(self, folder: Path, found: Prediction) -> tuple[list[str], list[dict[str, Any]]]:
        """Write the objects of one case; returns names and rows of the index.

        Without a pixel in any finding there is no `seg.dcm`, since a segmentation has to hold
        something; `sr.dcm` says that nothing was found.

        Raises:
            CaseError: There is no series that fits, or none that DICOM objects can refer to.
        """
        case, names = found.job.case, [score.finding for score in found.job.scores]
        path = find_source(case.case_id, case.images[0], self.series)
        source = read_source(path, probe(case.images[0]))
        codes = [finding_code(name, self.codes) for name in names]
        spacing_mm = source.header.spacing_mm or found.spacing_mm
        sizes = [
            measured(score, code, mask, spacing_mm)
            for score, code, mask in zip(found.job.scores, codes, found.mask, strict=True)
        ]
        maps = found.probability if self.fractional else found.mask
        with writing(path):
            maker = self._maker()
            seg = segmentation(source, maps, names, codes, maker)
            sr = report(source, seg, sizes, maker)
            written = [SR] if seg is None else [SEG, SR]
            if seg is not None:
                _save(seg, folder / SEG)
            _save(sr, folder / SR)
        place = None if seg is None else f"{folder.name}/{SEG}"
        rows = [
            {**size.row(), "seg": place, "segment": None if seg is None else number,
             "sr": f"{folder.name}/{SR}"}
            for number, size in enumerate(sizes, start=1)
        ]  # fmt: skip
        return written, rows

    def _maker(self) -> Maker:
        from highdicom import UID

        uids = {kind: str(UID()) for kind in ("seg", "sr")}
        return Maker(self.model_sha256[:12], self.method, uids)


def _save(dataset: "Dataset", path: Path) -> None:
    with atomic_path(path) as part:
        dataset.save_as(part)
