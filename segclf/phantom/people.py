"""Who is drawn: everything about a case but its pixels."""

from dataclasses import dataclass
from math import sqrt

import numpy as np

from segclf.core.randomness import generator
from segclf.phantom.heads import COMBINED, HEADS, held_out_triples, kind_name
from segclf.phantom.settings import PhantomSettings, Split

FINDINGS: dict[str, tuple[float, float]] = {
    "lesion": (1.0, 1.0),
    "edema": (0.6, 3.0),
    "cyst": (-1.0, 1.0),
    "calcification": (1.6, 0.4),
}
"""Finding to its contrast and its area, both relative to the settings."""
_STEPS = [sqrt(prime) % 1 for prime in (5, 2, 3, 7, 11, 13)]


@dataclass(frozen=True)
class Person:
    """A patient of the phantom, and one image of theirs, before anything is drawn."""

    patient: int
    """Counts from 0 within the split."""
    sex: str
    site: str
    site_number: int
    age_years: int
    look: dict[str, int]
    """Category number per head, for all heads."""
    kind: int | None
    """Number of the category of `class_kind`; None without it."""
    labels: tuple[int, ...]
    """1 or 0 per finding."""
    tube: int
    """1 if the shortcut is in the image."""

    def classes(self, settings: PhantomSettings) -> dict[str, str]:
        """Category per exclusive head of the data set."""
        heads = list(HEADS)[: settings.n_heads]
        classes = {head: HEADS[head][0][self.look[head]] for head in heads}
        return classes if self.kind is None else classes | {"kind": kind_name(self.kind)}


def draw_person(settings: PhantomSettings, split: Split, index: int) -> Person:
    """The patient and the truth behind image `index` of `split`; see `draw_case`."""
    patient, image = divmod(index, settings.images_per_patient)
    of_patient = generator(settings.seed, split, patient, "patient")
    of_image = generator(settings.seed, split, patient, image, "image")
    share = _even_shares(settings.seed, split, patient)
    sites = list(settings.site)
    site = _pick(settings.site, share[1])
    labels = tuple(
        _draw_label(settings, share[2 + finding], of_image)
        for finding in range(settings.n_findings)
    )
    agrees = of_image.random() < settings.rho_of(split)
    return Person(
        patient=patient,
        sex=_pick(settings.sex, share[0]),
        site=site,
        site_number=sites.index(site),
        age_years=int(of_patient.integers(20, 90)),
        look=_draw_look(settings, split, of_patient),
        kind=_draw_kind(settings, split, of_patient),
        labels=labels,
        tube=labels[0] if agrees else 1 - labels[0],
    )


def _even_shares(seed: int, split: Split, patient: int) -> list[float]:
    """Numbers in [0, 1) that fill the range evenly as patients are added (Weyl sequences).

    Any number of patients has nearly the asked-for frequencies, and yet each of these numbers
    depends on its own patient alone.
    """
    start = generator(seed, split, "start").random(len(_STEPS))
    return [float((first + patient * step) % 1) for first, step in zip(start, _STEPS, strict=True)]


def _pick(shares: dict[str, float], share: float) -> str:
    edges = np.cumsum(list(shares.values()))
    return list(shares)[int(np.searchsorted(edges, share * edges[-1], side="right"))]


def _draw_label(settings: PhantomSettings, share: float, rng: np.random.Generator) -> int:
    """A patient has the finding or not; in one who has it, most images show it."""
    has_it = min(1.0, 1.25 * settings.prevalence)
    shows_it = rng.random() < settings.prevalence / has_it
    return int(share < has_it and shows_it)


def _draw_look(settings: PhantomSettings, split: Split, rng: np.random.Generator) -> dict[str, int]:
    drawn = dict(zip(HEADS, rng.integers(0, 3, len(HEADS)).tolist(), strict=True))
    look = {
        head: drawn[head] if number < settings.n_heads else default
        for number, (head, (_, default)) in enumerate(HEADS.items())
    }
    first, second, third = COMBINED
    triple = (look[first], look[second], look[third])
    if split != "test" and triple in held_out_triples(settings.n_held_out):
        look[third] = look[first]
    return look


def _draw_kind(settings: PhantomSettings, split: Split, rng: np.random.Generator) -> int | None:
    if not settings.n_classes:
        return None
    known = settings.n_classes - (settings.n_unseen if split != "test" else 0)
    return int(rng.random() * known)
