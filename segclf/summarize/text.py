"""The record of a summarizer in a few lines for the terminal."""

from collections.abc import Mapping
from typing import Any

from segclf.core.operating import point_line


def record_text(record: Mapping[str, Any]) -> str:
    """What was fitted, on how many cases, and what it reached there: one line per fit."""
    lines = [line for head in record.get("heads", ()) for line in _head_lines(head)]
    for fit in record["fits"]:
        lines.append(_fit_line(fit))
        points = fit.get("operating_points") or {}
        lines += [f"{_name(fit)}: {point_line(*each)}" for each in points.items()]
    for split, part in record["cases_without_statistics"].items():
        lines.append(f"{part['n']} {split} cases have no prediction and therefore no score")
    smallest, largest = record["image_px"] or (0, 0)
    if smallest != largest and any(fit.get("unit") == "px" for fit in record["fits"]):
        lines.append(
            f"images have {smallest} to {largest} px: a tau in px is another share of each; "
            "--set summarize.tau_unit=% takes a share"
        )
    return "\n".join(lines)


def _name(fit: Mapping[str, Any]) -> str:
    return fit["finding"] if fit["fold"] is None else f"{fit['finding']}, fold {fit['fold']}"


def _head_lines(head: Mapping[str, Any]) -> list[str]:
    """What a trained summarizer was fitted on, and how optimistic the maps were."""
    of_fold = "" if head["fold"] is None else f"fold {head['fold']}: "
    maps = " out of fold" if head["out_of_fold"] else ""
    extra = " (uses extra labels)" if head["uses_extra_labels"] else ""
    auroc = head.get("validation_auroc")
    reached = "" if auroc is None else f"; AUROC {auroc:.3f} on {head['n_val']} validation cases"
    lines = [
        f"{of_fold}fitted on maps{maps} of {head['n_fit']} {head['fitted_on']} cases{extra} in "
        f"{head['cpu_s'] or 0.0:.1f} processor seconds{reached}"
    ]
    for finding, facts in head["maps"]["fit"].items():
        here, there = facts["auroc_of_mean_p"], head["maps"]["val"][finding]["auroc_of_mean_p"]
        if here is not None and there is not None:
            lines.append(
                f"{of_fold}mean probability of the maps alone ranks {finding} with AUROC "
                f"{here:.3f} on the cases that were fitted on, {there:.3f} on validation cases"
            )
    return lines


def _fit_line(fit: Mapping[str, Any]) -> str:
    name = _name(fit)
    if fit["reason"] is not None:
        return f"{name}: no threshold, because {fit['reason']}"
    t = "" if fit.get("t") is None else f"t = {fit['t']:.4g}, "
    unit = fit.get("unit") or ""
    cut = f"{'tau' if unit else 'threshold'} = {fit['threshold']:.4g}{unit}"
    source = "given" if fit["fitted_on"] is None else f"fitted for {fit['objective']}"
    if "sensitivity" not in fit:
        return f"{name}: {t}{cut} ({source})"
    return (
        f"{name}: {t}{cut} ({source}; on {fit['n']} validation cases, {fit['n_positive']} "
        f"positive: sensitivity {fit['sensitivity']:.3f}, specificity {fit['specificity']:.3f}"
        + ("; the target is not reached)" if fit["target_reached"] is False else ")")
    )
