"""One case of the phantom: its pixels, its truth, and its row of the manifest."""

from dataclasses import dataclass

import numpy as np

from segclf.core.randomness import generator
from segclf.phantom.people import FINDINGS, draw_person
from segclf.phantom.picture import draw_picture
from segclf.phantom.settings import SPLITS, PhantomSettings, Split

SIZES = {"small": 0.003, "medium": 0.01, "large": 1.0}
"""Size of the target to the share of the image that it stays below."""


@dataclass(frozen=True)
class PhantomCase:
    """A case with its whole truth; what the manifest leaves blank is still here."""

    case_id: str
    patient_id: str
    split: Split
    image: np.ndarray
    """(1, *space) uint8."""
    masks: np.ndarray
    """(finding, *space) uint8, 1 inside the finding."""
    labels: tuple[int, ...]
    """1 or 0 per finding."""
    has_mask: tuple[bool, ...]
    """Per finding: a mask file is written. Nobody draws the empty mask of a negative."""
    has_label: tuple[bool, ...]
    """Per finding: the manifest states the label."""
    tube: int
    """1 if the shortcut is in the image."""
    classes: dict[str, str]
    """Category per exclusive head."""
    has_class: dict[str, bool]
    """Per exclusive head: the manifest states the category."""
    metadata: dict[str, str | int]
    """`sex`, `site`, `age_years`, and `target_size`, which is blank without a finding."""


def finding_names(settings: PhantomSettings) -> tuple[str, ...]:
    """Names of the findings of the data set."""
    return tuple(FINDINGS)[: settings.n_findings]


def draw_case(settings: PhantomSettings, split: Split, index: int) -> PhantomCase:
    """Case `index` of `split`, pixels and truth.

    It depends on nothing but its arguments, and not on `settings.n_cases`: every part is drawn
    from a stream of its own, so that for instance another rho changes which images hold the
    tube, and nothing else.

    Args:
        settings: The knobs of the data set.
        split: train, val or test.
        index: Number of the image within the split, from 0.

    Raises:
        ValueError: There is no such split, or `index` is negative.
    """
    if split not in SPLITS or index < 0:
        raise ValueError(f"split = {split!r} and index = {index}: need one of {SPLITS}, and >= 0")
    person = draw_person(settings, split, index)
    image, masks = draw_picture(settings, split, index, person)
    lost_mask, lost_label = _draw_lost(settings, split, index)
    classes = person.classes(settings)
    lost_class = _draw_lost_classes(settings, split, index, len(classes))
    return PhantomCase(
        case_id=f"{split}{index:05d}",
        patient_id=f"P{SPLITS.index(split)}{person.patient:05d}",
        split=split,
        image=image[None],
        masks=masks,
        labels=person.labels,
        has_mask=tuple(
            bool(label) and not lost for label, lost in zip(person.labels, lost_mask, strict=True)
        ),
        has_label=tuple(not lost for lost in lost_label),
        tube=person.tube,
        classes=classes,
        has_class={head: not lost for head, lost in zip(classes, lost_class, strict=True)},
        metadata={
            "sex": person.sex,
            "site": person.site,
            "age_years": person.age_years,
            "target_size": target_size(masks),
        },
    )


def target_size(masks: np.ndarray) -> str:
    """`small` (under 0.3 % of the image), `medium` or `large` (1 % and more); blank if empty.

    Args:
        masks: (finding, *space), not 0 inside a finding; the findings count together.
    """
    share = masks.any(axis=0).mean()
    return next(size for size, below in SIZES.items() if share < below) if share else ""


def _draw_lost(settings: PhantomSettings, split: Split, index: int) -> np.ndarray:
    """(2, finding) bool: the mask, and the label, is left out; only in training cases."""
    rng = generator(settings.seed, split, index, "missing")
    shares = np.array([[settings.missing_masks], [settings.missing_labels]])
    return (rng.random((2, settings.n_findings)) < shares) & (split == "train")


def _draw_lost_classes(
    settings: PhantomSettings, split: Split, index: int, n_heads: int
) -> np.ndarray:
    """(head,) bool: the category is left out; only in training cases."""
    rng = generator(settings.seed, split, index, "missing classes")
    return (rng.random(n_heads) < settings.missing_labels) & (split == "train")
