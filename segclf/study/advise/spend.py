"""`--measure` to its answer: curves, what the next hour brings, and the cheapest mix."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from segclf.core.atomic import write_json, write_text
from segclf.core.errors import UsageError
from segclf.core.text import counted
from segclf.experiment import Experiment
from segclf.manifest import cases_of
from segclf.report.rows import as_rows, is_missing
from segclf.study.advise.buy import (
    Prices,
    Stock,
    cheapest,
    curve_of,
    next_hour,
    predictions,
)
from segclf.study.advise.drawn import costly_masks
from segclf.study.advise.measure import COLLAPSED, FOLDER, Size, measure, n_costly, parse_sizes
from segclf.study.advise.plot import curve_svg
from segclf.study.advise.words import Section

CURVES = "curves.json"
MIXES = {"mix": "from what there is", "mix_anew": "from nothing"}
Row = dict[str, Any]


@dataclass(frozen=True)
class Wish:
    """What the user wants to know of the curves."""

    target: float | None = None
    minutes_per_mask: float | None = None
    minutes_per_label: float | None = None


def check_wish(wish: Wish) -> None:
    """Refuse targets and prices that mean nothing.

    Raises:
        UsageError: A target is no AUROC above 0.5, a price is negative or missing.
    """
    if wish.target is not None and not 0.5 < wish.target < 1:
        raise UsageError(
            f"an AUROC of {wish.target:g} is no target.",
            where=f"--target-auroc {wish.target:g}",
            expected="a number above 0.5 and below 1",
            fix="write for example --target-auroc 0.9",
        )
    for name, value in (
        ("--minutes-per-mask", wish.minutes_per_mask),
        ("--minutes-per-label", wish.minutes_per_label),
    ):
        if value is not None and not 0 <= value < float("inf"):
            raise UsageError(
                f"{value:g} minutes cannot be spent.",
                where=f"{name} {value:g}",
                expected="minutes of work, 0 or more",
                fix=f"write for example {name} 3",
            )
    if wish.target is not None and wish.minutes_per_mask is None:
        raise UsageError(
            "a target has no cheapest mix without the price of a mask.",
            where="--target-auroc",
            expected="--minutes-per-mask, and --minutes-per-label if labels cost something",
            fix="add --minutes-per-mask 3",
        )


def sizes_of(exp: Experiment, masks: str, labels: str | None, fold: int | None) -> list[Size]:
    """What is trained: every share of masks with all labels, the largest with fewer labels."""
    n_masks, n_labels = n_costly(exp, fold)
    if not n_masks:
        raise UsageError(
            "no training case has a mask that had to be drawn.",
            where="--measure",
            expected="masks of positive training cases",
            fix="draw some, or look at the columns: segclf check",
        )
    shares = parse_sizes(masks, n_masks)
    sizes = [Size(share) for share in shares]
    for share in parse_sizes(labels, n_labels, "--measure-labels") if labels else ():
        sizes += [Size(shares[-1], share)] if share < 1 else []
    return sizes


def measure_and_plan(
    exp: Experiment, sizes: list[Size], n_subsets: int, wish: Wish, fold: int | None = None
) -> tuple[Row, list[Section], list[Path], int]:
    """Train what is missing, fit the curves, and say what follows.

    Returns:
        The answer as plain data (also in `curves.json`), as sections, the figures
        `curve_<finding>.svg`, and the worst exit code of a training.
    """
    measured, code = measure(exp, sizes, n_subsets, fold=fold)
    folder = exp.run.stage(*FOLDER)
    n_trainings = len(measured) // len(exp.table.findings)
    result: Row = {"data": exp.recipe.data, "findings": {}, "trainings": n_trainings}
    sections, figures = [], []
    several = len(exp.table.findings) > 1
    stock = stock_of(exp, fold)
    for finding in exp.table.findings:
        own = measured.loc[measured["finding"] == finding]
        row, figure = _plan(own, stock, wish, finding)
        result["findings"][finding] = row
        sections += [_curve_section(finding, row, own, several=several)]
        sections += [_buy_section(finding, row)] if "hour" in row else []
        if figure:
            figures.append(folder / f"curve_{finding}.svg")
            write_text(figures[-1], figure)
    write_json(folder / CURVES, result)
    return result, sections, figures, code


def stock_of(exp: Experiment, fold: int | None = None) -> Stock:
    """The training masks and labels that there are."""
    n_masks, n_labels = n_costly(exp, fold)
    costly = costly_masks(exp.table)
    train = cases_of(exp.table, exp.split, "train", fold)
    to_draw = [c for c in train if 1.0 in c.labels or c.case_id in costly]
    return Stock(n_masks, n_labels, min(1.0, max(len(to_draw), 1) / max(n_labels, 1)))


def _plan(measured: pd.DataFrame, stock: Stock, wish: Wish, finding: str) -> tuple[Row, str]:
    curve, reason = curve_of(measured)
    if curve is None:
        return {"curve": None, "reason": reason}, ""
    row: Row = {
        "curve": {"n_effective": curve.n_effective, "has_labels": curve.has_labels},
        "predicted": predictions(curve, stock),
        "stock": {"masks": stock.masks, "labels": stock.labels},
    }
    prices, mix = None, None
    if wish.minutes_per_mask is not None:
        prices = Prices(wish.minutes_per_mask, wish.minutes_per_label or 0.0)
        row["hour"] = next_hour(curve, prices, stock)
        if wish.target is not None:
            mix = cheapest(curve, wish.target, prices, stock, anew=False)
            anew = cheapest(curve, wish.target, prices, stock, anew=True)
            row |= {"target": wish.target, "mix": mix, "mix_anew": anew}
    figure = curve_svg(
        curve, measured, stock, name=finding, target=wish.target, prices=prices, mix=mix
    )
    return row, figure


def _curve_section(finding: str, row: Row, measured: pd.DataFrame, *, several: bool) -> Section:
    head = (
        "masks (share asked for)",
        "labels",
        "subset",
        "AUROC on validation",
        "minutes",
        "state",
    )
    rows = [
        (
            _n(one["n_masks"], f" ({100 * one['masks']:.3g} %)"),
            _n(one["n_labels"]),
            str(one["subset"]),
            "" if pd.isna(one["auroc"]) else f"{one['auroc']:.3f}",
            "" if pd.isna(one["minutes"]) else f"{one['minutes']:.1f}",
            f"{one['state']}: {one['reason']}" if one["reason"] else str(one["state"]),
        )
        for one in as_rows(measured)
    ]
    if row["curve"] is None:
        text = [f"No curve can be drawn: {row['reason']}."]
    else:
        text = [
            f"with {counted(one['masks'], 'mask')} ({100 * one['share']:.3g} % of what there is): "
            f"AUROC {one['auroc']:.3f} (95 % of trainings: {one['lo']:.3f} to {one['hi']:.3f})"
            for one in row["predicted"]
        ]
        text.append(
            "Power law of 1 - AUROC with an asymptote of at most 1; the intervals hold what the "
            "measurements leave open and the scatter of trainings, on the same validation cases."
        )
        if row["curve"]["n_effective"] < 50:
            text.append("The measurements fit few power laws: the intervals are rough.")
    n_collapsed = sum(reason == COLLAPSED for reason in measured["reason"])
    if n_collapsed:
        text.insert(
            0,
            f"{n_collapsed} of {counted(len(measured), 'training')} collapsed: no mask of theirs "
            "fits (Dice near 0), so this curve does not show what masks are worth. Train longer "
            "(train.steps) or on larger images (image.size_px), then measure again.",
        )
    if several:
        text.append(
            "Masks are cases with a mask of any finding that had to be drawn, labels are cases "
            "with a known label of any: both are counted over all findings together."
        )
    return Section(f"Learning curve of {finding}", tuple(text), head, tuple(rows))


def _buy_section(finding: str, row: Row) -> Section:
    hour = row["hour"]
    now, then, gain = hour["now"], hour["then"], hour["gain"]
    text = [
        f"One more hour of drawing gives {counted(hour['more_masks'], 'mask')}: median AUROC of "
        f"the curves {now['auroc']:.3f} now and {then['auroc']:.3f} then; median of their gains "
        f"{gain['value']:.3f} ({gain['lo']:.3f} to {gain['hi']:.3f})."
    ]
    if hour["more_labels"]:
        n = counted(hour["more_labels"], "further label")
        text.append(
            f"Too few positives are known for them: {n} have to be read first, which takes "
            f"{hour['label_minutes']:.0f} min of that hour."
        )
    mixes = [(about, row[name]) for name, about in MIXES.items() if name in row]
    reasons = [mix["reason"] for _, mix in mixes if mix["minutes"] is None]
    if len(reasons) == len(MIXES) and len(set(reasons)) == 1:
        text.append(f"AUROC {row['target']:g} at least cost: undefined: {reasons[0]}.")
    else:
        text += [_mix_text(row["target"], about, mix) for about, mix in mixes]
    if not row["curve"]["has_labels"]:
        text.append(
            "All labels were kept, so labels cannot be traded for masks here: they only find the "
            "positives to draw. --measure-labels 50 measures what labels are worth."
        )
    return Section(f"What drawing buys for {finding}", tuple(text))


def _mix_text(target: float, about: str, mix: Row) -> str:
    if mix["minutes"] is None:
        return f"AUROC {target:g}, {about}: undefined: {mix['reason']}."
    lo, hi = mix["masks_lo"], mix["masks_hi"]
    interval = f"{lo:.0f} or more" if hi is None else f"{lo:.0f} to {hi:.0f}"
    return (
        f"AUROC {target:g} at least cost, {about}: {counted(mix['masks'], 'mask')} (95 %: "
        f"{interval}) and {counted(mix['labels'], 'label')}, of which "
        f"{counted(mix['more_masks'], 'mask')} and {counted(mix['more_labels'], 'label')} are "
        f"still to do: {mix['minutes']:.0f} min. {100 * mix['reached_by']:.0f} % of the curves "
        "reach it there."
    )


def _n(value: float | None, more: str = "") -> str:
    return "" if is_missing(value) or value is None else f"{value:.0f}{more}"


def one_fold(exp: Experiment, fold: int | None) -> int | None:
    """The fold that is measured: the one asked for, else the first; None without folds."""
    return exp.folds(fold)[0]
