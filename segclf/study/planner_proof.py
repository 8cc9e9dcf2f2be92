"""Does the planner's interval hold? Ten phantoms: predicted from few masks, measured with many.

Run by `python -m segclf.study.experiments phantom_planner`; finished trainings are kept. Each
prediction is written before the first training that it is compared with.
"""

from pathlib import Path
from typing import Any

import numpy as np

from segclf.console import progress
from segclf.core.atomic import read_json, write_json
from segclf.experiment import Experiment, new_experiment
from segclf.manifest import cases_of
from segclf.phantom import PhantomSettings, write_phantom
from segclf.predict import predict_cases
from segclf.study.advise.buy import curve_of
from segclf.study.advise.curve import Cases, errors_of, predict_auroc
from segclf.study.advise.measure import (
    FOLDER,
    MODEL,
    Size,
    judged,
    measure,
    n_costly,
    subset_experiment,
    train_cell,
)

BASE = {
    "seed": 11,
    "size_px": [64, 64],
    "rho": {"train": 0.5, "val": 0.5, "test": 0.5},
    "n_cases": {"train": 320, "val": 400, "test": 600},
}
SETTINGS: tuple[dict[str, Any], ...] = (
    {"area_fraction": 0.005},
    {"area_fraction": 0.01},
    {"area_fraction": 0.02},
    {"area_fraction": 0.01, "contrast": 0.5},
    {"area_fraction": 0.01, "contrast": 0.28},
    {"area_fraction": 0.01, "noise": 0.03},
    {"area_fraction": 0.01, "noise": 0.08},
    {"area_fraction": 0.01, "n_cases": {"train": 200}},
    {"area_fraction": 0.01, "n_cases": {"train": 640}},
    {"area_fraction": 0.005, "contrast": 0.5, "prevalence": 0.3},
)
"""What differs from BASE: size, contrast and noise of the targets, number of images, prevalence."""
OVERRIDES = (
    "train.steps=150",
    "train.validate_every=150",  # weights are not chosen by validation, which would flatter them
    "train.warmup_steps=15",
    "network.options={encoder_depth: 3, decoder_channels: [48, 24, 16]}",
    "predict.precision=fp32",
)
SHARES, AIM = (0.1, 0.2, 0.4), 0.8
N_SUBSETS, PER_SEED = 3, 2
LEAST_COVERED, MOST_WIDTH = 8, 0.1
PROOF = "proof.json"
NAMES = {"area_fraction": "area fraction", "train": "training cases"}
N_POINTS = 24
TOLD = ("n_masks", "auroc", "lo", "hi", "at", "trainings", "curve")
"""What of a prediction the table of results keeps; the last two are drawn."""
Entry = dict[str, Any]


def run_planner(folder: Path, n_seeds: int) -> Entry:
    """Predict and measure the first settings, two more with every seed; what is missing is trained.

    Args:
        folder: Gets a folder of data per setting; its name begins the names of the runs.
        n_seeds: Half the number of settings.
    """
    rows = [
        predict_and_measure(number, folder / f"setting{number}", f"{folder.name}-{number}")
        for number in range(min(PER_SEED * n_seeds, len(SETTINGS)))
    ]
    return {"settings": rows, "overrides": list(OVERRIDES)} | verdict_of(rows)


def predict_and_measure(number: int, folder: Path, name: str) -> Entry:
    """One setting: the interval for the mean test AUROC with 80 % of the masks, and that mean."""
    if not (folder / "recipe.yaml").is_file():
        write_phantom(folder, PhantomSettings.model_validate(settings_of(number)))
    exp = new_experiment(folder / "recipe.yaml", None, name, OVERRIDES)
    path = exp.run.stage(*FOLDER) / PROOF
    entry: Entry = read_json(path) if path.is_file() else {}
    if "predicted" not in entry:
        entry = {"setting": SETTINGS[number], "predicted": predicted(exp), "measured": {}}
        write_json(path, entry)
    for subset in range(N_SUBSETS):
        if str(subset) not in entry["measured"]:
            entry["measured"][str(subset)] = measured(exp, subset)
            write_json(path, entry)
    auroc = float(np.mean([one["auroc"] for one in entry["measured"].values()]))
    interval = entry["predicted"]
    return {
        "setting": entry["setting"],
        **{key: interval[key] for key in TOLD},
        "measured": auroc,
        "is_covered": bool(interval["lo"] <= auroc <= interval["hi"]),
        "width": interval["hi"] - interval["lo"],
    }


def settings_of(number: int) -> dict[str, Any]:
    """The phantom of a setting."""
    own = SETTINGS[number]
    sizes = {**BASE["n_cases"], **own.get("n_cases", {})}  # type: ignore[dict-item]
    return {**BASE, **own, "n_cases": sizes}


