"""Which cases of a run are no longer judged once images were enrolled, and why."""

import hashlib
from collections.abc import Sequence

import numpy as np

from segclf.core.config import Recipe
from segclf.core.errors import CaseError
from segclf.core.records import Case
from segclf.data import read_case

ENROLLED, PATIENT = "enrolled", "patient of an enrolled image"
IMAGE = "same image as an enrolled one"
CLOSE = 1 - 1e-3
"""Images that are less similar are not the same; rounding, also of bf16, changes less."""


def cases_that_leave(
    held: Sequence[Case],
    vectors: np.ndarray,
    images: Sequence[Case],
    image_vectors: np.ndarray,
    recipe: Recipe,
) -> dict[str, str]:
    """Case id to reason, for each held case that the enrolled images give away.

    These are the enrolled cases themselves, all cases of their patients, and cases that show the
    same image under another name or in another file format. An enrolled case is of the patient that
    its own table names, and of the one that the run names for its case id.

    Args:
        held: The val and test cases of the run.
        vectors: (case, dim) their embeddings, norm 1.
        images: What is enrolled.
        image_vectors: (image, dim) their embeddings, norm 1.
        recipe: How images are prepared: two are the same if the network sees the same.
    """
    ids = {case.case_id for case in images}
    patients = {case.patient_id for case in images}
    patients |= {case.patient_id for case in held if case.case_id in ids}
    nearest = (vectors @ image_vectors.T).max(axis=1, initial=-1.0)
    seen = {_content(case, recipe) for case in images} if (nearest > CLOSE).any() else set()
    leave = {}
    for case, similarity in zip(held, nearest, strict=True):
        if case.case_id in ids:
            leave[case.case_id] = ENROLLED
        elif case.patient_id in patients:
            leave[case.case_id] = PATIENT
        elif similarity > CLOSE and _content(case, recipe) in (*seen, None):
            leave[case.case_id] = IMAGE
    return leave


def _content(case: Case, recipe: Recipe) -> str | None:
    """Hash of what the network sees; None if the image is gone, and nobody can tell."""
    try:
        image = np.ascontiguousarray(read_case(case, recipe, with_target=False).image)
    except CaseError:
        return None
    return hashlib.sha256(f"{image.shape}".encode() + image.tobytes()).hexdigest()
