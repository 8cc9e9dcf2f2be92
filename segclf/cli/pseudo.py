"""The command that makes pseudo-masks: pseudo-label."""

import shlex
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from segclf import options as opt
from segclf.cli.app import app
from segclf.closing import announce, quarantined
from segclf.console import answer, progress
from segclf.core.runs import RUNS


@app.command(
    "pseudo-label",
    epilog="Example: segclf pseudo-label --run my_run --filter boosted --set "
    "pseudolabel.min_confidence=0.8",
)
def pseudo_label(
    config: opt.Config = None,
    manifest: opt.Manifest = None,
    run: opt.RunName = None,
    filter_name: Annotated[
        str | None,
        typer.Option("--filter", help="none, label, boosted (default), count or confidence."),
    ] = None,
    uncertain: Annotated[
        str | None,
        typer.Option(help="LOW,HIGH for confidence: pixels from LOW to HIGH are not known."),
    ] = None,
    min_confidence: Annotated[
        float | None,
        typer.Option(help="For boosted: keeps cases of unknown label above this confidence."),
    ] = None,
    soft: Annotated[
        bool, typer.Option("--soft", help="Write probabilities instead of masks.")
    ] = False,
    fold: opt.Fold = None,
    sets: opt.Set = None,
    as_json: opt.Json = False,
) -> None:
    """Predict masks for training cases without one, filter them, and say what became of each."""
    from segclf.experiment import find_experiment

    if filter_name is not None:  # a name that does not exist is said before a run is looked for
        from segclf.pseudolabel import find_filter

        find_filter(filter_name)
    given = {
        "filter": filter_name,
        "uncertain": None if uncertain is None else f"[{uncertain}]",
        "min_confidence": min_confidence,
    }
    named = [f"pseudolabel.{key}={value}" for key, value in given.items() if value is not None]
    exp = find_experiment(
        config, run, [*(sets or ()), *named], needs="segment/**/model.json",
        made_by="segclf train-seg",
    )  # fmt: skip
    _refuse_unread(exp.recipe.pseudolabel.filter, uncertain, min_confidence)
    announce(exp)
    from segclf.other import other_than_own
    from segclf.pseudolabel import pseudo_label as label
    from segclf.pseudolabel.ledger import counts_text

    other = other_than_own(exp, manifest)
    with progress("pseudo-label") as on_event:
        made = label(exp, manifest=other, fold=fold, soft=soft, on_event=on_event)
    wrote = [str(folder) for folder, _ in made]
    is_own = other is None and exp.run.path.resolve().parent.name == RUNS.name
    folds = exp.folds(fold) if is_own else ()
    then = "; ".join([f"read {wrote[0]}/ledger.csv", *_trainings(exp, wrote, folds)])
    text = "\n".join(f"{counts_text(record['counts'])}\nwrote {f}" for f, record in made)
    value = {
        "wrote": wrote[0] if len(wrote) == 1 else wrote,
        "counts": [record["counts"] for _, record in made],
        "next": then,
    }
    answer(value, f"{text}\nnext: {then}", as_json=as_json)
    n_aside = sum(record["n_quarantined"] for _, record in made)
    quarantined(n_aside, why="quarantine.jsonl, ledger.csv")


def _refuse_unread(chosen: str, uncertain: str | None, min_confidence: float | None) -> None:
    """Refuse options for settings that the filter does not read."""
    from segclf.pseudolabel import find_filter  # torch: seconds, once the run is found

    reads = find_filter(chosen).reads
    given = {"uncertain": uncertain, "min_confidence": min_confidence}
    for name, value in given.items():
        option = f"--{name.replace('_', '-')}"
        is_unread = value is not None and name not in reads
        opt.refuse(
            {option: is_unread}, f"--filter {chosen}", "is not read by this filter", "leave it out"
        )


def _trainings(exp: Any, wrote: list[str], folds: Sequence[int | None]) -> Iterator[str]:  # noqa: ANN401 (Experiment)
    """The commands that train new runs, with the same split, on the pseudo-masks of each folder."""
    for folder, fold in zip(wrote, folds, strict=False):
        yield _training(exp, Path(folder), fold)


def _training(exp: Any, folder: Path, fold: int | None) -> str:  # noqa: ANN401 (Experiment)
    of_fold = "" if fold is None else f"-fold{fold}"
    inside = folder.relative_to(exp.run.path.parent)
    tables = ",".join([*exp.recipe.side_tables, f"runs/{inside}/side.csv"])
    words = [
        "segclf", "train-seg", "--config", str(exp.run.config),
        "--run", f"{exp.run.path.name}-{inside.parts[2]}{of_fold}",
        "--set", f"side_tables=[{tables}]", *([] if fold is None else ["--fold", str(fold)]),
    ]  # fmt: skip
    return shlex.join(words)
