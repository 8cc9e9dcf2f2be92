"""The phantom as ordinary files: images, masks, a manifest and a recipe."""

import csv
import io
from pathlib import Path

from segclf.core.atomic import write_text
from segclf.io import write_image, write_mask
from segclf.phantom.cases import PhantomCase, draw_case, finding_names
from segclf.phantom.recipe import recipe_text
from segclf.phantom.settings import SPLITS, PhantomSettings


def write_phantom(folder: Path, settings: PhantomSettings) -> Path:
    """The manifest of a phantom data set that is written into `folder`.

    Images are 8-bit grey PNG, or NIfTI in 3D; masks hold 0 and 255 (PNG) or 0 and 1 (NIfTI).
    `recipe.yaml` beside the manifest is written last: where it is, the data are complete.

    Args:
        folder: Made if it is not there; files of the same names are replaced.
        settings: The knobs of the data set.
    """
    rows = []
    for split in SPLITS:
        for index in range(getattr(settings.n_cases, split)):
            case = draw_case(settings, split, index)
            rows.append(_write_case(folder, settings, case))
    text = io.StringIO()
    writer = csv.DictWriter(text, fieldnames=list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    manifest = folder / "manifest.csv"
    write_text(manifest, text.getvalue())
    write_text(folder / "recipe.yaml", recipe_text(settings, name=folder.resolve().name))
    return manifest


def _write_case(folder: Path, settings: PhantomSettings, case: PhantomCase) -> dict[str, str | int]:
    """Write the files of a case; returns its row of the manifest."""
    suffix = ".nii.gz" if settings.spatial_dims == 3 else ".png"
    findings = finding_names(settings)
    ends = [""] if len(findings) == 1 else [f"_{finding}" for finding in findings]
    row: dict[str, str | int] = {"case_id": case.case_id}
    row["image"] = f"images/{case.case_id}{suffix}"
    write_image(folder / row["image"], case.image, spacing_mm=settings.spacing_mm)
    for number, end in enumerate(ends):
        row[f"mask{end}"] = ""
        if case.has_mask[number]:
            name = row[f"mask{end}"] = f"masks/{case.case_id}{end}{suffix}"
            mask = case.masks[number] * (1 if settings.spatial_dims == 3 else 255)  # visible
            write_mask(folder / name, mask, spacing_mm=settings.spacing_mm)
    for number, end in enumerate(ends):
        row[f"label{end}"] = case.labels[number] if case.has_label[number] else ""
    if settings.spatial_dims == 2:  # NIfTI says it itself
        row["spacing_mm"] = "x".join(f"{mm:g}" for mm in settings.spacing_mm)
    row |= {"patient_id": case.patient_id, "split": case.split, **case.metadata, "tube": case.tube}
    return row | {
        f"class_{head}": category if case.has_class[head] else ""
        for head, category in case.classes.items()
    }
