"""What can be refused before anything is trained: rules, heads and the evaluation."""

from collections.abc import Sequence

from segclf.classify.heads import find_head
from segclf.core.catalog import lookup
from segclf.evaluate import METRICS
from segclf.evaluate.groups import group_cases, parse_shortcut
from segclf.evaluate.sizes import SIZE
from segclf.experiment import Experiment
from segclf.manifest import cases_of, read_pairs
from segclf.study.compare.cells import with_method
from segclf.study.compare.costs import learns_pairs
from segclf.study.compare.methods import Method
from segclf.summarize.share import sharing
from segclf.summarize.table import SUMMARIZERS


def check_comparison(exp: Experiment, methods: Sequence[Method]) -> None:
    """Refuse what would only fail after hours of other trainings.

    Args:
        exp: The experiment of the first seed; all share its cases and its split.
        methods: What is compared.

    Raises:
        UsageError: A margin is of no metric, a column of the evaluation does not exist, or a rule
            says nothing about the findings.
        DataError: A head cannot learn from the cases of a fold.
    """
    _check_evaluation(exp)
    for method in methods:
        if method.family == "head":
            _check_head(exp, method)
        elif method.base in SUMMARIZERS and "share_of" in SUMMARIZERS[method.base].options:
            for finding in exp.table.findings:
                sharing(exp.table.findings, finding, exp.recipe.summarize.share_of)


def _check_evaluation(exp: Experiment) -> None:
    """Margins, groups and shortcut; sizes of masks are columns once there are masks."""
    settings, frame, roles = exp.recipe.evaluate, exp.table.frame, exp.table.roles
    for name in settings.margins:
        lookup(name, METRICS, kind="metric", group="segclf.metrics")
    for text in settings.by:
        if f"{SIZE}_" not in text:
            group_cases(text, frame, roles=roles)
    if settings.shortcut:
        parse_shortcut(settings.shortcut, frame, roles=roles)


def _check_head(exp: Experiment, method: Method) -> None:
    recipe = with_method(exp, method).recipe
    if learns_pairs(exp, method):
        read_pairs(str(recipe.classify.metric.pairs), exp.table)
        return
    head = find_head(recipe)
    for fold in exp.folds():
        parts = {p: cases_of(exp.table, exp.split, p, fold) for p in ("train", "val", "test")}
        head.targets(parts, exp.table.findings, recipe)
