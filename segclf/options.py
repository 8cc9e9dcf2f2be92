"""Options that commands share, and the settings that some of them stand for."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated

import typer

from segclf.core.errors import UsageError
from segclf.core.runs import Run, find_run

Config = Annotated[Path | None, typer.Option("--config", help="Recipe (YAML).")]
Manifest = Annotated[Path | None, typer.Option("--manifest", help="Case table (CSV or Parquet).")]
NewCases = Annotated[
    Path | None,
    typer.Option("--manifest", help="Case table (CSV or Parquet), or a folder of images."),
]
RunName = Annotated[str | None, typer.Option("--run", help="Run folder or name under runs/.")]
Set = Annotated[list[str] | None, typer.Option("--set", help="Setting, e.g. train.lr=1e-3.")]
Fold = Annotated[int | None, typer.Option("--fold", help="Only this fold; default: all.")]
Resume = Annotated[bool, typer.Option("--resume", help="Continue an interrupted training.")]
Semi = Annotated[
    str | None,
    typer.Option(
        "--semi",
        help="Learn from training cases without masks too: mean_teacher, "
        "uncertainty_mean_teacher, cps, fixmatch, two_step or pseudo.",
    ),
]
Rounds = Annotated[
    int | None,
    typer.Option("--rounds", min=1, help="With --semi pseudo or two_step: trainings in a row."),
]
Boosted = Annotated[
    bool, typer.Option("--boosted", help="With --semi: image labels correct what is learned.")
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object on standard output.")]
Pretrained = Annotated[
    str | None,
    typer.Option("--pretrained", help="Encoder weights: imagenet, or a safetensors file."),
]
Maps = Annotated[
    str | None,
    typer.Option("--save-maps", help="Also keep probability maps: png, nifti, nrrd, mha, npz."),
]
SummaryUnit = Annotated[
    str, typer.Option(help="case, or volume: scores of whole volumes from those of their slices.")
]
SlicesOf = Annotated[
    str | None,
    typer.Option("--of", help="With --unit volume: pool (--rule max, mean) this method's slices."),
]
MapsFolder = Annotated[
    Path | None,
    typer.Option("--maps", help="Folder of maps made elsewhere: nnU-Net npz, NIfTI, PNG, masks."),
]
MapsHold = Annotated[str, typer.Option(help="With --maps: auto, probability or labels.")]
MethodName = Annotated[
    str | None, typer.Option(help="With --maps: name of the method; default: the rule's.")
]
MapsOut = Annotated[
    Path | None, typer.Option(help="With --maps: folder of results; default: runs/maps-NAME.")
]
By = Annotated[
    list[str] | None,
    typer.Option(help="Column, 'age:[0,40),[40,60)', 'age:quantiles=4', 'sex*site' or 'a+b'."),
]
Shortcut = Annotated[
    str | None, typer.Option(help="Column of a feature that should not matter: tube or tube=1.")
]
Scores = Annotated[
    list[Path] | None, typer.Option(help="Score table (CSV or Parquet); repeat for more.")
]
Columns = Annotated[
    list[str] | None, typer.Option(help="Name in the score tables, e.g. patient_id=subject.")
]
ThresholdFrom = Annotated[
    str | None, typer.Option(help="Choose thresholds anew: val, or val:specificity=0.9.")
]
Exploratory = Annotated[
    bool, typer.Option("--exploratory", help="Allow --threshold-from test; marks every output.")
]
Unit = Annotated[str | None, typer.Option(help="Drawn independently: patient, volume or case.")]
Interval = Annotated[str | None, typer.Option(help="auto, percentile, bca or delong.")]
DeployPrevalence = Annotated[
    float | None, typer.Option(help="Share of positives in use, for PPV, NPV, Brier, net benefit.")
]
Margin = Annotated[
    list[str] | None, typer.Option(help="Smallest difference that would matter: auroc=0.03.")
]
FitOn = Annotated[
    str | None, typer.Option(help="Fit a trained rule on train (default) or val cases.")
]
OutOfFold = Annotated[
    bool,
    typer.Option("--out-of-fold", help="Fit it on maps of segmenters that did not see the case."),
]
Out = Annotated[Path, typer.Option(help="Folder for the evaluation of --scores without a run.")]

EvaluationFolder = Annotated[
    Path | None, typer.Option(help="Folder of eval-subgroups --scores, instead of a run.")
]


def check_unit(unit: str, others: Mapping[str, object]) -> bool:
    """Whether scores of whole volumes are asked for.

    Raises:
        UsageError: The unit has another name, or options of `others` were given with `volume`.
    """
    if unit not in ("case", "volume"):
        raise UsageError(
            f"{unit!r} is not a unit of scores.",
            where=f"--unit {unit}",
            expected="case or volume",
            fix="--unit volume for scores of volumes from those of their slices",
        )
    if unit == "volume":
        refuse(others, "--unit volume", "are for single cases", "leave them out")
    return unit == "volume"


def scored_by(of: str | None, *, is_volume: bool, others: Mapping[str, object]) -> tuple[str, str]:
    """Files of a run that hold what is summarized, and the command that makes them.

    Raises:
        UsageError: `--of` was given without `--unit volume`, or with options that it ignores.
    """
    if of is None:
        return "predict/own/**/part-*.json", "segclf train-seg"
    if not is_volume:
        refuse({"--of": of}, "--unit case", "pools the scores of slices", "add --unit volume")
    refuse(others, "--of", "are for masks", "leave them out")
    return f"*/{of}/**/scores.parquet", f"segclf train-clf, or segclf summarize --rule {of}"


def split_run(run: str | None) -> Run | None:
    """The run that the user named, which has its split."""
    if run is None:
        return None
    return find_run(Path(run), needs="split.parquet", made_by="segclf split")


def refuse(given: Mapping[str, object], where: str, why: str, fix: str) -> None:
    """Refuse options that would have no effect.

    Args:
        given: Option to its value; those that are falsy were not given.
        where: The option that is missing or that they do not go with.
        why: What they are.
        fix: What to do.

    Raises:
        UsageError: One was given.
    """
    found = [name for name, value in given.items() if value]
    if found:
        raise UsageError(
            f"{' and '.join(found)} would have no effect: {', '.join(given)} {why}.",
            where=where,
            expected="options that all have an effect",
            fix=fix,
        )


def fitting(rule: str, fit_on: str | None, out_of_fold: bool) -> list[str]:
    """The settings that `--fit-on` and `--out-of-fold` stand for.

    Raises:
        UsageError: The rule is not trained.
    """
    from segclf.summarize.trained import TRAINED, is_trained

    given = [f"summarize.fit_on={fit_on}"] if fit_on else []
    given += ["summarize.out_of_fold=true"] if out_of_fold else []
    if given and not is_trained(rule):
        raise UsageError(
            f"the rule {rule!r} is not trained.",
            where="--out-of-fold" if out_of_fold else f"--fit-on {fit_on}",
            expected=f"one of {', '.join(TRAINED)}",
            fix="leave the option out, or choose one of these rules",
        )
    return given


def start_from(pretrained: str | None) -> list[str]:
    """The setting that `--pretrained` stands for; a file is found from the current folder."""
    if pretrained is None:
        return []
    path = Path(pretrained)
    return [f"network.pretrained={path.resolve() if path.is_file() else pretrained}"]


def semi_settings(
    semi: str | None, rounds: int | None, boosted: bool, *, config: Path | None
) -> list[str]:
    """The settings that `--semi`, `--rounds` and `--boosted` stand for.

    Without a recipe file, options that are not given are off, whatever the run remembers.

    Raises:
        UsageError: There is no such method, or an option would have no effect.
    """
    if semi is None:
        given = {"--rounds": rounds, "--boosted": boosted}
        refuse(given, "train-seg", "go with --semi", "add --semi METHOD")
        return []
    from segclf.pseudolabel.semi import find_method

    find_method(semi)
    more = [f"semi.method={semi}"]
    if rounds or config is None:
        more.append(f"semi.rounds={rounds or 1}")
    if boosted or config is None:
        more.append(f"semi.boosted={str(boosted).lower()}")
    return more


def settings_of(
    threshold_from: str | None,
    exploratory: bool,
    unit: str | None,
    interval: str | None,
    deploy_prevalence: float | None,
    margin: Sequence[str] | None,
) -> list[str]:
    """The settings that the options of `eval-subgroups` stand for.

    Raises:
        UsageError: A margin is not METRIC=NUMBER.
    """
    given = {
        "threshold_from": f"'{threshold_from}'" if threshold_from else None,
        "exploratory": "true" if exploratory else None,
        "unit": unit,
        "interval": interval,
        "deploy_prevalence": deploy_prevalence,
    }
    margins = [pair(text, "--margin", "auroc=0.03") for text in margin or ()]
    return [
        *(f"evaluate.{name}={value}" for name, value in given.items() if value is not None),
        *(f"evaluate.margins.{name}={value}" for name, value in margins),
    ]


def mapped(columns: Sequence[str] | None) -> dict[str, str]:
    """Column of the score table to column of the files.

    Raises:
        UsageError: A text is not OURS=THEIRS.
    """
    return dict(pair(text, "--columns", "patient_id=subject") for text in columns or ())


def pair(text: str, option: str, example: str) -> tuple[str, str]:
    """The two sides of a text with an equals sign.

    Raises:
        UsageError: There is no equals sign, or nothing on one of its sides.
    """
    name, _, value = (part.strip() for part in text.partition("="))
    if not name or not value:
        raise UsageError(
            f"{text!r} has no two sides.",
            where=option,
            expected="NAME=VALUE",
            fix=f"for example {option} {example}",
        )
    return name, value
