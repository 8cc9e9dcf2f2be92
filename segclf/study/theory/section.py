"""What came of the study, as Markdown."""

from collections.abc import Mapping
from typing import Any

from segclf.study.goals import cost_line
from segclf.study.theory.predictions import NEAR_LAW
from segclf.study.theory.settings import CLEAR, HARD, MARGIN, MARGIN_SHARE

Entry = Mapping[str, Any]
NAMES = {
    HARD: "Pixels, lesion hard to see",
    CLEAR: "Pixels, lesion that stands out",
}
COLUMNS = ("image_part", "image_classifier", "pixel_classifier", "pixel_knn")
HEADS = (
    "image level: target's part", "image level: classifier", "pixel level: classifier",
    "pixel level: neighbours",
)  # fmt: skip


def separability_section(title: str, entry: Entry | None) -> str:
    """The entry as Markdown; what has not run reads so."""
    if entry is None:
        return f"## {title}\n\nNot run.\n"
    parts = [
        f"## {title}\n\n{_about(entry)}\n",
        _predictions(entry),
        *(_curves(str(NAMES.get(name, name)), curves, "residual", laws=True)
          for name, curves in entry["pixels"].items()),
        _curves("The same lesion hard to see, features of the patch around a pixel",
                entry["pixels"][HARD], "patch", laws=False),
        _curves("Features of trained segmenters", entry["embeddings"], "pixels", laws=False),
        _shortcut(entry),
        _cells(entry),
    ]  # fmt: skip
    return "\n".join(part for part in parts if part)


def _about(entry: Entry) -> str:
    return (
        "KL divergence in nats between what image labels tell apart (a pixel of a positive image "
        "against one of a negative image) and what masks tell apart (a pixel on the target against "
        "any other); the derivation is above. "
        f"Phantoms of {entry['n_images']} images, another one for each of {entry['n_seeds']} "
        "seeds; means over seeds, intervals are Student's 95 % over seeds. Area fractions are of "
        "the pixels that are used (those of the body for the known laws), so they are larger than "
        "of the image. A prediction holds if its whole interval lies in the range, fails if none "
        f"of it does, and else is not decided; the range is the prediction -/+ {MARGIN:g} for "
        f"exponents and -/+ {100 * MARGIN_SHARE:g} % for what the law says, fixed beforehand."
    )


def _predictions(entry: Entry) -> str:
    lines = [
        "| where | what | predicted | the known law | measured (95 %) | seeds | verdict |",
        "|---|---|---|---|---|---|---|",
    ]
    for row in entry["predictions"]:
        law = "" if row["law"] is None else f"{row['law']:.3g}"
        found = row["found"]
        note = _areas_note(found)
        lines.append(
            f"| {row['where']} | {_cell(row['what'])} | {row['predicted']} | {law} | "
            f"{_mean(found)}{note} | {found['n']} | {row['verdict']} |"
        )
    verdicts = [row["verdict"] for row in entry["predictions"]]
    counts = ", ".join(f"{verdicts.count(v)} {v}" for v in dict.fromkeys(verdicts))
    return "\n".join(lines) + f"\n\nOf {len(verdicts)} predictions: {counts}.\n"


def _cell(text: str) -> str:
    """A bar in a table would end the cell."""
    return text.replace("|", "\\|")


def _areas_note(found: Entry) -> str:
    if found.get("reason"):
        return f": {found['reason']}"
    if found.get("n_left_out"):
        return f"; {found['n_left_out']} areas left out, where a seed's value is not above 0"
    return ""


def _curves(name: str, curves: Entry, kind: str, *, laws: bool) -> str:
    if not any(alpha is not None for alpha in curves["alpha"]):
        return f"{name}: not run.\n"
    heads = ["image level: law", "bound", "pixel level: law"] if laws else []
    lines = [
        f"{name}:\n",
        f"| area fraction | {' | '.join([*heads, *HEADS])} |",
        "|---" * (1 + len(heads) + len(HEADS)) + "|",
    ]
    for k, alpha in enumerate(curves["alpha"]):
        if alpha is None:
            continue
        cells = [_mean(curves[f"law {law}"]["means"][k], short=True)
                 for law in ("image", "bound", "pixel")] if laws else []  # fmt: skip
        cells += [_mean(curves[f"{kind} {column}"]["means"][k]) for column in COLUMNS]
        lines.append(f"| {100 * alpha:.2g} % | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def _shortcut(entry: Entry) -> str:
    own, weights, networks = (entry[name] for name in ("shortcut", "weights", "embeddings"))
    if not own["n_cells"]:
        return "With the shortcut: not run.\n"
    found = networks["shortcut"]
    lines = [
        f"With the shortcut (tube and label agree in {100 * entry['rho']:g} % of images), residual "
        "together with the bit of the image:\n",
        "| prevalence | KL(T \\|\\| N): law | measured | segmenter's features |",
        "|---|---|---|---|",
    ]
    lines += [
        f"| {100 * p:g} % | {_mean(law, short=True)} | {_mean(pixel)} | {_mean(net)} |"
        for p, law, pixel, net in zip(
            entry["prevalences"], own["pixel law"], own["pixel"], networks["pixel"], strict=True
        )
    ]
    lines.append(
        f"\nWithout the shortcut it is {_mean(own['pixel without'])}. At image level the shortcut "
        f"is {_percent(own['share'])} of the divergence by the law. KL(B1 \\|\\| B0): "
        f"{_mean(weights['background'])} (law {_mean(weights['background_law'], short=True)}); of "
        f"the residual alone, which sees a tube at its own pixels only, {_mean(weights['local'])} "
        f"(law {_mean(weights['local_law'], short=True)}). In the segmenter's features, image "
        f"level {_mean(found['image'])} against {_mean(networks['image without'])} without the "
        f"shortcut, KL(B1 \\|\\| B0) {_mean(found['background'])}.\n"
    )
    return "\n".join(lines)


def _cells(entry: Entry) -> str:
    states = [row["state"] for row in entry["cells"].values()]
    counts = ", ".join(f"{states.count(s)} {s}" for s in ("done", "failed", "not run"))
    failed = [f"{key}: {row['reason']}" for key, row in entry["cells"].items() if "reason" in row]
    cost = f" {cost_line(entry['embeddings']['cpu_s'])}" if entry["embeddings"]["cpu_s"] else ""
    agree = f" Estimators agree with a law if they come within {100 * NEAR_LAW:g} %."
    return f"Cells: {counts}. Failed: {'; '.join(failed) or 'none'}.{cost}{agree}\n"


def _mean(row: Entry, *, short: bool = False) -> str:
    if row["value"] is None:
        return "undefined" if row.get("reason") else "not run"
    if short or row["lo"] is None:
        return f"{row['value']:.3g}"
    return f"{row['value']:.3g} ({row['lo']:.3g} to {row['hi']:.3g})"


def _percent(row: Entry) -> str:
    return "not run" if row["value"] is None else f"{100 * row['value']:.1f} %"
