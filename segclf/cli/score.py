"""Commands that turn trained networks and masks into scores: predict, summarize."""

from typing import Annotated

import typer

from segclf import options as opt
from segclf.cli.app import app
from segclf.closing import announce, done, quarantined, same_run
from segclf.console import progress


@app.command(epilog="Example: segclf predict --run my_run --manifest new_cases.csv")
def predict(
    config: opt.Config = None,
    manifest: opt.Manifest = None,
    run: opt.RunName = None,
    sets: opt.Set = None,
    fold: opt.Fold = None,
    save_maps: opt.Maps = None,
    as_json: opt.Json = False,
) -> None:
    """Mask statistics of a manifest's cases (default: the run's validation and test cases)."""
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
    quarantined(n_skipped + sum(result.n_quarantined for result in results))


@app.command(epilog="Example: segclf summarize --rule tau --t 0.5 --tau 20px")
def summarize(
    rule: Annotated[
        str, typer.Option(help="tau, mean, max, topk, noisy_or, lse, largest_component, share.")
    ] = "tau",
    t: Annotated[float | None, typer.Option(help="Probability threshold of a pixel.")] = None,
    tau: Annotated[str | None, typer.Option(help="Area: 20px, 35mm2, 1.5mL or 0.1%.")] = None,
    config: opt.Config = None,
    manifest: opt.Manifest = None,
    run: opt.RunName = None,
    sets: opt.Set = None,
    as_json: opt.Json = False,
) -> None:
    """Turn mask statistics into scores and decisions; thresholds come from validation cases."""
    from segclf.experiment import find_experiment
    from segclf.summarize import record_text

    exp = find_experiment(
        config, run, sets or (), needs="predict/own/**/part-*.json", made_by="segclf train-seg"
    )
    announce(exp)
    from segclf import pipeline  # torch: seconds, paid once the run is found
    from segclf.other import other_than_own

    other = other_than_own(exp, manifest)
    folder, record = pipeline.summarize_masks(exp, rule, t=t, tau=tau, manifest=other)
    then = f"segclf eval-subgroups{same_run(exp, config, run, other=other)}"
    done(folder, then, as_json, record_text(record))
