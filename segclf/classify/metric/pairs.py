"""What similar and dissimilar pairs say about the cases of a part, and of a batch."""

from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from segclf.core.errors import DataError
from segclf.core.records import Case

Pairs = Mapping[tuple[str, str], bool]
"""Two case ids, in the order of the alphabet, to whether they are similar."""


def pairs_within(pairs: Pairs, cases: Sequence[Case], part: str) -> dict[tuple[str, str], bool]:
    """The pairs whose cases are both among `cases`.

    Raises:
        DataError: There is no similar, or no dissimilar pair among them.
    """
    ids = {case.case_id for case in cases}
    inside = {key: similar for key, similar in pairs.items() if ids.issuperset(key)}
    n_similar = sum(inside.values())
    if not n_similar or n_similar == len(inside):
        raise DataError(
            f"the {part} part has {n_similar} similar and {len(inside) - n_similar} dissimilar "
            "pairs.",
            where="classify.metric.pairs",
            expected="at least one of each within train, and within val; a pair across parts "
            "is not used",
            fix=f"add pairs of two {part} cases, or change the split",
        )
    return inside


def relations(case_ids: Sequence[str], pairs: Pairs) -> np.ndarray:
    """(case, case) float32: 1 similar, 0 dissimilar, NaN not known; the diagonal is NaN."""
    places: dict[str, list[int]] = {}
    for place, case_id in enumerate(case_ids):
        places.setdefault(case_id, []).append(place)
    relation = np.full((len(case_ids), len(case_ids)), np.nan, dtype=np.float32)
    for (a, b), similar in _among(pairs, places):
        for i in places[a]:
            for j in places[b]:
                relation[i, j] = relation[j, i] = similar
    return relation


def _among(pairs: Pairs, ids: Mapping[str, object]) -> Iterable[tuple[tuple[str, str], bool]]:
    """The pairs within few ids, without going through all pairs where that is longer."""
    if len(pairs) < len(ids) ** 2 / 2:
        return [(key, similar) for key, similar in pairs.items() if key[0] in ids and key[1] in ids]
    keys = [(a, b) for a in ids for b in ids if a < b and (a, b) in pairs]
    return [(key, pairs[key]) for key in keys]
