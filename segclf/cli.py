"""The command line: one command per stage. Each parses, calls the stage, prints what it wrote."""

from pathlib import Path
from typing import Annotated

import typer

from segclf.closing import announce, done, quarantined, same_run
from segclf.console import answer, progress
from segclf.core.errors import ExitCode

app = typer.Typer(
    name="segclf",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    help="Segmentation-for-classification in medical imaging. Research use, not diagnosis.",
    epilog="First: segclf demo. On your own data: segclf check MANIFEST. Every command takes "
    "--debug, which shows the traceback of an error.",
)

Config = Annotated[Path | None, typer.Option("--config", help="Recipe (YAML).")]
Manifest = Annotated[Path | None, typer.Option("--manifest", help="Case table (CSV or Parquet).")]
RunName = Annotated[str | None, typer.Option("--run", help="Run folder or name under runs/.")]
Set = Annotated[list[str] | None, typer.Option("--set", help="Setting, e.g. train.lr=1e-3.")]
Fold = Annotated[int | None, typer.Option("--fold", help="Only this fold; default: all.")]
Resume = Annotated[bool, typer.Option("--resume", help="Continue an interrupted training.")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object on standard output.")]
Pretrained = Annotated[
    str | None,
    typer.Option("--pretrained", help="Encoder weights: imagenet, or a safetensors file."),
]
Maps = Annotated[
    str | None, typer.Option("--save-maps", help="Also keep probability maps: png, nifti or npz.")
]


@app.command(epilog="Example: segclf demo")
def demo(as_json: Json = False) -> None:
    """The main job on phantom data: segmenter against classifier, with a report."""
    from segclf.demo import run_demo

    result = run_demo()
    answer(result, result["text"], as_json=as_json)


@app.command(epilog="Example: segclf doctor")
def doctor(as_json: Json = False) -> None:
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
    sets: Set = None,
    as_json: Json = False,
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
    config: Config = None,
    sets: Set = None,
    workers: Annotated[int, typer.Option(help="Files read at the same time.")] = 2,
    as_json: Json = False,
) -> None:
    """Read every file and list every problem, with row, field, expectation and fix."""
    from segclf.starting import check_data

    with progress("check") as on_event:
        result, text, exit_code = check_data(manifest, config, tuple(sets or ()), workers, on_event)
    answer(result, text, as_json=as_json)
    raise typer.Exit(exit_code)


@app.command(epilog="Example: segclf split --config recipe.yaml --folds 5")
def split(
    config: Config = None,
    manifest: Manifest = None,
    run: RunName = None,
    folds: Annotated[int | None, typer.Option(help="Cross-validation folds.")] = None,
    sets: Set = None,
    as_json: Json = False,
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
    config: Config = None,
    manifest: Manifest = None,
    run: RunName = None,
    sets: Set = None,
    pretrained: Pretrained = None,
    fold: Fold = None,
    resume: Resume = False,
    as_json: Json = False,
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
    config: Config = None,
    manifest: Manifest = None,
    run: RunName = None,
    sets: Set = None,
    head: Annotated[str | None, typer.Option(help="sigmoid or softmax.")] = None,
    pretrained: Pretrained = None,
    fold: Fold = None,
    resume: Resume = False,
    as_json: Json = False,
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
    config: Config = None,
    manifest: Manifest = None,
    run: RunName = None,
    sets: Set = None,
    fold: Fold = None,
    save_maps: Maps = None,
    as_json: Json = False,
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
    config: Config = None,
    manifest: Manifest = None,
    run: RunName = None,
    sets: Set = None,
    as_json: Json = False,
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
    by: Annotated[list[str] | None, typer.Option(help="Column, or 'age:[0,40),[40,60)'.")] = None,
    shortcut: Annotated[str | None, typer.Option(help="Column of a feature; 1 = present.")] = None,
    scores: Annotated[list[Path] | None, typer.Option(help="More score tables.")] = None,
    config: Config = None,
    manifest: Manifest = None,
    run: RunName = None,
    sets: Set = None,
    as_json: Json = False,
) -> None:
    """Compare methods overall and per group, with intervals by patient, on test cases."""
    from segclf.evaluate import evaluation_text
    from segclf.experiment import find_experiment

    exp = find_experiment(
        config, run, sets or (), needs="*/*/**/scores.parquet", made_by="segclf summarize"
    )
    announce(exp)
    from segclf import pipeline  # torch: seconds, paid once the run is found
    from segclf.other import other_than_own

    other = other_than_own(exp, manifest)
    folder, evaluation = pipeline.evaluate(
        exp, by=by or (), shortcut=shortcut, scores=scores or (), manifest=other
    )
    then = f"segclf report{same_run(exp, config, run)}"
    if other is not None:  # a report shows the run's own cases
        then = f"read {folder / 'metrics.csv'}"
    done(folder, then, as_json, evaluation_text(evaluation))


@app.command(epilog="Example: segclf report --run my_run")
def report(
    config: Config = None, run: RunName = None, sets: Set = None, as_json: Json = False
) -> None:
    """One self-contained HTML page of the run: tables, figures, worst errors."""
    from segclf.experiment import find_experiment
    from segclf.reporting import make_report

    exp = find_experiment(
        config, run, sets or (), needs="evaluate/metrics.parquet", made_by="segclf eval-subgroups"
    )
    announce(exp)
    with progress("report") as on_event:
        page = make_report(exp, on_event)
    done(page, "open it in a browser", as_json)


def start_from(pretrained: str | None) -> list[str]:
    """The setting that `--pretrained` stands for; a file is found from the current folder."""
    if pretrained is None:
        return []
    path = Path(pretrained)
    return [f"network.pretrained={path.resolve() if path.is_file() else pretrained}"]
