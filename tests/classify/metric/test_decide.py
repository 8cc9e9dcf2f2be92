import numpy as np
import pytest
from sklearn.metrics import roc_curve
from sklearn.metrics.pairwise import cosine_similarity
from sklearn.neighbors import KNeighborsClassifier, NearestCentroid

from segclf.classify.metric import Gallery, classify
from segclf.classify.metric.decide import class_similarity, fit_unknown, margins
from segclf.core.settings import MetricSettings, SummarizeSettings


def unit(n, dim, seed=0):
    vectors = np.random.default_rng(seed).standard_normal((n, dim)).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def angles(*degrees):
    a = np.deg2rad(degrees)
    return np.stack([np.cos(a), np.sin(a)], axis=1).astype(np.float32)


def gallery(vectors, classes, threshold=None):
    ids = tuple(f"g{i}" for i in range(len(vectors)))
    return Gallery(vectors, ids, tuple(classes), "0" * 64, "kind", {"threshold": threshold})


def drawn(n=120, dim=8):
    return gallery(unit(n, dim), np.random.default_rng(2).choice(list("abcd"), n))


def rule(name, k=5):
    return MetricSettings(rule=name, k=k)


def test_nearest_is_scikit_learns_single_neighbour():
    known, queries = drawn(), unit(60, 8, seed=1)
    found = classify(queries, known, rule("nearest"))
    witness = KNeighborsClassifier(1, algorithm="brute", metric="cosine")
    witness.fit(known.vectors, known.classes)
    np.testing.assert_array_equal(found.predicted, witness.predict(queries))
    distance, row = witness.kneighbors(queries)
    assert list(found.nearest) == [f"g{i}" for i in row[:, 0]]
    np.testing.assert_allclose(found.similarity, 1 - distance[:, 0], atol=1e-6)


def test_knn_is_scikit_learns_where_the_vote_is_not_tied():
    known, queries = drawn(), unit(300, 8, seed=1)
    found = classify(queries, known, rule("knn", k=5))
    witness = KNeighborsClassifier(5, algorithm="brute", metric="cosine")
    witness.fit(known.vectors, known.classes)
    votes = np.sort(witness.predict_proba(queries), axis=1)
    is_clear = votes[:, -1] > votes[:, -2]
    assert 150 < is_clear.sum() < 300
    np.testing.assert_array_equal(found.predicted[is_clear], witness.predict(queries)[is_clear])
    np.testing.assert_allclose(
        np.floor(found.evidence), 5 * witness.predict_proba(queries), atol=1e-9
    )


def test_a_tied_vote_goes_to_the_nearest():
    known = gallery(angles(10, 20, 40, 50), ["a", "b", "a", "b"])
    for query, expected in ((12, "a"), (19, "b"), (41, "a"), (49, "b")):
        assert classify(angles(query), known, rule("knn", k=4)).predicted[0] == expected


def test_centroid_is_the_class_whose_mean_direction_is_nearest():
    known, queries = drawn(), unit(60, 8, seed=1)
    found = classify(queries, known, rule("centroid"))
    witness = NearestCentroid().fit(known.vectors, known.classes)
    expected = cosine_similarity(queries, witness.centroids_)
    np.testing.assert_allclose(found.evidence, expected, atol=1e-6)
    np.testing.assert_array_equal(found.predicted, witness.classes_[expected.argmax(1)])


def test_with_centroids_of_equal_length_it_is_scikit_learns_nearest_centroid():
    known = gallery(angles(0, 20, 100, 120, 230, 250), list("aabbcc"))
    queries = angles(*range(0, 360, 7))
    witness = NearestCentroid().fit(known.vectors, known.classes)
    found = classify(queries, known, rule("centroid"))
    np.testing.assert_array_equal(found.predicted, witness.predict(queries))
    np.testing.assert_allclose(known.centroids, angles(10, 110, 240), atol=1e-6)


def test_farther_than_the_threshold_from_everything_is_unknown():
    known = gallery(angles(0, 90), ["a", "b"], threshold=float(np.cos(np.deg2rad(20))))
    found = classify(angles(19, 21, 69, 71), known, rule("threshold"))
    assert list(found.predicted) == ["a", "unknown", "unknown", "b"]
    assert list(classify(angles(21, 69), known, rule("nearest")).predicted) == ["a", "b"]
    without = gallery(known.vectors, known.classes)
    assert list(classify(angles(21, 69), without, rule("threshold")).predicted) == ["a", "b"]


