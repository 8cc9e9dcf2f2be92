"""Scores of finished methods, judged together; and their masks, where they have some."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from segclf.core.errors import SegclfError
from segclf.core.scoretable import read_scores, write_scores
from segclf.core.statstable import read_statistics
from segclf.evaluate import overlap_rows, target_sizes, write_evaluation
from segclf.experiment import Experiment
from segclf.stages import predicted_folders, split_frame
from segclf.study.compare.cells import FOLDER, UNFIT, at_time, why_failed
from segclf.study.compare.costs import head_folder
from segclf.study.compare.figures import phrase, short_phrase
from segclf.study.compare.health import health
from segclf.study.compare.methods import (
    AT_TIME,
    WITH_MASKS,
    Method,
    known_methods,
    references,
)
from segclf.study.compare.table import (
    dice_rows,
    evaluate_methods,
    finding_tables,
    flat_row,
    joined_seeds,
)
from segclf.study.compare.words import conclusion
from segclf.summarize import summarize

Row = dict[str, Any]
Finished = Mapping[str, Mapping[int, Experiment]]
"""Method to the seeds, with their experiments, in which it has finished."""
DICE_AT, SEGMENTER = 0.5, "segmenter"


def summarize_rules(
    methods: Sequence[Method], finished: dict[str, dict[int, Experiment]]
) -> dict[str, tuple[str, int]]:
    """Score by every rule in every seed; a rule that fails is taken out of `finished`.

    Scores go below `compare/`, so that those of `segclf summarize` stay as they are.

    Returns:
        Why, and the exit code, by the name of the rule.
    """
    failures: dict[str, tuple[str, int]] = {}
    for method in methods:
        if method.family != "rule":
            continue
        for seed, exp in list(finished[method.name].items()):
            try:
                scores, record = summarize(
                    read_statistics(predicted_folders(exp)),
                    split_frame(exp.split, exp.table),
                    method.base,
                    exp.recipe.summarize,
                    seed=exp.recipe.seed,
                )
                write_scores(score_files(exp, method)[0].parent, scores, record)
            except (SegclfError, *UNFIT) as error:
                reason, code = why_failed(error)
                worst = max(code, failures.get(method.name, ("", 0))[1])
                failures[method.name] = (reason, worst)
                del finished[method.name][seed]
    return failures


def gather_scores(
    methods: Sequence[Method], finished: Finished, *, steps: int | None = None
) -> list[pd.DataFrame]:
    """The score tables of all methods, seeds and folds.

    Args:
        methods: Which ones.
        finished: Only these seeds are read.
        steps: Of heads that were trained again, whose names then end so; None reads the first.
    """
    tables = []
    for method in methods:
        for seed, exp in finished.get(method.name, {}).items():
            for path in score_files(exp, method, steps=steps):
                name = method.name + (AT_TIME if steps else "")
                tables.append(read_scores(path).assign(method=name, seed=seed))
    return tables


def comparable(tables: Sequence[pd.DataFrame], findings: Sequence[str]) -> pd.DataFrame:
    """The rows of the manifest's findings, and of classes that several methods tell apart."""
    scores = pd.concat(tables, ignore_index=True)
    pairs = scores.loc[:, ["finding", "method"]].drop_duplicates()
    shared = pairs.loc[pairs.duplicated("finding"), "finding"]
    return scores.loc[scores["finding"].isin([*findings, *shared])].reset_index(drop=True)


def score_files(exp: Experiment, method: Method, *, steps: int | None = None) -> list[Path]:
    """Where the scores of a method lie: one file, or one per fold for heads."""
    if method.family == "rule":
        return [exp.run.stage(FOLDER, "scores", method.name) / "scores.parquet"]
    if method.family == "trained":
        return [exp.run.stage("summarize", method.name) / "scores.parquet"]
    run = exp.run if steps is None else at_time(exp, method, steps).run
    return [head_folder(run, method, fold) / "scores.parquet" for fold in exp.folds()]


def judge(
    exp: Experiment,
    finished: Finished,
    methods: Sequence[Method],
    reference: str,
    tables: Sequence[pd.DataFrame],
    folder: Path | None,
    *,
    names: Sequence[str] = (),
    late: Mapping[str, Any],
) -> list[Row]:
    """Every finding with its tables, one flat row per method, and the conclusion.

    Args:
        exp: The experiment of the first seed.
        finished: The seeds of each method.
        methods: Of which some may have masks.
        reference: What the others are compared with; where it scores other findings, the first
            method in the order of `preferred` that scores the finding.
        tables: From `gather_scores`.
        folder: Gets the whole evaluation; None writes none.
        names: Methods in their order; () takes those of `methods`.
        late: Settings that were changed after there were results.
    """
    names = names or [method.name for method in methods]
    if not tables or comparable(tables, exp.table.findings).empty:
        return []
    ran = [name for name in names if finished.get(name)]
    masks = segmenter_masks(methods, finished)
    statistics = read_statistics(predicted_folders(next(iter(masks.values())))) if masks else None
    sizes, size_roles = target_sizes(statistics)
    evaluation = evaluate_methods(
        comparable(tables, exp.table.findings),
        exp.table.frame,
        exp.recipe,
        sizes=sizes,
        roles=size_roles | exp.table.roles,
    )
    if folder is not None:
        write_evaluation(folder / "evaluation", evaluation)
    overlap = overlap_of(exp, methods, masks, finished)
    settings = {
        "unit": evaluation.ledger["unit"],
        "margin": exp.recipe.evaluate.margins.get("auroc"),
        "shortcut": exp.recipe.evaluate.shortcut or "",
        "declared": reference,
        **_said_of(methods, ran, finished),
    }
    phrases = settings.pop("long")
    confidence = exp.recipe.evaluate.confidence
    found = []
    order = references(reference, ran) if reference in ran else [reference]
    for tables_of in finding_tables(evaluation, names, order, confidence=confidence):
        tables_of["unscored"] = unscored(tables_of, tables, ran)
        for row in tables_of["differences"]:
            row["margin_is_late"] = "margins" in late
        dice = {name: dice_rows(rows, tables_of["finding"]) for name, rows in overlap.items()}
        tables_of["dice"] = [row for rows in dice.values() for row in rows]
        source = {m.name: m.name if m.family == "head" else SEGMENTER for m in methods}
        tables_of["rows"] = [
            {"method": name, **flat_row(name, tables_of, dice.get(source.get(name, ""), ()))}
            | ({"reason": tables_of["unscored"][name]} if name in tables_of["unscored"] else {})
            for name in ran
        ]
        tables_of["conclusion"] = conclusion(tables_of, phrases, settings)
        tables_of["notes"] = list(evaluation.ledger["notes"])
        found.append(tables_of)
    return found


