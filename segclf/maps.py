"""Masks from elsewhere: a folder of maps and a manifest to scores, without a network."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from segclf.console import EventSink
from segclf.core.atomic import atomic_path, read_json, write_json
from segclf.core.catalog import lookup
from segclf.core.config import Recipe, load_recipe
from segclf.core.errors import DataError, UsageError
from segclf.core.maskstats import THRESHOLDS, MaskStatistics, threshold_index
from segclf.core.provenance import record_stage
from segclf.core.records import Case
from segclf.core.runs import RUNS, Run, safe_name, shown
from segclf.core.scoretable import RECORD, write_scores
from segclf.core.statstable import read_statistics
from segclf.manifest import CaseTable, make_split, read_fold_file, read_manifest
from segclf.summarize import SUMMARIZERS, Summarizer, find_summarizer, summarize
from segclf.summarize.maps import FoundMaps, Meaning, Measure, find_maps, stream_maps
from segclf.summarize.maps.read import Hold
from segclf.summarize.trained import is_trained

STATISTICS = "statistics"
JOINED = "scores_and_columns.parquet"
"""The score table with the manifest's other columns, for `eval-subgroups --scores … --by`."""


@dataclass(frozen=True)
class MapScores:
    """What `summarize_maps` wrote."""

    folder: Path
    record: dict[str, Any]
    n_quarantined: int
    """Cases set aside (`statistics/quarantine.jsonl`), and manifest rows that name no usable case
    (`skipped_rows.json`)."""


def summarize_maps(
    maps: Path,
    rule: str,
    *,
    config: Path | None = None,
    manifest: Path | None = None,
    run: Run | None = None,
    overrides: Sequence[str] = (),
    t: float | None = None,
    tau: str | None = None,
    hold: Hold = "auto",
    method: str | None = None,
    out: Path | None = None,
    n_threads: int | None = None,
    on_event: EventSink | None = None,
) -> MapScores:
    """Score the cases of a manifest by a rule on maps that another tool made.

    Thresholds and calibration are fitted on the cases whose split is `val`: of the manifest's
    column `split`, else of the recipe's own split, where a recipe is given. Training cases are
    left out, as their maps are optimistic. Without either, every case is a test case. With a run,
    cases, recipe and split are the run's own, and the scores stand beside those of its methods.

    Args:
        maps: Folder of the maps; `find_maps` says how files are named.
        rule: A rule's name.
        config: Recipe: columns, findings, `mask_values`, settings of `summarize`.
        manifest: Case table; wins over the recipe's.
        run: A run whose cases these maps are of, instead of `config` and `manifest`.
        overrides: `--set` texts.
        t: Probability threshold of a pixel; None fits it.
        tau: Area such as `20px`; None fits it.
        hold: What the files hold.
        method: Name in the score table; None is the rule's, in a run `<name of maps>-<rule>`.
        out: Folder of results without a run; None is `runs/maps-<name of maps>`.
        n_threads: Cases read at the same time; None is one per core.
        on_event: Told the progress.

    Raises:
        UsageError: No manifest, no rule, or a threshold that cannot be fitted without validation
            cases.
        DataError: The manifest cannot be used, or no map belongs to its cases.
    """
    name, summarizer = _find_rule(rule)
    label = safe_name(maps.resolve().name)
    method = method or (f"{label}-{name}" if run else name)
    out = run.stage("maps", label) if run else out or RUNS / f"maps-{label}"
    folder = run.stage("summarize", safe_name(method)) if run else out / safe_name(method)
    _keep_own(folder, method)
    recipe, table = _read_cases(run.config if run else config, manifest, overrides)
    frame, n_train = _held_out(table, recipe, config, run)
    _need_validation(name, summarizer, frame, t, tau)
    found = find_maps(maps, [case.case_id for case in table.cases], table.findings)
    measure = Measure(
        Meaning(table.findings, dict(recipe.mask_values), hold),
        float(THRESHOLDS[threshold_index(recipe.predict.component_t)]),
        tuple(dict.fromkeys((*recipe.predict.statistics, *summarizer.needs))),
        recipe.image.decode_limit_s,
    )
    counts = stream_maps(
        maps, found.of_case, _with_maps(table, frame, found), measure, out / STATISTICS,
        n_threads=n_threads or os.cpu_count() or 1, on_event=on_event,
    )  # fmt: skip
    statistics = read_statistics(out / STATISTICS)
    notes = _notes(statistics, recipe, hold)
    scores, record = summarize(
        statistics, frame, rule, recipe.summarize, t=t, tau=tau, seed=recipe.seed
    )
    record["maps"] = {
        **counts,
        "folder": maps.resolve().name,
        "without_a_map": len(set(frame["case_id"]) - found.of_case.keys()),
        "files_without_case": len(found.unmatched),
        "first_files_without_case": found.unmatched[:5],
        "training_cases_left_out": n_train,
        "hold": hold,
        "notes": notes,
    }
    n_skipped = _write(folder, scores.assign(method=method), record, table)
    if run is not None:
        stage = f"summarize/{folder.name}"
        record_stage(run.path / "run.json", recipe, manifest_sha256=table.sha256, stage=stage)
    return MapScores(folder, record, counts["quarantined"] + n_skipped)


