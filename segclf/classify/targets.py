"""What a classifier tells apart in one data set: findings, or the categories of class columns."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain

import numpy as np

from segclf.core.records import Case

NAN = float("nan")


@dataclass(frozen=True)
class Targets:
    """What the outputs of a head mean."""

    findings: tuple[str, ...] = ()
    """Findings that are scored; () if `classes` says what is."""
    exclusive: bool = False
    """At most one finding is present: softmax, with an output for "none" before the others."""
    classes: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Column `class_<head>` to its categories, of which each case has one."""
    weights: tuple[float, ...] | None = None
    """Weight of a case in the loss: per network output, that of its class; for independent
    findings first those of absence and then those of presence. None weighs all cases alike."""

    @property
    def names(self) -> tuple[str, ...]:
        """What the score table calls each output: the finding, or `<head>=<category>`."""
        if not self.classes:
            return self.findings
        return tuple(f"{head}={name}" for head, names in self.classes.items() for name in names)

    @property
    def sizes(self) -> tuple[int, ...]:
        """Network outputs of each softmax; () if all outputs are independent."""
        if self.classes:
            return tuple(len(names) for names in self.classes.values())
        return (1 + len(self.findings),) if self.exclusive else ()

    @property
    def n_outputs(self) -> int:
        """Network outputs."""
        return sum(self.sizes) or len(self.findings)

    def labels(self, case: Case) -> tuple[float, ...]:
        """Per name 1, 0, or NaN where it is not known."""
        if not self.classes:
            return case.labels
        return tuple(
            NAN if head not in case.classes else float(case.classes[head] == name)
            for head, names in self.classes.items()
            for name in names
        )

    def relabelled(self, cases: Sequence[Case]) -> tuple[Case, ...]:
        """The cases with one label per name, which is what batches and score tables show."""
        return tuple(replace(case, labels=self.labels(case)) for case in cases)


def balanced(targets: Targets, train: Sequence[Case]) -> Targets:
    """The targets with weights that let every class count the same.

    A case of class k weighs n / (K n_k): n cases with a known class, n_k of them of class k, and K
    classes that occur. A class without a training case weighs 1. A finding is a class of its own,
    against its absence, unless findings exclude each other.

    Args:
        targets: What is told apart.
        train: Training cases; nothing else is counted.

    Source:
        King and Zeng, "Logistic regression in rare events data", Political Analysis 9 (2001);
        the formula of scikit-learn's `compute_class_weight("balanced")`.
    """
    labels = np.array([targets.labels(case) for case in train], dtype=float)
    labels = labels.reshape(len(train), len(targets.names))
    if not targets.sizes:
        per_finding = [_weights([(y == 0).sum(), (y == 1).sum()]) for y in labels.T]
        absent, present = zip(*per_finding, strict=True)
        return replace(targets, weights=(*absent, *present))
    n_cases = (labels == 1).sum(axis=0)
    if not targets.classes:
        counts = [[int((labels == 0).all(axis=1).sum()), *n_cases]]
    else:
        counts = np.split(n_cases, np.cumsum(targets.sizes)[:-1])
    return replace(targets, weights=tuple(chain.from_iterable(_weights(n) for n in counts)))


def _weights(n_cases: Sequence[int] | np.ndarray) -> list[float]:
    n_classes, total = sum(n > 0 for n in n_cases), int(sum(n_cases))
    return [float(total / (n_classes * n)) if n else 1.0 for n in n_cases]
