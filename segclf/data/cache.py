"""Prepared cases, kept in memory up to a budget and on disk beyond it."""

import json
import shutil
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.torch
import torch
from safetensors import SafetensorError, safe_open

from segclf.core.atomic import atomic_path, hash_of
from segclf.core.config import Recipe
from segclf.core.pixel_values import known_values
from segclf.core.records import BOX, Case
from segclf.data.read import read_case
from segclf.data.sample import Sample
from segclf.io import file_stamp

PREPARATION = 2
"""Number of the way cases are prepared; raised when it changes, so that old files are not used."""
FREE_DISK_BYTES = 2**30
"""Disk space that the cache never takes."""
UNKNOWN, IN_BOX = 2, 3
"""Bytes of packed targets, beside 0 and 1."""


@dataclass(frozen=True)
class _Kept:
    """A prepared case at a byte per target pixel; labels come from the manifest each time."""

    image: torch.Tensor
    planes: torch.Tensor
    """(finding, *space) uint8: 2 is not known, 3 inside a box; of soft truth the float32 target."""
    geometry: dict[str, Any]

    @property
    def n_bytes(self) -> int:
        return self.image.nbytes + self.planes.nbytes


class CaseCache:
    """Prepared cases by id, each read once.

    In memory up to `image.cache_gib`; beyond it as one file per case, written whole or not at
    all. A file is used again only if the settings of preparation, the case's files (name, size,
    time of change) and its mask states are those it was made from. Threads may share a cache. A
    forked process shares its memory; a spawned one starts empty and finds the files.
    """

    def __init__(
        self, cases: Sequence[Case], recipe: Recipe, folder: Path | None, *, processes: int = 1
    ) -> None:
        """Make an empty cache.

        Args:
            cases: The cases that are kept; others are read anew each time.
            recipe: Says how a case is prepared, and the budget.
            folder: Where files go beyond the budget; None keeps no files.
            processes: Number of processes on this machine that share the budget, each with a
                cache of its own.
        """
        self.recipe = recipe
        self._ids = frozenset(case.case_id for case in cases)
        self._folder = folder
        self._free_bytes = int(recipe.image.cache_gib * 2**30) // processes
        self._kept: dict[str, _Kept] = {}
        self._counts: dict[str, tuple[tuple[int, int] | None, ...]] = {}
        self._hashes: dict[str, str] = {}
        self._lock = threading.Lock()

    def get(self, case: Case) -> Sample:
        """The prepared case. Its image may be shared with later calls: do not write to it.

        Raises:
            CaseError: The case cannot be read; nothing is kept of it.
        """
        kept = self._kept.get(case.case_id) or self._load(case) or self._prepare(case)
        geometry = kept.geometry
        return Sample(
            image=kept.image,
            target=_unpacked(kept.planes),
            label=torch.tensor(case.labels, dtype=torch.float32),
            spacing_mm=geometry["spacing_mm"] and tuple(geometry["spacing_mm"]),
            input_shape=tuple(geometry["input_shape"]),
            affine=None if geometry["affine"] is None else np.array(geometry["affine"]),
        )

    def foreground_px(self, case: Case) -> tuple[int | None, ...]:
        """Positive pixels of each finding after preparation; None where the mask is unknown.

        Soft pixels count above one half; the pixels of boxes count as one, which they promise.
        """
        return tuple(None if n is None else n[0] for n in self._counted(case))

    def known_px(self, case: Case) -> tuple[int | None, ...]:
        """Pixels of each finding that are known or inside a box; None where nothing is."""
        return tuple(None if n is None else n[1] for n in self._counted(case))

    def _counted(self, case: Case) -> tuple[tuple[int, int] | None, ...]:
        if case.case_id not in self._counts:
            self.get(case)
        return self._counts[case.case_id]

    def enter_worker(self, n_workers: int) -> None:
        """Tell a forked or spawned copy that the rest of the budget is shared by `n_workers`."""
        self._free_bytes //= n_workers

    def __getstate__(self) -> dict[str, Any]:
        state = self.__dict__.copy()
        del state["_lock"]
        state["_free_bytes"] += sum(kept.n_bytes for kept in self._kept.values())
        state["_kept"] = {}
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._lock = threading.Lock()

    def _prepare(self, case: Case) -> _Kept:
        sample = read_case(case, self.recipe)
        planes = _packed(sample.target)
        affine = None if sample.affine is None else sample.affine.tolist()
        geometry = {
            "spacing_mm": sample.spacing_mm,
            "input_shape": sample.input_shape,
            "affine": affine,
        }
        kept = _Kept(sample.image, planes, geometry)
        self._note(case, kept)
        if case.case_id in self._ids and not self._keep(case, kept):
            self._store(case, kept)
        return kept

    def _note(self, case: Case, kept: _Kept) -> None:
        self._counts[case.case_id] = tuple(_count(plane) for plane in kept.planes)

    def _keep(self, case: Case, kept: _Kept) -> bool:
        with self._lock:
            if case.case_id in self._kept:
                return True
            if kept.n_bytes > self._free_bytes:
                return False
            self._free_bytes -= kept.n_bytes
            self._kept[case.case_id] = kept
            return True

    def _path(self, case: Case) -> Path | None:
        if self._folder is None or case.case_id not in self._ids:
            return None
        name = hash_of(case.case_id)[:32]
        return self._folder / name[:2] / f"{name}.safetensors"

    def _store(self, case: Case, kept: _Kept) -> None:
        """Write the file of a case; a cache that cannot be written is only slow, never an error."""
        path = self._path(case)
        if path is None:
            return
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            if shutil.disk_usage(path.parent).free < kept.n_bytes + FREE_DISK_BYTES:
                return
            metadata = {"made_from": self._made_from(case), "geometry": json.dumps(kept.geometry)}
            tensors = {"image": kept.image.contiguous(), "planes": kept.planes.contiguous()}
            with atomic_path(path) as part:
                safetensors.torch.save_file(tensors, part, metadata)
        except OSError:
            return

    def _load(self, case: Case) -> _Kept | None:
        path = self._path(case)
        if path is None or not path.is_file():
            return None
        try:
            with safe_open(path, framework="pt") as file:
                metadata = file.metadata() or {}
                if metadata.get("made_from") != self._made_from(case):
                    return None
                geometry = json.loads(metadata["geometry"])
                kept = _Kept(file.get_tensor("image"), file.get_tensor("planes"), geometry)
        except (SafetensorError, OSError, KeyError, ValueError):
            return None  # not a whole file of ours: the case is prepared again
        self._note(case, kept)
        self._keep(case, kept)
        return kept

    def _made_from(self, case: Case) -> str:
        """A hash of everything that a prepared case depends on."""
        if case.case_id not in self._hashes:
            exclude = {"cache_gib", "decode_limit_s"}
            settings = self.recipe.image.model_dump(mode="json", exclude=exclude)
            masks = [
                [mask.state.value, mask.values, mask.path and _fingerprint(mask.path), *mask.stamp]
                for mask in case.masks
            ]
            coarse = [self.recipe.segment.strict_coarse, self.recipe.segment.point_radius_px]
            images = [_fingerprint(path) for path in case.images]
            values = self.recipe.mask_values
            named = [*sorted(values), *(["no 0"] if 0 not in known_values(values) else [])]
            parts = [PREPARATION, settings, images, masks, named, case.spacing_mm, *coarse]
            parts += ["any place"] if case.any_place else []
            parts += [case.cut.stamp] if case.cut else []
            self._hashes[case.case_id] = hash_of(parts)
        return self._hashes[case.case_id]


def _packed(target: torch.Tensor) -> torch.Tensor:
    """A byte per pixel; the target itself if some of its pixels are soft."""
    if ((target > 0) & (target < 1)).any():
        return target
    known = torch.where(target.isnan(), float(UNKNOWN), target)
    return torch.where(target == BOX, float(IN_BOX), known).to(torch.uint8)


def _unpacked(planes: torch.Tensor) -> torch.Tensor:
    if planes.dtype != torch.uint8:
        return planes.clone()
    target = planes.to(torch.float32)
    if (planes >= UNKNOWN).any():
        target[planes == UNKNOWN] = torch.nan
        target[planes == IN_BOX] = BOX
    return target


def _count(plane: torch.Tensor) -> tuple[int, int] | None:
    """Positive pixels and known ones of a packed target; None if nothing is known."""
    target = _unpacked(plane)
    n_known = plane.numel() - int(target.isnan().sum())
    if not n_known:
        return None
    return int((target > 0.5).sum()) + int((target == BOX).any()), n_known


def _fingerprint(path: Path) -> list[Any]:
    return [str(path), *file_stamp(path)]
