"""Comparisons on phantom data and on real images, and their part of the page of results.

`python -m segclf.study.experiments [NAME …]` runs what is missing and keeps it in
`docs/comparisons.json`, of which the second part of `docs/results.md` is made. Finished cells are
kept in `runs/`, so that an interrupted call goes on where it stopped.
"""

import os
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from segclf.console import say
from segclf.core.atomic import read_json, write_json, write_text
from segclf.core.errors import SegclfError
from segclf.experiment import new_experiment
from segclf.phantom import PhantomSettings
from segclf.study.attributes import heads_section, run_heads
from segclf.study.compare.flow import compare
from segclf.study.compare.section import compare_phantom, entry_of, section
from segclf.study.curves import few_masks_svg, planner_svg
from segclf.study.goals import checked, goal_lines, spent_lines
from segclf.study.kinds import kinds_section, run_kinds
from segclf.study.page import results_page
from segclf.study.planner_proof import planner_section, run_planner
from segclf.study.semi_proof import CT, PHANTOM, run_semi
from segclf.study.semi_section import semi_section
from segclf.study.volumes_proof import run_ct, run_hippocampus
from segclf.study.volumes_section import ct_section, hippocampus_section

TABLE, PAGE = Path("docs/comparisons.json"), Path("docs/results.md")
RECIPES = Path("docs/results.json")
DATA = Path("runs/data")
Entry = dict[str, Any]
HEADER = """# Methods compared

Made by `make results` as well. Each section but the last seven is one `segclf compare`: one split,
the same encoder and first weights, augmentation, batch size and selection rule, thresholds from
validation cases; each section says how many steps its networks took. Intervals are 95 %, by
patient, for the trainings that were made; those of differences resample the trainings as well.
[compare.md](compare.md) says how numbers are made. What has not run reads "not run".
"""

RULES = (
    "tau", "mean", "max", "topk", "mean_logit", "max_logit", "topk_logit", "noisy_or", "lse",
    "largest_component",
)  # fmt: skip
TRAINED = (
    "fc", "pool_fc", "squeezenet", "resnet50", "shallow_simple", "shallow_complex", "deep_simple",
    "deep_complex", "logistic", "boosting",
)  # fmt: skip
HEADS = ("softmax", "sigmoid", "metric", "joint", "softmax-init")
SMALL = {"size_px": [64, 64], "area_fraction": 0.008, "n_cases": {"test": 600}}
SHORT = ("train.steps=220", "summarize.steps=100")
"""Each training of a phantom study ends within a minute on one core."""


@dataclass(frozen=True)
class Study:
    """One comparison: on which data, of which methods, and what was expected of it."""

    title: str
    about: str
    """What the networks of this study differ in, beside what they are."""
    methods: tuple[str, ...]
    phantom: Mapping[str, Any] | None = None
    """Settings of the phantom; None takes the recipe `configs/<config>.yaml`."""
    config: str | None = None
    n_seeds: int = 1
    equal_time: bool = False
    overrides: tuple[str, ...] = ()
    goals: tuple[tuple[str, str, str, float], ...] = field(default_factory=tuple)
    """(method, number of its row, `>=` or `<=`, value), stated before the results."""


ON_PHANTOM = (
    "Segmenters and heads take 220 steps on whole images; summarizers that are networks take 100 "
    "on what the frozen segmenter says, mirrored alone."
)
ON_CT = (
    "The segmenter sees crops of 128 px, half of those of positive cases around a lesion; "
    "classifiers and joint see whole slices. Summarizers that are networks see maps and features "
    "of whole slices, mirrored alone."
)
ON_BUSI = (
    "One split by groups of near-duplicates, where the recipe has five folds. Summarizers that are "
    "networks see maps and features of whole images, mirrored alone."
)
ONE_SPLIT = ("split.folds=null",)
REAL = ("mean", "tau", "deep_simple", "resnet50", "softmax", "joint")
INDEPENDENT = {"rho": {"train": 0.5, "val": 0.5, "test": 0.5}}

