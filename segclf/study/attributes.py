"""Eight heads on one network against eight networks, and classes that rules derive from heads.

Run by `python -m segclf.study.experiments phantom_heads`; finished trainings are kept.
"""

from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from segclf import pipeline
from segclf.console import progress
from segclf.core.atomic import write_text
from segclf.core.randomness import generator
from segclf.core.strict_yaml import dump_yaml
from segclf.evaluate.inference.bootstrap_intervals import percentile
from segclf.experiment import Experiment, new_experiment
from segclf.inferring import infer_classes
from segclf.phantom import PhantomSettings, write_phantom
from segclf.phantom.heads import COMBINED, HEADS
from segclf.study.goals import cost_line
from segclf.training import read_cost

SETTINGS = {
    "size_px": [64, 64],
    "n_heads": 8,
    "n_held_out": 6,
    "missing_labels": 0.4,
    "n_cases": {"train": 4800, "val": 300, "test": 2000},
}
OVERRIDES = (
    "train.steps=550",
    "train.batch_size=32",
    "train.lr=0.002",
    "network.options={encoder_depth: 4, decoder_channels: [128, 64, 32, 16]}",
    "classify.head=multihead",
)
N_RESAMPLES = 2000
MOST_DIFFERENCE, LEAST = 0.02, 0.8
"""Goals: of the difference of mean accuracies, and of the accuracy on unseen combinations."""
Entry = dict[str, Any]


def run_heads(folder: Path, n_seeds: int) -> Entry:
    """Train what is missing and compare accuracies; an entry of the table of results.

    Args:
        folder: Gets the data, unless they are there; its name is the run's.
        n_seeds: Trainings of every network.
    """
    recipe = folder / "recipe.yaml"
    if not recipe.is_file():
        write_phantom(folder, PhantomSettings.model_validate(SETTINGS))
    cpu_s: list[float | None] = []
    joint, single, inferred = [], [], []
    for seed in range(n_seeds):
        shared = (*OVERRIDES, f"seed={seed}", "split.seed=0")
        name = f"{folder.name}-seed{seed}"
        exp = _trained(recipe, name, shared, cpu_s)
        joint.append(_predictions(exp))
        own = [
            _trained(recipe, f"{name}-{head}", (*shared, f"classify.targets=[{head}]"), cpu_s)
            for head in HEADS
        ]
        single.append(pd.concat([_predictions(one) for one in own]))
        rules = folder / "rules.yaml"
        write_text(rules, dump_yaml({"classes": combinations()}))
        inferred.append(infer_classes(exp, rules)[1])
    entry: Entry = {"heads": accuracies(joint, single), "cpu_s": cpu_s, "n_seeds": n_seeds}
    entry["difference"] = accuracy_difference(joint, single)
    entry["unseen"] = [record["unseen_in_training"] for record in inferred]
    entry["derived"] = [{"n": one["n"], "accuracy": one["accuracy"]} for one in inferred]
    return entry


def combinations() -> dict[str, dict[str, str]]:
    """A class for every combination of categories of the heads COMBINED."""
    categories = (HEADS[head][0] for head in COMBINED)
    return {"-".join(each): dict(zip(COMBINED, each, strict=True)) for each in product(*categories)}


def accuracies(joint: list[pd.DataFrame], single: list[pd.DataFrame]) -> list[Entry]:
    """Mean accuracy over seeds of each head, by one network and by a network of its own."""
    rows = []
    for head in joint[0]["head"].unique():
        one, own = ([_hits(t.loc[t["head"] == head]) for t in ts] for ts in (joint, single))
        means = {"multihead": _mean([h.mean() for h in one]), "own": _mean([h.mean() for h in own])}
        rows.append({"head": head, "n": len(one[0]), **means})
    return rows


