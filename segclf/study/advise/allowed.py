"""What `--measure` can train on a subset of the masks, asked before anything is trained."""

from segclf.core.config import Recipe
from segclf.core.errors import UsageError
from segclf.pseudolabel.semi import check_settings, find_method

MIN_SUBSETS = 3


def check_subsets(n_subsets: int) -> None:
    """Refuse too few subsets of a size.

    Raises:
        UsageError: Fewer than three.
    """
    if n_subsets < MIN_SUBSETS:
        raise UsageError(
            f"{n_subsets} subsets of a size do not show how much trainings differ.",
            where=f"--subsets {n_subsets}",
            expected=f"at least {MIN_SUBSETS}",
            fix=f"write --subsets {MIN_SUBSETS}",
        )


def check_trainable(recipe: Recipe) -> None:
    """Refuse trainings that would learn from masks outside their subset.

    Raises:
        UsageError: The recipe refines another network, or its method makes pseudo-masks in rounds.
    """
    if recipe.segment.refine_from is not None:
        raise UsageError(
            "a subset of masks cannot be measured with a network that has seen all of them.",
            where=f"segment.refine_from = {recipe.segment.refine_from!r}",
            expected="trainings that start from scratch",
            fix="measure without it: --set segment.refine_from=null, in a run of its own (--run)",
        )
    if recipe.semi.method is None:
        return
    check_settings(recipe)
    if find_method(recipe.semi.method).has_rounds:
        raise UsageError(
            f"{recipe.semi.method!r} makes pseudo-masks in rounds, each of which reads the whole "
            "manifest: masks outside a subset would be learned too.",
            where=f"semi.method = {recipe.semi.method!r}",
            expected="a method that trains in one piece, such as mean_teacher, or none",
            fix="measure masks alone: --set semi.method=null, in a run of its own (--run)",
        )
