import sys

import numpy as np
import pytest
from sklearn.neighbors import NearestNeighbors

from segclf.classify.metric import search
from segclf.core.errors import MissingExtraError


def unit(n, dim, seed=0):
    vectors = np.random.default_rng(seed).standard_normal((n, dim)).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


@pytest.mark.parametrize("k", [1, 3, 7])
@pytest.mark.parametrize("block_values", [1, 500, 2**23])
def test_the_nearest_are_those_of_scikit_learn_whatever_the_blocks(monkeypatch, k, block_values):
    monkeypatch.setattr(search, "BLOCK_VALUES", block_values)
    vectors, queries = unit(200, 16), unit(31, 16, seed=1)
    similarity, row = search.search_numpy(queries, vectors, k)
    witness = NearestNeighbors(n_neighbors=k, algorithm="brute", metric="cosine").fit(vectors)
    distance, expected = witness.kneighbors(queries)
    np.testing.assert_array_equal(row, expected)
    np.testing.assert_allclose(similarity, 1 - distance, atol=1e-6)


def test_faiss_finds_what_numpy_finds(monkeypatch):
    vectors, queries = unit(300, 24), unit(40, 24, seed=1)
    similarity, row = search.make_search(vectors)(queries, 5)
    monkeypatch.setattr(search, "EXACT_BELOW", 300)
    by_faiss, row_by_faiss = search.make_search(vectors)(queries, 5)
    np.testing.assert_array_equal(row_by_faiss, row)
    np.testing.assert_allclose(by_faiss, similarity, atol=1e-6)


def test_faiss_is_asked_from_the_limit_on(monkeypatch):
    monkeypatch.setitem(sys.modules, "faiss", None)  # as if it were not installed
    monkeypatch.setattr(search, "EXACT_BELOW", 10)
    assert search.make_search(unit(9, 4))(unit(1, 4), 1)[1].shape == (1, 1)
    with pytest.raises(MissingExtraError, match=r"install segclf\[metric\]") as caught:
        search.make_search(unit(10, 4))
    assert caught.value.fix == "pip install 'segclf[metric]'"


def test_more_neighbours_than_vectors_gives_all():
    for found in search.search_numpy(unit(2, 4), unit(3, 4, seed=1), 9):
        assert found.shape == (2, 3)


def test_equal_vectors_come_in_their_order():
    vectors = np.repeat(unit(1, 4), 4, axis=0)
    _, row = search.search_numpy(unit(1, 4), vectors, 4)
    assert row.tolist() == [[0, 1, 2, 3]]
    _, row = search.search_numpy(unit(1, 4), vectors, 1)
    assert row.tolist() == [[0]]


def test_a_gallery_without_vectors_is_refused():
    with pytest.raises(ValueError, match="no vector to search"):
        search.make_search(np.empty((0, 4), np.float32))


def test_no_block_of_products_is_larger_than_the_bound():
    for n_queries, n_vectors in ((1, 1), (1000, 99_999), (5, 2**24), (100_000, 7)):
        sizes = [s.stop - s.start for s in search.blocks(n_queries, n_vectors)]
        assert sum(sizes) >= n_queries
        assert all(size == 1 or size * n_vectors <= search.BLOCK_VALUES for size in sizes)
