"""The demonstration: does a segmenter lean less on a shortcut than a fair classifier?

On phantom images a tube goes along with the label in training (rho 0.9), but not in the test
set (0.5). A segmenter and a classifier with the same encoder, cases, budget and selection rule
are trained on them; a second classifier, trained where the tube is independent of the label
(rho 0.5), shows that the classifier is able to learn the task.
"""

import time
from pathlib import Path
from typing import Any

import pandas as pd

from segclf import judging, pipeline
from segclf.console import EventSink, progress, say
from segclf.core.atomic import write_text
from segclf.core.config import load_recipe
from segclf.core.runs import RUNS
from segclf.core.scoretable import read_scores, write_scores
from segclf.evaluate import Evaluation
from segclf.experiment import PHANTOM, Experiment, new_experiment, phantom_recipe
from segclf.phantom import PhantomSettings, write_phantom
from segclf.reporting import make_report

CONTROL = "classifier (trained at rho 0.5)"
ABOUT_CONTROL = (
    "the same network, budget and selection rule, trained where the tube is independent of the "
    "label (rho 0.5), and tested on the same images; it shows that this classifier can learn the "
    "task where nothing misleads it"
)
CONTROL_DATA = Path("phantom-rho0.5")
RULES = ("mean", "tau")


def run_demo() -> dict[str, Any]:
    """Run the main job on phantom data; a second call continues or only reports.

    Returns:
        The path of the report, the AUROCs of the question and a text for people.
    """
    start = time.monotonic()
    exp = new_experiment(phantom_recipe(), None, None, ())
    say(f"data: phantom (synthetic), {len(exp.table.cases)} images in {PHANTOM}/")
    with progress("segmenter") as on_event:
        pipeline.train_seg(exp, on_event, resume=True)
    with progress("classifier") as on_event:
        pipeline.train_clf(exp, on_event, resume=True)
    with progress("classifier at rho 0.5") as on_event:
        add_control(exp, on_event)
    for rule in RULES:
        pipeline.summarize_masks(exp, rule)
    _, evaluation = judging.evaluate(exp)
    with progress("report") as on_event:
        page = make_report(exp, on_event)
    answer = headline(evaluation)
    minutes = (time.monotonic() - start) / 60
    text = f"{demo_text(answer)}\n\nreport: {page}  ({minutes:.1f} min)\nnext: open it in a browser"
    return {"report": str(page), "minutes": round(minutes, 2), "auroc": answer, "text": text}


def add_control(exp: Experiment, on_event: EventSink) -> None:
    """Train the same classifier where the tube is independent of the label; keep its scores.

    The phantom draws a case from its number alone, so both data sets have the same test images.
    """
    recipe = CONTROL_DATA / "recipe.yaml"
    if not recipe.is_file():
        settings = PhantomSettings.model_validate({"rho": {"train": 0.5, "val": 0.5, "test": 0.5}})
        write_phantom(CONTROL_DATA, settings)
    name = f"{load_recipe(PHANTOM / 'recipe.yaml').name}-rho0.5"
    control = new_experiment(recipe, None, name, ())
    pipeline.train_clf(control, on_event, resume=True)
    source = control.run.stage("classify", control.recipe.classify.method) / "scores.parquet"
    scores = read_scores(source).assign(method=CONTROL)
    record = {"method": CONTROL, "source": f"{RUNS.name}/{name}", "about": ABOUT_CONTROL}
    folder = exp.run.stage("classify", "control")
    write_scores(folder, scores, record)
    write_text(folder / "metrics.jsonl", (source.parent / "metrics.jsonl").read_text("utf-8"))


def headline(evaluation: Evaluation) -> dict[str, dict[str, float | None]]:
    """Robust, aligned and overall AUROC of each method; None where it cannot be estimated."""
    robust = evaluation.robust
    overall = evaluation.metrics.query("metric == 'auroc' and group_column == 'all'")
    every = dict(zip(overall["method"], overall["estimate"], strict=True))
    found: dict[str, dict[str, float | None]] = {}
    for method in robust["method"].unique():
        rows = robust[robust["method"] == method].set_index("quantity")["estimate"]
        values = {"robust": rows["robust"], "aligned": rows["aligned"], "all": every[method]}
        found[method] = {k: None if pd.isna(v) else round(float(v), 4) for k, v in values.items()}
    return found


def demo_text(auroc: dict[str, dict[str, float | None]]) -> str:
    """The answer as a small table."""

    def cell(value: float | None) -> str:
        return "   n/a" if value is None else f"{value:6.3f}"

    rows = [
        f"  {method:<34}{cell(v['robust'])}   {cell(v['aligned'])}   {cell(v['all'])}"
        for method, v in auroc.items()
    ]
    header = f"  {'AUROC on test cases':<34}robust   aligned   all"
    return "\n".join(
        [
            "",
            header,
            *rows,
            "",
            "  robust: positives without the tube against negatives with it;",
            "  aligned: positives with it against negatives without it.",
        ]
    )
