"""What a metric head tells apart: the categories of a column, or the findings and `none`."""

import math
from collections.abc import Sequence

from segclf.classify.head import Parts
from segclf.classify.metric.gallery import UNKNOWN
from segclf.classify.targets import Targets
from segclf.core.config import Recipe
from segclf.core.errors import ConfigError, DataError
from segclf.core.records import Case
from segclf.manifest import CaseTable

FINDINGS = ""
"""The target that stands for the findings."""
NONE = "none"
"""The class of a case without any finding."""


def find_target(recipe: Recipe, table: CaseTable) -> str:
    """The column `class_<head>` that `classify.targets` names, or `FINDINGS` if it names none.

    Raises:
        ConfigError: It names several, or one that the manifest does not have; or a class is called
            `unknown`, as is a case that is too far from everything.
    """
    targets = list(recipe.classify.targets)
    if not targets:
        _refuse_unknown(table.findings, "findings")
        return FINDINGS
    columns = [str(name) for name in table.frame.columns]
    known = [name.removeprefix("class_") for name in columns if name.startswith("class_")]
    if len(targets) > 1 or targets[0] not in known:
        wrong = "names several columns" if len(targets) > 1 else "names a column that is not there"
        raise ConfigError(
            f"classify.targets {wrong}: {', '.join(targets)}.",
            where="classify.targets",
            expected=f"one of {', '.join(known) or '(there is no column class_<head>)'}; metric "
            "learns one kind of class",
            fix="name one of them, or none for the findings",
        )
    names = [case.classes.get(targets[0]) for case in table.cases]
    _refuse_unknown(names, f"column class_{targets[0]}")
    return targets[0]


def class_of(case: Case, target: str, findings: Sequence[str]) -> str | None:
    """The class of a case; None if it is not known.

    Of the findings it is the one that is present, `none` if all are known to be absent.

    Raises:
        DataError: Two findings are present.
    """
    if target != FINDINGS:
        return case.classes.get(target)
    present = [name for name, y in zip(findings, case.labels, strict=True) if y == 1]
    if len(present) > 1:
        raise DataError(
            f"the case {case.case_id!r} has the findings {' and '.join(present)}.",
            where="classify.head = metric",
            expected="at most one finding per case, since an embedding has one class",
            fix="use classify.head: sigmoid, or name a class column in classify.targets",
        )
    if present:
        return present[0]
    return None if any(math.isnan(y) for y in case.labels) else NONE


def metric_targets(parts: Parts, findings: tuple[str, ...], recipe: Recipe) -> Targets:
    """The findings, of which a case has at most one, or the categories of the training cases."""
    if not recipe.classify.targets:
        return Targets(findings=findings, exclusive=True)
    (target,) = recipe.classify.targets
    classes = [class_of(case, target, findings) for case in parts["train"]]
    return Targets(classes={target: tuple(sorted({name for name in classes if name}))})


def _refuse_unknown(names: Sequence[str | None], where: str) -> None:
    n = sum(name == UNKNOWN for name in names)
    if n:
        raise ConfigError(
            f"a class of a metric head is called {UNKNOWN!r}, {n} times.",
            where=where,
            expected=f"another name: a case that is too far from every class is {UNKNOWN!r}",
            fix="rename the class, or leave the cell blank if nobody knows the class",
        )


def finding_name(target: str, name: str) -> str:
    """What the score table calls a class: the finding, or `<head>=<category>`."""
    return name if target == FINDINGS else f"{target}={name}"
