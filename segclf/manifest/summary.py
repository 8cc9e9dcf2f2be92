"""What a checked data set looks like, as plain data: counts, prevalence, areas, groups, roles."""

from collections import Counter, defaultdict
from collections.abc import Sequence
from typing import Any

import numpy as np

from segclf.core.records import MaskState
from segclf.manifest.examine import Examined
from segclf.manifest.records import CaseTable
from segclf.manifest.split import patient_labels
from segclf.manifest.suggest import MAX_CATEGORIES, Answer, suggest_roles
from segclf.manifest.values import values_of

QUANTILES = {
    "min": 0.0, "q05": 0.05, "q25": 0.25, "median": 0.5, "q75": 0.75, "q95": 0.95, "max": 1.0,
}  # fmt: skip
MAX_PIXEL_VALUES = 10
STRUCTURE = (
    "case_id", "patient_id", "split", "fold", "volume_id", "slice_index", "mask_source",
    "mask_kind",
)  # fmt: skip


def summarize_table(table: CaseTable, seen: Sequence[Examined]) -> dict[str, Any]:
    """Counts and distributions of the cases of `table`, which were examined in its order."""
    columns = _metadata(table)
    suggested = suggest_roles(table.frame, columns, _answers(table, seen))
    return {
        "n_cases": len(table.cases),
        "n_patients": len({case.patient_id for case in table.cases}),
        "findings": _findings(table, seen),
        "images": _images(table, seen),
        "parts": _parts(table),
        "groups": {column: _group(table, column) for column in columns},
        "roles": dict(table.roles),
        "suggested_roles": {
            column: {"role": suggestion.role, "because": suggestion.because}
            for column, suggestion in suggested.items()
        },
    }


def _metadata(table: CaseTable) -> list[str]:
    labels = {f"label_{finding}" for finding in table.findings}
    of_masks = ("mask_kind_", "mask_source_")
    return [
        str(c)
        for c in table.frame.columns
        if c not in STRUCTURE and c not in labels and not str(c).startswith(of_masks)
    ]


def _findings(table: CaseTable, seen: Sequence[Examined]) -> dict[str, Any]:
    """Per finding: known labels, prevalence, mask states and kinds, areas.

    Masks of networks are counted apart from those of people, and have no part in areas.
    """
    patients = patient_labels(table)
    result = {}
    for k, finding in enumerate(table.findings):
        labels = np.array([case.labels[k] for case in table.cases])
        by_patient = np.array([labels[k] for labels in patients.values()])
        sources = [case.masks[k] for case in table.cases]
        states = Counter(source.state for source in sources if not source.is_pseudo)
        kinds = Counter(s.kind for s in sources if s.state is MaskState.DRAWN and not s.is_pseudo)
        pseudo = Counter(s.kind for s in sources if s.is_pseudo)
        result[finding] = {
            "n_positive": int((labels == 1).sum()),
            "n_negative": int((labels == 0).sum()),
            "n_unknown": int(np.isnan(labels).sum()),
            "prevalence": _share(labels),
            "n_positive_patients": int((by_patient == 1).sum()),
            "n_negative_patients": int((by_patient == 0).sum()),
            "prevalence_patients": _share(by_patient),
            "masks": {state.value: states[state] for state in MaskState},
            "mask_kinds": {kind.value: n for kind, n in sorted(kinds.items())},
            "pseudo_masks": {kind.value: n for kind, n in sorted(pseudo.items())},
            "area_fraction": _areas(k, seen),
        }
    return result


def _share(labels: np.ndarray) -> float | None:
    known = labels[~np.isnan(labels)]
    return float(known.mean()) if len(known) else None


def _areas(k: int, seen: Sequence[Examined]) -> dict[str, Any]:
    """Quantiles of the share of the image that is positive, among cases with any."""
    shares = [
        examined.area_px[k] / np.prod(examined.shape[1:])
        for examined in seen
        if examined.shape is not None and examined.area_px[k] > 0
    ]
    quantiles = {name: float(np.quantile(shares, q)) for name, q in QUANTILES.items() if shares}
    return {"n": len(shares), **quantiles}


