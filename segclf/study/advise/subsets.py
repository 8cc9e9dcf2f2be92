"""Fewer masks or labels than there are: nested subsets of whole patients, as if never drawn.

A subset is the beginning of a row of patients that depends on the seed and the number of the
subset alone, so a smaller share is always inside a larger one.
"""

import os
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd

from segclf.core.atomic import hash_of, write_text
from segclf.core.config import recipe_yaml
from segclf.core.randomness import generator
from segclf.core.records import Case, MaskSource, MaskState
from segclf.manifest import CaseTable, cases_of
from segclf.manifest.columns import resolve_columns
from segclf.manifest.sources import parse_table, read_bytes
from segclf.study.advise.drawn import costly_masks

TRAIN, VAL = "train", "val"
Rows = Mapping[str, Sequence[Case]]
"""Patients in the order in which they enter subsets, with their cases."""


@dataclass(frozen=True)
class Subset:
    """Which masks and labels a training may use."""

    table: CaseTable
    blanked: frozenset[str]
    """Ids of the cases whose masks are blank."""
    unlabelled: frozenset[str]
    """Ids of the training cases whose labels are blank as well."""
    n_masks: Mapping[str, int]
    """Per part, cases whose mask stays and had to be drawn: its label does not say 'empty'."""
    n_labels: int
    """Training cases that keep a known label."""


def keep_subset(
    table: CaseTable,
    split: pd.DataFrame,
    share: float,
    seed: int,
    *,
    number: int = 0,
    fold: int | None = None,
    labels: float = 1.0,
) -> Subset:
    """A share of the masks of training and validation cases; the others are blank.

    Patients stand in a row in which those with the same findings drawn are spread evenly. Each
    part keeps the first patients whose masks had to be drawn until the share is reached, at least
    one. All other patients of the two parts lose every mask; where a label is 0 a blank mask is
    empty, as in every manifest. Labels stay, and so do test cases. The full share is the table.

    Args:
        table: All cases.
        split: From `make_split`.
        share: Of the masks of each part that had to be drawn, above 0 and at most 1.
        seed: Of the recipe.
        number: Which of several subsets of a size.
        fold: The fold whose parts are meant, with folds.
        labels: Share of the labelled training cases that keep their labels; those with masks
            always do. Validation labels stay, since they measure.

    Raises:
        ValueError: A share is not above 0 and at most 1.
    """
    for name, value in (("share", share), ("labels", labels)):
        if not 0 < value <= 1:
            raise ValueError(f"{name} must be above 0 and at most 1: got {value!r}.")
    costly = costly_masks(table)
    blanked: set[str] = set()
    unlabelled: set[str] = set()
    n_masks: dict[str, int] = {}
    n_labels = 0
    for part in (TRAIN, VAL):
        rows = _rows(cases_of(table, split, part, fold), costly, seed, part, number)
        n_drawn = {p: sum(c.case_id in costly for c in own) for p, own in rows.items()}
        kept = _first(n_drawn, share)
        n_masks[part] = sum(n_drawn[p] for p in kept)
        if n_masks[part] < sum(n_drawn.values()):
            blanked |= {c.case_id for p in rows if p not in kept for c in rows[p]}
        if part == TRAIN:
            n_known = {p: sum(_is_labelled(c) for c in own) for p, own in rows.items()}
            named = _first(n_known, labels) | kept if labels < 1 else {*rows}
            unlabelled = {c.case_id for p in rows if p not in named for c in rows[p]}
            n_labels = sum(n_known[p] for p in named)
    changed = _blank(table, blanked | unlabelled, unlabelled)
    return Subset(
        changed, frozenset(blanked | unlabelled), frozenset(unlabelled), n_masks, n_labels
    )


