"""What the heads `sigmoid` and `softmax` tell apart."""

from segclf.classify.categories import chosen, learnable
from segclf.classify.head import Parts
from segclf.classify.targets import Targets
from segclf.core.config import Recipe
from segclf.core.errors import ConfigError, DataError


def sigmoid_targets(_parts: Parts, findings: tuple[str, ...], _recipe: Recipe) -> Targets:
    """Every finding, independent of the others."""
    return Targets(findings=findings)


def softmax_targets(parts: Parts, findings: tuple[str, ...], recipe: Recipe) -> Targets:
    """The findings and "none of them", or the categories of the one column of `classify.targets`.

    Raises:
        ConfigError: Several columns are named.
        DataError: A case has two findings, or the column cannot be learned.
    """
    if recipe.classify.targets:
        return _one_column(parts, recipe)
    check_exclusive(parts, findings, recipe)
    return Targets(findings=findings, exclusive=True)


def _one_column(parts: Parts, recipe: Recipe) -> Targets:
    name, *more = chosen(parts, recipe)
    if more:
        raise ConfigError(
            f"softmax tells the categories of one column apart, not of {1 + len(more)}.",
            where=f"classify.targets = {list(recipe.classify.targets)}",
            expected="one column, or none to learn the findings",
            fix=f"classify.targets: [{name}], or classify.head: multihead",
        )
    return Targets(classes={name: learnable(name, parts)})


def check_exclusive(parts: Parts, findings: tuple[str, ...], recipe: Recipe) -> None:
    """Refuse a case with two findings, of training or validation.

    Raises:
        DataError: There is one.
    """
    for case in [*parts["train"], *parts["val"]]:
        present = [n for n, label in zip(findings, case.labels, strict=True) if label == 1]
        if len(present) > 1:
            raise DataError(
                f"the case {case.case_id!r} has the findings {' and '.join(present)}.",
                where=f"classify.head = {recipe.classify.head}",
                expected="at most one finding per case, since they are made exclusive",
                fix="use classify.head: sigmoid, or correct the labels",
            )
