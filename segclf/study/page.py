"""The recipes on the page docs/results.md, made from docs/results.json alone."""

from typing import Any

from segclf.evaluate.metrics import MASK_METRICS

NOT_RUN = "not run"
TITLES = {
    "ct_ich_2d": "CT slices: intracranial haemorrhage",
    "busi_lesion": "Breast ultrasound: lesion present",
    "busi_malignant": "Breast ultrasound: malignant",
    "ct_ich_3d": "CT volumes: haemorrhage in the scan (fold 0 alone)",
}
CAUTIONS = {
    "ct_ich_2d": "Negatives are every third slice, so slice numbers encode the label; "
    "the baselines are the number and the relative position of the slice alone. 30 % of the "
    "slices are positive here against 11.3 % in the full data, so PPV and NPV are given at 11.3 %. "
    "The aim for Dice was 0.35; the authors of the data report 0.31 for a U-Net.",
    "busi_lesion": "The groups are near-duplicates, not patients; calipers and text are burned in.",
    "busi_malignant": "The mask outlines any lesion, so its pixels take the category of the image. "
    "`column:lesion_area_fraction` is the true area: a malignant lesion is larger here.",
    "ct_ich_3d": "16 patients are tested, so every interval is wide. Voxel spacing is nominal: "
    "no mL are given.",
}
METRICS = ("auroc", "average_precision", "sensitivity", "specificity")
PREVALENCE = {"ct_ich_2d": 0.113}
"""Prevalence in the full data, where the set was sampled by label; PPV and NPV are given at it."""
HEADER = """# Results on real images

Made by `make results` from `configs/`; research use, not diagnosis.

All numbers are out-of-fold: each case is predicted by networks that have not seen its patient,
thresholds and tau come from the validation part of each fold, AUROC is computed per fold and
averaged, and intervals (95 %) are by patient (docs/evaluation.md says how). Segmenter and
classifier have the same encoder, cases, augmentation, steps and selection rule, and start from
random weights. A cell that has not run reads "not run".

`tau`, `mean` and `max` are the same segmenter's masks, summarized in three ways. `tau` decides by
the area above a fitted probability and ranks by the mean probability, as Saab et al. (2022) do, so
its AUROC is that of `mean`.
`column:<name>` is a trivial baseline: the value of that column alone.
"""


def results_page(results: dict[str, Any]) -> str:
    """The page as Markdown."""
    parts = [HEADER, *(_recipe_part(name, results.get(name, {})) for name in TITLES)]
    return "\n".join(parts)


def measured_line(entry: dict[str, Any]) -> str:
    """Time and main numbers of a recipe in one line, as its header carries them."""
    minutes = {
        stage: [cell["minutes"] for key, cell in entry["cells"].items() if key.startswith(stage)]
        for stage in ("segment", "classify")
    }
    finding = entry["findings"][0]
    auroc = {
        row["method"]: f"{row['method']} {row['estimate']:.3f}"
        for row in entry["metrics"]
        if row["metric"] == "auroc" and row["finding"] == finding
    }
    dice = next(
        row["estimate"]
        for row in entry["overlap"]
        if row["metric"] == "dice" and row["finding"] == finding
    )
    methods = ("mean", "max", "tau", "sigmoid")
    shown = [auroc[name] for name in methods]
    baselines = [text for name, text in auroc.items() if name not in methods]
    return (
        f"segmenter {_mean(minutes['segment'])} and classifier {_mean(minutes['classify'])} min "
        f"per fold (threads: {entry['hardware']['threads']}); Dice on positives {dice:.3f}; AUROC "
        f"{', '.join(shown + baselines)}"
    )


def _mean(values: list[float]) -> str:
    return f"{sum(values) / len(values):.1f}"


def _recipe_part(name: str, entry: dict[str, Any]) -> str:
    lines = [f"## {TITLES[name]}\n", f"Recipe `configs/{name}.yaml`. {CAUTIONS[name]}\n"]
    if "metrics" in entry:
        prevalence = PREVALENCE.get(name)
        lines += [_metric_table(entry, finding, prevalence) for finding in entry["findings"][:1]]
        lines += [_overlap_table(entry)]
    else:
        lines.append(f"Out-of-fold numbers: {NOT_RUN}.\n")
    lines.append(_cell_line(entry.get("cells", {})))
    return "\n".join(lines) + "\n"


def _metric_table(entry: dict[str, Any], finding: str, prevalence: float | None) -> str:
    rows = [row for row in entry["metrics"] if row["finding"] == finding]
    first = next(row for row in rows if row["metric"] == "auroc")
    extra = [f"PPV at {prevalence:.1%}", f"NPV at {prevalence:.1%}"] if prevalence else []
    heads = [*(name.replace("_", " ") for name in METRICS), *extra]
    text = [
        f"{finding}: {first['n_cases']} cases of {first['n_patients']} {entry['unit_name']}s, "
        f"{first['n_positive']} positive.\n",
        f"| method | {' | '.join(heads)} |",
        "|---" * (len(heads) + 1) + "|",
    ]
    for method in dict.fromkeys(row["method"] for row in rows):
        own = {row["metric"]: row for row in rows if row["method"] == method}
        cells = [_cell(own.get(name)) for name in METRICS]
        if prevalence:
            cells += predictive_values(
                own["sensitivity"]["estimate"], own["specificity"]["estimate"], prevalence
            )
        text.append(f"| {method} | {' | '.join(cells)} |")
    return "\n".join(text) + "\n"


def predictive_values(
    sensitivity: float | None, specificity: float | None, prevalence: float
) -> list[str]:
    """PPV and NPV at a prevalence other than that of the sample, by Bayes' rule, as text."""
    if sensitivity is None or specificity is None:
        return ["not estimable", "not estimable"]
    hit, false = sensitivity * prevalence, (1 - specificity) * (1 - prevalence)
    correct, missed = specificity * (1 - prevalence), (1 - sensitivity) * prevalence
    return [
        f"{a / (a + b):.3f}" if a + b > 0 else "undefined: no such decision"
        for a, b in ((hit, false), (correct, missed))
    ]


def _overlap_table(entry: dict[str, Any]) -> str:
    text = [
        "| masks at t = 0.5 | value | n |",
        "|---|---|---|",
    ]
    for row in entry["overlap"]:
        label = f"{row['finding']}: {row['metric'].replace('_', ' ')}"
        n = row[f"n_{MASK_METRICS[row['metric']].uses[:-1]}"]
        text.append(f"| {label} | {_cell(row)} | {n} |")
    return "\n".join(text) + "\n"


def _cell(row: dict[str, Any] | None) -> str:
    if row is None:
        return ""
    if row["estimate"] is None:
        return f"not estimable: {row['reason']}"
    interval = f" ({row['lo']:.3f} to {row['hi']:.3f})" if row["lo"] is not None else ""
    return f"{row['estimate']:.3f}{interval}"


def _cell_line(cells: dict[str, Any]) -> str:
    if not cells:
        return f"Cells: {NOT_RUN}."
    shown = []
    for key, cell in cells.items():
        minutes = f"{cell['minutes']:.1f} min" if "minutes" in cell else NOT_RUN
        shown.append(f"{key} {cell.get('failed', minutes)}")
    return f"Cells: {', '.join(shown)}."