def _images(table: CaseTable, seen: Sequence[Examined]) -> dict[str, Any]:
    """How many images have which shape, type and spacing; the most frequent ones.

    The spacing is that of the file, else of the manifest, as for training.
    """
    read = [examined for examined in seen if examined.shape is not None]
    shapes = Counter(" x ".join(map(str, (e.shape or ())[1:])) for e in read)
    spacings = Counter(
        " x ".join(f"{mm:.4g}" for mm in e.spacing_mm or case.spacing_mm or ()) or "none"
        for case, e in zip(table.cases, seen, strict=True)
        if e.shape is not None
    )
    return {
        "n_read": len(read),
        "n_shapes": len(shapes),
        "shapes": dict(shapes.most_common(5)),
        "channels": dict(Counter(str((e.shape or (0,))[0]) for e in read)),
        "dtypes": dict(Counter(e.dtype for e in read)),
        "spacing_mm": dict(spacings.most_common(5)),
    }


def _parts(table: CaseTable) -> dict[str, dict[str, int]]:
    """Cases per split and fold of the manifest."""
    parts = {}
    for column in ("split", "fold"):
        if column in table.frame:
            values = values_of(table.frame, column)
            counts = Counter(values.codes.tolist())
            parts[column] = {name: counts[code] for code, name in enumerate(values.names)}
    return parts


def _group(table: CaseTable, column: str) -> dict[str, Any]:
    """Counts of a column's values, or the range of a number with many."""
    values = values_of(table.frame, column)
    known = values.codes[values.codes >= 0]
    blank = {"n_blank": len(values.codes) - len(known), "n_values": len(values.names)}
    is_number = values.numbers is not None
    if len(values.names) <= (MAX_CATEGORIES // 2 if is_number else MAX_CATEGORIES):
        counts = Counter(values.codes.tolist())
        patients: dict[int, set[str]] = defaultdict(set)
        for code, case in zip(values.codes.tolist(), table.cases, strict=True):
            patients[code].add(case.patient_id)
        cells = {
            name: {"n_cases": counts[code], "n_patients": len(patients[code])}
            for code, name in enumerate(values.names)
        }
        return {"kind": "category", **blank, "values": cells}
    if values.numbers is not None:
        lowest, median, highest = np.nanquantile(values.numbers, (0, 0.5, 1)).tolist()
        return {"kind": "number", **blank, "min": lowest, "median": median, "max": highest}
    return {"kind": "text", **blank}


def _answers(table: CaseTable, seen: Sequence[Examined]) -> list[Answer]:
    """Labels, whether anything is drawn, and areas, for the suggestion of roles."""
    n_px = np.array([np.nan if e.shape is None else np.prod(e.shape[1:]) for e in seen])
    answers = []
    areas: dict[str, np.ndarray] = {}
    for k, finding in enumerate(table.findings):
        labels = np.array([case.labels[k] for case in table.cases])
        name = f"the label of {finding}"
        answers.append(Answer(name, labels, absent=f"{name} is 0"))
        areas[finding] = np.array([e.area_px[k] if e.area_px else np.nan for e in seen])
    is_read = np.array([e.n_masks > 0 for e in seen], dtype=bool)
    for value in (None, *_pixel_values(seen)):
        name = "any finding" if value is None else f"pixel value {value}"
        px = [sum(n for v, n in e.value_px if value in (None, v)) for e in seen]
        areas[name] = np.where(is_read, np.array(px, dtype=float), np.nan)
    for name, area in areas.items():
        drawn = np.where(np.isnan(area), np.nan, area > 0)
        absent = f"nothing of {name} is drawn"
        answers.append(Answer(f"whether {name} is drawn", drawn, absent=absent))
        answers.append(Answer(f"the area of {name}", area))
        answers.append(Answer(f"the area fraction of {name}", area / n_px))
    return answers


def _pixel_values(seen: Sequence[Examined]) -> list[int]:
    values = sorted({value for e in seen for value, _ in e.value_px})
    return values if 1 < len(values) <= MAX_PIXEL_VALUES else []
