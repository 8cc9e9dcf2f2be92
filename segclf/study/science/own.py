"""The same protocols on a user's table."""

import re
from collections.abc import Sequence
from dataclasses import replace

from segclf.core.errors import CaseError, UsageError
from segclf.io import probe
from segclf.study.science.cells import Arm
from segclf.study.science.coarsen import RADII
from segclf.study.science.entry import group_name
from segclf.study.science.own_levels import LEVELS, Question
from segclf.study.science.plan import Regime, Study
from segclf.study.science.source import Pool, Source, open_pool
from segclf.study.science.studies import PHANTOM, STUDIES

OWN = "own data"
OF_COLUMN = ("rare-subgroup", "shortcut", "coarseness")
"""Studies that read --column and --value."""


def own_study(name: str, source: Source, asked: Question) -> Study:
    """The study of a name on the user's data.

    Args:
        name: In STUDIES.
        source: Of the data.
        asked: What the study needs to know.

    Raises:
        UsageError: The study needs a column or minutes that were not given.
        PoolError: The data cannot give what the study needs.
    """
    study, pool = STUDIES[name], open_pool(source)
    _refuse_unread(name, asked)
    if name in ("rare-subgroup", "shortcut") and asked.column is None:
        raise UsageError(
            f"{name} asks about a column that was not named.",
            where=f"segclf study {name} --manifest",
            expected="--column with a header of the manifest, and --value where it is not 0 and 1",
            fix="for example --column sex --value F",
        )
    if name in ("shortcut", "coarseness") and pool.table.roles.get(str(asked.column)) == "derived":
        raise UsageError(
            f"the column {asked.column!r} is derived from the truth, so it is no shortcut.",
            where=f"segclf study {name} --column {asked.column}",
            expected="a column of the patient or of the acquisition",
            fix="name another column, or correct its role in the recipe",
        )
    levels = LEVELS[name](pool, asked)
    arms = _of_size_px(study.regimes[0].arms, pool)
    regime = Regime(OWN, "", levels, arms, searched=levels[len(levels) // 2].name)
    feature = (asked.column, asked.value) if asked.column is not None else None
    study = replace(
        study,
        name=f"{name}-{_data_name(source, pool)}",
        about=_ABOUT[name],
        axis=f"P({asked.column} = label) in training" if name == "shortcut" else study.axis,
        regimes=(regime,),
        claims=(),
        source=source,
    )
    if name == "rare-subgroup":
        study = replace(study, group=feature)
        own = group_name(study)
        metrics = (
            ("recall", own),
            ("specificity", own),
            ("recall_at_specificity", own),
            ("recall", f"not {own}"),
            ("specificity", None),
            ("auroc", own),
        )
        return replace(study, metrics=metrics)
    if "robust_auroc" not in [metric for metric, _ in study.metrics] or feature is not None:
        return replace(study, spurious=feature if study.spurious else None)
    return replace(study, spurious=None, metrics=(("auroc", None),))


def _refuse_unread(name: str, asked: Question) -> None:
    """Refuse what the study would not read."""
    minutes = {"--minutes-per-label": asked.minutes_per_label}
    minutes |= {"--minutes-per-mask": asked.minutes_per_mask}
    unread: dict[str, object] = {} if name == "budget" else {**minutes}
    if name not in OF_COLUMN:
        unread |= {"--column": asked.column, "--value": asked.value}
    if name == "budget":
        unread["--sizes"] = asked.sizes
    found = [option for option, value in unread.items() if value]
    if found:
        raise UsageError(
            f"{name} does not read {' and '.join(found)}.",
            where=f"segclf study {name} {found[0]}",
            expected="options that the study reads (docs/study.md)",
            fix="leave them out",
        )


def _data_name(source: Source, pool: Pool) -> str:
    """Part of the folder's name: that of the recipe, or of the table, if no recipe names it."""
    if source.manifest is None:
        return pool.recipe.name
    stem = re.sub(r"[^A-Za-z0-9._-]+", "_", source.manifest.stem)
    return f"{stem}-{pool.table.sha256[:6]}"


def _of_size_px(arms: Sequence[Arm], pool: Pool) -> tuple[Arm, ...]:
    """Arms whose amounts in pixels, meant for phantoms, grow with the images of the table."""
    try:
        side = min(probe(pool.table.cases[0].images[0]).shape[1:3])
    except CaseError:
        return tuple(arms)  # said where it is read for training
    factor = max(1.0, side / PHANTOM["size_px"][0])
    found = []
    for arm in arms:
        kind, _, text = arm.masks.partition(":")
        if kind in RADII:
            px = f"{round(float(text) * factor)}"
            name = arm.name.replace(f" {text}", f" {px}")
            arm = replace(arm, name=name, masks=f"{kind}:{px}")
        found.append(arm)
    return tuple(found)


_ABOUT = {
    "label-efficiency": "Nested subsets of whole patients; validation cases shrink with them.",
    "prevalence": "The number of training images is the same, and so are the test cases.",
    "target-size": "Bins of equal numbers of positives by the area of their mask; the positives of "
    "a bin are tested against all negatives.",
    "rare-subgroup": "The number of training images is the same. Recall is that at the threshold "
    "which gives a specificity of 0.9 on validation cases.",
    "shortcut": "Trap sets by dropping cases: reversed in test.",
    "coarseness": "Coarse masks are learned as if they were full ones; 'careful' ignores what a "
    "box leaves open. All segmenters have the learning rate and length found with boxes.",
    "summarizers": "One segmenter a seed, whose maps are summarized in every way.",
    "mask-noise": "Masks of training and validation cases are changed; of the missing share "
    "nothing is known.",
    "budget": "The classifier has a label of every image, the segmenter fewer images with the "
    "masks of their positives as well.",
}


def numbers_of(text: str | None) -> tuple[int, ...]:
    """Numbers of training images from `50,100,200`; () without a text.

    Raises:
        UsageError: One is no whole number above 0.
    """
    words = [word.strip() for word in (text or "").split(",") if word.strip()]
    if all(word.isdigit() and int(word) > 0 for word in words):
        return tuple(int(word) for word in words)
    raise UsageError(
        f"{text!r} are no numbers of images.",
        where="--sizes",
        expected="whole numbers above 0, with commas between them",
        fix="for example --sizes 50,100,200",
    )
