"""A folder of images as cases of which nothing is known."""

from pathlib import Path

from segclf.core.errors import DataError
from segclf.core.records import Case, MaskSource, MaskState
from segclf.core.runs import shown
from segclf.io import FORMATS, suffix_of


def image_cases(folder: Path, n_findings: int) -> list[Case]:
    """A case for each image in a folder, by name; nothing is known of it.

    Args:
        folder: Files of other kinds are passed over, and so are folders in it.
        n_findings: Findings of the run.

    Raises:
        DataError: There is no image, or two have the same stem.
    """
    paths = sorted(path for path in folder.iterdir() if suffix_of(path) in FORMATS)
    cases = [
        Case(
            case_id=path.name.removesuffix(suffix_of(path)),
            images=(path.resolve(),),
            masks=(MaskSource(MaskState.UNKNOWN),) * n_findings,
            labels=(float("nan"),) * n_findings,
            patient_id=path.name,
        )
        for path in paths
    ]
    ids = [case.case_id for case in cases]
    if len(set(ids)) < len(ids) or not ids:
        twice = next((name for name in ids if ids.count(name) > 1), None)
        raise DataError(
            f"the folder has two images called {twice!r}."
            if twice
            else "the folder has no image that can be read.",
            where=f"--images {shown(folder)}",
            expected=f"images, each with a name of its own: {', '.join(sorted(FORMATS))}",
            fix="rename one of them" if twice else "choose another folder, or a manifest",
        )
    return cases
