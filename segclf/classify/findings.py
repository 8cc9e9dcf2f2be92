"""What the heads `sigmoid` and `softmax` tell apart."""

from segclf.classify.head import Parts
from segclf.classify.targets import Targets
from segclf.core.config import Recipe
from segclf.core.errors import DataError


def sigmoid_targets(_parts: Parts, findings: tuple[str, ...], _recipe: Recipe) -> Targets:
    """Every finding, independent of the others."""
    return Targets(findings=findings)


def softmax_targets(parts: Parts, findings: tuple[str, ...], _recipe: Recipe) -> Targets:
    """The findings and "none of them", of which each case has one.

    Raises:
        DataError: A case has two findings.
    """
    for case in [*parts["train"], *parts["val"]]:
        present = [n for n, label in zip(findings, case.labels, strict=True) if label == 1]
        if len(present) > 1:
            raise DataError(
                f"the case {case.case_id!r} has the findings {' and '.join(present)}.",
                where="classify.head = softmax",
                expected="at most one finding per case, since softmax makes them exclusive",
                fix="use classify.head: sigmoid, or correct the labels",
            )
    return Targets(findings=findings, exclusive=True)
