"""One semi-supervised training: the one training loop on mixed batches."""

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from segclf.core.config import Recipe
from segclf.core.errors import UsageError
from segclf.core.records import Case
from segclf.data import Plan
from segclf.manifest import CaseTable
from segclf.pseudolabel.semi.method import Change
from segclf.pseudolabel.semi.sampling import plan_mixed
from segclf.pseudolabel.semi.scene import make_scene
from segclf.pseudolabel.semi.table import find_method
from segclf.segment.train import train_segmenter
from segclf.segment.variant import Variant
from segclf.training import Prepared, Task
from segclf.training.state import EventSink


def train_semi(
    table: CaseTable,
    split: pd.DataFrame,
    recipe: Recipe,
    folder: Path,
    *,
    fold: int | None = None,
    known: Sequence[Case] | None = None,
    facts: dict[str, str] | None = None,
    first: bool = False,
    resume: bool = False,
    on_event: EventSink | None = None,
) -> Path:
    """Train on masks and on cases without them, as `semi.method` says; returns `folder`.

    The folder gets what `train_segmenter` writes. Test cases are not looked at. The kept weights
    are chosen on validation cases as in any training: those of the teacher for methods that have
    one (it is the moving average of the weights), of the first network for `cps`.

    Args:
        table: The cases; of methods with rounds, with pseudo-masks laid over them.
        split: From `make_split`.
        recipe: The experiment; `semi` has what only this training needs.
        folder: Where the model goes.
        fold: The fold whose parts are used; None without folds.
        known: The training cases without pseudo-masks, if `table` has some.
        facts: What else a resumed training must agree in.
        first: The first training of a method with rounds.
        resume: Continue an interrupted training; a finished one is left as it is.
        on_event: Gets the progress as plain data.

    Raises:
        UsageError: No method has that name.
        SegclfError: The data, the recipe or the folder do not allow it.
    """
    method = find_method(str(recipe.semi.method))
    change = method.before if first and method.has_rounds else method.change
    variant = None if change is None else _variant(recipe, change, known, facts)
    return train_segmenter(
        table, split, recipe, folder, fold=fold, resume=resume, variant=variant, on_event=on_event
    )


def check_settings(recipe: Recipe) -> None:
    """Refuse rounds of a method that has none, and to refine another network.

    Raises:
        UsageError: No method has that name, it has no rounds, or `segment.refine_from` is set.
    """
    semi = recipe.semi
    if recipe.segment.refine_from is not None:
        raise UsageError(
            f"{semi.method!r} starts from scratch, and refining from another network.",
            where=f"semi.method = {semi.method!r}, segment.refine_from = "
            f"{recipe.segment.refine_from!r}",
            expected="one of the two",
            fix="refine without --semi, or set segment.refine_from: null",
        )
    if not find_method(str(semi.method)).has_rounds and semi.rounds > 1:
        raise UsageError(
            f"{semi.method!r} has no rounds: it learns from unlabelled cases in one training.",
            where=f"semi.rounds = {semi.rounds}",
            expected="1, or a method that learns pseudo-masks: pseudo or two_step",
            fix="leave out --rounds, or use --semi pseudo",
        )


def _variant(
    recipe: Recipe, change: Change, known: Sequence[Case] | None, facts: dict[str, str] | None
) -> Variant:
    def plan(prepared: Prepared) -> Plan:
        return plan_mixed(make_scene(recipe, prepared, known))

    def changed(task: Task, prepared: Prepared) -> Task:
        return change(task, make_scene(recipe, prepared, known))

    return Variant(("semi",), plan, changed, facts or {})
