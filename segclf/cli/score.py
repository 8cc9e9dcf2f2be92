"""Commands that turn networks and masks into scores: predict, summarize, calibrate."""

from contextlib import nullcontext
from pathlib import Path
from typing import Annotated, Any

import typer

from segclf import options as opt
from segclf.cli.app import app
from segclf.closing import announce, done, quarantined, same_run
from segclf.console import progress
from segclf.options import pair

WITH_ROWS = "quarantine.jsonl, skipped_rows.json"
"""Where a command that reads other cases than the run's tells of what it left out."""


@app.command(epilog="Example: segclf predict --run my_run --manifest new_cases.csv")
def predict(
    config: opt.Config = None,
    manifest: opt.NewCases = None,
    run: opt.RunName = None,
    sets: opt.Set = None,
    fold: opt.Fold = None,
    save_maps: opt.Maps = None,
    as_json: opt.Json = False,
) -> None:
    """Mask statistics of cases of a manifest or folder (default: the run's validation and test)."""
    from segclf.experiment import find_experiment

    exp = find_experiment(
        config, run, sets or (), needs="segment/**/model.json", made_by="segclf train-seg"
    )
    announce(exp)
    from segclf import pipeline, stages  # torch: seconds, paid once the run is found
    from segclf.other import other_name, other_than_own

    other, n_skipped = other_than_own(exp, manifest), 0
    with progress("predict") as on_event:
        if other is None:
            results = [
                pipeline.predict_own(exp, on_event, fold=each, save_maps=save_maps)
                for each in exp.folds(fold)
            ]
        else:
            results, n_skipped = pipeline.predict_other(
                exp, other, on_event, fold=fold, save_maps=save_maps
            )
    name = other_name(other) if other else stages.OWN
    then = f"segclf summarize --rule tau{same_run(exp, config, run, other=other)}"
    done(exp.run.stage("predict", name), then, as_json)
    n_aside = n_skipped + sum(result.n_quarantined for result in results)
    quarantined(n_aside, why=WITH_ROWS if n_skipped else "quarantine.jsonl")


@app.command(epilog="Example: segclf summarize --rule tau --t 0.5 --tau 20px")
def summarize(
    rule: Annotated[
        str,
        typer.Option(
            help="tau, mean, max, topk, mean_logit, max_logit, topk_logit, noisy_or, lse, "
            "largest_component, share; or trained: fc, pool_fc, squeezenet, resnet50, "
            "shallow_simple, shallow_complex, deep_simple, deep_complex, logistic, boosting."
        ),
    ] = "tau",
    t: Annotated[float | None, typer.Option(help="Probability threshold of a pixel.")] = None,
    tau: Annotated[str | None, typer.Option(help="Area: 20px, 35mm2, 1.5mL or 0.1%.")] = None,
    unit: opt.SummaryUnit = "case",
    of: opt.SlicesOf = None,
    fit_on: opt.FitOn = None,
    out_of_fold: opt.OutOfFold = False,
    config: opt.Config = None,
    manifest: opt.NewCases = None,
    run: opt.RunName = None,
    sets: opt.Set = None,
    maps: opt.MapsFolder = None,
    maps_hold: opt.MapsHold = "auto",
    name: opt.MethodName = None,
    out: opt.MapsOut = None,
    as_json: opt.Json = False,
) -> None:
    """Turn masks into scores and decisions; thresholds come from validation cases."""
    from segclf.summarize import record_text
    from segclf.summarize.trained import is_trained

    overrides = [*(sets or ()), *opt.fitting(rule, fit_on, out_of_fold)]
    is_volume = opt.check_unit(unit, {"--maps": maps, "--fit-on": fit_on})
    of_masks = {"--t": t is not None, "--tau": tau, "--manifest": manifest, "--maps": maps}
    needs, made_by = opt.scored_by(of, is_volume=is_volume, others=of_masks)
    if maps is None:
        of_maps = {"--name": name, "--out": out, "--maps-hold": maps_hold != "auto"}
        opt.refuse(of_maps, "--maps", "are for maps made elsewhere", "add --maps FOLDER")
    else:
        of_run = {} if run is None else {"--config": config, "--manifest": manifest, "--out": out}
        opt.refuse(of_run, "--maps with --run", "say what the run settles", "leave --run out")
        options = {"config": config, "manifest": manifest, "overrides": overrides, "t": t}
        options |= {"tau": tau, "out": out, "method": name}
        _summarize_maps(maps, rule, run, maps_hold, as_json, **options)
        return
    from segclf.experiment import find_experiment

    exp = find_experiment(config, run, overrides, needs=needs, made_by=made_by)
    announce(exp)
    from segclf import pipeline  # torch: seconds, paid once the run is found
    from segclf.other import other_than_own

    other = other_than_own(exp, manifest)
    if is_volume:
        _summarize_volumes(exp, rule, other, as_json, of, t=t, tau=tau)
        return
    with progress("summarize") if is_trained(rule) else nullcontext() as on_event:
        folder, record = pipeline.summarize_masks(
            exp, rule, t=t, tau=tau, manifest=other, on_event=on_event
        )
    then = f"segclf eval-subgroups{same_run(exp, config, run, other=other)}"
    done(folder, then, as_json, record_text(record))
    if is_trained(rule):
        quarantined(record["n_quarantined"])


