"""The advice in words: sections of sentences and tables, for the console and for pages."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from segclf.core.text import counted, plural
from segclf.study.advise.association import ALPHA
from segclf.study.advise.verdict import LIKELY, OPEN, UNKNOWN, UNLIKELY, is_shortcut, p_text

Row = dict[str, Any]
ANSWERS = {
    LIKELY: "segmentation is likely to pay",
    OPEN: "it is open whether segmentation pays; measure it",
    UNLIKELY: "segmentation is unlikely to pay",
    UNKNOWN: "it cannot be said whether segmentation pays",
}
EXPERIMENT = {
    LIKELY: "Train both and compare: segclf compare",
    OPEN: "Train both with the masks that are drawn and compare: segclf compare",
    UNLIKELY: "Train a classifier first: segclf train-clf",
}
LACKS = {
    "labels": "Fill in the labels (label, or label_<finding>), then ask again: segclf check",
    "positives": "Add cases with the finding, then ask again",
    "masks": "Draw a few masks (ten show the area), then ask again",
}
"""What to do where nothing can be said."""


@dataclass(frozen=True)
class Section:
    """A title, sentences, and a table."""

    title: str
    text: tuple[str, ...] = ()
    head: tuple[str, ...] = ()
    rows: tuple[tuple[str, ...], ...] = ()


def sections_of(advice: Row) -> list[Section]:
    """The advice in the order of reading: the answer, what it rests on, what is not known."""
    sections = [_answer(name, row) for name, row in advice["verdict"].items()]
    sections += [_cases(advice), _findings(advice), _theory(advice)]
    if advice["run"]:
        sections.append(_run(advice))
    sections += [_associations(advice), _derived(advice), _groups(advice)]
    return [*sections, _unknown(advice)]


def _answer(name: str, row: Row) -> Section:
    text = [f"{name}: {ANSWERS[row['answer']]}."]
    text += [f"for it: {reason}" for reason in row["because"]]
    text += [f"against it: {reason}" for reason in row["against"]]
    text.append(LACKS[row["lacks"]] if row["lacks"] else EXPERIMENT[row["answer"]])
    return Section(f"Is segmentation likely to pay for {name}?", tuple(text))


def _cases(advice: Row) -> Section:
    looked, units = advice["looked_at"], counted(advice["n_patients"], advice["unit_name"])
    text = [f"{counted(advice['n_cases'], 'case')} of {units} were looked at: {looked['of']}."]
    if looked["n_test"]:
        text.append(f"{counted(looked['n_test'], 'test case')} were not: planning never sees them.")
    if looked["note"]:
        text.append(looked["note"])
    if not advice["has_patients"]:
        text.append("There is no patient column: each case counts as its own patient.")
    if advice["skipped_rows"]:
        text.append(f"{counted(advice['skipped_rows'], 'row')} cannot be used: segclf check")
    if advice["broken_masks"]:
        first = advice["broken_masks"][0]
        n = counted(len(advice["broken_masks"]), "mask")
        text.append(f"{n} set aside; the first: {first['case_id']} ({first['message']})")
    return Section("Cases", tuple(text))


def _findings(advice: Row) -> Section:
    head = (
        "finding", "positive", "negative", "label unknown", "prevalence (95 %)", "masks drawn",
        "empty by label (free)", "not drawn", "positives to draw", "area in % of the image: "
        "median (5 % to 95 %)",
    )  # fmt: skip
    rows, text = [], []
    for name, row in advice["findings"].items():
        share, area, masks = row["prevalence"], row["area_percent"], row["masks"]
        rows.append((
            name, str(row["n_positive"]), str(row["n_negative"]), str(row["n_unknown_labels"]),
            f"{percent(share['value'])} ({percent(share['lo'])} to {percent(share['hi'])})"
            if share["value"] is not None
            else share["reason"],
            str(masks["drawn"]), str(masks["empty"]), str(masks["unknown"]),
            str(row["positives_without_mask"]),
            f"{area['median']:.3g} ({area['q05']:.3g} to {area['q95']:.3g}), n {area['n']}"
            if area["n"]
            else area["reason"],
        ))  # fmt: skip
        if masks["pseudo"]:
            n = counted(masks["pseudo"], "mask")
            text.append(f"{name}: {n} made by a network; they are no truth and are not counted.")
        for kind, n in row["coarse"].items():
            text.append(f"{name}: {counted(n, 'mask')} of kind {kind}; their area is not measured.")
        if row["contradictions"]:
            n = counted(row["contradictions"], "drawn mask")
            text.append(f"{name}: {n} contradict the label: segclf check lists them.")
    return Section("Labels and masks", tuple(text), head, tuple(rows))


def _theory(advice: Row) -> Section:
    text = []
    for name, row in advice["theory"].items():
        if row["at_most"] is None:
            text.append(f"{name}: nothing can be said: {row['reason']}.")
            continue
        text.append(
            f"{name}: the target covers {percent(row['at_most'])} of the image, so that an image "
            f"label separates the pixels of the two classes at most {row['at_most']:.3g} times as "
            f"well as a mask does ({row['at_most_q05']:.2g} to {row['at_most_q95']:.2g} for small "
            "to large targets); for small targets that single pixels hardly show, this falls with "
            "the square of the area."
        )
        if row["background_of_positives"] is not None:
            text.append(
                f"{name}: {percent(row['background_of_positives'])} of the background pixels lie "
                "in positive images; only there do masks teach that a shortcut is background."
            )
    text.append(
        "The quantity is the Kullback-Leibler divergence per pixel between the two classes, where "
        "background looks alike in both: our derivation (docs/science.md), in which pixels are "
        "exchangeable draws. Networks see context: it is a guide to what is easy to learn, not a "
        "promise."
    )
    return Section("What the theory expects", tuple(text))


def _run(advice: Row) -> Section:
    head = ("finding", "Dice on positives", "AUROC (95 %)", "against", "difference (95 %)")
    rows = []
    for name, row in advice["run"].items():
        auroc, other = row["auroc"], row.get("difference")
        dice = "not measured" if row["dice"] is None else f"{row['dice']:.3f}"
        value = "not measured"
        if auroc:
            value = f"{auroc['value']:.3f} ({auroc['lo']:.3f} to {auroc['hi']:.3f})"
        pair = ("no classifier", "")
        if other:
            change = f"{other['value']:+.3f} ({other['lo']:+.3f} to {other['hi']:+.3f})"
            pair = (other["than"], change)
        rows.append((name, dice, value, *pair))
    text = (
        "On validation cases, which also chose the weights; the score is the mean probability.",
    )
    return Section("What the run has shown", text, head, tuple(rows))


def _associations(advice: Row) -> Section:
    head = ("column", "role", "finding", "effect", "p", "adjusted p", "share of positives", "test")
    tests = advice["associations"]
    rows = sorted(tests, key=lambda r: (r["p"] is None, r["p"] or 0.0))
    made = max((row["n_tests"] for row in tests), default=0)
    hits = [row for row in tests if is_shortcut(row)]
    text = [
        f"{counted(made, 'test')}, with the {advice['unit_name']} as the unit; p values are "
        "adjusted by Holm over all of them."
    ]
    for row in hits:
        kind = (
            "patients differ: report results per group"
            if row["role"] == "patient"
            else "a network may use it instead of the target: segclf eval-subgroups --shortcut"
        )
        text.append(f"{row['column']} goes along with {row['finding']}: {kind}.")
    if not hits and made:
        text.append(f"No column goes along with a label at {ALPHA:g}; small groups hide much.")
    return Section(
        "Columns that go along with the label", tuple(text), head, tuple(map(_test, rows))
    )


def _test(row: Row) -> tuple[str, ...]:
    effect = "" if row["effect"] is None else f"{row['effect_name']} {row['effect']:.2f}"
    lead = (row["column"], row["role"], row["finding"], effect)
    if row["p"] is None:
        return (*lead, "", "", "", f"not tested: {row['reason']}")
    shares = row["shares"] or {}
    listed = ", ".join(f"{name}: {percent(share)}" for name, share in list(shares.items())[:4])
    more = f", {len(shares) - 4} more" if len(shares) > 4 else ""
    return (*lead, p_text(row["p"]), p_text(row["p_adjusted"]), listed + more, row["test"])


def _derived(advice: Row) -> Section:
    rows = tuple((row["column"], row["because"]) for row in advice["derived"])
    text = (
        "They are made from the answer, so they are not tested: they are no shortcuts.",
        "If one of them is not, it would be a perfect shortcut: state its role in the recipe "
        "(roles: {scanner: acquisition}).",
    )
    if not rows:
        return Section("Columns derived from the truth", ("None was found.",))
    return Section("Columns derived from the truth", text, ("column", "because"), rows)


def _groups(advice: Row) -> Section:
    names = list(advice["findings"])
    units = plural(advice["unit_name"])
    head = ["column", "group", "cases", units]
    for name in names:
        head += [f"{name}: positive cases", f"{name}: {units} with a positive / a negative"]
    rows = []
    for row in advice["groups"]:
        cells = [row["column"], row["group"], str(row["n_cases"]), str(row["n_patients"])]
        for name in names:
            own = row["findings"][name]
            pair = f"{own['n_positive_patients']} / {own['n_negative_patients']}"
            cells += [str(own["n_positive"]), pair]
        rows.append(tuple(cells))
    return Section("Sizes of the groups", (), tuple(head), tuple(rows))


def _unknown(advice: Row) -> Section:
    first: Sequence[str] = next(iter(advice["verdict"].values()))["cannot_know"]
    return Section("What this cannot know", tuple(first))


def percent(share: float) -> str:
    """A share in %, with three digits at most."""
    return f"{100 * share:.3g} %"
