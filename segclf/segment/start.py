"""The segmenter of another run that a training starts from, if it may."""

from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from segclf.core.config import Recipe
from segclf.core.errors import ConfigError, DataError, UsageError
from segclf.core.runs import Run, shown
from segclf.core.sameness import differences, flat_settings
from segclf.training import ModelCard, read_card

SAME = ("network", "image")


@dataclass(frozen=True)
class Start:
    """The segmenter that a training starts from."""

    folder: Path
    run: str
    card: ModelCard
    setting: str
    """The setting that names its run."""

    @property
    def facts(self) -> dict[str, str]:
        """What the card of the new model says about it."""
        return {"run": self.run, "sha256": self.card.sha256}


def find_segmenter(
    run: Run, recipe: Recipe, split: pd.DataFrame, *, fold: int | None, setting: str
) -> Start:
    """The segmenter of `run`, if a training of this recipe and split may start from it.

    Args:
        run: The run that `setting` names.
        recipe: Of the new training.
        split: Of the new training.
        fold: The fold; None without folds.
        setting: For messages: `classify.init_from`, `segment.refine_from`.

    Raises:
        UsageError: The run has no segmenter of this fold.
        IntegrityError: Its files are damaged.
        ConfigError: Its network or its images are others.
        DataError: It was trained on patients who validate or test here.
    """
    folder = run.stage("segment", fold=fold)
    if not (folder / "model.json").is_file():
        of_fold = "" if fold is None else f" of fold {fold}"
        raise UsageError(
            f"the run {run.path.name!r} has no trained segmenter{of_fold}.",
            where=f"{setting} = {run.path.name!r}",
            expected=f"{shown(folder)}/model.json",
            fix=f"run: segclf train-seg --run {run.path.name}",
        )
    start = Start(folder, run.path.name, read_card(folder, kind="segment"), setting)
    _require_same_network(start, recipe)
    _require_no_leak(start, pd.read_parquet(run.split), split, fold)
    return start


def require_channels(start: Start, n_channels: int) -> None:
    """Refuse images with another number of channels.

    Raises:
        ConfigError: They have.
    """
    if start.card.n_channels != n_channels:
        raise _other(start, [f"image channels: {start.card.n_channels} -> {n_channels}"])


def _require_same_network(start: Start, recipe: Recipe) -> None:
    # the weights are given, wherever they began
    plain = recipe.network.model_copy(update={"pretrained": None})
    mine = flat_settings(recipe.model_copy(update={"network": plain}), SAME)
    card = {"network": start.card.network, "image": start.card.image}
    theirs = flat_settings(recipe.model_copy(update=card), SAME)
    if lines := differences(theirs, mine):
        raise _other(start, lines)


def _other(start: Start, lines: list[str]) -> ConfigError:
    return ConfigError(
        f"the segmenter of {start.run!r} has another network or other images:\n    "
        + "\n    ".join(lines),
        where=f"{start.setting} = {start.run!r}",
        expected="the network, encoder, channels and image settings of this recipe",
        fix="use the settings of that run, or train a segmenter with these: segclf train-seg",
    )


def _require_no_leak(
    start: Start, theirs: pd.DataFrame, ours: pd.DataFrame, fold: int | None
) -> None:
    if fold is not None:
        theirs, ours = (frame.loc[frame["fold"] == fold] for frame in (theirs, ours))
    # what trained or picked those weights must not judge the new ones
    for seen, held_out in (("train", ("val", "test")), ("val", ("test",))):
        used = theirs.loc[theirs["split"] == seen]
        kept = ours.loc[ours["split"].isin(held_out)]
        leaks = kept["case_id"].isin(used["case_id"]) | kept["patient_id"].isin(used["patient_id"])
        if leaks.any():
            of = {part: int((kept.loc[leaks, "split"] == part).sum()) for part in held_out}
            counts = " and ".join(f"{n} of the {part} cases" for part, n in of.items())
            raise DataError(
                f"the segmenter of {start.run!r} has seen what is held out here: {counts} belong "
                f"to its {seen} part.",
                where=f"{start.setting} = {start.run!r}",
                expected="a segmenter trained with the same split",
                fix="train the classifier in that run (--run), or give both the same seed and split"
                if start.setting.startswith("classify")
                else "give both runs (--run) the same patients, labels, seed and split",
            )
