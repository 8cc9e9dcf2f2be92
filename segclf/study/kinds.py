"""Classes that a metric head never trained on: told from known ones, and enrolled from few images.

Run by `python -m segclf.study.experiments phantom_kinds`; finished trainings are kept. The settings
were tried out on the phantom of seed 0; what is reported is another one.
"""

import shutil
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from segclf import pipeline
from segclf.classify.metric import enroll
from segclf.console import progress
from segclf.core.randomness import generator
from segclf.evaluate.inference.auroc import auroc_of
from segclf.experiment import Experiment, new_experiment
from segclf.manifest import cases_of
from segclf.phantom import PhantomSettings, write_phantom

SETTINGS = {
    "seed": 1,
    "size_px": [64, 64],
    "noise": 0.03,
    "n_classes": 16,
    "n_unseen": 3,
    "n_cases": {"train": 2400, "val": 260, "test": 640},
}
OVERRIDES = (
    "train.steps=450",
    "train.batch_size=32",
    "train.lr=0.003",
    "train.validate_every=150",
    "network.options={encoder_depth: 3, decoder_channels: [64, 32, 16]}",
    "classify.head=metric",
    "classify.targets=[kind]",
    "classify.metric.loss=arcface",
    "classify.metric.loss_options={margin: 0, scale: 8}",
    "classify.metric.rule=centroid",
)
N_IMAGES, N_DRAWS = 5, 5
LEAST = {"known_unknown": 0.8, "enrolled": 0.8}
Entry = dict[str, Any]


def run_kinds(folder: Path, n_seeds: int = 3) -> Entry:
    """Train what is missing, then judge known, unknown and enrolled classes on test cases.

    Args:
        folder: Gets the data, unless they are there; its name is the run's.
        n_seeds: Trainings.
    """
    recipe = folder / "recipe.yaml"
    if not recipe.is_file():
        write_phantom(folder, PhantomSettings.model_validate(SETTINGS))
    rows, cells = [], {}
    for seed in range(n_seeds):
        name = f"{folder.name}-seed{seed}"
        exp = new_experiment(recipe, None, name, (*OVERRIDES, f"seed={seed}", "split.seed=0"))
        start = time.monotonic()
        with progress(name) as on_event:
            pipeline.train_clf(exp, on_event, resume=True)
        cells[name] = round((time.monotonic() - start) / 60, 2)
        rows.append({"seed": seed, **known_and_unknown(exp), "enrolled": enrolled(exp)})
    return {"seeds": rows, "cells": cells}


def known_and_unknown(exp: Experiment) -> Entry:
    """Accuracy on test cases of trained classes, and AUROC of known against unknown ones.

    The score is the similarity to the nearest vector of the gallery.
    """
    table = _decided(exp.run.stage("classify", "metric"))
    known = np.isin(np.asarray(table["truth"]), list(_trained(exp)))
    hit = np.asarray(table["predicted"] == table["truth"])
    similarity = np.asarray(table["similarity"], dtype=float)
    return {
        "n_known": int(known.sum()),
        "n_unknown": int((~known).sum()),
        "accuracy_known": float(hit[known].mean()),
        "known_unknown": auroc_of(similarity, known).value,
    }


def enrolled(exp: Experiment) -> list[Entry]:
    """Accuracy on the classes enrolled from five test images, for several draws of these.

    All classes that were not trained are enrolled, each from its own images. They compete with
    all others; images of the patients that were enrolled are not judged.
    """
    source, target = exp.run.stage("classify", "metric"), exp.run.stage("enrolled")
    test = cases_of(exp.table, exp.split, "test")
    new = sorted({case.classes["kind"] for case in test} - _trained(exp))
    patient = {case.case_id: case.patient_id for case in test}
    rows = []
    for draw in range(N_DRAWS):
        rng, used = generator(exp.recipe.seed, "enrol", draw), set()
        shutil.rmtree(target, ignore_errors=True)
        shutil.copytree(source, target)
        for name in new:
            own = [case for case in test if case.classes["kind"] == name]
            images = [own[place] for place in rng.choice(len(own), N_IMAGES, replace=False)]
            used |= {case.patient_id for case in images}
            enroll(target, name, images, exp.table, exp.split, exp.recipe)
        table = _decided(target)
        truth = np.asarray(table["truth"])
        is_used = np.array([patient[case_id] in used for case_id in table["case_id"]])
        left = np.isin(truth, new) & ~is_used
        hit = np.asarray(table["predicted"])[left] == truth[left]
        rows.append({"draw": draw, "n": int(left.sum()), "accuracy": float(hit.mean())})
    shutil.rmtree(target)
    return rows


def kinds_section(title: str, entry: Entry | None) -> str:
    """The entry as Markdown; what has not run reads so."""
    if entry is None:
        return f"## {title}\n\nNot run.\n"
    lines = [
        f"## {title}\n",
        f"data: phantom; {SETTINGS['n_classes']} classes, {SETTINGS['n_unseen']} of them in no "
        f"training case. Goals: AUROC of known against unknown at least "
        f"{LEAST['known_unknown']:g}; accuracy on classes enrolled from {N_IMAGES} images above "
        f"{LEAST['enrolled']:g} (mean over {N_DRAWS} draws of the images; range in brackets).\n",
        "| seed | accuracy on trained classes | known against unknown, AUROC | enrolled |",
        "|---|---|---|---|",
    ]
    means = []
    for row in entry["seeds"]:
        found = [one["accuracy"] for one in row["enrolled"]]
        means.append(float(np.mean(found)))
        lines.append(
            f"| {row['seed']} | {row['accuracy_known']:.3f} (n {row['n_known']}) | "
            f"{row['known_unknown']:.3f} (n {row['n_known']}, {row['n_unknown']}) | "
            f"{means[-1]:.3f} ({min(found):.3f} to {max(found):.3f}) |"
        )
    reached = min(means) > LEAST["enrolled"] and all(
        row["known_unknown"] >= LEAST["known_unknown"] for row in entry["seeds"]
    )
    lines.append(f"\nGoals {'reached' if reached else 'not all reached'} by every training.\n")
    lines.append(
        f"{len(entry['cells'])} trainings in {sum(entry['cells'].values()):.0f} min, the longest "
        f"{max(entry['cells'].values()):.1f} min."
    )
    return "\n".join(lines) + "\n"


def _trained(exp: Experiment) -> set[str]:
    return {case.classes["kind"] for case in cases_of(exp.table, exp.split, "train")}


def _decided(folder: Path) -> pd.DataFrame:
    return pd.read_parquet(folder / "classes.parquet").query("split == 'test'")