def check_hold(text: str) -> Hold:
    """What `--maps-hold` names.

    Raises:
        UsageError: It is not one of the kinds.
    """
    kinds: dict[str, Hold] = {"auto": "auto", "probability": "probability", "labels": "labels"}
    return lookup(text, kinds, kind="kind of map")


def maps_text(record: dict[str, Any]) -> str:
    """What was read and what was left out, for the terminal."""
    found = record["maps"]
    lines = [f"{found['cases']} cases with maps from {found['folder']}/"]
    for key, text in (
        ("quarantined", "set aside: statistics/quarantine.jsonl says why"),
        ("without_a_map", "validation or test cases have no map"),
        ("files_without_case", "files belong to no case of the manifest"),
        ("training_cases_left_out", "training cases left out"),
    ):
        if found[key]:
            lines.append(f"{found[key]} {text}")
    return "\n".join([*lines, *found["notes"]])


def _read_cases(
    config: Path | None, manifest: Path | None, overrides: Sequence[str]
) -> tuple[Recipe, CaseTable]:
    base = config.parent if config else Path()
    recipe = load_recipe(config, tuple(overrides))
    if manifest is not None:
        recipe = recipe.model_copy(update={"manifest": os.path.relpath(manifest, base)})
    if recipe.manifest is None:
        raise UsageError(
            "the maps belong to no table of cases.",
            where="--maps without --manifest",
            expected="a manifest: one row per case, with case_id or image, labels, split",
            fix="add --manifest cases.csv, or --config with a recipe that names one",
        )
    table = read_manifest(recipe, base=base, strict=False, need_truth=False)
    return recipe, table


def _held_out(
    table: CaseTable, recipe: Recipe, config: Path | None, run: Run | None
) -> tuple[pd.DataFrame, int]:
    """Validation and test rows with labels and metadata, and the number of training cases."""
    has_folds = "fold" in table.frame or recipe.split.folds or recipe.split.fold_file
    if run is not None:
        split = pd.read_parquet(run.split)
    elif "split" in table.frame:
        split = table.frame[["case_id", "patient_id", "split"]].assign(
            fold=pd.array([pd.NA] * len(table.frame), dtype="Int64")
        )
    elif config is not None or has_folds:
        base = config.parent if config else Path()
        folds = read_fold_file(recipe, base=base)
        split = make_split(table, recipe.split, recipe.seed, fold_table=folds)
    else:
        split = table.frame[["case_id", "patient_id"]].assign(
            split="test", fold=pd.array([pd.NA] * len(table.frame), dtype="Int64")
        )
    metadata = table.frame.drop(columns=["patient_id", "split", "fold"], errors="ignore")
    frame = split.merge(metadata, on="case_id", how="left", validate="many_to_one")
    kept = frame.loc[frame["split"] != "train"].reset_index(drop=True)
    return kept, len(set(frame["case_id"])) - len(set(kept["case_id"]))