def _said_of(methods: Sequence[Method], ran: Sequence[str], finished: Finished) -> Row:
    """What the conclusion says of the methods that ran: health, phrases, and which lean on what."""
    families = {method.name: method.family for method in methods}
    ill = {m.name: health(finished[m.name], m) for m in methods if m.name in ran}
    bad = {name for name, own in ill.items() if own["collapsed"]}
    known = {name: (families.get(name, "head"), name in bad) for name in ran}
    return {
        "n_seeds": max((len(finished[name]) for name in ran), default=0),
        "with_masks": _learned_from_masks(ran),
        "leaning": [name for name in ran if name.endswith(AT_TIME)] or ran,
        "health": ill,
        "long": {name: phrase(name, f, collapsed=is_bad) for name, (f, is_bad) in known.items()},
        "short": {
            name: short_phrase(name, f, collapsed=is_bad) for name, (f, is_bad) in known.items()
        },
    }


def unscored(found: Row, tables: Sequence[pd.DataFrame], names: Sequence[str]) -> dict[str, str]:
    """Methods that do not score a finding, with what they score instead."""
    scored = {row["method"] for row in found["metrics"]}
    what: dict[str, dict[str, None]] = {name: {} for name in names if name not in scored}
    for table in tables:
        for name, finding in table[["method", "finding"]].drop_duplicates().to_numpy():
            if name in what:  # the categories of a class column are one thing
                column, is_class, _ = str(finding).partition("=")
                what[name][f"{column}=..." if is_class else column] = None
    return {
        name: f"scores {' and '.join(own) or 'nothing'}, not {found['finding']}"
        for name, own in what.items()
    }


def _learned_from_masks(names: Sequence[str]) -> list[str]:
    """The methods that were trained for labels, with masks as well."""
    known = known_methods()
    own = [(name, known[name.removesuffix(AT_TIME)]) for name in names]
    return [name for name, method in own if method.uses_masks and method.family != "rule"]


def segmenter_masks(methods: Sequence[Method], finished: Finished) -> dict[int, Experiment]:
    """The seeds whose segmenter has finished, as some method tells."""
    return {
        seed: exp
        for method in methods
        if method.needs_segmenter
        for seed, exp in finished.get(method.name, {}).items()
    }


def overlap_of(
    exp: Experiment,
    methods: Sequence[Method],
    masks: Mapping[int, Experiment],
    finished: Finished,
) -> dict[str, pd.DataFrame]:
    """Agreement of masks with the truth: of the segmenters, and of heads that make masks."""
    found: dict[str, pd.DataFrame] = {}
    if masks:
        folders = [predicted_folders(one) for one in masks.values()]
        found[SEGMENTER] = masks_overlap(exp, folders)
    for method in methods:
        if method.family == "head" and method.base in WITH_MASKS:
            folders = [
                _committed(head_folder(one.run, method, None) / "masks", one)
                for one in finished.get(method.name, {}).values()
            ]
            if folders and all(folders):
                found[method.name] = masks_overlap(exp, folders).assign(method=method.name)
    return found


def _committed(folder: Path, exp: Experiment) -> list[Path]:
    """Where the statistics of a head's own masks lie, per fold."""
    places = [folder if fold is None else folder / f"fold{fold}" for fold in exp.folds()]
    return [place for place in places if any(place.glob("part-*.json"))]


def masks_overlap(exp: Experiment, folders: Sequence[Sequence[Path]]) -> pd.DataFrame:
    """Agreement of masks with the truth over seeds and folds; `folders` has those of each seed."""
    folds = exp.folds()
    statistics = [read_statistics(list(own)) for own in folders]
    frame = split_frame(exp.split, exp.table)
    fold = frame["fold"].fillna(0).astype("Int64")
    frames = [frame.assign(fold=fold + place * len(folds)) for place in range(len(statistics))]
    return overlap_rows(
        joined_seeds(statistics, len(folds)),
        pd.concat(frames, ignore_index=True),
        DICE_AT,
        settings=exp.recipe.evaluate,
        roles=exp.table.roles,
        seed=exp.recipe.seed,
        unit_name=exp.recipe.unit_name,
    )