def _summarize_volumes(
    exp: Any,  # noqa: ANN401 (Experiment, whose import would cost seconds)
    rule: str,
    other: Path | None,
    as_json: bool,
    of: str | None,
    **options: Any,  # noqa: ANN401 (of `summarize_volumes`)
) -> None:
    """Score whole volumes from the statistics, or the scores, of their slices."""
    from segclf.summarize import record_text
    from segclf.volume_scores import pool_scores
    from segclf.volumes import summarize_volumes

    whole, folder, record, n_out = (
        summarize_volumes(exp, rule, manifest=other, **options)
        if of is None
        else pool_scores(exp, of, rule)
    )
    then = f"segclf eval-subgroups{same_run(whole, True, other=other)}"
    done(folder, then, as_json, record_text(record))
    quarantined(n_out)


def _summarize_maps(
    maps: Path,
    rule: str,
    run: str | None,
    hold: str,
    as_json: bool,
    **options: Any,  # noqa: ANN401 (of `summarize_maps`)
) -> None:
    """Score maps that were made elsewhere."""
    from segclf.maps import JOINED, check_hold, maps_text, summarize_maps
    from segclf.summarize import record_text

    with progress("maps") as on_event:
        result = summarize_maps(
            maps, rule, run=opt.split_run(run), hold=check_hold(hold), on_event=on_event, **options
        )
    text = f"{maps_text(result.record)}\n{record_text(result.record)}"
    at = f"--run {run}" if run else f"--scores {result.folder / JOINED} --by COLUMN"
    done(result.folder, f"segclf eval-subgroups {at}", as_json, text)
    quarantined(result.n_quarantined, why=WITH_ROWS)


@app.command(
    epilog="Example: segclf calibrate --rule tau --method isotonic "
    "--operating-point rule_out=sensitivity=0.95"
)
def calibrate(
    scores: Annotated[
        Path | None, typer.Option(help="A score table, instead of a method of a run.")
    ] = None,
    rule: Annotated[
        str | None, typer.Option(help="Method of the run: a rule, a head; default: tau.")
    ] = None,
    config: opt.Config = None,
    run: opt.RunName = None,
    sets: opt.Set = None,
    method: Annotated[
        str | None, typer.Option(help="platt, isotonic, temperature or none.")
    ] = None,
    operating_point: Annotated[
        list[str] | None, typer.Option(help="NAME=sensitivity=0.95, specificity=…, cost=…, youden.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="Folder of the new table; default: the old one's.")
    ] = None,
    as_json: opt.Json = False,
) -> None:
    """Fit probabilities and operating points on the validation cases of finished scores."""
    from segclf.calibrating import calibrate_table, calibrated_text, settings_asked, tables_of

    if scores is not None:
        opt.refuse(
            {"--run": run, "--rule": rule}, "--scores", "name another table",
            "leave --scores out, or the other options",
        )  # fmt: skip
    example = "rule_out=sensitivity=0.95"
    points = dict(pair(text, "--operating-point", example) for text in operating_point or ())
    run, method, points = settings_asked(config, run, sets or (), method, points)
    tables = [scores] if scores else tables_of(run, rule or "tau")
    found = [
        calibrate_table(
            path, method=method, points=points,
            out=out / path.name if out and len(tables) > 1 else out,
        )
        for path in tables
    ]  # fmt: skip
    folder = found[0][0] if len(found) == 1 else found[0][0].parent
    then = f"segclf eval-subgroups --scores {folder / 'scores.parquet'} --by COLUMN"
    if not scores:
        then = f"segclf eval-subgroups{f' --run {run}' if run else ''}"
    done(folder, then, as_json, calibrated_text([fit for _, fits in found for fit in fits]))


@app.command("infer-classes", epilog="Example: segclf infer-classes --rules rules.yaml")
def infer_classes(
    rules: Annotated[Path, typer.Option(help="YAML: class to {head: category}.")],
    method: Annotated[str, typer.Option(help="Classifier of class columns.")] = "multihead",
    config: opt.Config = None,
    run: opt.RunName = None,
    sets: opt.Set = None,
    as_json: opt.Json = False,
) -> None:
    """Derive classes never seen in training from the attributes that a classifier sees."""
    from segclf.experiment import find_experiment
    from segclf.inferring import infer_classes as infer
    from segclf.inferring import inferred_text

    exp = find_experiment(
        config, run, sets or (), needs=f"classify/{method}/**/scores.parquet",
        made_by=f"segclf train-clf --head {method}",
    )  # fmt: skip
    announce(exp)
    folder, record = infer(exp, rules, method=method)
    done(folder, f"read {folder / 'classes.csv'}", as_json, inferred_text(record))