def _find_rule(rule: str) -> tuple[str, Summarizer]:
    """A rule, since what is trained on a segmenter's outputs needs that segmenter."""
    if is_trained(rule):
        raise UsageError(
            f"{rule!r} is trained on what the segmenter of a run says, which these maps lack.",
            where=f"--rule {rule} with --maps",
            expected=f"a rule: {', '.join(SUMMARIZERS)}",
            fix="choose a rule, or leave --maps out",
        )
    return find_summarizer(rule)


def _keep_own(folder: Path, method: str) -> None:
    """Refuse to write over what the run's own segmenter scored."""
    record = folder / RECORD
    if record.is_file() and "maps" not in read_json(record):
        raise UsageError(
            f"the run has its own method {method!r}.",
            where=shown(folder),
            expected="another name for the method whose maps these are",
            fix=f"--name other-{method}",
        )


def _with_maps(table: CaseTable, frame: pd.DataFrame, found: FoundMaps) -> list[Case]:
    """The held-out cases that have a map."""
    wanted = found.of_case.keys() & set(frame["case_id"])
    if not wanted:
        raise DataError(
            f"the {len(found.of_case)} maps belong to training cases only.",
            where="the column split, or the recipe's split",
            expected="maps of validation or test cases",
            fix="add maps of held-out cases",
        )
    return [case for case in table.cases if case.case_id in wanted]


def _write(folder: Path, scores: pd.DataFrame, record: dict[str, Any], table: CaseTable) -> int:
    """Write the results; returns how many rows of the manifest name no usable case."""
    write_scores(folder, scores, record)
    labels = [name for name in table.frame.columns if str(name).startswith(("label_", "class_"))]
    taken = [name for name in scores.columns if name in table.frame.columns and name != "case_id"]
    metadata = table.frame.drop(columns=[*labels, *taken])
    with atomic_path(folder / JOINED) as part:
        scores.merge(metadata, on="case_id", how="left").to_parquet(part, index=False)
    skipped = [problem.as_dict() for problem in table.problems if problem.severity == "error"]
    write_json(folder / "skipped_rows.json", skipped)
    return len({problem["row"] for problem in skipped})


def _need_validation(
    rule: str, summarizer: Summarizer, frame: pd.DataFrame, t: float | None, tau: str | None
) -> None:
    if "val" in set(frame["split"]) or summarizer.decision is None:
        return
    missing = [
        option
        for option, value, is_needed in (("--t", t, summarizer.free_t), ("--tau", tau, True))
        if value is None and is_needed
    ]
    if missing:
        raise UsageError(
            f"there are no validation cases to fit {' and '.join(missing)} on.",
            where=f"rule {rule}",
            expected="a column split with val and test in the manifest, or given thresholds",
            fix="add the column, or for example --t 0.5 --tau 20px",
        )


def _notes(statistics: MaskStatistics, recipe: Recipe, hold: Hold) -> list[str]:
    """What the reader should know of the maps; masks read as faint probabilities are refused."""
    highest = statistics.frame["max_p"].to_numpy()
    top_label = max(1, *recipe.mask_values) if recipe.mask_values else 1
    if hold == "auto" and len(highest) and 0 < highest.max() <= top_label / 255:
        raise DataError(
            f"no map is above {highest.max():.2g}: pixel values are at most {top_label}.",
            where="--maps",
            expected="probabilities scaled to 0..255 or 0..65535",
            fix="--maps-hold labels if the files are masks, else --maps-hold probability",
        )
    n_px = statistics.frame["n_px"].to_numpy()
    sure = statistics.area_curve[:, -1]  # above 0.999
    mass = statistics.frame["mean_p"].to_numpy() * n_px
    is_hard = np.isclose(mass, sure, rtol=1e-9, atol=1e-9)
    n_hard = int(is_hard.sum())
    if n_hard < len(n_px) or n_hard == 0:
        return []
    return ["the maps hold only 0 and 1: every rule ranks by area, and t makes no difference"]
