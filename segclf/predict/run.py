"""Cases to committed parts of mask statistics; stopped at any moment, it can be called again."""

import functools
import json
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from segclf.core.atomic import hash_of, read_json, write_text
from segclf.core.config import Recipe
from segclf.core.errors import IntegrityError
from segclf.core.mapstats import find_map_statistics
from segclf.core.maskstats import make_statistics, threshold_index
from segclf.core.records import Case
from segclf.core.statstable import commit_path, part_path, read_commit, write_identity, write_part
from segclf.predict.engine import Engine, load_engine, logit_groups
from segclf.predict.feed import Quarantined, in_thread
from segclf.predict.identity import check_same, identity_of, input_hash
from segclf.predict.maps import check_map_kind
from segclf.predict.rows import CaseRows, case_rows, is_large
from segclf.training.runtime import full_disk_stops

EventSink = Callable[[dict[str, Any]], None]
QUARANTINE_FILE = "quarantine.jsonl"
MAPS_FOLDER = "maps"


@dataclass(frozen=True)
class PredictResult:
    """What a call of `predict_cases` left in its folder."""

    folder: Path
    n_cases: int
    """Cases with statistics."""
    n_quarantined: int
    """Cases that were set aside; `quarantine.jsonl` says why."""
    n_parts: int
    n_parts_made: int
    """Parts that this call made; the others were there."""


def predict_cases(
    cases: Sequence[Case],
    model_folder: Path,
    recipe: Recipe,
    folder: Path,
    *,
    fold: int | None = None,
    save_maps: str | None = None,
    on_event: EventSink | None = None,
) -> PredictResult:
    """Write the mask statistics of `cases` to Parquet parts in `folder`; continues if some exist.

    A part counts as done if its commit record, written last, vouches for its bytes and its cases
    (ids, and size and time of their files) are the same; parts of other cases are made anew. A
    case that cannot be used is set aside with a reason and does not stop the others.

    Args:
        cases: What to predict, in the order of the rows.
        model_folder: Folder with the trained segmenter.
        recipe: Settings of images and prediction.
        folder: Where parts, `identity.json`, `quarantine.jsonl` and `maps/` go.
        fold: Stored with each row.
        save_maps: Also keep probability maps: `png` (8 bit), `png16`, `nifti` or `npz`.
        on_event: Told the progress, as `{"kind": "predict", "step": …, "of": …, …}`.

    Raises:
        IntegrityError: `folder` holds predictions of another model or recipe, or the model does
            not fit the recipe.
        UsageError: `save_maps` or `predict.component_t` is not one of the values known.
        StoppedError: The disk is full; the same call continues.
    """
    check_map_kind(save_maps, recipe.image.spatial_dims)
    threshold_index(recipe.predict.component_t)
    find_map_statistics(recipe.predict.statistics)
    engine = load_engine(model_folder, recipe)
    _check_findings(engine, cases, recipe)
    identity = identity_of(engine.card, recipe, precision=engine.precision, fold=fold)
    check_same(folder, identity)
    size = recipe.predict.part_size
    parts = [cases[start : start + size] for start in range(0, len(cases), size)]
    records = [
        {"input": input_hash(part), "identity": hash_of(identity), "maps": save_maps}
        for part in parts
    ]
    to_make = _to_make(folder, records)
    write_identity(folder, identity, len(parts))
    n_to_make = sum(len(parts[index]) for index in to_make)
    report = _reporter(len(cases) - n_to_make, len(cases), on_event)
    maps = None if save_maps is None else (folder / MAPS_FOLDER, save_maps)
    for index in to_make:
        make = functools.partial(case_rows, engine, fold=fold, maps=maps)
        with full_disk_stops(
            folder,
            room_for="the next part; finished parts are kept",
            fix="run the same command again",
        ):
            groups = in_thread(
                make, logit_groups(engine, parts[index]), n_waiting=1, alone=is_large
            )
            found = [case for group in groups for case in report(group)]
            _commit(folder, index, found, records[index])
    return _result(folder, len(parts), len(to_make))


