"""Fit a summarizer where needed, and score cases with it. Read `score_own` first."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from segclf.core.config import Recipe
from segclf.core.errors import UsageError
from segclf.core.records import Case
from segclf.core.runs import Run, shown
from segclf.core.scoretable import empty_scores, read_scores
from segclf.manifest import CaseTable
from segclf.predict.engine import Engine, load_engine
from segclf.predict.feed import Quarantined as SetAside
from segclf.summarize.decide import decide_by_score
from segclf.summarize.finish import finish
from segclf.summarize.trained.card import load_head, read_card
from segclf.summarize.trained.fold import fit_fold
from segclf.summarize.trained.kept import KEY, kept_scores, scored_with
from segclf.summarize.trained.parts import method_name, plan_parts
from segclf.summarize.trained.represent import restored_reader
from segclf.summarize.trained.store import Source, read_sources, teller
from segclf.summarize.trained.table import find_trained
from segclf.training.cases import Quarantined, write_quarantine
from segclf.training.state import EventSink

PARTS = ("val", "test")
Scored = tuple[pd.DataFrame, dict[str, Any]]


@dataclass(frozen=True)
class Job:
    """A rule, and the run that it belongs to."""

    rule: str
    recipe: Recipe
    run: Run
    on_event: EventSink | None

    @property
    def method(self) -> str:
        """Name in score tables and of the folder."""
        return method_name(self.rule, self.recipe.summarize)

    def folder(self, fold: int | None) -> Path:
        """Where the head of a fold lies."""
        return self.run.stage("summarize", self.method, fold=fold)


def score_own(
    job: Job, table: CaseTable, split: pd.DataFrame, folds: Sequence[int | None]
) -> Scored:
    """Fit the head of each fold, unless it is there; score validation and test cases.

    The segmenter is frozen: its weights are read, and maps are made anew. Labels of test cases
    are only copied. A head that was fitted with the same settings on the same cases, labels and
    segmenters is kept, and so are scores of the same heads, settings and cases.

    Args:
        job: Rule and run.
        table: The cases.
        split: From `make_split`.
        folds: The folds, `[None]` without.

    Returns:
        A score table and a record for `write_scores`: `fits` as for rules, and `heads` with what
        was fitted in each fold.
    """
    all_parts = []
    for fold in folds:
        engine = load_engine(job.run.stage("segment", fold=fold), job.recipe)
        parts = plan_parts(table, split, job.recipe, job.run, fold, job.on_event)
        fit_fold(job.rule, parts, engine, job.recipe, job.folder(fold), fold, job.on_event)
        all_parts.append(parts)
    key = scored_with(job.recipe.summarize, [job.folder(fold) for fold in folds], all_parts)
    if kept := kept_scores(job.folder(None), key):
        if job.on_event is not None:
            job.on_event({"kind": "kept", "message": f"the scores of {job.method} are kept"})
        return kept
    tables, fits, cards, unread, all_aside = [empty_scores()], [], [], [], set()
    for fold, parts in zip(folds, all_parts, strict=True):
        engine = load_engine(job.run.stage("segment", fold=fold), job.recipe)
        card, frame, bad = _score(job, engine, fold, {"val": parts.val, "test": parts.test})
        aside = [*map(tuple, card["quarantined"]), *bad]
        write_quarantine(job.folder(fold), list(dict.fromkeys(aside)))
        all_aside |= {case_id for case_id, _, _ in aside}
        more = _finish(job, card, frame)
        tables, fits, cards = [*tables, *more[0]], [*fits, *more[1]], [*cards, card]
        ids = {case_id for case_id, _, _ in bad}
        unread += [("val", case.case_id) for case in parts.val if case.case_id in ids]
        unread += [("test", case.case_id) for case in parts.test if case.case_id in ids]
    scores = pd.concat(tables, ignore_index=True)
    record = _record(job, scores, fits, cards, unread, len(all_aside))
    return scores, record | {KEY: key}


def score_other(job: Job, other: CaseTable, folds: Sequence[int | None], folder: Path) -> Scored:
    """Scores of all cases of another manifest by the run's heads; thresholds are the run's own.

    Args:
        job: Rule and run.
        other: The other cases.
        folds: The folds of the run.
        folder: Where the caller writes the scores; gets `quarantine.jsonl`.

    Raises:
        UsageError: The run has no such head.
        IntegrityError: A head was fitted on maps of another segmenter.
    """
    home = job.run.stage("summarize", job.method)
    if not (home / "scores.parquet").is_file():
        raise _not_fitted(job, home)
    own = read_scores(home / "scores.parquet").query("split == 'val'")
    own = own.assign(case_id="own/" + own["case_id"])  # ids of two manifests may be the same
    tables, fits, cards, aside = [empty_scores()], [], [], []
    for fold in folds:
        engine = load_engine(job.run.stage("segment", fold=fold), job.recipe)
        card, frame, bad = _score(job, engine, fold, {"test": other.cases})
        of_fold = own if fold is None else own.query("fold == @fold")
        both = pd.concat([of_fold.filter(list(frame.columns)), frame], ignore_index=True)
        more = _finish(job, card, both)
        tables, fits, cards = [*tables, *more[0]], [*fits, *more[1]], [*cards, card]
        aside += bad
    aside = list(dict.fromkeys(aside))
    write_quarantine(folder, aside)
    scores = pd.concat(tables, ignore_index=True).query("split == 'test'").reset_index(drop=True)
    unread = [("test", case[0]) for case in aside]
    return scores, _record(job, scores, fits, cards, unread, len(aside))


def _score(
    job: Job, engine: Engine, fold: int | None, held_out: Mapping[str, Sequence[Case]]
) -> tuple[dict[str, Any], pd.DataFrame, list[Quarantined]]:
    """Card of the fold's head, its scores as a frame, and the cases that could not be read.

    No test case shares a batch, and its rounding, with a validation case.
    """
    folder = job.folder(fold)
    card = read_card(folder)
    if card is None:
        raise _not_fitted(job, folder)
    head = load_head(folder, card, segmenter_sha256=engine.card.sha256)
    reader = restored_reader(find_trained(job.rule), card)
    found: dict[str, np.ndarray] = {}
    bad: list[Quarantined] = []
    tell = teller("score", sum(map(len, held_out.values())), job.on_event)
    for cases in held_out.values():
        for kept in read_sources(reader, [Source(engine, cases)], tell):
            if isinstance(kept, SetAside):
                bad.append((kept.case_id, kept.reason, kept.message))
            else:
                found |= zip(kept.case_ids, head.scores(kept.values), strict=True)
    return card, _frame(card["findings"], held_out, found, fold), bad


def _not_fitted(job: Job, folder: Path) -> UsageError:
    return UsageError(
        f"the summarizer {job.method!r} has not been fitted in this run.",
        where=shown(folder),
        expected="a fitted head and the scores of the run's own validation cases",
        fix=f"run first, without --manifest: segclf summarize --rule {job.rule}",
    )


def _frame(
    findings: Sequence[str],
    held_out: Mapping[str, Sequence[Case]],
    scores: Mapping[str, np.ndarray],
    fold: int | None,
) -> pd.DataFrame:
    """One row per finding and case that could be read; the score may be missing."""
    rows = [
        (finding, case.case_id, part, case.patient_id, case.labels[number], found[number])
        for number, finding in enumerate(findings)
        for part, cases in held_out.items()
        for case in cases
        if (found := scores.get(case.case_id)) is not None
    ]
    names = ["finding", "case_id", "split", "patient_id", "label", "score"]
    frame = pd.DataFrame(rows, columns=pd.Index(names))
    return frame.assign(fold=pd.array([fold] * len(frame), dtype="Int64"))


def _finish(
    job: Job, card: Mapping[str, Any], frame: pd.DataFrame
) -> tuple[list[pd.DataFrame], list[dict[str, Any]]]:
    """Rows of the score table of one fold, and per finding how its threshold was fitted."""
    settings, tables, fits = job.recipe.summarize, [], []
    for finding in card["findings"]:
        cases = frame.query("finding == @finding")
        if cases.empty:
            reason = "no validation or test case could be read"
            fits.append({"finding": finding, "fold": card["fold"], "reason": reason})
            continue
        table, fit = finish(
            cases,
            finding,
            decide_by_score(cases, settings),
            settings,
            method=job.method,
            seed=job.recipe.seed,
        )
        if finding in card["not_fitted"]:
            fit["reason"] = card["not_fitted"][finding]
        tables.append(table)
        fits.append(fit)
    return tables, fits


def _record(
    job: Job,
    scores: pd.DataFrame,
    fits: Sequence[dict[str, Any]],
    cards: Sequence[dict[str, Any]],
    unread: Sequence[tuple[str, str]],
    n_quarantined: int,
) -> dict[str, Any]:
    """What `summarizer.json` says; the keys of a rule's record, and `heads`."""
    parts = {part: [case_id for name, case_id in unread if name == part] for part in PARTS}
    return {
        "rule": job.rule,
        "method": job.method,
        "trained": True,
        "uses_extra_labels": job.recipe.summarize.fit_on == "val",
        "seed": job.recipe.seed,
        "settings": job.recipe.summarize.model_dump(mode="json"),
        "n_cases": len(set(scores["case_id"])),
        "n_quarantined": n_quarantined,
        "cases_without_statistics": {
            part: {"n": len(ids), "first_case_ids": ids[:5]} for part, ids in parts.items() if ids
        },
        "image_px": None,
        "fits": list(fits),
        "heads": [{k: v for k, v in card.items() if k != "quarantined"} for card in cards],
    }
