"""METHODS of a comparison: a name, the family that it belongs to, and what it is trained from."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from segclf.classify import HEADS
from segclf.core.catalog import plugin_points, unknown_name
from segclf.core.errors import UsageError
from segclf.summarize import SUMMARIZERS, find_summarizer
from segclf.summarize.trained import TRAINED
from segclf.summarize.trained.table import GROUP

Family = Literal["rule", "trained", "head"]
SEGMENT = "segment"
"""Name of the segmenter among the networks of a comparison."""
AT_TIME = "@time"
"""Ends the name of a head that was trained again, as long as the segmenter."""
INIT, ON_VAL, OUT_OF_FOLD = "-init", "-val", "-oof"
WITH_MASKS = frozenset({"joint"})
"""Heads that are trained on masks as well."""
DEFAULT = ("tau", "mean", "logistic", "deep_simple", "softmax", "sigmoid", "joint")
"""What is compared if nobody says what; names that this installation lacks are left out."""
REFERENCES = ("softmax", "sigmoid")
"""The reference is the first of these that is compared, else the first head, else the first."""


@dataclass(frozen=True)
class Method:
    """One row of the comparison."""

    name: str
    """As in score tables; also the name of its folder."""
    family: Family
    base: str
    """The rule, summarizer or head without `-init`, `-val`, `-oof`."""

    @property
    def needs_segmenter(self) -> bool:
        """Whether it cannot be trained before the segmenter of its seed and fold."""
        return self.family != "head" or self.name.endswith(INIT)

    @property
    def uses_masks(self) -> bool:
        """Whether masks of training cases enter it, directly or through the segmenter."""
        return self.needs_segmenter or self.base in WITH_MASKS

    @property
    def fits_on_val(self) -> bool:
        """Whether labels of validation cases train it, beyond choosing weights and thresholds."""
        return self.family == "trained" and self.name.endswith(ON_VAL)

    @property
    def settings(self) -> dict[str, dict[str, Any]]:
        """Sections of the recipe with the settings that it changes.

        A head starts anew, whatever the run's recipe names; `cells.with_method` names the run
        from which `<head>-init` starts.
        """
        if self.family == "head":
            return {"classify": {"head": self.base, "init_from": None}}
        fit_on = {"fit_on": "val" if self.fits_on_val else "train"}
        out_of_fold = {"out_of_fold": self.name.endswith(OUT_OF_FOLD)}
        return {"summarize": fit_on | out_of_fold} if self.family == "trained" else {}


def trained_names() -> tuple[str, ...]:
    """Names of the summarizers that are trained, in the order of their catalog; then plug-ins."""
    return (*TRAINED, *(point.name for point in plugin_points(GROUP)))


def known_methods() -> dict[str, Method]:
    """Every method of this installation by its name, plug-ins included."""
    rules = [*SUMMARIZERS, *(point.name for point in plugin_points("segclf.summarizers"))]
    trained = trained_names()
    heads = [*HEADS, *(point.name for point in plugin_points("segclf.heads"))]
    found = [Method(name, "rule", name) for name in rules if name not in trained]
    for name in trained:
        found += [Method(name + end, "trained", name) for end in ("", ON_VAL, OUT_OF_FOLD)]
    found += [Method(name, "head", name) for name in heads]
    found += [Method(name + INIT, "head", name) for name in heads]
    return {method.name: method for method in found}


def choose_methods(names: Sequence[str] = ()) -> list[Method]:
    """The methods of these names, or of `DEFAULT`: rules, then trained ones, then heads.

    Args:
        names: Each may hold several, separated by commas.

    Raises:
        UsageError: A name is not known; the message lists near ones.
    """
    known = known_methods()
    asked = [part.strip() for text in names for part in text.split(",") if part.strip()]
    if not asked:
        asked = [name for name in DEFAULT if name in known]
    chosen = [known.get(name) or _by_alias(name, known) for name in asked]
    order: list[Family] = ["rule", "trained", "head"]
    return sorted(dict.fromkeys(chosen), key=lambda method: order.index(method.family))


def choose_reference(name: str | None, methods: Sequence[Method]) -> Method:
    """What all others are compared with; chosen before there are results.

    Raises:
        UsageError: It is not among the methods, or there is no other method.
    """
    by_name = {method.name: method for method in methods}
    if len(by_name) < 2:
        raise UsageError(
            "one method alone cannot be compared.",
            where=f"--methods {','.join(by_name)}",
            expected="at least two methods",
            fix="for example --methods tau,softmax",
        )
    if name is not None:
        if name not in by_name:
            raise unknown_name(name, by_name, kind="compared method", where=f"--reference {name}")
        return by_name[name]
    return preferred(methods)[0]


def preferred(methods: Sequence[Method]) -> list[Method]:
    """Methods in the order in which they become the reference where nobody says which."""
    order = {name: place for place, name in enumerate(REFERENCES)}
    return sorted(methods, key=lambda m: (order.get(m.name, len(order)), m.family != "head"))


def references(declared: str, names: Sequence[str]) -> list[str]:
    """The declared reference, then those that replace it where it does not score a finding.

    Args:
        declared: What was declared.
        names: Methods with results, `@time` included.
    """
    known = known_methods()
    name_of = {known[name.removesuffix(AT_TIME)]: name for name in names}
    return list(dict.fromkeys([declared, *(name_of[m] for m in preferred([*name_of]))]))


def _by_alias(name: str, known: Mapping[str, Method]) -> Method:
    """The rule of an alias such as `avg_pool`."""
    try:
        found = find_summarizer(name)[0]
    except UsageError:
        raise unknown_name(name, known, kind="method", where=f"--methods {name}") from None
    return known[found]
