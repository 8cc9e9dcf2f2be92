"""The command line: one command per stage. Each parses, calls the stage, prints what it wrote."""

from pathlib import Path
from typing import Annotated

import typer

from segclf import options as opt
from segclf.closing import announce, done, quarantined, same_run
from segclf.console import answer, progress
from segclf.core.errors import ExitCode
from segclf.options import mapped, settings_of, start_from

app = typer.Typer(
    name="segclf",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    help="Segmentation-for-classification in medical imaging. Research use, not diagnosis.",
    epilog="First: segclf demo. On your own data: segclf check MANIFEST. Every command takes "
    "--debug, which shows the traceback of an error.",
)


@app.command(epilog="Example: segclf demo")
def demo(as_json: opt.Json = False) -> None:
    """The main job on phantom data: segmenter against classifier, with a report."""
    from segclf.demo import run_demo

    result = run_demo()
    answer(result, result["text"], as_json=as_json)


@app.command(epilog="Example: segclf doctor")
def doctor(as_json: opt.Json = False) -> None:
    """Versions, devices, threads, bf16/AMX; names the fix of a broken installation."""
    from segclf.doctor import doctor_text, examine

    facts = examine()
    answer(facts, doctor_text(facts), as_json=as_json)
    if facts["problems"]:
        raise typer.Exit(ExitCode.INTEGRITY)


@app.command(epilog="Example: segclf init phantom my_phantom --set n_cases.train=64")
def init(
    what: Annotated[str, typer.Argument(help="phantom (synthetic data) or recipe.")],
    where: Annotated[Path, typer.Argument(help="Folder for phantom; YAML file for recipe.")],
    sets: opt.Set = None,
    as_json: opt.Json = False,
) -> None:
    """Write a phantom data set, or a recipe with every setting and its default."""
    from segclf.core.catalog import lookup
    from segclf.starting import init_phantom, init_recipe

    starters = {"phantom": init_phantom, "recipe": init_recipe}
    path = lookup(what, starters, kind="thing to init")(where, tuple(sets or ()))
    then = f"segclf train-seg --config {path}"
    answer({"wrote": path, "next": then}, f"wrote {path}\nnext: {then}", as_json=as_json)


@app.command(epilog="Example: segclf check manifest.csv --config recipe.yaml")
def check(
    manifest: Annotated[Path | None, typer.Argument(help="Case table (CSV or Parquet).")] = None,
    config: opt.Config = None,
    sets: opt.Set = None,
    workers: Annotated[int, typer.Option(help="Files read at the same time.")] = 2,
    as_json: opt.Json = False,
) -> None:
    """Read every file and list every problem, with row, field, expectation and fix."""
    from segclf.starting import check_data

    with progress("check") as on_event:
        result, text, exit_code = check_data(manifest, config, tuple(sets or ()), workers, on_event)
    answer(result, text, as_json=as_json)
    raise typer.Exit(exit_code)


@app.command(epilog="Example: segclf split --config recipe.yaml --folds 5")
def split(
    config: opt.Config = None,
    manifest: opt.Manifest = None,
    run: opt.RunName = None,
    folds: Annotated[int | None, typer.Option(help="Cross-validation folds.")] = None,
    sets: opt.Set = None,
    as_json: opt.Json = False,
) -> None:
    """Divide the patients into train, validation and test (or folds), once for the run."""
    from segclf.experiment import new_experiment
    from segclf.manifest import split_text

    more = [f"split.folds={folds}"] if folds else []
    exp = new_experiment(config, manifest, run, [*(sets or ()), *more])
    done(
        exp.run.split,
        f"segclf train-seg --run {exp.run.path.name}",
        as_json,
        split_text(exp.split, exp.table),
    )


@app.command(
    "train-seg", epilog="Example: segclf train-seg --config recipe.yaml --set train.lr=1e-3"
)
def train_seg(
    config: opt.Config = None,
    manifest: opt.Manifest = None,
    run: opt.RunName = None,
    sets: opt.Set = None,
    pretrained: opt.Pretrained = None,
    fold: opt.Fold = None,
    resume: opt.Resume = False,
    as_json: opt.Json = False,
) -> None:
    """Train a segmenter on masks; then predict the validation and test cases."""
    from segclf.experiment import new_experiment

    exp = new_experiment(config, manifest, run, [*(sets or ()), *start_from(pretrained)])
    announce(exp)
    from segclf import pipeline  # torch: seconds, paid once the run is found

    with progress("train-seg") as on_event:
        pipeline.train_seg(exp, on_event, fold=fold, resume=resume)
    then = f"segclf summarize --rule tau{same_run(exp, config, manifest, run)}"
    done(exp.run.stage("segment"), then, as_json)
    quarantined(pipeline.set_aside(exp, "segment", f"predict/{pipeline.OWN}"))


@app.command(
    "train-clf", epilog="Example: segclf train-clf --run my_run --set classify.head=softmax"
)
def train_clf(
    config: opt.Config = None,
    manifest: opt.Manifest = None,
    run: opt.RunName = None,
    sets: opt.Set = None,
    head: Annotated[str | None, typer.Option(help="sigmoid or softmax.")] = None,
    pretrained: opt.Pretrained = None,
    fold: opt.Fold = None,
    resume: opt.Resume = False,
    as_json: opt.Json = False,
) -> None:
    """Train an ordinary classifier: same encoder, cases, augmentation, budget, selection."""
    from segclf.experiment import new_experiment

    more = [f"classify.head={head}"] if head else []
    exp = new_experiment(config, manifest, run, [*(sets or ()), *more, *start_from(pretrained)])
    announce(exp)
    from segclf import pipeline  # torch: seconds, paid once the run is found

    with progress("train-clf") as on_event:
        pipeline.train_clf(exp, on_event, fold=fold, resume=resume)
    then = f"segclf eval-subgroups{same_run(exp, config, manifest, run)}"
    folder = exp.run.stage("classify", exp.recipe.classify.head)
    done(folder, then, as_json)
    quarantined(pipeline.set_aside(exp, f"classify/{exp.recipe.classify.head}"))


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
    from segclf import pipeline  # torch: seconds, paid once the run is found
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
    name = other_name(other) if other else pipeline.OWN
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
    from segclf import pipeline  # torch: seconds, paid once the run is found
    from segclf.other import other_than_own

    other = other_than_own(exp, manifest)
    folder, evaluation = pipeline.evaluate(
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
