"""What training looked like: losses and validation numbers over the steps."""

from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from segclf.report.svg import DASHES, INKS, new_figure, series_ink, styled
from segclf.report.text import plain

PANELS = (
    ("loss", "Loss", "training (thin) and validation"),
    ("auroc", "AUROC of the image score", "validation"),
    ("dice_positives", "Dice on positives", "validation, mean of cases with a target"),
    ("false_positive_rate", "Image false-positive rate", "validation, cases without a target"),
)


def training_figure(training: Mapping[str, Sequence[Mapping[str, Any]]]) -> Figure:
    """Loss and validation numbers over the steps, one line per network.

    Dice on positives and the image false-positive rate on negatives stand side by side: a network
    that marks everything, or nothing, looks well in one of them alone.

    Args:
        training: Name of a network to the records of its `metrics.jsonl`.
    """
    figure = new_figure(8.6, 5.6 + 0.17 * len(training))
    with styled():
        for panel, axes in zip(PANELS, figure.subplots(2, 2).flat, strict=True):
            key, title, note = panel
            axes.set_title(f"{title}\n", color=INKS["ink"])
            axes.text(0, 1.03, note, transform=axes.transAxes, fontsize=8, color=INKS["soft"])
            for series, (name, records) in enumerate(training.items()):
                _draw_training(axes, series, name, records, key)
            if key != "loss":
                axes.set_ylim(-0.03, 1.03)
            axes.set_xlabel("step")
            axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))
            axes.grid()
        lines, names = figure.axes[0].get_legend_handles_labels()
        figure.legend(lines, names, loc="outside lower left", fontsize=8.5)
    return figure


def _draw_training(
    axes: Axes, series: int, name: str, records: Sequence[Mapping[str, Any]], key: str
) -> None:
    ink, dashes = series_ink(series), DASHES[series % len(DASHES)]
    if key == "loss":
        train = [r for r in records if r["kind"] == "train" and r.get("loss") is not None]
        axes.plot([r["step"] for r in train], [r["loss"] for r in train], color=ink, linewidth=0.7)
    known = [r for r in records if r["kind"] == "validate" and r.get(key) is not None]
    steps, values = [r["step"] for r in known], [r[key] for r in known]
    axes.plot(steps, values, dashes, color=ink, marker="o", markersize=3.5, label=plain(name, 40))
    kept = [r for r in known if r.get("is_best")][-1:]
    axes.plot(
        [r["step"] for r in kept], [r[key] for r in kept], "o", color=ink, markersize=9,
        markerfacecolor="none",
    )  # fmt: skip
