"""t and tau of a run: what rule `tau` fitted on validation cases."""

from typing import Any

from segclf.core.atomic import read_json
from segclf.core.errors import IntegrityError, UsageError
from segclf.core.runs import shown
from segclf.core.scoretable import read_record
from segclf.experiment import Experiment
from segclf.pseudolabel.predicted import Cut
from segclf.stages import OWN, predicted_folders

RULE = "tau"
TOLD = (
    "fitted_on", "objective", "target", "cost_ratio", "n", "n_positive", "n_negative",
    "n_unknown_label", "value",
)  # fmt: skip
"""What of a fit is told with t and tau: on which cases, and what it reached there."""


def fitted_cuts(
    exp: Experiment, model_sha256: str, *, fold: int | None
) -> tuple[tuple[Cut, ...], list[dict[str, Any]]]:
    """The cut (t and tau) of each finding, and where it comes from, as plain data.

    They are those of `summarize/tau/`; where that is missing, it is made as `segclf summarize
    --rule tau` makes it.

    Args:
        exp: The run.
        model_sha256: Of the weights that predict the pseudo-masks.
        fold: Which fold.

    Raises:
        UsageError: There are no predictions of validation cases, or nothing could be fitted on
            them.
        IntegrityError: They were predicted by other weights.
    """
    _check_predictions(exp, model_sha256, fold)
    folder = exp.run.stage("summarize", RULE)
    record = read_record(folder) if (folder / "summarizer.json").is_file() else None
    if record is None or not any(_is_of(fit, exp.table.findings[0], fold) for fit in _fits(record)):
        from segclf.pipeline import summarize_masks  # the pipeline makes pseudo-masks as well

        _, record = summarize_masks(exp, RULE)
    fits = [_fit_of(record, finding, fold, exp) for finding in exp.table.findings]
    cuts = tuple(Cut(float(fit["t"]), float(fit["threshold"]), str(fit["unit"])) for fit in fits)
    told = [
        {"finding": finding, "t": cut.t, "tau": cut.tau, "unit": cut.unit, "rule": RULE}
        | {name: fit[name] for name in TOLD if name in fit}
        for finding, cut, fit in zip(exp.table.findings, cuts, fits, strict=True)
    ]
    return cuts, told


def _check_predictions(exp: Experiment, model_sha256: str, fold: int | None) -> None:
    folder = exp.run.stage("predict", OWN, fold=fold)
    if folder not in predicted_folders(exp):
        raise UsageError(
            "t and tau cannot be fitted: there are no predictions of validation cases.",
            where=shown(folder),
            expected="mask statistics of the run's validation cases",
            fix=f"run: segclf predict --run {exp.run.path.name}",
        )
    found = read_json(folder / "identity.json")["identity"]["model_sha256"]
    if found != model_sha256:
        raise IntegrityError(
            "the predictions of validation cases are of other weights "
            f"({found[:12]}…, not {model_sha256[:12]}…).",
            where=shown(folder),
            expected="t and tau of the network that predicts the pseudo-masks",
            fix=f"delete this folder, then run: segclf predict --run {exp.run.path.name}, and "
            "segclf summarize --rule tau",
        )


def _fits(record: dict[str, Any]) -> list[dict[str, Any]]:
    return record.get("fits", [])


def _is_of(fit: dict[str, Any], finding: str, fold: int | None) -> bool:
    return fit["finding"] == finding and fit["fold"] == fold


def _fit_of(
    record: dict[str, Any], finding: str, fold: int | None, exp: Experiment
) -> dict[str, Any]:
    fit = next((fit for fit in _fits(record) if _is_of(fit, finding, fold)), {})
    t, tau = fit.get("t"), fit.get("threshold")
    if t is not None and tau is not None and t == t and tau == tau:  # a fresh record may hold NaN
        return fit
    at = "" if fold is None else f" in fold {fold}"
    raise UsageError(
        f"there is no t and tau of {finding}{at}: {fit.get('reason') or 'no case was predicted'}.",
        where=shown(exp.run.stage("summarize", RULE) / "summarizer.json"),
        expected="validation cases of both labels",
        fix="give both: segclf summarize --rule tau --t 0.5 --tau 20px, or use a filter without: "
        "--filter confidence",
    )
