import numpy as np
import pytest
import torch
from pytorch_metric_learning.distances import CosineSimilarity
from pytorch_metric_learning.utils.accuracy_calculator import AccuracyCalculator
from pytorch_metric_learning.utils.inference import CustomKNN
from sklearn.metrics import roc_auc_score

from segclf.classify.metric.retrieval import class_relations, precision_at_1, retrieval_numbers


def unit(n, dim=6, seed=0):
    vectors = np.random.default_rng(seed).standard_normal((n, dim))
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def drawn(n=60):
    classes = list(np.random.default_rng(1).choice(list("abcd"), n))
    return unit(n), classes, class_relations(classes, [f"p{i}" for i in range(n)])


def test_precision_at_1_is_that_of_pytorch_metric_learning():
    vectors, classes, relation = drawn()
    number = torch.from_numpy(np.unique(classes, return_inverse=True)[1])
    witness = AccuracyCalculator(
        include=("precision_at_1",), k=1, knn_func=CustomKNN(CosineSimilarity())
    )
    expected = witness.get_accuracy(torch.from_numpy(vectors), number)["precision_at_1"]
    assert retrieval_numbers(vectors, relation)["precision_at_1"] == pytest.approx(expected)


def test_a_class_of_one_case_is_not_asked_but_can_be_found():
    vectors, classes, relation = drawn(20)
    classes[0] = "alone"
    relation = class_relations(classes, [f"p{i}" for i in range(20)])
    similarity = vectors @ vectors.T
    np.fill_diagonal(similarity, -2)
    nearest = similarity.argmax(1)
    right = [classes[i] == classes[j] for i, j in enumerate(nearest) if i > 0]
    assert precision_at_1(vectors @ vectors.T, relation) == pytest.approx(np.mean(right))


def test_auroc_is_scikit_learns_over_all_pairs_of_different_patients():
    vectors, classes, _ = drawn()
    patients = [f"p{i // 2}" for i in range(60)]
    relation = class_relations(classes, patients)
    pairs = [(i, j) for i in range(60) for j in range(i) if patients[i] != patients[j]]
    same = [classes[i] == classes[j] for i, j in pairs]
    score = [vectors[i] @ vectors[j] for i, j in pairs]
    numbers = retrieval_numbers(vectors, relation)
    assert numbers["auroc"] == pytest.approx(roc_auc_score(same, score))
    assert (numbers["n_pairs_same"], numbers["n_pairs_different"]) == (
        sum(same),
        len(same) - sum(same),
    )
    expected = np.mean(np.array(score)[~np.array(same)]) - np.mean(np.array(score)[same])
    assert numbers["loss"] == pytest.approx(expected)


def test_a_case_that_could_not_be_read_counts_as_unusable():
    vectors, _, relation = drawn(20)
    less = retrieval_numbers(vectors[1:], relation[1:, 1:])
    vectors[0] = np.nan
    numbers = retrieval_numbers(vectors, relation)
    assert (numbers.pop("n_unusable"), less.pop("n_unusable")) == (1, 0)
    assert numbers == less


def test_unknown_classes_do_not_count():
    relation = class_relations(["a", None, "a", "b"], list("pqrs"))
    nan = np.nan
    expected = [[nan, nan, 1, 0], [nan] * 4, [1, nan, nan, 0], [0, nan, 0, nan]]
    np.testing.assert_array_equal(relation, expected)


def test_what_is_undefined_is_missing_with_its_reason():
    numbers = retrieval_numbers(unit(3), class_relations(list("abc"), list("pqr")))
    assert (numbers["auroc"], numbers["loss"], numbers["precision_at_1"]) == (None, None, None)
    assert numbers["undefined"]["auroc"] == "no validation pair is known to be the same"
    assert numbers["undefined"]["precision_at_1"] == (
        "no validation case has another one of its class"
    )
    same = retrieval_numbers(unit(3), class_relations(list("aaa"), list("pqr")))
    assert same["precision_at_1"] == 1
    assert same["undefined"]["auroc"] == "no validation pair is known to be different"
