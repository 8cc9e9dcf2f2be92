"""How well embeddings retrieve: the validation numbers that pick the kept weights."""

import numpy as np

from segclf.training import Numbers, auroc

MOST_CASES = 2000
"""Validation cases that are compared with each other; of more, evenly spread ones are."""


def retrieval_numbers(vectors: np.ndarray, relation: np.ndarray) -> Numbers:
    """AUROC of same against different, precision at 1, and a loss, with counts and reasons.

    `auroc` is the chance that two cases that belong together are more similar than two that do
    not, over all known pairs; it picks the weights. `precision_at_1` is the share of cases whose
    nearest other case belongs to them, among cases that have one. `loss` is the mean similarity
    of different pairs minus that of same ones. What is undefined is None with its reason.

    Args:
        vectors: (case, dim), norm 1; a case that could not be read is NaN throughout.
        relation: (case, case) symmetric: 1 same, 0 different, NaN for pairs that do not count.
    """
    usable = np.isfinite(vectors).all(axis=1)
    vectors, relation = vectors[usable], relation[np.ix_(usable, usable)]
    similarity = vectors @ vectors.T
    one_way = np.triu_indices(len(vectors), k=1)
    pairs, truth = similarity[one_way], relation[one_way]
    same, different = pairs[truth == 1], pairs[truth == 0]
    numbers: Numbers = {
        "loss": float(different.mean() - same.mean()) if same.size and different.size else None,
        "auroc": auroc(pairs, truth),
        "precision_at_1": precision_at_1(similarity, relation),
        "dice_positives": None,
        "false_positive_rate": None,
        "n_cases": len(vectors),
        "n_unusable": int((~usable).sum()),
        "n_pairs_same": int(same.size),
        "n_pairs_different": int(different.size),
    }
    no_mask = "an embedding has no mask"
    causes = {
        "loss": "no validation pair is known to be " + ("different" if same.size else "the same"),
        "precision_at_1": "no validation case has another one of its class",
        "dice_positives": no_mask,
        "false_positive_rate": no_mask,
    }
    causes["auroc"] = causes["loss"]
    numbers["undefined"] = {k: why for k, why in causes.items() if numbers[k] is None}
    return numbers


def precision_at_1(similarity: np.ndarray, relation: np.ndarray) -> float | None:
    """Share of cases whose nearest other is the same, among those that have a same one.

    None if no case has one.

    Args:
        similarity: (case, case).
        relation: (case, case): 1 same, 0 different, NaN for pairs that do not count.
    """
    asked = (relation == 1).any(axis=1)
    if not asked.any():
        return None
    candidates = np.where(np.isnan(relation), -np.inf, similarity)[asked]
    return float(relation[asked][np.arange(asked.sum()), candidates.argmax(axis=1)].mean())


def class_relations(classes: list[str | None], patient_ids: list[str]) -> np.ndarray:
    """(case, case) float32: 1 same class, 0 different, NaN if unknown or of one patient.

    Images of a patient are alike whatever they show, so that they do not count.
    """
    _, number = np.unique([name or "" for name in classes], return_inverse=True)
    _, patient = np.unique(patient_ids, return_inverse=True)
    relation = (number[:, None] == number[None, :]).astype(np.float32)
    unknown = np.array([name is None for name in classes])
    left_out = unknown[:, None] | unknown[None, :] | (patient[:, None] == patient[None, :])
    relation[left_out] = np.nan
    return relation
