"""Classes from attributes: rules over the categories of exclusive heads, with probabilities."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from segclf.core.catalog import unknown_name
from segclf.core.errors import ConfigError
from segclf.core.strict_yaml import read_yaml
from segclf.evaluate.heads import CASE

OTHER = "other"
KEYS = ("classes", "truth", "other")
TIE = 1e-12
"""Two probabilities that differ by less are a tie."""


@dataclass(frozen=True)
class Rules:
    """Classes by the categories that they show."""

    classes: Mapping[str, Mapping[str, tuple[str, ...]]]
    """Class to head to the categories that it may show; a head that is not named may show any."""
    truth: str | None = None
    """Column with the true class; None takes the class whose rule the true categories meet."""
    other: bool = False
    """What no rule meets is a class of its own, `other`."""

    @property
    def names(self) -> list[str]:
        """The classes, `other` last."""
        return [*self.classes, *([OTHER] if self.other else [])]


def read_rules(path: Path, categories: Mapping[str, Sequence[str]]) -> Rules:
    """The rules in a YAML file, checked against what the heads know.

    Args:
        path: `classes:` maps each class to `{head: category}` or `{head: [category, ...]}`;
            `truth:` names a column, `other: true` adds the remainder.
        categories: Head to its categories.

    Raises:
        ConfigError: The file does not have this form; a class could never be told from another.
        UsageError: A head or category does not exist.
    """
    where = path.name
    values = read_yaml(path)
    if not isinstance(values, dict) or not isinstance(values.get("classes"), dict):
        raise _refused(
            f"{where} has no classes.", where, "classes: {NAME: {head: category}}",
            "classes:\n              platypus: {covering: fur, mouth: bill}",
        )  # fmt: skip
    for key in values:
        if key not in KEYS:
            raise unknown_name(str(key), KEYS, kind="key", where=where)
    classes = {
        str(name): _rule(str(name), rule, categories, where)
        for name, rule in values["classes"].items()
    }
    truth, other = values.get("truth"), values.get("other", False)
    if not isinstance(other, bool) or not (truth is None or isinstance(truth, str)):
        raise _refused(
            f"other = {other!r} and truth = {truth!r} do not fit.", where,
            "other: true or false; truth: the name of a column", "correct them",
        )  # fmt: skip
    rules = Rules(classes, truth, other)
    _require_distinct(rules, categories, where)
    return rules


def rule_probabilities(of_category: Mapping[str, np.ndarray], rules: Rules) -> np.ndarray:
    """Probability of each class (case, class), in the order of `rules.names`.

    That of a rule is the product over its heads of the summed probabilities of the categories that
    it allows, as if heads were independent given the image. Without `other` the classes are all
    there is, and their probabilities are scaled to a sum of 1; where all are 0 they are undefined
    (NaN). With `other` they stay as they are, and the remainder is its own.

    Args:
        of_category: `<head>=<category>` to the probability of each case.
        rules: From `read_rules`.

    Source:
        Direct attribute prediction: Lampert, Nickisch and Harmeling, TPAMI 36 (2014), eq. 2.
    """
    per_rule = _allowed(of_category, rules)
    found = np.stack([np.prod(heads, axis=0) for heads in per_rule], axis=1)
    total = found.sum(axis=1, keepdims=True)
    if rules.other:
        return np.hstack([found, np.clip(1.0 - total, 0.0, None)])
    return np.divide(found, total, out=np.full_like(found, np.nan), where=total > 0)


def derived_classes(scores: pd.DataFrame, rules: Rules) -> pd.DataFrame:
    """One row per case: the most probable class, and the probability of each as `p_<class>`.

    `predicted` is missing where two classes tie or no class is possible; `reason` says which.

    Args:
        scores: A score table with a row per case and `<head>=<category>`.
        rules: From `read_rules`.
    """
    case = [name for name in CASE if name != "head"]
    rows = scores.loc[scores["finding"].str.contains("=", regex=False)]
    wide = rows.pivot(index=case, columns="finding", values="score").reset_index()
    names = [str(name) for name in wide.columns if "=" in str(name)]
    of_category = {name: wide[name].to_numpy(float) for name in names}
    probability = rule_probabilities(of_category, rules)
    best, reason = chosen_classes(probability, rules.names)
    highest = np.where(np.isnan(probability).any(axis=1), np.nan, probability.max(axis=1))
    table = wide[case].assign(predicted=best, probability=highest, reason=reason)
    columns = {f"p_{name}": probability[:, k] for k, name in enumerate(rules.names)}
    return table.assign(**columns)


def chosen_classes(
    probability: np.ndarray, names: Sequence[str]
) -> tuple[list[str | None], list[str]]:
    """The most probable class of each case, None where there is none, and why."""
    best: list[str | None] = []
    reason: list[str] = []
    for row in probability:
        if np.isnan(row).any():
            best.append(None)
            reason.append("no class is possible")
            continue
        first = [name for name, p in zip(names, row, strict=True) if p >= row.max() - TIE]
        best.append(first[0] if len(first) == 1 else None)
        reason.append("" if len(first) == 1 else f"tie of {' and '.join(first)}")
    return best, reason


def rule_truth(of_category: Mapping[str, np.ndarray], rules: Rules) -> list[str | None]:
    """The class whose rule the true categories meet; None if not one, or if a category is unknown.

    Args:
        of_category: `<head>=<category>` to 1, 0, or NaN for not known.
        rules: From `read_rules`.
    """
    met = np.stack([np.min(heads, axis=0) for heads in _allowed(of_category, rules)], axis=1)
    # a head that is not known may leave one rule open and settle another
    known = [not np.isnan(row).any() for row in met]
    found: list[str | None] = []
    for row, is_known in zip(met.tolist(), known, strict=True):
        names = [name for name, value in zip(rules.classes, row, strict=True) if value == 1]
        remainder = OTHER if rules.other and not names else None
        found.append((names[0] if len(names) == 1 else remainder) if is_known else None)
    return found


def _allowed(of_category: Mapping[str, np.ndarray], rules: Rules) -> list[list[np.ndarray]]:
    """Per rule and head the summed probability of the categories that it allows, (case,)."""
    return [
        [np.sum([of_category[f"{h}={n}"] for n in names], axis=0) for h, names in rule.items()]
        for rule in rules.classes.values()
    ]


def _rule(
    name: str,
    rule: Any,  # noqa: ANN401 (whatever the file holds)
    categories: Mapping[str, Sequence[str]],
    where: str,
) -> dict[str, tuple[str, ...]]:
    place = f"{where}, classes.{name}"
    if not isinstance(rule, dict) or not rule:
        raise _refused(
            f"the rule of {name!r} is {rule!r}.", place,
            "{head: category} or {head: [category, ...]}", f"{name}: {{head: category}}",
        )  # fmt: skip
    found = {}
    for head, allowed in rule.items():
        if head not in categories:
            raise unknown_name(str(head), categories, kind="head", where=place)
        allowed = allowed if isinstance(allowed, list) else [allowed]
        if not allowed or any(x is None or isinstance(x, bool | dict | list) for x in allowed):
            raise _refused(
                f"the rule of {name!r} allows {allowed!r} for {head}, so it can never be met.",
                place, f"one or more of {', '.join(categories[head])}",
                "name a category; put quotes around true, false and null",
            )  # fmt: skip
        for category in map(str, allowed):
            if category not in categories[head]:
                raise unknown_name(category, categories[head], kind=f"category of {head}",
                                   where=place)  # fmt: skip
        found[head] = tuple(dict.fromkeys(map(str, allowed)))
    return found


def _require_distinct(rules: Rules, categories: Mapping[str, Sequence[str]], where: str) -> None:
    if rules.other and OTHER in rules.classes:
        raise _refused(
            f"a class is called {OTHER!r}, and other = true.", where,
            "that name for what no rule meets", "rename the class, or set other: false",
        )  # fmt: skip
    for first, second in combinations(rules.classes, 2):
        a, b = rules.classes[first], rules.classes[second]
        pairs = [(set(a.get(h, categories[h])), set(b.get(h, categories[h]))) for h in {*a, *b}]
        if all(x == y for x, y in pairs):
            raise _refused(
                f"{first!r} and {second!r} have the same rule, so every case is a tie.", where,
                "rules that differ in the categories of a head", "merge the classes, or add a head",
            )  # fmt: skip
        for inner, outer, inside in (
            (first, second, all(x <= y for x, y in pairs)),
            (second, first, all(y <= x for x, y in pairs)),
        ):
            if inside:
                raise _refused(
                    f"whatever is {inner!r} is {outer!r} as well, so {inner!r} is never the most "
                    "probable.", where, "rules of which none lies within another",
                    f"add to {outer!r} the categories that it does not show",
                )  # fmt: skip
        if rules.other and all(x & y for x, y in pairs):
            raise _refused(
                f"{first!r} and {second!r} can both be met, so no remainder is left for other.",
                where, "rules that exclude each other in the categories of a head",
                "add a head that tells them apart, or set other: false",
            )  # fmt: skip


def _refused(wrong: str, where: str, expected: str, fix: str) -> ConfigError:
    return ConfigError(wrong, where=where, expected=expected, fix=fix)
