"""Commands that train: train-seg, train-clf."""

from typing import Annotated

import typer

from segclf import options as opt
from segclf.cli.app import app
from segclf.closing import announce, done, quarantined, same_run
from segclf.console import progress
from segclf.options import start_from


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
    from segclf import pipeline, stages  # torch: seconds, paid once the run is found

    with progress("train-seg") as on_event:
        pipeline.train_seg(exp, on_event, fold=fold, resume=resume)
    then = f"segclf summarize --rule tau{same_run(exp, config, manifest, run)}"
    done(exp.run.stage("segment"), then, as_json)
    quarantined(stages.set_aside(exp, "segment", f"predict/{stages.OWN}"))


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
    from segclf import pipeline, stages  # torch: seconds, paid once the run is found

    with progress("train-clf") as on_event:
        pipeline.train_clf(exp, on_event, fold=fold, resume=resume)
    then = f"segclf eval-subgroups{same_run(exp, config, manifest, run)}"
    folder = exp.run.stage("classify", exp.recipe.classify.method)
    done(folder, then, as_json)
    quarantined(stages.set_aside(exp, f"classify/{exp.recipe.classify.method}"))
