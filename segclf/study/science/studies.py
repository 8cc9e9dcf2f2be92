"""STUDIES: every claim as a study on phantoms; `own.py` gives the same protocols for a user's data.

Regimes were looked for on phantoms of the seed SEARCH_SEED; what is written here is checked on
fresh ones.
"""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

from segclf.study.science.cells import Arm
from segclf.study.science.minutes import minutes_to_cases
from segclf.study.science.plan import Level, Regime, Select, Study
from segclf.study.science.select import first_cases, with_group_share, with_prevalence
from segclf.study.science.source import Pool
from segclf.study.science.trap import with_shortcut

SEGMENTATION, CLASSIFIER = Arm("segmentation", "segment"), Arm("classifier", "classify")
BOTH = (SEGMENTATION, CLASSIFIER)
SMALL_NETWORK = (
    "network.options={encoder_depth: 4, decoder_channels: [64, 32, 16, 8]}",
    "train.steps=200",
    "train.validate_every=50",
    "train.warmup_steps=20",
    "image.decode_limit_s=null",
)
"""Every training ends within a minute on one core; the files are our own."""
INDEPENDENT = {"rho": {"train": 0.5, "val": 0.5, "test": 0.5}}
PHANTOM: Mapping[str, Any] = {
    "size_px": [64, 64],
    "n_cases": {"train": 2400, "val": 600, "test": 400},
    **INDEPENDENT,
}
SMALL = {**PHANTOM, "area_fraction": 0.008}
LARGE = {**PHANTOM, "area_fraction": 0.15, "area_spread": 0.2}
CLAIMED, FADED = "claimed", "faded"
TWO = (
    (CLAIMED, "small targets, 0.8 % of the image", SMALL),
    (FADED, "large targets, 15 % of the image", LARGE),
)
N_TRAIN = 320
MINUTES_PER_LABEL, MINUTES_PER_MASK = 0.1, 1.0
RULES = (
    "mean", "max", "topk", "mean_logit", "max_logit", "topk_logit", "noisy_or", "lse",
    "largest_component", "logistic", "boosting", "fc", "pool_fc",
)  # fmt: skip


def sized(n_train: int) -> Select:
    """The first `n_train` training cases."""
    return lambda pool, number, fold: first_cases(
        pool.table, pool.split, n_train, seed=pool.recipe.seed, number=number, fold=fold
    )


def chosen(select: Callable[..., Any], *args: Any, **kwargs: Any) -> Select:  # noqa: ANN401
    """A function of `select.py` as a level uses it."""

    def choose(pool: Pool, number: int, fold: int | None) -> Any:  # noqa: ANN401
        place = {"seed": pool.recipe.seed, "number": number, "fold": fold}
        return select(pool.table, pool.split, *args, **kwargs, **place)

    return choose


def _images(n: int) -> Level:
    return Level(f"{n} images", n, sized(n))


def _two(
    levels: tuple[Level, ...], changes: Mapping[str, Any] = MappingProxyType({}), **kwargs: str
) -> tuple[Regime, ...]:
    """The regime in which the claim is said to hold, and that in which it is said to fade."""
    return tuple(
        Regime(name, about, levels, BOTH, {**phantom, **changes}, **kwargs)
        for name, about, phantom in TWO
    )


def _budget(minutes: float) -> tuple[Level, ...]:
    """Each arm with the images that it can afford."""
    affordable = minutes_to_cases(minutes, MINUTES_PER_LABEL, MINUTES_PER_MASK, 0.5)
    name = f"{minutes:g} minutes"
    return (
        Level(name, minutes, sized(affordable.segmenter), arms=(SEGMENTATION.name,)),
        Level(name, minutes, sized(affordable.classifier), arms=(CLASSIFIER.name,)),
    )


