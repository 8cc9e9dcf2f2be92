"""What came of the study, as Markdown."""

from collections.abc import Mapping, Sequence
from typing import Any

from segclf.study.goals import cost_line
from segclf.study.theory.predictions import (
    CONVEX,
    DIRECT,
    ESTIMATOR,
    FORMULA,
    NEAR_LAW,
    SQUARE,
    counted,
    counts_of,
    predictions_of,
)
from segclf.study.theory.settings import CLEAR, HARD, MARGIN, MARGIN_SHARE

Entry = Mapping[str, Any]
NAMES = {
    HARD: "Pixels, lesion hard to see",
    CLEAR: "Pixels, lesion that stands out",
}
COLUMNS = ("image_part", "image_classifier", "pixel_classifier", "pixel_knn")
WORDS = {
    DIRECT: (
        "Estimated from draws of the two laws that are contrasted, without the formula, so that it "
        "could have come out otherwise; area fraction and prevalence enter by how draws are mixed. "
        "Rows that differ in the estimator alone are of the same draws. Whole images are beyond "
        "what (2) speaks of."
    ),
    FORMULA: (
        "Formula (2) was evaluated with T/B0 measured and the area fraction put in: an exponent "
        "near 2 is built in as long as T/B0 does not change with the area and one pixel says "
        "little."
    ),
    CONVEX: (
        "These hold whatever the laws are, by (1) and (1a); what could fail is the estimator alone."
    ),
    ESTIMATOR: (
        "What was measured over what the known law says, so that misses of the estimators show. "
        "The law as drawn has in it by how much backgrounds of positive and negative images differ "
        "by chance; that of the target's part has not. In rows of the image level both are divided "
        "by the law's mean over seeds; intervals are over seeds, of the estimate and of the law."
    ),
}
"""What a prediction of each kind can tell."""
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
        "any other); docs/science.md derives what is predicted. "
        f"Phantoms of {entry['n_images']} images, another one for each of {entry['n_seeds']} "
        "seeds; means over seeds, intervals are Student's 95 % over seeds. Area fractions are of "
        "the pixels that are used (those of the body for the known laws), so they are larger than "
        "of the image. A prediction holds if its whole interval lies in the range, fails if none "
        f"of it does, and else is not decided; the range that was tested stands in its row. Ranges "
        f"were fixed beforehand (-/+ {MARGIN:g} for exponents, -/+ {100 * MARGIN_SHARE:g} % for "
        f"what the law says, {100 * NEAR_LAW:g} % for what an estimator may be off); the kinds of "
        "predictions and the rows of image-level estimates over the law came after the results."
    )


def _predictions(entry: Entry) -> str:
    """Kinds apart; only those that could have failed are counted as tests of the theory."""
    rows = predictions_of(entry)
    counts = counts_of(rows)
    square = [row for row in rows if row["kind"] == DIRECT and row["what"].startswith(SQUARE)]
    others = sum(sum(own.values()) for kind, own in counts.items() if kind != DIRECT)
    parts = [
        f"Tests of the theory: of {_counted(counts[DIRECT])}. They are those that could have "
        f"failed whatever the formula says. Among them are those of the square law, an exponent "
        f"of 2 at image level: {_counted(counted(square))}. The other {others} rows are no tests "
        "of the theory, and are counted apart.\n"
    ]
    for kind, own in counts.items():
        lines = [
            f"{kind[0].upper()}{kind[1:]}: {_counted(own)}. {WORDS[kind]}\n",
            "| where | what | predicted | range tested | the known law | measured (95 %) | seeds | "
            "verdict |",
            "|---|---|---|---|---|---|---|---|",
            *(_line(row) for row in rows if row["kind"] == kind),
        ]
        parts.append("\n".join(lines) + "\n")
    return "\n".join(parts)


def _line(row: Entry) -> str:
    found, law = row["found"], row["law"]
    known = "" if law is None else _mean(law)
    off = "" if row["off"] is None else f"; the estimator is off the law by {row['off']:+.3g}"
    return (
        f"| {row['where']} | {_cell(row['what'])} | {row['predicted']} | {_range(row['limits'])} | "
        f"{known} | {_mean(found)}{_areas_note(found)} | {found['n']} | {row['verdict']}{off} |"
    )


def _counted(counts: Mapping[str, int]) -> str:
    said = ", ".join(f"{verdict}: {n}" for verdict, n in counts.items())
    n = sum(counts.values())
    return f"{n} prediction{'' if n == 1 else 's'}, {said}"


def _range(limits: Sequence[float | None]) -> str:
    low, high = ("" if end is None else f"{end:.4g}" for end in limits)
    if low and high:
        return f"{low} to {high}"
    return f"at least {low}" if low else f"at most {high}"


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
    heads = ["image level: law", "target's part: law", "bound", "pixel level: law"] if laws else []
    lines = [
        f"{name}:\n",
        f"| area fraction | {' | '.join([*heads, *HEADS])} |",
        "|---" * (1 + len(heads) + len(HEADS)) + "|",
    ]
    for k, alpha in enumerate(curves["alpha"]):
        if alpha is None:
            continue
        cells = (
            [_law(curves, law, k) for law in ("image", "part", "bound", "pixel")] if laws else []
        )
        cells += [_mean(curves[f"{kind} {column}"]["means"][k]) for column in COLUMNS]
        lines.append(f"| {100 * alpha:.2g} % | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def _law(curves: Entry, name: str, k: int) -> str:
    """With its interval where chance differences of the background are in it."""
    mean = curves.get(f"law {name}", {"means": {k: {"value": None}}})["means"][k]
    if mean["value"] is None:
        return "not computed"
    return _mean(mean, short=name != "image")


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
    return f"Cells: {counts}. Failed: {'; '.join(failed) or 'none'}.{cost}\n"


def _mean(row: Entry, *, short: bool = False) -> str:
    if row["value"] is None:
        return "undefined" if row.get("reason") else "not run"
    if short or row["lo"] is None:
        return f"{row['value']:.3g}"
    return f"{row['value']:.3g} ({row['lo']:.3g} to {row['hi']:.3g})"


def _percent(row: Entry) -> str:
    return "not run" if row["value"] is None else f"{100 * row['value']:.1f} %"