def predicted(exp: Experiment) -> Entry:
    """What 10, 20 and 40 % of the masks say about 80 %, on test cases that nobody has seen."""
    frame, _ = measure(exp, [Size(share) for share in SHARES], N_SUBSETS)
    curve, reason = curve_of(frame)
    if curve is None:
        raise ValueError(f"no curve for {exp.run.path.name}: {reason}.")
    n_all, n_labels = n_costly(exp, None)
    own = frame.dropna(subset=["auroc"])
    ratio = own["variance"].to_numpy(dtype=float) / own["variance_of_cases"].to_numpy(dtype=float)
    effect = float(np.nanmedian(ratio))
    val, test = (_cases(exp, part, effect) for part in ("val", "test"))
    n_masks = AIM * n_all
    mid, lo, hi = predict_auroc(
        curve, n_masks, n_labels, n_trainings=N_SUBSETS, measured_on=val, judged_on=test
    )
    at = {
        f"{share:g}": float(own.loc[np.isclose(own["masks"], share), "auroc"].mean())
        for share in SHARES
    }
    sizes = np.geomspace(curve.masks0, n_masks, N_POINTS)
    band = np.quantile(1 - errors_of(curve, sizes, n_labels), (0.025, 0.5, 0.975), axis=0)
    return {
        "n_masks": n_masks,
        "auroc": mid,
        "lo": lo,
        "hi": hi,
        "at": at,
        "effect": effect,
        "trainings": own[["n_masks", "auroc"]].to_numpy(dtype=float).tolist(),
        "curve": np.column_stack([sizes, band.T]).tolist(),
    }


def measured(exp: Experiment, subset: int) -> Entry:
    """AUROC on the test cases after training with 80 % of the masks."""
    folder = exp.run.stage(*FOLDER) / f"aim-subset{subset}"
    size = Size(AIM)
    with progress(folder.name) as on_event:
        train_cell(exp, size, subset, folder, None, on_event, keep_model=True)
        own = subset_experiment(exp, size, subset, folder, None)
        model, tested = own.run.stage("segment"), own.run.stage("predict", "test")
        cases = cases_of(own.table, own.split, "test")
        predict_cases(cases, model, own.recipe, tested, on_event=on_event)
    found = judged(own, tested)[exp.table.findings[0]]
    if found is None:
        raise ValueError(f"the test cases of {exp.run.path.name} lack a class.")
    (model / MODEL).unlink(missing_ok=True)
    return {"auroc": found["value"]}


def words_of(setting: Entry) -> list[str]:
    """What a setting differs in, as it is read."""
    flat = setting | setting.get("n_cases", {})
    return [f"{NAMES.get(key, key)} {value}" for key, value in flat.items() if key != "n_cases"]


def verdict_of(rows: list[Entry]) -> Entry:
    """How many intervals covered, and their mean width, against the goals."""
    n_covered = sum(row["is_covered"] for row in rows)
    width = float(np.mean([row["width"] for row in rows])) if rows else float("inf")
    is_reached = n_covered >= LEAST_COVERED and width <= MOST_WIDTH
    return {
        "n_covered": n_covered,
        "mean_width": width,
        "is_reached": is_reached if len(rows) == len(SETTINGS) else None,
    }


def planner_section(title: str, entry: Entry | None) -> str:
    """The entry as Markdown; what has not run reads so."""
    if entry is None:
        return f"## {title}\n\nNot run.\n"
    rows = entry["settings"]
    lines = [
        f"## {title}\n",
        "data: phantom. The interval for the mean test AUROC of three trainings with 80 % of the "
        "masks, from nine trainings with 10, 20 and 40 % judged on validation cases; it was "
        f"written before those three. Settings: `{'`, `'.join(entry['overrides'])}`.\n",
        "| setting | masks | validation AUROC at 10, 20, 40 % | predicted (95 %) | measured | "
        "covered |",
        "|---|---|---|---|---|---|",
    ]
    for row in rows:
        own = ", ".join(words_of(row["setting"]))
        at = ", ".join(f"{value:.3f}" for value in row["at"].values())
        lines.append(
            f"| {own} | {row['n_masks']:.0f} | {at} | {row['auroc']:.3f} "
            f"({row['lo']:.3f} to {row['hi']:.3f}) | {row['measured']:.3f} | "
            f"{'yes' if row['is_covered'] else 'no'} |"
        )
    state = {None: "not all settings have run", True: "reached", False: "not reached"}
    lines.append(
        f"\n{entry['n_covered']} of {len(rows)} covered (goal: {LEAST_COVERED} of "
        f"{len(SETTINGS)}), mean width {entry['mean_width']:.3f} (goal: at most {MOST_WIDTH:g}): "
        f"{state[entry['is_reached']]}."
    )
    return "\n".join(lines) + "\n"


def _cases(exp: Experiment, part: str, effect: float) -> Cases:
    """How many positives and negatives a part has; of test, the design alone, no label is used."""
    if part == "test":
        sizes = len(cases_of(exp.table, exp.split, "test"))
        val = _cases(exp, "val", effect)
        share = val.n_positive / (val.n_positive + val.n_negative)
        return Cases(share * sizes, (1 - share) * sizes, effect)
    labels = np.array([case.labels[0] for case in cases_of(exp.table, exp.split, part)])
    return Cases(float((labels == 1).sum()), float((labels == 0).sum()), effect)