def _commit(
    folder: Path, index: int, found: list[CaseRows | Quarantined], record: dict[str, Any]
) -> None:
    """Write a part and its commit record, in the order of the cases."""
    found.sort(key=lambda case: case.index)
    rows = [row for case in found if isinstance(case, CaseRows) for row in case.rows]
    aside = [case.record() for case in found if isinstance(case, Quarantined)]
    counts = {"cases": len(found) - len(aside), "quarantined": aside}
    write_part(folder, index, make_statistics(rows), record | counts)


def _check_findings(engine: Engine, cases: Sequence[Case], recipe: Recipe) -> None:
    findings = engine.card.findings
    is_named = recipe.findings is None or tuple(recipe.findings) == tuple(findings)
    if is_named and all(len(case.masks) == len(findings) for case in cases):
        return
    raise IntegrityError(
        f"the model looks for {', '.join(findings)}, the manifest and recipe for "
        f"{', '.join(recipe.findings or ()) or 'another number of findings'}.",
        where="findings",
        expected="the findings of the training, in its order",
        fix=f"set findings: [{', '.join(findings)}] in the recipe",
    )


def _to_make(folder: Path, records: Sequence[dict[str, Any]]) -> list[int]:
    """Numbers of the parts that are not there as `records` want them.

    Commit records of outdated parts are deleted first, so that a stop in between leaves them
    missing and not wrong.
    """
    to_make = []
    for index, wanted in enumerate(records):
        record = read_commit(folder, index) or {}
        same = all(record.get(key) == wanted[key] for key in ("input", "identity"))
        if same and wanted["maps"] in (None, record.get("maps")):
            continue
        commit_path(folder, index).unlink(missing_ok=True)
        to_make.append(index)
    known = {part_path(folder, index).stem for index in range(len(records))}
    for path in sorted(folder.glob("part-*.*")):  # .json before .parquet
        if path.stem not in known:
            path.unlink()
    return to_make


def _reporter(
    n_done: int, n_cases: int, on_event: EventSink | None
) -> Callable[[list[CaseRows | Quarantined]], list[CaseRows | Quarantined]]:
    """Passes groups of cases on and tells how many have come by, and how fast."""
    start_s, n_before = time.monotonic(), n_done

    def report(group: list[CaseRows | Quarantined]) -> list[CaseRows | Quarantined]:
        nonlocal n_done
        n_done += len(group)
        if on_event is not None:
            rate = (n_done - n_before) / max(time.monotonic() - start_s, 1e-9)
            on_event({"kind": "predict", "step": n_done, "of": n_cases, "images_per_s": rate})
        return group

    return report


def _result(folder: Path, n_parts: int, n_made: int) -> PredictResult:
    """Count what the commit records say, and bring `quarantine.jsonl` up to date with them."""
    records = [read_json(commit_path(folder, index)) for index in range(n_parts)]
    aside = [case for record in records for case in record["quarantined"]]
    text = "".join(json.dumps(case, ensure_ascii=False) + "\n" for case in aside)
    path = folder / QUARANTINE_FILE
    if not aside:
        path.unlink(missing_ok=True)
    elif not path.exists() or path.read_text(encoding="utf-8") != text:
        write_text(path, text)
    n_cases = sum(record["cases"] for record in records)
    return PredictResult(folder, n_cases, len(aside), n_parts, n_made)


def predict_maps(
    cases: Sequence[Case], model_folder: Path, recipe: Recipe, *, on_event: EventSink | None = None
) -> Iterator[tuple[str, np.ndarray]]:
    """Probability maps one by one, as (case_id, (finding, *space) float32 on the input's grid).

    Cases of equal shape come together, so the order may differ from that of `cases`. A case that
    cannot be used is left out.

    Args:
        cases: What to predict; masks are not read.
        model_folder: Folder with the trained segmenter.
        recipe: Settings of images and prediction.
        on_event: Told of cases left out, as `{"kind": "quarantine", "case_id": …, "reason": …}`.
    """
    engine = load_engine(model_folder, recipe)
    for group in logit_groups(engine, cases, with_truth=False):
        if not isinstance(group, Quarantined):
            for ready, probability in zip(group.cases, group.logits.sigmoid(), strict=True):
                yield ready.case.case_id, probability.cpu().numpy()
        elif on_event is not None:
            on_event({"kind": "quarantine", **group.record()})