LABEL_EFFICIENCY = Study(
    name="label-efficiency",
    title="Label efficiency",
    claim="up to ten times fewer labelled images",
    axis="training images",
    regimes=_two(tuple(_images(n) for n in (20, 60, 200, 600))),
    overrides=SMALL_NETWORK,
    metric="auroc",
    is_log=True,
)
PREVALENCE = Study(
    name="prevalence",
    title="Prevalence in training",
    claim="better at low prevalence",
    axis="share of positives in training",
    regimes=(
        Regime(
            CLAIMED,
            f"{N_TRAIN} training images, small targets",
            tuple(
                Level(f"{share:.0%}", share, chosen(with_prevalence, share, N_TRAIN))
                for share in (0.5, 0.2, 0.1, 0.05)
            ),
            BOTH,
            SMALL,
            searched="20%",
        ),
    ),
    overrides=SMALL_NETWORK,
    metric="auroc",
    is_log=True,
)
TARGET_SIZE = Study(
    name="target-size",
    title="Size of the target",
    claim="most at small targets",
    axis="share of the image that the target covers",
    regimes=(
        Regime(
            CLAIMED,
            "200 training images",
            tuple(
                Level(f"{area:.1%}", area, sized(200), {"area_fraction": area})
                for area in (0.003, 0.008, 0.02, 0.05, 0.15)
            ),
            BOTH,
            {**PHANTOM, "area_spread": 0.2},
        ),
    ),
    overrides=SMALL_NETWORK,
    metric="auroc",
    is_log=True,
)
RARE_SUBGROUP = Study(
    name="rare-subgroup",
    title="A subgroup that is rare in training",
    claim="up to 161.1 % more recall in certain rare subgroups",
    axis="share of the subgroup in training",
    regimes=_two(
        tuple(
            Level(f"{share:.0%}", share, chosen(with_group_share, "site", "C", share, N_TRAIN))
            for share in (0.4, 0.1, 0.02)
        ),
        {"site": {"A": 0.4, "B": 0.2, "C": 0.4}},
        searched="10%",
    ),
    overrides=SMALL_NETWORK,
    metric="recall",
    group="site",
    is_log=True,
)
RHOS = (0.5, 0.8, 0.95)
SHORTCUT = Study(
    name="shortcut",
    title="A shortcut that turns around",
    claim="up to 44.8 % better robust AUROC",
    axis="P(tube present = label) in training; reversed in test",
    regimes=_two(
        tuple(
            Level(f"rho {rho:g}", rho, chosen(with_shortcut, "tube", 1, rho, N_TRAIN, rhos=RHOS))
            for rho in RHOS
        ),
        {"n_cases": {"train": 2400, "val": 600, "test": 800}},
        searched="rho 0.8",
    ),
    overrides=SMALL_NETWORK,
    metric="robust_auroc",
    spurious="tube",
)
COARSENESS = Study(
    name="coarseness",
    title="How coarse may the masks be?",
    claim="robust AUROC 0.46 with labels, 0.72 with boxes, 0.82 with masks (Saab et al. 2022)",
    axis="annotation",
    regimes=(
        Regime(
            CLAIMED,
            "coarse masks are learned as if they were full ones, as Saab et al. do; 'careful' ones "
            "ignore what is not known",
            (Level("rho 0.9", 0.9, sized(N_TRAIN)),),
            (
                Arm("image label", "classify"),
                Arm("box", "segment", masks="box", strict=True),
                Arm("dilated 6 px", "segment", masks="dilated:6", strict=True),
                Arm("dilated 2 px", "segment", masks="dilated:2", strict=True),
                Arm("mask", "segment"),
                Arm("box, careful", "segment", masks="box"),
            ),
            {**SMALL, "rho": {"train": 0.9, "val": 0.9, "test": 0.5}},
            searched="rho 0.9",
        ),
    ),
    overrides=SMALL_NETWORK,
    metric="robust_auroc",
    spurious="tube",
)
SUMMARIZERS = Study(
    name="summarizers",
    title="How masks become scores",
    claim="the simplest rules suffice",
    axis="summarizer",
    regimes=(
        Regime(
            CLAIMED,
            "one segmenter of 200 images a seed, summarized in every way",
            (_images(200),),
            (Arm("segmentation", "segment", rules=RULES), CLASSIFIER),
            SMALL,
            searched="200 images",
        ),
    ),
    overrides=(*SMALL_NETWORK, "summarize.steps=100"),
    metric="auroc",
)
MASK_NOISE = Study(
    name="mask-noise",
    title="Masks that are wrong or missing",
    claim="none: how much error of masks does the method bear?",
    axis="masks in training",
    regimes=(
        Regime(
            CLAIMED,
            "200 training images, targets of 2 % of the image",
            (_images(200),),
            (
                Arm("as drawn", "segment"),
                *(
                    Arm(how.replace(":", " "), "segment", masks=how)
                    for how in (
                        "eroded:1", "eroded:2", "shifted:2", "shifted:4", "missing:0.25",
                        "missing:0.5",
                    )
                ),
                CLASSIFIER,
            ),
            {**PHANTOM, "area_fraction": 0.02},
            searched="200 images",
        ),
    ),
    overrides=SMALL_NETWORK,
    metric="auroc",
)  # fmt: skip
BUDGET = Study(
    name="budget",
    title="Equal minutes of annotation",
    claim="masks cost more than labels: do they still pay?",
    axis="minutes of annotation",
    regimes=(
        Regime(
            CLAIMED,
            f"{MINUTES_PER_LABEL:g} minutes a label, {MINUTES_PER_MASK:g} a mask of a positive",
            tuple(level for minutes in (15, 50, 150) for level in _budget(minutes)),
            BOTH,
            SMALL,
        ),
    ),
    overrides=SMALL_NETWORK,
    metric="auroc",
    is_log=True,
)
STUDIES = {
    study.name: study
    for study in (
        LABEL_EFFICIENCY, PREVALENCE, TARGET_SIZE, RARE_SUBGROUP, SHORTCUT, COARSENESS, SUMMARIZERS,
        MASK_NOISE, BUDGET,
    )
}  # fmt: skip