STUDIES: dict[str, Study] = {
    "phantom_shortcut": Study(
        "Phantom with a shortcut: the tube agrees with the label in 90 % of the training images",
        ON_PHANTOM + " `share` needs two findings and is left out.",
        (*RULES, *TRAINED, *HEADS),
        phantom=SMALL,
        n_seeds=5,
        equal_time=True,
        overrides=SHORT,
        goals=(
            *((rule, "robust_auroc", ">=", 0.9) for rule in RULES),
            ("softmax", "robust_auroc", "<=", 0.6),
        ),
    ),
    "phantom_control": Study(
        "The same without the shortcut: the tube is independent of the label",
        ON_PHANTOM
        + " It is the control of the study above, and its test images are the same: only the "
        "training and validation images have other tubes. Here the tube says nothing of the label. "
        "A classifier that has learned little scores a bright tube much as a bright lesion all the "
        "same: a lean found here was not learned from a correlation. The part of positives without "
        "the tube against negatives with it is shown because it is the one that the shortcut "
        "spoils above. That the classifier is able to learn the task with this budget "
        "rests on its AUROC's interval alone; what it still lacks to `tau` here is a matter of "
        "budget, and so is that part of the gap in robust AUROC above.",
        ("tau", "mean", "softmax", "joint"),
        phantom=SMALL | INDEPENDENT,
        n_seeds=5,
        overrides=SHORT,
        goals=(("softmax", "auroc_lo", ">=", 0.6),),
    ),
    "phantom_plenty": Study(
        "Without the shortcut, and with large, plentiful targets",
        ON_PHANTOM + " The gap to the classifier was to close: less than 0.05 of AUROC.",
        ("tau", "mean", "softmax", "joint"),
        phantom=SMALL
        | INDEPENDENT
        | {"area_fraction": 0.03, "n_cases": {"train": 960, "test": 600}},
        n_seeds=5,
        overrides=(*SHORT, "evaluate.margins={auroc: 0.05}"),
        goals=(("tau", "difference", "<=", 0.05),),
    ),
    "phantom_maps": Study(
        "Are maps of training images optimistic? Summarizers fitted on them, out of fold, or on "
        "validation cases",
        ON_PHANTOM + " `-oof` is fitted on maps of three inner segmenters.",
        tuple(name + end for name in ("fc", "logistic") for end in ("", "-oof", "-val")),
        phantom=SMALL,
        n_seeds=2,
        overrides=SHORT,
    ),
    "ct_ich_2d": Study("CT slices: intracranial haemorrhage", ON_CT, REAL, config="ct_ich_2d"),
    "busi_lesion": Study(
        "Breast ultrasound: lesion present",
        ON_BUSI,
        REAL,
        config="busi_lesion",
        overrides=ONE_SPLIT,
    ),
    "busi_malignant": Study(
        "Breast ultrasound: malignant", ON_BUSI, REAL, config="busi_malignant", overrides=ONE_SPLIT
    ),
}
N_SEEDS = 5
"""Trainings of each network in PROOFS, or folds of those on volumes."""


@dataclass(frozen=True)
class Proof:
    """What is no comparison: how it is run in a folder of data, and how it is told."""

    title: str
    run: Callable[[Path, int], Entry]
    section: Callable[[str, Entry | None], str]
    needs_images: bool = False
    """It reads image sets of SEGCLF_REALDATA."""
    figure: Callable[[Entry], str] | None = None
    """The entry drawn, as SVG text."""


