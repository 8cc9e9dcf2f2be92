"""Commands that compare methods: eval-subgroups, report."""

from pathlib import Path

from segclf import options as opt
from segclf.cli.app import app
from segclf.closing import announce, done, same_run
from segclf.console import progress
from segclf.options import mapped, settings_of


@app.command("eval-subgroups", epilog="Example: segclf eval-subgroups --by sex --shortcut tube")
def eval_subgroups(
    by: opt.By = None,
    shortcut: opt.Shortcut = None,
    scores: opt.Scores = None,
    columns: opt.Columns = None,
    threshold_from: opt.ThresholdFrom = None,
    exploratory: opt.Exploratory = False,
    unit: opt.Unit = None,
    interval: opt.Interval = None,
    deploy_prevalence: opt.DeployPrevalence = None,
    margin: opt.Margin = None,
    config: opt.Config = None,
    manifest: opt.Manifest = None,
    run: opt.RunName = None,
    out: opt.Out = Path("evaluation"),
    sets: opt.Set = None,
    as_json: opt.Json = False,
) -> None:
    """Compare methods overall and per group on test cases: of a run, or of --scores alone."""
    from segclf.evaluate import evaluation_text

    given = (threshold_from, exploratory, unit, interval, deploy_prevalence, margin)
    overrides = [*(sets or ()), *settings_of(*given)]
    if scores and run is None and config is None:
        from segclf.tables import evaluate_tables

        found = evaluate_tables(scores, mapped(columns), out, by or (), shortcut, overrides)
        done(out, f"segclf report --evaluation {out}", as_json, evaluation_text(found))
        return
    from segclf.experiment import find_experiment

    exp = find_experiment(
        config, run, overrides, needs="*/*/**/scores.parquet", made_by="segclf summarize"
    )
    announce(exp)
    from segclf import judging
    from segclf.other import other_than_own

    other = other_than_own(exp, manifest)
    folder, evaluation = judging.evaluate(
        exp, by=by or (), shortcut=shortcut, scores=scores or (), columns=mapped(columns),
        manifest=other,
    )  # fmt: skip
    # A report shows the run's own cases.
    then = (
        f"read {folder / 'metrics.csv'}" if other else f"segclf report{same_run(exp, config, run)}"
    )
    done(folder, then, as_json, evaluation_text(evaluation))


@app.command(epilog="Example: segclf report --run my_run")
def report(
    config: opt.Config = None,
    run: opt.RunName = None,
    evaluation: opt.EvaluationFolder = None,
    sets: opt.Set = None,
    as_json: opt.Json = False,
) -> None:
    """One self-contained HTML page: tables, figures; of a run also its worst errors."""
    if evaluation is not None:
        from segclf.tables import report_tables

        done(report_tables(evaluation), "open it in a browser", as_json)
        return
    from segclf.experiment import find_experiment
    from segclf.reporting import make_report

    exp = find_experiment(
        config, run, sets or (), needs="evaluate/metrics.parquet", made_by="segclf eval-subgroups"
    )
    announce(exp)
    with progress("report") as on_event:
        page = make_report(exp, on_event)
    done(page, "open it in a browser", as_json)
