"""A run and its cases to a folder of pseudo-masks; stopped at any moment, call it again."""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from segclf.core.atomic import hash_of, read_json
from segclf.core.errors import CaseError, UsageError
from segclf.core.records import Case
from segclf.core.text import counted
from segclf.experiment import Experiment
from segclf.other import other_name, other_table
from segclf.predict.engine import Engine, Group, load_engine, logit_groups
from segclf.predict.feed import Quarantined, Ready, set_aside
from segclf.predict.identity import identity_of
from segclf.pseudolabel.cuts import fitted_cuts
from segclf.pseudolabel.decide import Job, as_predicted, decide_case
from segclf.pseudolabel.finish import background_only, finish
from segclf.pseudolabel.parts import claim, part_hash, read_part, write_part
from segclf.pseudolabel.plan import ASIDE, Plan, Row, line, make_plan
from segclf.pseudolabel.predicted import Cut
from segclf.pseudolabel.table import find_filter
from segclf.stages import OWN, note_stage, require_rows
from segclf.training.runtime import full_disk_stops

EventSink = Callable[[dict[str, Any]], None]
STAGE = "pseudolabel"
SCHEMA_VERSION = 1


def make_pseudo_masks(
    exp: Experiment,
    *,
    filter_name: str,
    fold: int | None = None,
    soft: bool = False,
    cases: Sequence[Case] | None = None,
    manifest: Path | None = None,
    on_event: EventSink | None = None,
) -> Path:
    """The folder of filtered pseudo-masks of the cases that nobody drew; continues if it is begun.

    Holds `side.csv` (a side table of the manifest), `ledger.csv`, `record.json` and `masks/`.
    Validation and test cases of the run are neither read nor labelled.

    Args:
        exp: A run with a trained segmenter.
        filter_name: A name of `FILTERS`, or an installed plug-in.
        fold: Whose segmenter, t, tau and training cases; needed exactly if the run has folds.
        soft: Write probabilities instead of masks.
        cases: Only these of the run's cases; None for all of its manifest.
        manifest: Another manifest, instead of the run's own.
        on_event: Told the progress, as `{"kind": "pseudo-label", "step": …, "of": …}`.

    Raises:
        UsageError: The filter is not known, cannot be soft, or lacks what it needs (predictions
            of validation cases, a column `n_findings`), or cases are slices of volumes.
        IntegrityError: The model is damaged, or the folder holds pseudo-masks of another one.
        StoppedError: The disk is full; the same call continues.
    """
    require_rows(exp)
    chosen = find_filter(filter_name)
    if soft and not chosen.can_be_soft:
        raise UsageError(
            f"the filter {filter_name!r} cannot be soft: its masks say which pixels are not known.",
            where=f"--filter {filter_name} --soft",
            expected="one of the two",
            fix="leave --soft out, or choose another filter",
        )
    if fold not in exp.folds():
        raise UsageError(
            f"there is no fold {fold}." if fold is not None else "the run has folds.",
            where="--fold",
            expected=f"one of {exp.folds()}",
            fix="choose one of these",
        )
    table = exp.table if manifest is None else other_table(exp, manifest)
    name = OWN if manifest is None else other_name(manifest)
    if cases is not None:
        name += f"-{hash_of(sorted(case.case_id for case in cases))[:8]}"
    name += f"-{filter_name}" + ("-soft" if soft else "")
    folder = exp.run.stage(STAGE, name, fold=fold)
    engine = load_engine(exp.run.stage("segment", fold=fold), exp.recipe)
    plan = make_plan(exp, table, chosen, fold=fold, only=cases)
    cuts, told = (Cut(),) * len(table.findings), []
    if chosen.needs_cut:
        cuts, told = fitted_cuts(exp, engine.card.sha256, fold=fold)
    settings = exp.recipe.pseudolabel
    job = Job(folder, chosen, table.findings, cuts, settings, engine.card.exclusive, soft)
    maker = Maker(engine, job, plan, _identity(engine, job, filter_name, fold), on_event)
    records, n_made = maker.make_parts()
    rows = [row for record in records for row in record["rows"]]
    finish(maker.job, plan, rows, records, identity=maker.identity, cuts=told)
    if on_event is not None:
        for text in background_only(rows):
            on_event({"kind": "message", "message": text})
    if n_made:
        note_stage(exp, f"{STAGE}/{name}")
    elif on_event is not None:
        text = f"all {counted(len(plan.cases), 'case')} were there already: nothing was done"
        if not plan.cases:
            text = "no case to predict: each is drawn, empty, held out or set aside (ledger.csv)"
        on_event({"kind": "message", "message": text})
    return folder


