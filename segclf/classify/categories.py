"""Class columns: which of them a head learns, and the categories that it tells apart."""

from collections import Counter

from segclf.classify.head import Parts
from segclf.classify.targets import Targets
from segclf.core.catalog import unknown_name
from segclf.core.config import Recipe
from segclf.core.errors import DataError


def multihead_targets(parts: Parts, _findings: tuple[str, ...], recipe: Recipe) -> Targets:
    """The columns of `classify.targets`, or all, each exclusive in itself.

    Raises:
        UsageError: A column does not exist.
        DataError: There is no class column, or one cannot be learned.
    """
    return Targets(classes={name: learnable(name, parts) for name in chosen(parts, recipe)})


def chosen(parts: Parts, recipe: Recipe) -> list[str]:
    """The columns that the recipe names, without `class_`; all if it names none.

    Raises:
        UsageError: A column does not exist.
        DataError: There is no class column.
    """
    known = sorted({name for cases in parts.values() for case in cases for name in case.classes})
    if not known:
        raise DataError(
            "no case has a category to learn.",
            where=f"classify.head = {recipe.classify.head}",
            expected="a column class_<head> of the manifest, such as class_density with L, M, H",
            fix="add the column, or name it in the recipe: columns: {class.density: MY_COLUMN}; "
            "findings are learned by classify.head: sigmoid or softmax",
        )
    for name in recipe.classify.targets:
        if name not in known:
            raise unknown_name(name, known, kind="class column", where="classify.targets")
    return list(dict.fromkeys(recipe.classify.targets)) or known


def learnable(name: str, parts: Parts) -> tuple[str, ...]:
    """The categories of the column `class_<name>` in training, sorted.

    Raises:
        DataError: Training has fewer than two of them, or others occur in val or test.
    """
    counts = _counts(name, parts)
    train = sorted(counts["train"])
    without = _without(name, parts)
    if len(train) < 2:
        what = f"only the category {train[0]!r}" if train else "no known category"
        raise DataError(
            f"the column class_{name} has {what} in {len(parts['train'])} training cases.",
            where=f"class_{name}, the training part",
            expected="at least two categories, else there is nothing to tell apart",
            fix=f"leave the column out: {without}",
        )
    for category in sorted({*counts["val"], *counts["test"]} - set(train)):
        n_val, n_test = counts["val"][category], counts["test"][category]
        raise DataError(
            f"the category {category!r} of class_{name} is in no training case, but in {n_val} of "
            "the validation and "
            f"{n_test} of the test cases, which could never be classified.",
            where=f"class_{name}",
            expected=f"only categories that training has: {', '.join(train)}",
            fix=f"leave the column out: {without}; or use classify.head: metric, to which new "
            "classes are enrolled after training; or make another split (split.seed)",
        )
    return tuple(train)


def _counts(name: str, parts: Parts) -> dict[str, Counter[str]]:
    """How often each category of a column occurs in each part."""
    return {
        part: Counter(case.classes[name] for case in cases if name in case.classes)
        for part, cases in parts.items()
    }


def _without(name: str, parts: Parts) -> str:
    """The setting with the other columns that can be learned, so that it ends the search."""
    known = {head for cases in parts.values() for case in cases for head in case.classes}
    counts = {other: _counts(other, parts) for other in sorted(known - {name})}
    others = ", ".join(
        other
        for other, own in counts.items()
        if len(own["train"]) > 1 and {*own["val"], *own["test"]} <= {*own["train"]}
    )
    return f"classify.targets: [{others}]" if others else "classify.head: sigmoid"
