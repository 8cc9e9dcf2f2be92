"""Compare methods on one split: train what is missing, judge all together, write table and page.

`compare` is the whole flow; read it first. Cells are trained by `cells`, numbers come
from `numbers` and `table`, costs from `costs` and `speed`, words from `words`.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from segclf.core.config import recipe_yaml
from segclf.core.errors import ExitCode
from segclf.core.provenance import hardware, versions
from segclf.experiment import Experiment, with_seed
from segclf.stages import note_stage, set_aside
from segclf.study.compare import costs
from segclf.study.compare.cells import (
    DONE,
    FAILED,
    FOLDER,
    NOT_RUN,
    CellTable,
    plan_cells,
    run_cells,
    time_cells,
)
from segclf.study.compare.checks import check_comparison
from segclf.study.compare.figures import COLLAPSED, EXTRA, phrase
from segclf.study.compare.health import health, places
from segclf.study.compare.methods import (
    AT_TIME,
    Method,
    choose_methods,
    choose_reference,
)
from segclf.study.compare.numbers import gather_scores, judge, summarize_rules
from segclf.study.compare.output import entries_at_time, write_outputs
from segclf.study.compare.plan import AFTER, changed_late, declare, settings_of
from segclf.study.compare.speed import measure_speed
from segclf.study.compare.words import CAUTIONS

Result = dict[str, Any]


def compare(
    exp: Experiment,
    methods: Sequence[str] = (),
    *,
    n_seeds: int = 1,
    reference: str | None = None,
    equal_time: bool = True,
    speed: bool = True,
) -> Result:
    """Compare methods over seeds and folds; returns the result as plain data.

    Everything is written below the run: `compare/cells.json` while it grows, then `table.csv`,
    `table.parquet`, `compare.json`, `evaluation/` and `index.html`. What has finished is kept, so
    the same call goes on where it was stopped; a failed training costs no other.

    Args:
        exp: The experiment of the first seed; the others get run folders beside it.
        methods: Names in METHODS; () compares those of `DEFAULT`.
        n_seeds: Trainings of every network, with the seeds that follow the recipe's.
        reference: What the others are compared with; None chooses before there are results.
        equal_time: Whether heads that are cheaper than the segmenter are trained again for as long.
        speed: Whether images per second are measured.

    Raises:
        UsageError: A method or the reference is not known, or there is one method only; or see
            `check_comparison`, which refuses before anything is trained.
        IntegrityError: A run folder of another seed holds another data set or split.
    """
    chosen = choose_methods(methods)
    against = choose_reference(reference, chosen)
    seeds = range(exp.recipe.seed, exp.recipe.seed + n_seeds)
    exps = {seed: with_seed(exp, seed) for seed in seeds}
    folder = exp.run.stage(FOLDER)
    check_comparison(exp, chosen)
    declared = declare(folder, chosen, against, settings_of(exp, list(seeds)))
    late = changed_late(declared["settings"])
    table = CellTable(folder)
    run_cells(plan_cells(chosen, seeds, exp.folds()), exps, table)

    finished = {method.name: _seeds_done(table, exps, method) for method in chosen}
    failures = summarize_rules(chosen, finished)
    needed = {
        method.name: costs.method_costs(finished[method.name], method)
        for method in chosen
        if finished[method.name]
    }
    rates: dict[str, Result] = {}
    if speed:
        ready = [method for method in chosen if exp.recipe.seed in finished[method.name]]
        rates = measure_speed(exp, ready, folder)
    result: Result = {
        **_about(exp, against.name, declared),
        "changed_late": late,
        "methods": [
            _method_entry(method, table, exps, finished, failures)
            | needed.get(method.name, {})
            | rates.get(method.name, {"images_per_s": None})
            for method in chosen
        ],
        "findings": judge(
            exp, finished, chosen, against.name, gather_scores(chosen, finished), folder, late=late
        ),
        "equal_time": _at_equal_time(exp, exps, chosen, against, table, finished, needed, late)
        if equal_time
        else {"state": f"{NOT_RUN}: left out by --no-equal-time", "findings": []},
    }
    result["maps"] = [
        row
        for method in chosen
        if method.family == "trained"
        for row in costs.map_optimism(finished[method.name], method)
    ]
    again = {one["of"]: one["planned_steps"] for one in result["equal_time"].get("methods", ())}
    result["trainings_cpu_s"] = costs.training_costs(finished, chosen, steps=again)
    result["equal_time"]["entries"] = entries_at_time(result)
    result |= {"cells": table.rows(), "exit_code": _exit_code(table, exps, failures)}
    result["outputs"] = write_outputs(folder, result)
    note_stage(exp, FOLDER)
    return result


def _seeds_done(
    table: CellTable, exps: Mapping[int, Experiment], method: Method, *, end: str = ""
) -> dict[int, Experiment]:
    """The seeds for which every network of a method is there."""
    found = {}
    for seed, exp in exps.items():
        names = [method.name + end] if method.family != "rule" else []
        names += ["segment"] if method.needs_segmenter and not end else []
        own = [row for row in table.rows() if row["seed"] == seed and row["network"] in names]
        if own and all(row["state"] == DONE for row in own):
            found[seed] = exp
    return found


def _method_entry(
    method: Method,
    table: CellTable,
    exps: Mapping[int, Experiment],
    finished: Mapping[str, Mapping[int, Experiment]],
    failures: Mapping[str, tuple[str, int]],
) -> Result:
    """Name, family and state of a method, and what to know about it."""
    n_done, n_seeds = len(finished[method.name]), len(exps)
    state = DONE if n_done == n_seeds else f"{n_done} of {n_seeds} seeds"
    own = [method.name, *(["segment"] if method.needs_segmenter else [])]
    rows = [row for row in table.rows() if row["network"] in own and row["state"] != DONE]
    failed = [row["reason"] for row in rows if row["state"] == FAILED]
    reason = failures.get(method.name, ("", 0))[0] or (failed[0] if failed else "")
    if n_done == 0:
        state = f"{FAILED}: {reason}" if reason else NOT_RUN
    elif n_done < n_seeds and reason:
        state += f"; {FAILED}: {reason}"
    found = health(finished[method.name], method)
    notes = [f"{EXTRA}: it is fitted on labels of validation cases"] if method.fits_on_val else []
    notes += [f"{COLLAPSED}: {places(found['collapsed'])}"] if found["collapsed"] else []
    return {
        "name": method.name,
        "family": method.family,
        "phrase": phrase(method.name, method.family, collapsed=bool(found["collapsed"])),
        "state": state,
        "n_seeds_done": n_done,
        "notes": notes,
        "uses_masks": method.uses_masks,
    } | found


def _at_equal_time(
    exp: Experiment,
    exps: Mapping[int, Experiment],
    chosen: Sequence[Method],
    reference: Method,
    table: CellTable,
    finished: dict[str, dict[int, Experiment]],
    needed: Mapping[str, Result],
    late: Mapping[str, Any],
) -> Result:
    """Heads that are cheaper than the segmenter, trained again as long and judged with all."""
    steps, aim, why = costs.steps_at_time(chosen, needed, steps=exp.recipe.train.steps)
    steps |= {name: n for name, n in table.steps_at_time.items() if name in steps}
    if not steps:
        return {"state": f"{NOT_RUN}: {why}", "aim_cpu_s": aim, "findings": []}
    table.steps_at_time |= steps
    cells = time_cells(steps, chosen, list(exps), exp.folds())
    run_cells(cells, exps, table)
    again = [method for method in chosen if method.name in steps]
    rest = [method for method in chosen if method.name not in steps]
    by_name = {name: seeds for name, seeds in finished.items() if name not in steps}
    tables = gather_scores(rest, by_name)
    entries = []
    for method in again:
        done, name = _seeds_done(table, exps, method, end=AT_TIME), method.name + AT_TIME
        by_name[name] = done
        tables += gather_scores([method], {method.name: done}, steps=steps[method.name])
        entry = {"name": name, "of": method.name, "planned_steps": steps[method.name]}
        entry["state"] = DONE if len(done) == len(exps) else f"{len(done)} of {len(exps)} seeds"
        own = costs.method_costs(done, method, steps=steps[method.name]) if done else {}
        entries.append(entry | {"cpu_s": own.get("cpu_s"), "steps": own.get("steps")})
    names = [*(method.name for method in rest), *(method.name + AT_TIME for method in again)]
    against = reference.name + (AT_TIME if reference.name in steps else "")
    found = judge(exp, by_name, rest, against, tables, None, names=names, late=late)
    for one in found:
        one["conclusion"].pop(CAUTIONS, None)  # said once
    return {"state": DONE, "aim_cpu_s": aim, "reference": against} | {
        "methods": entries,
        "findings": found,
    }


def _about(exp: Experiment, reference: str, declared: Result) -> Result:
    recipe = exp.recipe
    now = {name: value for name, value in declared["settings"][-1].items() if name != AFTER}
    return {
        **now,
        "name": recipe.name,
        "data": recipe.data,
        "unit_name": recipe.unit_name,
        "steps": recipe.train.steps,
        "summarizer_steps": recipe.summarize.steps or recipe.train.steps,
        "reference": reference,
        "declared_references": declared["references"],
        "declared_methods": declared["methods"],
        "n_boot": recipe.evaluate.n_boot,
        "recipe": recipe_yaml(recipe),
        "manifest_sha256": exp.table.sha256,
        "versions": versions(),
        "hardware": hardware(),
    }


def _exit_code(
    table: CellTable,
    exps: Mapping[int, Experiment],
    failures: Mapping[str, tuple[str, int]],
) -> int:
    """The worst code of a cell or rule that failed; else 4 if cases were set aside."""
    stages = ("segment", "predict/own", "classify", "summarize")
    n_aside = sum(set_aside(one, *stages) for one in exps.values())
    worst = max([table.exit_code(), *(code for _, code in failures.values())])
    return worst or (int(ExitCode.QUARANTINED) if n_aside else int(ExitCode.OK))
