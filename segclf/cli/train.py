"""Commands that train: train-seg, train-clf; and enroll, which needs no training."""

from pathlib import Path
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
    semi: opt.Semi = None,
    rounds: opt.Rounds = None,
    boosted: opt.Boosted = False,
    pretrained: opt.Pretrained = None,
    strict_coarse: Annotated[
        bool, typer.Option("--strict-coarse", help="Take point, box and dilated masks as full.")
    ] = False,
    refine_from: Annotated[
        str | None, typer.Option(help="Run of coarse masks to fine-tune with the full ones.")
    ] = None,
    fold: opt.Fold = None,
    resume: opt.Resume = False,
    as_json: opt.Json = False,
) -> None:
    """Train a segmenter on masks; then predict the validation and test cases."""
    from segclf.experiment import new_experiment

    more = opt.semi_settings(semi, rounds, boosted, config=config)
    more += ["segment.strict_coarse=true"] if strict_coarse else []
    more += [f"segment.refine_from={refine_from}"] if refine_from else []
    exp = new_experiment(config, manifest, run, [*more, *(sets or ()), *start_from(pretrained)])
    announce(exp)
    from segclf import pipeline, stages  # torch: seconds, paid once the run is found

    with progress("train-seg") as on_event:
        pipeline.train_seg(exp, on_event, fold=fold, resume=resume)
    then = f"segclf summarize --rule tau{same_run(exp, config, manifest, run)}"
    done(exp.run.stage("segment"), then, as_json)
    quarantined(stages.set_aside(exp, "segment", f"predict/{stages.OWN}"))


@app.command(
    "train-clf", epilog="Example: segclf train-clf --run my_run --head softmax --init-from my_run"
)
def train_clf(
    config: opt.Config = None,
    manifest: opt.Manifest = None,
    run: opt.RunName = None,
    sets: opt.Set = None,
    head: Annotated[
        str | None, typer.Option(help="sigmoid, softmax, multihead, metric or joint.")
    ] = None,
    init_from: Annotated[
        str | None, typer.Option(help="Run whose segmenter's encoder is the start.")
    ] = None,
    pretrained: opt.Pretrained = None,
    fold: opt.Fold = None,
    resume: opt.Resume = False,
    as_json: opt.Json = False,
) -> None:
    """Train an ordinary classifier: same encoder, cases, augmentation, budget, selection."""
    from segclf.experiment import new_experiment

    more = [f"classify.head={head}"] if head else []
    if init_from or (head and config is None):  # a run remembers where its last method began
        more.append(f"classify.init_from={init_from or 'null'}")
    exp = new_experiment(config, manifest, run, [*more, *(sets or ()), *start_from(pretrained)])
    announce(exp)
    from segclf import pipeline, stages  # torch: seconds, paid once the run is found

    with progress("train-clf") as on_event:
        pipeline.train_clf(exp, on_event, fold=fold, resume=resume)
    then = f"segclf eval-subgroups{same_run(exp, config, manifest, run)}"
    folder = exp.run.stage("classify", exp.recipe.classify.method)
    done(folder, then, as_json)
    quarantined(stages.set_aside(exp, f"classify/{exp.recipe.classify.method}"))


@app.command(epilog="Example: segclf enroll --run my_run --class cyst --images new_cysts/")
def enroll(
    name: Annotated[str, typer.Option("--class", help="Name of the new class.")],
    images: Annotated[Path, typer.Option(help="Folder of images, or a manifest.")],
    method: Annotated[
        str | None, typer.Option(help="metric or metric-init, if the run has both.")
    ] = None,
    config: opt.Config = None,
    run: opt.RunName = None,
    sets: opt.Set = None,
    fold: opt.Fold = None,
    as_json: opt.Json = False,
) -> None:
    """Add a class to the gallery of a metric head, without training; classify anew."""
    from segclf.experiment import find_experiment

    made_by = "segclf train-clf --head metric"
    exp = find_experiment(
        config, run, sets or (), needs="classify/metric*/**/gallery.json", made_by=made_by
    )
    announce(exp)
    from segclf import pipeline  # torch: seconds, paid once the run is found

    with progress("enroll") as on_event:
        method, classes = pipeline.enroll_class(
            exp, name, images, on_event, method=method, fold=fold
        )
    then = f"segclf eval-subgroups{same_run(exp, config, run)}"
    done(exp.run.stage("classify", method), then, as_json, f"classes: {', '.join(classes)}")
