"""What was declared before there were results, and what was changed afterwards."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from segclf.core.atomic import read_json, write_json
from segclf.experiment import Experiment
from segclf.study.compare.methods import Method

Result = dict[str, Any]
PLAN, RESULTS, AFTER = "plan.json", "compare.json", "after_results"


def settings_of(exp: Experiment, seeds: Sequence[int]) -> Result:
    """What decides how much a comparison says, and what has to be declared before it is seen."""
    settings, folds = exp.recipe.evaluate, [fold for fold in exp.folds() if fold is not None]
    return {
        "seeds": list(seeds),
        "n_folds": len(folds) or None,
        "shortcut": settings.shortcut,
        "by": list(settings.by),
        "margins": dict(settings.margins),
        "confidence": settings.confidence,
    }


def declare(
    folder: Path, methods: Sequence[Method], reference: Method, settings: Mapping[str, Any]
) -> Result:
    """Write down methods, reference and settings before there are results.

    Returns:
        Everything that was ever declared: `references` and, per call that changed them, `methods`
        and `settings`, the latter with `after_results`: whether there were results by then.
    """
    before, shown = _read(folder / PLAN), _read(folder / RESULTS)
    has_results = bool(shown.get("findings"))
    known = before.get("settings", [])
    if not known and has_results:  # earlier plans did not hold them, but their results do
        known = [{name: shown[name] for name in settings} | {AFTER: False}]
    if not known or known[-1] | {AFTER: False} != {**settings, AFTER: False}:
        known = [*known, {**settings, AFTER: has_results}]
    lists = before.get("methods", [])
    lists = [lists] if lists and isinstance(lists[0], str) else lists  # earlier plans held one list
    plan = {
        "references": _and_last(before.get("references", []), reference.name),
        "methods": _and_last(lists, [method.name for method in methods]),
        "settings": known,
    }
    write_json(folder / PLAN, plan)
    return plan


def changed_late(settings: Sequence[Mapping[str, Any]]) -> Result:
    """What is not as it was before there were results: name to what was declared then.

    Args:
        settings: From `declare`, in their order.
    """
    before = [one for one in settings if not one[AFTER]]
    first, now = before[-1] if before else {}, settings[-1]
    return {
        name: first.get(name)
        for name, value in now.items()
        if name != AFTER and first.get(name) != value
    }


def _read(path: Path) -> Result:
    return read_json(path) if path.is_file() else {}


def _and_last(before: Sequence[Any], now: object) -> list[Any]:
    return [*before] if [*before[-1:]] == [now] else [*before, now]