def write_subset(subset: Subset, manifest: Path, folder: Path) -> Path:
    """The recipe of a data set of its own, in which the blanked masks and labels do not exist.

    Its manifest has the rows and columns of the old one, so that whatever reads it, also again,
    finds the same few masks. Images and masks stay where they are.

    Args:
        subset: From `keep_subset`.
        manifest: That the table was read from; without side tables.
        folder: Gets `manifest.csv` and `recipe.yaml`.

    Raises:
        ValueError: The table has side tables, which could bring blanked masks back.
    """
    table = subset.table
    recipe = table.recipe
    if recipe.side_tables:
        raise ValueError(f"side tables are not written as a subset: {recipe.side_tables}.")
    raw = parse_table(read_bytes(manifest), manifest.name)
    layout = resolve_columns(list(raw.columns), recipe)
    row_of = {case.case_id: row for case, row in zip(table.cases, table.rows, strict=True)}
    place = {row: index for index, row in enumerate(raw.rows)}
    cells = {header: list(texts) for header, texts in raw.columns.items()}
    masks = [*layout.masks.values(), *([layout.shared_mask] if layout.shared_mask else [])]
    for ids, headers in ((subset.blanked, masks), (subset.unlabelled, layout.labels.values())):
        for index in (place[row_of[case_id]] for case_id in ids):
            for header in headers:
                cells[header][index] = ""
    text = pd.DataFrame(cells, dtype=str).to_csv(index=False, lineterminator="\n")
    write_text(folder / "manifest.csv", text)
    root = os.path.relpath(table.root, folder)
    changes = {"manifest": "manifest.csv", "data_root": root}
    write_text(folder / "recipe.yaml", recipe_yaml(recipe.model_copy(update=changes)))
    return folder / "recipe.yaml"


def _rows(
    cases: Sequence[Case], costly: Mapping[str, tuple[int, ...]], seed: int, part: str, number: int
) -> dict[str, list[Case]]:
    """Patients of a part in the order of subsets: every stratum spread evenly, each shuffled."""
    own: dict[str, list[Case]] = defaultdict(list)
    for case in cases:
        own[case.patient_id].append(case)
    strata: dict[tuple[int, ...], list[str]] = defaultdict(list)
    for patient in sorted(own):
        found = {k for case in own[patient] for k in costly.get(case.case_id, ())}
        strata[tuple(sorted(found))].append(patient)
    places = []
    for stratum, members in sorted(strata.items()):
        draw = generator(seed, "subset", number, part, *stratum)
        order = draw.permutation(len(members))
        offset = draw.random()
        places += [((i + offset) / len(members), members[m]) for i, m in enumerate(order)]
    return {patient: own[patient] for _, patient in sorted(places)}


def _first(weights: Mapping[str, int], share: float) -> set[str]:
    """The first patients with a weight that together reach the share; at least one, if any has."""
    bearing = [patient for patient, weight in weights.items() if weight]
    reached = np.cumsum([weights[patient] for patient in bearing])
    if not bearing:
        return set()
    n = int(np.searchsorted(reached, share * reached[-1] - 1e-9)) + 1
    return set(bearing[:n])


def _is_labelled(case: Case) -> bool:
    return any(label in (0.0, 1.0) for label in case.labels)


def _blank(table: CaseTable, masks: set[str], labels: set[str]) -> CaseTable:
    """The table as it would be read from a manifest with these cells blank."""
    if not masks:
        return table
    unknown = (np.nan,) * len(table.findings)
    cases, files = [], []
    for case, own in zip(table.cases, table.mask_files or ((),) * len(table.cases), strict=True):
        if case.case_id in masks:
            case_labels = unknown if case.case_id in labels else case.labels
            sources = zip(case.masks, case_labels, strict=True)
            blank = tuple(_without(source, label) for source, label in sources)
            case, own = replace(case, masks=blank, labels=case_labels), ()
        cases.append(case)
        files.append(own)
    frame = table.frame
    if labels:
        names = [f"label_{finding}" for finding in table.findings]
        frame = frame.copy()
        frame.loc[frame["case_id"].isin(sorted(labels)), names] = np.nan
    return replace(
        table,
        cases=tuple(cases),
        frame=frame,
        mask_files=tuple(files),
        sha256=hash_of([table.sha256, sorted(masks), sorted(labels)]),
    )


def _without(source: MaskSource, label: float) -> MaskSource:
    if source.state is MaskState.EMPTY and not np.isnan(label):
        return source
    return MaskSource(MaskState.EMPTY if label == 0 else MaskState.UNKNOWN)