def pseudo_label(
    exp: Experiment,
    *,
    manifest: Path | None = None,
    fold: int | None = None,
    soft: bool = False,
    on_event: EventSink | None = None,
) -> list[tuple[Path, dict[str, Any]]]:
    """Pseudo-masks by the recipe's filter in each fold; returns folders and their records."""
    folders = [
        make_pseudo_masks(
            exp,
            filter_name=exp.recipe.pseudolabel.filter,
            fold=each,
            soft=soft,
            manifest=manifest,
            on_event=on_event,
        )
        for each in exp.folds(fold)
    ]
    return [(folder, read_json(folder / "record.json")) for folder in folders]


def _identity(engine: Engine, job: Job, filter_name: str, fold: int | None) -> dict[str, Any]:
    """All that decides the masks of a case, apart from the case."""
    read = {"free_empty", *job.filter.reads, *(("soft_bits",) if job.soft else ())}
    settings = job.settings.model_dump(mode="json", include=read)
    return {
        "schema": SCHEMA_VERSION,
        "filter": filter_name,
        "soft": job.soft,
        "settings": settings,
        "cuts": {
            finding: asdict(cut) if job.filter.needs_cut else None
            for finding, cut in zip(job.findings, job.cuts, strict=True)
        },
        "prediction": identity_of(
            engine.card, engine.recipe, precision=engine.precision, fold=fold
        ),
    }


@dataclass(frozen=True)
class Maker:
    """Makes the parts of one folder."""

    engine: Engine
    job: Job
    plan: Plan
    identity: dict[str, Any]
    on_event: EventSink | None

    def make_parts(self) -> tuple[list[dict[str, Any]], int]:
        """The records of all parts, and how many of them this call made."""
        folder, cases = self.job.folder, self.plan.cases
        claim(folder, self.identity)
        size = self.engine.recipe.predict.part_size
        parts = [cases[start : start + size] for start in range(0, len(cases), size)]
        wanted = [part_hash(part, self.plan, self.identity) for part in parts]
        records = [read_part(folder, i, wanted=wanted[i]) for i in range(len(parts))]
        n_done = sum(len(p) for p, r in zip(parts, records, strict=True) if r is not None)
        n_made = 0
        for index, part in enumerate(parts):
            if records[index] is None:
                with full_disk_stops(
                    folder,
                    room_for="the next part; finished parts are kept",
                    fix="run the same command again",
                ):
                    records[index] = self._make_part(index, part, wanted[index], n_done)
                n_done, n_made = n_done + len(part), n_made + 1
        return [record for record in records if record is not None], n_made

    def _make_part(
        self, index: int, part: Sequence[Case], wanted: str, n_done: int
    ) -> dict[str, Any]:
        found: list[tuple[int, list[Row]]] = []
        files: list[Path] = []
        for group in logit_groups(self.engine, part, with_truth=self.job.exclusive):
            for place, rows, written in self._group(group):
                found.append((place, rows))
                files += written
            if self.on_event is not None:
                step = n_done + len(found)
                self.on_event({"kind": "pseudo-label", "step": step, "of": len(self.plan.cases)})
        found.sort(key=lambda item: item[0])  # groups come as their shapes fill up
        rows = [row for _, lines in found for row in lines]
        return write_part(self.job.folder, index, wanted=wanted, rows=rows, files=files)

    def _group(self, group: Group | Quarantined) -> list[tuple[int, list[Row], list[Path]]]:
        """Place, ledger lines and files of each case of a group."""
        if isinstance(group, Quarantined):
            return [(group.index, self._aside(group), [])]
        made = []
        for ready, logits in zip(group.cases, group.logits, strict=True):
            if not bool(logits.isfinite().all()):
                aside = _not_finite(ready)
                made.append((ready.index, self._aside(aside), []))
                continue
            case_id = ready.case.case_id
            probability: np.ndarray = logits.sigmoid().cpu().numpy()
            counts = self.plan.counts[case_id]
            predicted = as_predicted(self.job, ready, probability, counts)
            open_ = self.plan.open[case_id]
            rows, files = decide_case(self.job, predicted, ready.case, ready.sample, open_)
            made.append((ready.index, rows, files))
        return made

    def _aside(self, case: Quarantined) -> list[Row]:
        return [
            line(case.case_id, self.job.findings[k], ASIDE, case.reason, why=case.message)
            for k in self.plan.open[case.case_id]
        ]


def _not_finite(ready: Ready) -> Quarantined:
    error = CaseError(
        "nonfinite_logits",
        "the network answers with NaN or infinity.",
        where=f"case {ready.case.case_id}",
        expected="a finite logit at every pixel",
        fix="set predict.precision: fp32; if it stays, look at the image's intensities",
    )
    return set_aside(ready.index, ready.case, error)