PROOFS = {
    "phantom_heads": Proof("Phantom: eight heads with missing labels", run_heads, heads_section),
    "phantom_kinds": Proof("Phantom: classes that were never trained", run_kinds, kinds_section),
    "phantom_semi": Proof(
        "Phantom: few masks, all labels",
        partial(run_semi, PHANTOM),
        partial(semi_section, PHANTOM),
        figure=few_masks_svg,
    ),
    "ct_ich_semi": Proof(
        "CT slices: few masks, all labels",
        partial(run_semi, CT),
        partial(semi_section, CT),
        needs_images=True,
        figure=few_masks_svg,
    ),
    "phantom_planner": Proof(
        "Phantom: what the planner predicted, and what came",
        run_planner,
        planner_section,
        figure=planner_svg,
    ),
    "ct_ich_volumes": Proof(
        "CT volumes: a 3D network, and a 2D network on all slices",
        run_ct,
        ct_section,
        needs_images=True,
    ),
    "hippocampus_volumes": Proof(
        "Hippocampus: two findings, Dice and mL",
        run_hippocampus,
        hippocampus_section,
        needs_images=True,
    ),
}


def main(names: list[str]) -> int:
    """Run the studies named, or all; returns the worst exit code."""
    code = 0
    for name in names or [*STUDIES, *PROOFS]:
        if _needs_images(name) and "SEGCLF_REALDATA" not in os.environ:
            say(f"{name}: SEGCLF_REALDATA does not name the folder with the image sets: not run")
            continue
        try:
            if name in STUDIES:
                keep(name, run_study(name, STUDIES[name]))
                continue
            for n_seeds in range(1, N_SEEDS + 1):  # the table grows with the trainings, or folds
                keep(name, PROOFS[name].run(DATA / name, n_seeds))
        except SegclfError as error:
            say(f"{name}: {error}")
            code = max(code, int(error.exit_code))
    return code


def _needs_images(name: str) -> bool:
    return STUDIES[name].config is not None if name in STUDIES else PROOFS[name].needs_images


def run_study(name: str, study: Study) -> Entry:
    """Train what is missing of a study and judge it; returns its entry of the table."""
    options: Entry = {"n_seeds": study.n_seeds, "equal_time": study.equal_time}
    if study.phantom is not None:
        settings = PhantomSettings.model_validate(study.phantom)
        result = compare_phantom(
            DATA / name, settings, study.methods, overrides=study.overrides, **options
        )
    else:
        exp = new_experiment(Path(f"configs/{study.config}.yaml"), None, None, study.overrides)
        result = compare(exp, study.methods, **options)
    rows = {row["method"]: row for found in result["findings"][:1] for row in found["rows"]}
    return entry_of(result) | {"goals": [checked(goal, rows) for goal in study.goals]}


def keep(name: str, entry: Entry) -> None:
    """Write an entry into the table, and the page that is made from it."""
    write_json(TABLE, _read(TABLE) | {name: entry})
    write_page()


def write_page() -> None:
    """Write the page of results, and its figures: the recipes, then the comparisons."""
    table = _read(TABLE)
    for name in _drawn(table):
        write_text(PAGE.parent / f"{name}.svg", PROOFS[name].figure(table[name]))  # type: ignore[misc]
    write_text(PAGE, f"{results_page(_read(RECIPES))}\n{comparisons_page(table)}")


def comparisons_page(table: Mapping[str, Entry]) -> str:
    """The comparisons as Markdown: every study, run or not."""
    of_phantoms = [table[n] for n in (*STUDIES, *PROOFS) if n in table and not _needs_images(n)]
    parts = [HEADER, *spent_lines(of_phantoms)]
    for name, study in STUDIES.items():
        entry = table.get(name)
        whole = section(study.title, entry).split("\n", 2)  # heading, blank line, the rest
        parts += ["\n".join([*whole[:2], study.about, "", *whole[2:]])]
        parts += goal_lines(entry["goals"] if entry else ())
    drawn = _drawn(table)
    for name, proof in PROOFS.items():
        parts.append(proof.section(proof.title, table.get(name)))
        parts += [f"![{proof.title}]({name}.svg)\n"] if name in drawn else []
    return "\n".join(parts)


def _drawn(table: Mapping[str, Entry]) -> list[str]:
    """Proofs that have run and have a figure."""
    return [name for name, proof in PROOFS.items() if proof.figure and name in table]


def _read(path: Path) -> Entry:
    return read_json(path) if path.is_file() else {}


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
