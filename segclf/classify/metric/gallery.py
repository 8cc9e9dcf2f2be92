"""The gallery: embeddings of known cases with their classes, on disk without any pickle."""

import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import safetensors
import safetensors.numpy

from segclf.classify.metric.search import Search, make_search
from segclf.core.atomic import read_json, write_bytes, write_json
from segclf.core.errors import DataError, IntegrityError, UsageError
from segclf.core.runs import shown

VECTORS, CARD = "gallery.safetensors", "gallery.json"
UNKNOWN = "unknown"
"""What a case is called that is too far from everything; no class can have this name."""


@dataclass(frozen=True)
class Gallery:
    """Embeddings that queries are compared with."""

    vectors: np.ndarray
    """(case, dim) float32, norm 1."""
    case_ids: tuple[str, ...]
    classes: tuple[str, ...]
    """The class of each case."""
    model_sha256: str
    """Hash of the weights that made the vectors; others make vectors that do not compare."""
    target: str
    """What the classes are of: an exclusive head, or a finding."""
    unknown: dict[str, Any] = field(default_factory=dict)
    """How the threshold for `unknown` was fitted; `threshold` is None where it is undefined."""
    enrolled: tuple[str, ...] = ()
    """Classes that were added without training."""
    left: dict[str, str] = field(default_factory=dict)
    """Cases of the run that are not judged since images were enrolled, and why."""

    @property
    def names(self) -> list[str]:
        """The classes, each once, sorted."""
        return sorted(set(self.classes))

    @cached_property
    def numbers(self) -> np.ndarray:
        """The class of each case as its place in `names`."""
        return np.unique(np.array(self.classes, dtype=str), return_inverse=True)[1]

    @cached_property
    def centroids(self) -> np.ndarray:
        """Mean vector of each class, scaled to norm 1, (class, dim), in the order of `names`."""
        total = np.zeros((len(self.names), self.vectors.shape[1]))
        np.add.at(total, self.numbers, self.vectors)
        norm = np.linalg.norm(total, axis=1, keepdims=True)
        return (total / np.maximum(norm, np.finfo(np.float32).tiny)).astype(np.float32)

    @cached_property
    def search(self) -> Search:
        """The search of the vectors: an index is built once, when it is first asked for.

        Raises:
            ValueError: There is no vector.
        """
        return make_search(self.vectors)

    @property
    def threshold(self) -> float | None:
        """A case whose nearest similarity is not above it is unknown; None if undefined."""
        return self.unknown.get("threshold")


def add_class(gallery: Gallery, name: str, vectors: np.ndarray, case_ids: Sequence[str]) -> Gallery:
    """The gallery with one more class.

    Args:
        gallery: What is there.
        name: The new class.
        vectors: (case, dim) embeddings by the same network.
        case_ids: Their cases.

    Raises:
        UsageError: The class is known already, or has no name of its own.
        DataError: There is no image, or a case is in the gallery already.
    """
    if name in gallery.classes or name in ("", UNKNOWN):
        n_known = gallery.classes.count(name)
        raise UsageError(
            f"the class {name!r} is in the gallery already, with {n_known} images."
            if n_known
            else f"a class cannot be called {name!r}.",
            where=f"--class {name}",
            expected=f"a name other than {', '.join([*gallery.names, UNKNOWN])}",
            fix="choose another name",
        )
    if len(vectors) == 0:
        raise DataError(
            f"there is no image of the class {name!r}.",
            where="--images",
            expected="at least one image",
            fix="give a folder of images, or a manifest with a column image",
        )
    known = set(gallery.case_ids)
    again = [case_id for case_id in case_ids if case_id in known]
    twice = [case_id for case_id, n in Counter(case_ids).items() if n > 1]
    if again or twice:
        n, first = len(again or twice), (again or twice)[0]
        what = "is in the gallery already" if again else "stands twice"
        raise DataError(
            f"{n} of the images {what}; the first is {first!r}.",
            where="--images",
            expected="each case once, and none that the network was trained with",
            fix="leave it out, or give the image another case id",
        )
    return replace(
        gallery,
        vectors=np.concatenate([gallery.vectors, vectors.astype(np.float32)]),
        case_ids=(*gallery.case_ids, *case_ids),
        classes=(*gallery.classes, *[name] * len(case_ids)),
        enrolled=(*gallery.enrolled, name),
    )


def write_gallery(folder: Path, gallery: Gallery) -> None:
    """Write `gallery.safetensors`, then `gallery.json`, which says how many rows count.

    A gallery only grows at its end: after a crash between the two files the old one is read.
    """
    vectors = np.ascontiguousarray(gallery.vectors, dtype=np.float32)
    write_bytes(folder / VECTORS, safetensors.numpy.save({"vectors": vectors}))
    card = {
        "target": gallery.target,
        "n": len(vectors),
        "dim": vectors.shape[1],
        "model_sha256": gallery.model_sha256,
        "vectors_sha256": _hash(vectors),
        "unknown": gallery.unknown,
        "enrolled": list(gallery.enrolled),
        "left": gallery.left,
        "case_ids": list(gallery.case_ids),
        "classes": list(gallery.classes),
    }
    write_json(folder / CARD, card)


def read_gallery(folder: Path, *, model_sha256: str) -> Gallery:
    """The gallery in a folder.

    Args:
        folder: Of a trained metric head.
        model_sha256: Hash of the weights that queries are embedded with.

    Raises:
        IntegrityError: A file is missing or damaged, or another model made the embeddings.
    """
    path = folder / CARD
    try:
        card = read_json(path)
        vectors = safetensors.numpy.load_file(folder / VECTORS)["vectors"][: card["n"]]
        gallery = Gallery(
            vectors,
            tuple(card["case_ids"]),
            tuple(card["classes"]),
            card["model_sha256"],
            card["target"],
            card["unknown"],
            tuple(card["enrolled"]),
            card.get("left", {}),
        )
        is_whole = _hash(vectors) == card["vectors_sha256"]
    except OSError:
        raise _bad(path, f"there is no gallery: {CARD} or {VECTORS} is missing") from None
    except (KeyError, TypeError, ValueError, safetensors.SafetensorError) as error:
        raise _bad(path, f"the gallery cannot be read: {error.__class__.__name__}") from None
    if not is_whole or not len(vectors) == len(gallery.case_ids) == len(gallery.classes):
        raise _bad(path, f"{VECTORS} does not hold the embeddings that {CARD} describes")
    if gallery.model_sha256 != model_sha256:
        raise IntegrityError(
            f"the gallery is from another model: its weights have the SHA-256 "
            f"{gallery.model_sha256[:12]}…, those in the folder {model_sha256[:12]}….",
            where=shown(path),
            expected="embeddings that this network made; others do not compare",
            fix="train again in a new run, and enroll the classes there",
        )
    return gallery


def _hash(vectors: np.ndarray) -> str:
    return hashlib.sha256(np.ascontiguousarray(vectors, dtype="<f4").data).hexdigest()


def _bad(path: Path, wrong: str) -> IntegrityError:
    return IntegrityError(
        f"{wrong}.",
        where=shown(path),
        expected="the files that `segclf train-clf --set classify.head=metric` wrote",
        fix="train again, or copy the whole folder anew",
    )
