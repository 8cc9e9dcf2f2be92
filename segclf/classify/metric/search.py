"""The nearest vectors of a gallery: exact products in NumPy, faiss for large galleries."""

import warnings
from collections.abc import Callable
from types import ModuleType

import numpy as np

from segclf.core.errors import MissingExtraError

EXACT_BELOW = 100_000
"""Galleries with fewer vectors are searched in NumPy."""
BLOCK_VALUES = 2**23
"""Most similarities that are held at once: 32 MiB."""
Search = Callable[[np.ndarray, int], tuple[np.ndarray, np.ndarray]]
"""`(queries (query, dim), k)` to similarities and row numbers, both (query, k), best first."""


def make_search(vectors: np.ndarray) -> Search:
    """A search of these vectors; with `EXACT_BELOW` or more of them, by faiss.

    faiss keeps a copy of the vectors in an `IndexFlatIP`: it compares with every vector, so that
    nothing is missed, and is faster than NumPy. Either way similarity is the inner product.

    Args:
        vectors: (vector, dim) float32, norm 1.

    Raises:
        MissingExtraError: faiss is needed and not installed.
        ValueError: There is no vector.
    """
    if len(vectors) == 0:
        raise ValueError("there is no vector to search.")
    if len(vectors) < EXACT_BELOW:
        return lambda queries, k: search_numpy(queries, vectors, k)
    index = import_faiss().IndexFlatIP(vectors.shape[1])
    index.add(np.ascontiguousarray(vectors, dtype=np.float32))

    def search(queries: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
        queries = np.ascontiguousarray(queries, dtype=np.float32)
        return index.search(queries, min(k, len(vectors)))

    return search


def search_numpy(queries: np.ndarray, vectors: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    """Similarities and row numbers of the k most similar vectors, best first; equal ones by row.

    Queries are taken in blocks, so that memory is bounded whatever their number.

    Args:
        queries: (query, dim).
        vectors: (vector, dim).
        k: Neighbours; all vectors if there are fewer.
    """
    k = min(k, len(vectors))
    similarity = np.empty((len(queries), k), dtype=np.float32)
    row = np.empty((len(queries), k), dtype=np.int64)
    for block in blocks(len(queries), len(vectors)):
        product = queries[block] @ vectors.T
        place = np.arange(len(product))
        for rank in range(k):  # faster than sorting for a few neighbours; the first of equal ones
            best = product.argmax(axis=1)
            similarity[block, rank], row[block, rank] = product[place, best], best
            product[place, best] = -np.inf
    return similarity, row


def blocks(n_queries: int, n_vectors: int) -> list[slice]:
    """Slices of the queries whose products with all vectors fit into `BLOCK_VALUES`."""
    size = max(1, BLOCK_VALUES // n_vectors)
    return [slice(start, start + size) for start in range(0, n_queries, size)]


def import_faiss() -> ModuleType:
    """The package faiss.

    Raises:
        MissingExtraError: It is not installed.
    """
    try:
        with warnings.catch_warnings():  # classes that SWIG makes have no __module__
            warnings.filterwarnings("ignore", "builtin type", DeprecationWarning)
            import faiss
    except ImportError:
        raise MissingExtraError(
            "faiss", extra="metric", needed_for=f"searching {EXACT_BELOW:,} vectors or more"
        ) from None
    return faiss