def accuracy_difference(joint: list[pd.DataFrame], single: list[pd.DataFrame]) -> Entry:
    """Mean accuracy over heads and seeds, one network minus eight, with an interval by patient."""
    per_case = []
    for one, own in zip(joint, single, strict=True):
        key = ["case_id", "patient_id", "head"]
        both = one.assign(one=_hits(one))[[*key, "one"]].merge(
            own.assign(own=_hits(own))[[*key, "own"]], on=key, validate="one_to_one"
        )
        per_case.append(both.assign(difference=both["one"] - both["own"]))
    table = pd.concat(per_case)
    patient, patients = pd.factorize(np.asarray(table["patient_id"]))
    n_patients = len(patients)
    total = np.bincount(patient, np.asarray(table["difference"]), n_patients)
    count = np.bincount(patient, minlength=n_patients)
    rng = generator(0, "accuracy difference")
    draws = rng.multinomial(n_patients, np.full(n_patients, 1 / n_patients), N_RESAMPLES)
    lo, hi = percentile((draws @ total) / (draws @ count), confidence=0.95)[:2]
    return {
        "multihead": _mean([_hits(one).mean() for one in joint]),
        "own": _mean([_hits(own).mean() for own in single]),
        "difference": float(total.sum() / count.sum()),
        "lo": float(lo),
        "hi": float(hi),
        "n_patients": n_patients,
    }


def heads_section(title: str, entry: Entry | None) -> str:
    """The entry as Markdown; what has not run reads so."""
    if entry is None:
        return f"## {title}\n\nNot run.\n"
    whole, n_seeds = entry["difference"], entry["n_seeds"]
    lines = [
        f"## {title}\n",
        f"data: phantom; seeds: {n_seeds}; 40 % of the training categories are left out; "
        f"{entry['heads'][0]['n']} test cases of {whole['n_patients']} patients. Every network has "
        "the same encoder, cases, augmentation and steps.\n",
        "| head | accuracy: one network for all | a network of its own |",
        "|---|---|---|",
        *(f"| {r['head']} | {r['multihead']:.3f} | {r['own']:.3f} |" for r in entry["heads"]),
        f"| mean | {whole['multihead']:.3f} | {whole['own']:.3f} |\n",
        f"One network minus eight: {whole['difference']:.3f} ({whole['lo']:.3f} to "
        f"{whole['hi']:.3f}, by patient, for the trainings that were made). Goal: within 0.02; "
        f"{_reached(abs(whole['difference']) <= MOST_DIFFERENCE)}.\n",
        f"Rules over {', '.join(COMBINED)} name 27 classes, {SETTINGS['n_held_out']} of which no "
        "training case has. Accuracy on test cases of these, per seed:",
        ", ".join(f"{one['accuracy']:.3f} (n {one['n']})" for one in entry["unseen"])
        + f". Goal: above 0.8; {_reached(min(o['accuracy'] for o in entry['unseen']) > LEAST)}.\n",
        cost_line(entry["cpu_s"]),
    ]
    return "\n".join(lines) + "\n"


def _reached(is_reached: bool) -> str:
    return "reached" if is_reached else "not reached"


def _trained(
    recipe: Path, name: str, overrides: tuple[str, ...], cpu_s: list[float | None]
) -> Experiment:
    exp = new_experiment(recipe, None, name, overrides)
    with progress(name) as on_event:
        pipeline.train_clf(exp, on_event, resume=True)
    cpu_s.append(read_cost(exp.run.stage("classify", exp.recipe.classify.method)))
    return exp


def _predictions(exp: Experiment) -> pd.DataFrame:
    """Decisions on test cases whose category is known."""
    path = exp.run.stage("classify", exp.recipe.classify.method) / "predictions.parquet"
    table = pd.read_parquet(path)
    return table.query("split == 'test' and truth.notna()")


def _hits(table: pd.DataFrame) -> np.ndarray:
    return (table["predicted"] == table["truth"]).to_numpy(dtype=float)


def _mean(values: list[float]) -> float:
    return float(np.mean(values))
