"""STUDIES: every claim as a study on phantoms; `own.py` gives the same protocols for a user's data.

Regimes were looked for on phantoms of the seed SEARCH_SEED; what is written here is checked on
fresh ones. `further.py` has what was tried on the way.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Any

from segclf.study.science.cells import Arm
from segclf.study.science.claims import CLAIMS
from segclf.study.science.minutes import minutes_to_cases
from segclf.study.science.plan import Level, Regime, Select, Study
from segclf.study.science.pool import Draw
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
)
"""A training on a phantom ends within a minute on one core."""
ON_PHANTOM = (*SMALL_NETWORK, "image.decode_limit_s=null")
"""The files are our own."""
INDEPENDENT = {"rho": {"train": 0.5, "val": 0.5, "test": 0.5}}
PHANTOM: Mapping[str, Any] = {
    "size_px": [64, 64],
    "n_cases": {"train": 2400, "val": 600, "test": 400},
    **INDEPENDENT,
}
SMALL = {**PHANTOM, "area_fraction": 0.005, "area_spread": 0.3}
LARGE = {**PHANTOM, "area_fraction": 0.2, "area_spread": 0.1, "contrast": 0.5}
CLAIMED, FADED = "claimed", "faded"
TWO = (
    (CLAIMED, "small targets, 0.5 % of the image", SMALL),
    (FADED, "large targets, 20 % of the image, with more contrast", LARGE),
)
N_TRAIN = 320
RHOS = (0.5, 0.8, 0.95)
MINUTES_PER_LABEL, MINUTES_PER_MASK = 0.1, 1.0
RULES = (
    "mean", "max", "topk", "mean_logit", "max_logit", "topk_logit", "noisy_or", "lse",
    "largest_component", "logistic", "boosting", "fc", "pool_fc",
)  # fmt: skip


def sized(n_train: int) -> Select:
    """The first `n_train` training cases."""
    return chosen(first_cases, n_train)


def chosen(select: Callable[..., Any], *args: Any, **kwargs: Any) -> Select:  # noqa: ANN401
    """A function of `select.py` as a level uses it."""

    def choose(pool: Pool, number: int, fold: int | None) -> Any:  # noqa: ANN401
        draw = Draw(pool.recipe.seed, number, fold)
        return select(pool.table, pool.split, *args, draw=draw, **kwargs)

    return choose


def _images(n: int) -> Level:
    return Level(f"{n} images", n, sized(n))


def _two(
    levels: tuple[Level, ...],
    changes: Mapping[str, Any] = MappingProxyType({}),
    *,
    searched: str | None = None,
    arms: tuple[Arm, ...] = BOTH,
) -> tuple[Regime, ...]:
    """The regime in which the claim is said to hold, and that in which it is said to fade."""
    return tuple(
        Regime(name, about, levels, arms, {**phantom, **changes}, searched)
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
    axis="training images",
    regimes=(
        Regime(*TWO[0][:2], tuple(_images(n) for n in (20, 60, 200, 600)), BOTH, TWO[0][2]),
        Regime(*TWO[1][:2], tuple(_images(n) for n in (8, 12, 20, 40)), BOTH, TWO[1][2]),
    ),
    overrides=ON_PHANTOM,
    about="Nested subsets of whole patients; validation cases shrink with them.",
    claims=(replace(CLAIMS["label-efficiency"], level="600 images", fade_level="20 images"),),
    is_log=True,
    is_size=True,
)
PREVALENCE = Study(
    name="prevalence",
    title="Prevalence in training",
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
    overrides=ON_PHANTOM,
    metrics=(("auroc", None), ("average_precision", None)),
    about="The number of training images is the same; the test cases are the same, half of them "
    "positive.",
    is_log=True,
)
TARGET_SIZE = Study(
    name="target-size",
    title="Size of the target",
    axis="share of the image that the target covers",
    regimes=(
        Regime(
            CLAIMED,
            "200 training images, everything but the size the same",
            tuple(
                Level(f"{area:.1%}", area, sized(200), {"area_fraction": area})
                for area in (0.003, 0.008, 0.02, 0.05, 0.15)
            ),
            BOTH,
            {**PHANTOM, "area_spread": 0.2},
            searched="2.0%",
        ),
    ),
    overrides=ON_PHANTOM,
    about="Every size is a phantom of its own, with test cases of that size.",
    is_log=True,
)


def rare_site(site: str, sites: Mapping[str, float], about: str, confirm_seed: int) -> Study:
    """Training sets with fewer and fewer cases of one site, judged on that site.

    Args:
        site: The rare one.
        sites: Frequency of each in the pool.
        about: What its images are like.
        confirm_seed: Of the phantoms that the claim is checked on.
    """
    levels = tuple(
        Level(f"{share:.0%}", share, chosen(with_group_share, "site", site, share, N_TRAIN))
        for share in (0.4, 0.1, 0.02)
    )
    name = f"site {site}"
    own = ("recall", name), ("specificity", name), ("recall_at_specificity", name), ("auroc", name)
    regimes = _two(levels, {"site": dict(sites)}, searched="10%")
    return Study(
        name="rare-subgroup",
        title="A subgroup that is rare in training",
        axis="share of the subgroup in training",
        regimes=tuple(replace(regime, confirm_seed=confirm_seed) for regime in regimes),
        overrides=ON_PHANTOM,
        metrics=(*own, ("recall", f"not {name}"), ("specificity", None)),
        about=f"{N_TRAIN} training images, of which a share is of one site with {about}. Recall is "
        "that at the threshold which gives a specificity of 0.9 on validation cases.",
        claims=(replace(CLAIMS["rare-subgroup"], level="2%", fade_level="2%", group=name),),
        group=("site", site),
        is_log=True,
    )


RARE_SUBGROUP = rare_site("B", {"A": 0.4, "B": 0.4, "C": 0.2}, "brighter images", 3000)
SHORTCUT = Study(
    name="shortcut",
    title="A shortcut that turns around",
    axis="P(tube present = label) in training; reversed in test",
    regimes=_two(
        tuple(
            Level(f"rho {rho:g}", rho, chosen(with_shortcut, "tube", 1, rho, N_TRAIN, rhos=RHOS))
            for rho in RHOS
        ),
        {"n_cases": {"train": 2400, "val": 600, "test": 800}},
        searched="rho 0.8",
    ),
    overrides=ON_PHANTOM,
    metrics=(("robust_auroc", None), ("auroc", None)),
    about=f"{N_TRAIN} training images; trap sets by dropping cases, nothing else differs.",
    claims=(replace(CLAIMS["shortcut"], level="rho 0.95", fade_level="rho 0.5"),),
    spurious=("tube", None),
)
COARSE = (
    Arm("image label", "classify"),
    Arm("box", "segment", masks="box", strict=True),
    Arm("dilated 6 px", "segment", masks="dilated:6", strict=True),
    Arm("dilated 2 px", "segment", masks="dilated:2", strict=True),
    Arm("mask", "segment"),
    Arm("box, careful", "segment", masks="box"),
)
TRAP = {"rho": {"train": 0.9, "val": 0.9, "test": 0.5}}
COARSENESS = Study(
    name="coarseness",
    title="How coarse may the masks be?",
    axis="annotation",
    regimes=_two((Level("rho 0.9", 0.9, sized(N_TRAIN)),), TRAP, arms=COARSE),
    overrides=ON_PHANTOM,
    metrics=(("robust_auroc", None), ("auroc", None)),
    about=f"{N_TRAIN} training images, in 90 % of which the tube agrees with the label. Coarse "
    "masks are learned as if they were full ones, as Saab et al. did; 'careful' ignores what a box "
    "leaves open. All segmenters have the learning rate and length found with boxes.",
    claims=(
        replace(CLAIMS["coarseness"], comparison=("image label", "box", "mask"), level="rho 0.9",
                fade_level="rho 0.9"),
    ),
    reference="image label",
    order=("image label", "box", "mask"),
    spurious=("tube", None),
)  # fmt: skip
SUMMARIZERS = Study(
    name="summarizers",
    title="How masks become scores",
    axis="summarizer",
    regimes=(
        Regime(
            CLAIMED,
            "200 training images, small targets",
            (_images(200),),
            (Arm(RULES[0], "segment", rules=RULES), CLASSIFIER),
            SMALL,
            searched="200 images",
        ),
    ),
    overrides=(*ON_PHANTOM, "summarize.steps=100"),
    about="One segmenter a seed, whose maps are summarized in every way.",
)
WRONG = ("eroded:1", "eroded:2", "shifted:2", "shifted:4", "missing:0.25", "missing:0.5")
MASK_NOISE = Study(
    name="mask-noise",
    title="Masks that are wrong or missing",
    axis="masks in training",
    regimes=(
        Regime(
            CLAIMED,
            "200 training images, targets of 2 % of the image",
            (_images(200),),
            (
                Arm("as drawn", "segment"),
                *(Arm(how.replace(":", " "), "segment", masks=how) for how in WRONG),
                CLASSIFIER,
            ),
            {**PHANTOM, "area_fraction": 0.02},
            searched="200 images",
        ),
    ),
    overrides=ON_PHANTOM,
    about="Eroded and shifted by pixels; of the missing share nothing is known. Test masks are as "
    "drawn.",
    reference="as drawn",
)
BUDGET = Study(
    name="budget",
    title="Equal minutes of annotation",
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
    overrides=ON_PHANTOM,
    about="The classifier has a label of every image, the segmenter fewer images with the masks of "
    "their positives as well. Validation cases shrink with training and are paid for alike.",
    is_log=True,
    is_size=True,
)
STUDIES = {
    study.name: study
    for study in (
        LABEL_EFFICIENCY, PREVALENCE, TARGET_SIZE, RARE_SUBGROUP, SHORTCUT, COARSENESS, SUMMARIZERS,
        MASK_NOISE, BUDGET,
    )
}  # fmt: skip
