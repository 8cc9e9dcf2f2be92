"""The table of comparisons: families of tests, adjusted p values and verdicts."""

from collections.abc import Callable, Collection, Sequence

import numpy as np

from segclf.core.config import EvaluateSettings
from segclf.evaluate.estimates import Row
from segclf.evaluate.inference.equivalence import equivalence_p, verdict_of_p
from segclf.evaluate.inference.multiplicity import benjamini_hochberg, holm

COMPARISON_COLUMNS = (
    *("kind", "finding", "metric", "group_column", "group", "method", "first", "second"),
    *("estimate_first", "estimate_second", "difference", "lo", "hi", "interval", "test"),
    *("p", "p_adjusted", "adjusted_by", "family", "n_tests", "margin", "p_equivalence", "verdict"),
    *("n_cases", "n_patients", "n_positive", "n_negative", "n_seeds", "seed_sd_first"),
    *("seed_sd_second", "n_usable", "reason"),
)
SHORTCUT = "shortcut: "
"""Before the name of a shortcut, where a group column would stand."""
HOLM, BH = "Holm", "Benjamini-Hochberg"
_ADJUST: dict[str, Callable[[np.ndarray], np.ndarray]] = {HOLM: holm, BH: benjamini_hochberg}


def blank(**known: object) -> Row:
    """A row of the table with everything missing but `known`."""
    texts = ("group_column", "group", "method", "first", "second", "interval", "test", "reason")
    return dict.fromkeys(COMPARISON_COLUMNS, np.nan) | dict.fromkeys(texts, "") | known


def adjust(
    rows: Sequence[Row], settings: EvaluateSettings, *, intersections: Collection[str]
) -> list[Row]:
    """The rows with family, adjusted p values, and verdicts.

    A family is all that was asked of one finding: all comparisons of prespecified columns
    together; else those of one kind and metric. Holm's procedure adjusts a family. Intersections
    are exploratory; their families are adjusted by Benjamini and Hochberg. A comparison without
    a p value counts in no family.

    Args:
        rows: From `method_rows` and `group_rows`, each with `se` and `df` of its difference and
            `sign`, -1 where less is better.
        settings: `prespecified`, `margins` and `confidence`.
        intersections: Group columns that are intersections.
    """
    families: dict[tuple[object, ...], list[Row]] = {}
    for row in rows:
        row["family"], row["adjusted_by"] = _family(row, settings, intersections)
        row["margin"] = settings.margins.get(str(row["metric"]), np.nan)
        if not np.isnan(row["margin"]) and not np.isnan(row["se"]):
            row["p_equivalence"] = equivalence_p(
                row["difference"], row["se"], row["margin"], df=row["df"]
            )
        families.setdefault((row["finding"], row["family"], row["adjusted_by"]), []).append(row)
    for (_, _, how), members in families.items():
        adjusted = _ADJUST[str(how)](np.array([row["p"] for row in members], np.float64))
        equivalent = _ADJUST[str(how)](
            np.array([row["p_equivalence"] for row in members], np.float64)
        )
        n_tests = int((~np.isnan(adjusted)).sum())
        for row, p, p_equivalence in zip(members, adjusted, equivalent, strict=True):
            row |= {"p_adjusted": float(p), "n_tests": n_tests}
            row["verdict"] = verdict_of_p(
                row["sign"] * row["difference"],
                float(p),
                float(p_equivalence),
                alpha=1 - settings.confidence,
            )
            if row["kind"] == "heterogeneity":
                row["verdict"] = ""
    return [{name: row[name] for name in COMPARISON_COLUMNS} for row in rows]


def _family(
    row: Row, settings: EvaluateSettings, intersections: Collection[str]
) -> tuple[str, str]:
    column, kind, metric = (str(row[name]) for name in ("group_column", "kind", "metric"))
    if column in settings.prespecified:
        return "prespecified groups", HOLM
    if column in intersections:
        return f"{kind} in intersections, {metric}", BH
    if kind == "methods" and row["group"] == "robust" and column.startswith(SHORTCUT):
        return f"{kind}, robust {metric}", HOLM
    where = " in groups" if kind == "methods" and column != "all" else ""
    return f"{kind}{where}, {metric}", HOLM
