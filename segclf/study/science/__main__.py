"""`python -m segclf.study.science [NAME …]`: run what is missing, write docs/science.md.

Finished cells are kept in `runs/study`, results in `docs/science.json`; the page and its figures
are made of that file alone.
"""

import os
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass, replace
from importlib import resources
from pathlib import Path
from typing import Any

from segclf.console import say
from segclf.core.atomic import read_json, write_json, write_text
from segclf.core.errors import SegclfError
from segclf.core.runs import RUNS
from segclf.study.science.claims import verdict
from segclf.study.science.further import FURTHER
from segclf.study.science.own import own_study
from segclf.study.science.own_levels import Question
from segclf.study.science.plan import Study
from segclf.study.science.run import THEORY, figure_of, run_study
from segclf.study.science.section import section
from segclf.study.science.source import Source
from segclf.study.science.studies import SMALL_NETWORK, STUDIES
from segclf.study.theory.figure import separability_svg
from segclf.study.theory.run import run_separability
from segclf.study.theory.section import separability_section

TABLE, PAGE = Path("docs/science.json"), Path("docs/science.md")
N_SEEDS = 5
PHANTOM_STUDIES = STUDIES | FURTHER
Entry = dict[str, Any]
HEADER = """# The science: what was measured of the claims, and why an effect is expected

Made by `make science` from `docs/science.json`; no number is typed by hand. Research use, not
diagnosis. [study.md](study.md) says how cells are chosen, trained and judged. What has not run
reads "not run". The claims are those of the abstracts of Hooper et al. (NeurIPS 2023) and Saab et
al. (2022); their data are not shipped, so phantoms with known truth stand in for them, and two open
image sets. The derivation stands before the section on separability.
"""


@dataclass(frozen=True)
class RealStudy:
    """A study on an open image set of SEGCLF_REALDATA."""

    title: str
    study: str
    config: str
    asked: Question
    overrides: tuple[str, ...]

    def build(self) -> Study:
        """The study, once the data are there."""
        source = Source(Path(f"configs/{self.config}.yaml"), None, self.overrides)
        return replace(own_study(self.study, source, self.asked), title=self.title)


AT_128 = ("image.size_px=[128, 128]", "segment.patch_px=null", *SMALL_NETWORK)
AT_96 = ("image.size_px=[96, 96]", *AT_128[1:])
"""What a training on CT slices may cost."""
ONE_SPLIT = ("split.folds=null", "split.fold_file=null", "split.fractions=[0.5, 0.2, 0.3]",
             "split.seed=0")  # fmt: skip
"""A fold of the CT slices has too few patients with a fracture and without haemorrhage to turn
around. On one split each training is of another subset: how far they scatter is known."""
REAL = {
    "ct_ich_label_efficiency": RealStudy(
        "CT slices: label efficiency for haemorrhage", "label-efficiency", "ct_ich_2d",
        Question(sizes=(80, 230, 600)), AT_96,
    ),
    "ct_ich_shortcut": RealStudy(
        "CT slices: skull fracture as a shortcut for haemorrhage", "shortcut", "ct_ich_2d",
        Question(column="skull_fracture"), (*AT_128, *ONE_SPLIT),
    ),
    "busi_label_efficiency": RealStudy(
        "Breast ultrasound: label efficiency for lesion present", "label-efficiency", "busi_lesion",
        Question(sizes=(30, 95, 300)), ("image.size_px=[96, 128]", *SMALL_NETWORK, *ONE_SPLIT),
    ),
}  # fmt: skip


def main(names: list[str]) -> int:
    """Run the studies named, or all; returns the worst exit code."""
    code = 0
    for name in names or [*PHANTOM_STUDIES, "separability", *REAL]:
        if name in REAL and "SEGCLF_REALDATA" not in os.environ:
            say(f"{name}: SEGCLF_REALDATA does not name the folder with the image sets: not run")
            continue
        try:
            entry = _run(name)
        except SegclfError as error:
            say(f"{name}: {error}")
            code = max(code, int(error.exit_code))
            continue
        write_json(TABLE, _read() | {name: entry})
        write_page()
        code = max(code, int(entry.get("exit_code", 0)))
    return code


def _run(name: str) -> Entry:
    folder = RUNS / "study"
    if name == "separability":
        return run_separability(folder / name)
    study = REAL[name].build() if name in REAL else PHANTOM_STUDIES[name]
    entry = run_study(study, folder, n_seeds=N_SEEDS, jobs=int(os.environ.get("SEGCLF_JOBS", "1")))
    return entry | ({"drawn": figure_of(study, entry)} if entry.get("curves") else {})


def write_page() -> None:
    """Write the page and its figures from the table."""
    table = _read()
    parts = [HEADER, *_in_short(table)]
    for name, title in _titles().items():
        entry = table.get(name)
        drawn = _drawing(name, entry)
        if entry is not None and drawn is not None:
            write_text(PAGE.parent / f"science_{name}.svg", drawn)
            entry = entry | {"figures": [f"science_{name}.svg"]}
        if name == "separability":
            parts += [derivation(), separability_section(title, entry)]
        else:
            parts.append(section(title, entry))
    write_text(PAGE, "\n".join(parts))


def _in_short(table: Mapping[str, Entry]) -> list[str]:
    """What became of each claim, and of the regime in which it should fade."""
    lines = ["## In short\n"]
    for name, study in PHANTOM_STUDIES.items():
        for claim in study.claims:
            found = verdict(claim, table.get(name, {}))
            fade = [found["fade"]["text"]] if found["fade"] else []
            lines += [f"- {text[:1].upper()}{text[1:]}" for text in (found["text"], *fade)]
    return ["\n".join(lines) + "\n"]


def derivation() -> str:
    """The theory, as a part of the page."""
    text = resources.files("segclf.study.theory").joinpath("derivation.md").read_text("utf-8")
    return re.sub(r"^#", "##", text, flags=re.MULTILINE)


def _titles() -> Mapping[str, str]:
    own = {name: study.title for name, study in PHANTOM_STUDIES.items()}
    real = {name: study.title for name, study in REAL.items()}
    return own | {"separability": THEORY} | real


def _drawing(name: str, entry: Entry | None) -> str | None:
    if entry is None:
        return None
    return separability_svg(entry) if name == "separability" else entry.get("drawn")


def _read() -> Entry:
    return read_json(TABLE) if TABLE.is_file() else {}


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