def test_known_ones_are_of_the_nearest_centroid_however_many_images_a_class_has():
    known = gallery(angles(0, 40, 44, 48, 52), ["a", "b", "b", "b", "b"], threshold=0.9)
    assert classify(angles(22), known, rule("threshold")).predicted[0] == "a"
    assert classify(angles(22), known, rule("nearest")).predicted[0] == "b"


def test_an_empty_gallery_knows_nobody():
    found = classify(angles(0, 10), gallery(np.empty((0, 2), np.float32), []), rule("nearest"))
    assert list(found.predicted) == ["unknown"] * 2
    assert np.isnan(found.similarity).all()
    assert found.evidence.shape == (2, 0)


def test_similarity_to_a_class_is_that_of_its_nearest_vector():
    known, queries = drawn(), unit(20, 8, seed=1)
    everything = cosine_similarity(queries, known.vectors)
    classes = np.array(known.classes)
    expected = np.stack([everything[:, classes == name].max(1) for name in "abcd"], axis=1)
    np.testing.assert_allclose(class_similarity(queries, known), expected, atol=1e-6)


@pytest.mark.parametrize("name", ["nearest", "knn", "centroid", "threshold"])
def test_the_largest_margin_is_that_of_the_decision_and_alone_above_zero(name):
    found = classify(unit(50, 8, seed=1), drawn(), rule(name))
    margin = margins(found.evidence)
    assert [found.names[i] for i in margin.argmax(1)] == list(found.predicted)
    assert ((margin > 0).sum(1) == 1).all()


def test_a_margin_is_what_there_is_more_than_for_any_other():
    margin = margins(np.array([[0.9, 0.4, 0.7], [0.1, 0.1, -0.2]]))
    np.testing.assert_allclose(margin, [[0.2, -0.5, -0.2], [0, 0, -0.3]])
    np.testing.assert_allclose(margins(np.array([[0.4]])), [[0.4]])


@pytest.mark.parametrize("name", ["nearest", "knn", "centroid"])
def test_a_query_is_classified_alone_as_beside_others_in_any_order(name):
    known, queries = drawn(), unit(30, 8, seed=1)
    together = classify(queries, known, rule(name))
    alone = [classify(queries[i : i + 1], known, rule(name)).predicted[0] for i in range(30)]
    assert list(together.predicted) == alone
    backwards = classify(queries[::-1], known, rule(name))
    assert list(backwards.predicted[::-1]) == alone


def test_the_threshold_separates_cases_from_themselves_without_their_class():
    known = gallery(angles(0, 90, 200), ["a", "b", "c"])
    queries, truth = angles(5, 80, 210, 30), ["a", "b", "c", "a"]
    record = fit_unknown(queries, truth, known, SummarizeSettings())
    # by hand: own class 5, 10, 10, 30 degrees away; without it 85, 80, 120, 60
    score = np.cos(np.deg2rad([5, 10, 10, 30, 85, 80, 120, 60]))
    false_known, true_known, _ = roc_curve([1, 1, 1, 1, 0, 0, 0, 0], score)
    assert record["value"] == (true_known - false_known).max() == 1.0
    assert np.cos(np.deg2rad(60)) <= record["threshold"] < np.cos(np.deg2rad(30))
    assert (record["n_positive"], record["n_negative"], record["fitted_on"]) == (4, 4, "val")
    assert record["objective"] == "youden"
    assert record["method"] == "leave one class out"


def test_a_class_that_is_not_in_the_gallery_counts_as_unknown_alone():
    known = gallery(angles(0, 90), ["a", "b"])
    record = fit_unknown(angles(5, 45, 44), ["a", "new", None], known, SummarizeSettings())
    assert (record["n_positive"], record["n_negative"]) == (1, 2)


def test_the_threshold_is_undefined_with_a_reason():
    one = fit_unknown(angles(5), ["a"], gallery(angles(0), ["a"]), SummarizeSettings())
    assert one["threshold"] is None
    assert one["reason"] == "the gallery has 1 of the two classes that are needed"
    known = gallery(angles(0, 90), ["a", "b"])
    nothing = fit_unknown(angles(5), [None], known, SummarizeSettings())
    assert (nothing["threshold"], nothing["reason"]) == (
        None, "no validation case has a known label",
    )  # fmt: skip
