"""Classes that a metric head never trained on: told from known ones, and enrolled from few images.

Run by `python -m segclf.study.experiments phantom_kinds`; finished trainings are kept. Each
training has a phantom of its own, since the images that are enrolled matter as much as the
training. The settings were tried out on the phantom of seed 0, which is not among them.
"""

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from segclf import pipeline
from segclf.classify.metric import enroll
from segclf.console import progress
from segclf.core.atomic import read_json
from segclf.core.randomness import generator
from segclf.core.records import Case
from segclf.evaluate.inference.auroc import auroc_of
from segclf.experiment import Experiment, new_experiment
from segclf.manifest import cases_of
from segclf.phantom import PhantomSettings, write_phantom
from segclf.study.goals import cost_line
from segclf.training import read_cost

SETTINGS = {
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


def run_kinds(folder: Path, n_seeds: int) -> Entry:
    """Train what is missing, then judge known, unknown and enrolled classes on test cases.

    Args:
        folder: Gets the data, unless they are there; the names of runs begin as its own.
        n_seeds: Phantoms, from seed 1 on, with one training each.
    """
    rows, cpu_s = [], []
    for seed in range(1, n_seeds + 1):
        name = f"{folder.name}-phantom{seed}"
        recipe = folder / name / "recipe.yaml"
        if not recipe.is_file():
            write_phantom(recipe.parent, PhantomSettings.model_validate(SETTINGS | {"seed": seed}))
        exp = new_experiment(recipe, None, name, (*OVERRIDES, f"seed={seed}", "split.seed=0"))
        with progress(name) as on_event:
            pipeline.train_clf(exp, on_event, resume=True)
        cpu_s.append(read_cost(exp.run.stage("classify", "metric")))
        rows.append({"seed": seed, "enrolled": enrolled(exp)} | known_and_unknown(exp))
    return {"seeds": rows, "cpu_s": cpu_s, "settings": list(OVERRIDES)}


def known_and_unknown(exp: Experiment) -> Entry:
    """Test cases of trained classes and of others: accuracy, AUROC, and what the threshold does.

    The score of being known is the similarity to the nearest vector of the gallery; the threshold
    of `unknown` was fitted on validation cases.
    """
    folder = exp.run.stage("classify", "metric")
    table, threshold = _decided(folder), read_json(folder / "gallery.json")["unknown"]["threshold"]
    known = np.isin(np.asarray(table["truth"]), list(_trained(exp)))
    hit = np.asarray(table["predicted"] == table["truth"])
    similarity = np.asarray(table["similarity"], dtype=float)
    return {
        "n_known": int(known.sum()),
        "n_unknown": int((~known).sum()),
        "accuracy_known": float(hit[known].mean()),
        "known_unknown": auroc_of(similarity, known).value,
        "said_unknown_of_unknown": float((similarity[~known] <= threshold).mean()),
        "said_unknown_of_known": float((similarity[known] <= threshold).mean()),
    }


def enrolled(exp: Experiment) -> list[Entry]:
    """Accuracy on classes enrolled from five test images each, for several draws of these.

    Each comes alone and competes with all trained classes. Images of the patients that were
    enrolled are not judged.
    """
    test = cases_of(exp.table, exp.split, "test")
    new = sorted({case.classes["kind"] for case in test} - _trained(exp))
    patient = {case.case_id: case.patient_id for case in test}
    rows = []
    for draw in range(N_DRAWS):
        hits: list[np.ndarray] = []
        for name in new:
            table, used = _enroll(exp, test, name, draw)
            truth = np.asarray(table["truth"])
            is_used = np.array([patient[case_id] in used for case_id in table["case_id"]])
            left = (truth == name) & ~is_used
            hits.append(np.asarray(table["predicted"])[left] == truth[left])
        hit = np.concatenate(hits)
        rows.append({"draw": draw, "n": len(hit), "accuracy": float(hit.mean())})
    return rows


def _enroll(
    exp: Experiment, test: Sequence[Case], name: str, draw: int
) -> tuple[pd.DataFrame, set[str]]:
    """Decisions with this class in a copy of the gallery, and the patients it came from."""
    source, target = exp.run.stage("classify", "metric"), exp.run.stage("enrolled")
    shutil.rmtree(target, ignore_errors=True)
    shutil.copytree(source, target)
    own = [case for case in test if case.classes["kind"] == name]
    rng = generator(exp.recipe.seed, "enrol", draw, name)
    images = [own[place] for place in rng.choice(len(own), N_IMAGES, replace=False)]
    enroll(target, name, images, exp.table, exp.split, exp.recipe)
    table = _decided(target)
    shutil.rmtree(target)
    return table, {case.patient_id for case in images}


def kinds_section(title: str, entry: Entry | None) -> str:
    """The entry as Markdown; what has not run reads so."""
    if entry is None:
        return f"## {title}\n\nNot run.\n"
    lines = [
        f"## {title}\n",
        f"data: phantom; `segclf train-clf --head metric` on {SETTINGS['n_classes']} classes, "
        f"{SETTINGS['n_unseen']} of them in no training case. Settings: "
        f"`{'`, `'.join(entry['settings'])}`; they were tried out on another phantom (seed 0). "
        "Each row is another phantom and another training.\n",
        f"Goals: AUROC of known against unknown at least {LEAST['known_unknown']:g}; accuracy on a "
        f"class enrolled from {N_IMAGES} images above {LEAST['enrolled']:g}. Enrolled classes come "
        f"one by one: mean over {N_DRAWS} draws of the images, range in brackets.\n",
        "| seed | accuracy on trained classes | known against unknown, AUROC | called unknown: of "
        "unknown, of known | enrolled |",
        "|---|---|---|---|---|",
    ]
    for row in entry["seeds"]:
        lines.append(
            f"| {row['seed']} | {row['accuracy_known']:.3f} (n {row['n_known']}) | "
            f"{row['known_unknown']:.3f} (n {row['n_known']}, {row['n_unknown']}) | "
            f"{row['said_unknown_of_unknown']:.3f}, {row['said_unknown_of_known']:.3f} | "
            f"{_range(row['enrolled'])} |"
        )
    values = {
        "known_unknown": [row["known_unknown"] for row in entry["seeds"]],
        "enrolled": [
            float(np.mean([one["accuracy"] for one in row["enrolled"]])) for row in entry["seeds"]
        ],
    }
    said = [
        f"{name.replace('_', ' against ')} {_reached(own, LEAST[name])}"
        for name, own in values.items()
    ]
    lines.append(f"\nMeans over phantoms: {'; '.join(said)}.\n")
    lines.append(cost_line(entry["cpu_s"]))
    return "\n".join(lines) + "\n"


def _reached(values: Sequence[float], least: float) -> str:
    """The mean with its interval over phantoms, and how many of them reach the goal.

    Source:
        Student's t interval of a mean, as the phantoms are drawn independently.
    """
    n, mean = len(values), float(np.mean(values))
    text = f"{mean:.3f}"
    if n > 1:
        half = float(stats.t.ppf(0.975, n - 1) * np.std(values, ddof=1) / np.sqrt(n))
        text += f" (95 % {mean - half:.3f} to {mean + half:.3f}, t, n = {n})"
    n_above = sum(value > least for value in values)
    mean_is = "above" if mean > least else "not above"
    return f"{text}, {n_above} of {n} above {least:g}, the mean {mean_is} it"


def _range(draws: Sequence[Entry]) -> str:
    found = [one["accuracy"] for one in draws]
    return f"{np.mean(found):.3f} ({min(found):.3f} to {max(found):.3f})"


def _trained(exp: Experiment) -> set[str]:
    return {case.classes["kind"] for case in cases_of(exp.table, exp.split, "train")}


def _decided(folder: Path) -> pd.DataFrame:
    return pd.read_parquet(folder / "classes.parquet").query("split == 'test'")
