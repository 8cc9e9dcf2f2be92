"""Semi-supervised methods by name."""

from segclf.core.catalog import lookup
from segclf.pseudolabel.semi.cps import CPS
from segclf.pseudolabel.semi.fixmatch import FIXMATCH
from segclf.pseudolabel.semi.mean_teacher import MEAN_TEACHER
from segclf.pseudolabel.semi.method import SemiMethod
from segclf.pseudolabel.semi.pseudo import PSEUDO
from segclf.pseudolabel.semi.two_step import TWO_STEP
from segclf.pseudolabel.semi.uncertainty import UNCERTAINTY_MEAN_TEACHER

SEMI: dict[str, SemiMethod] = {
    "mean_teacher": MEAN_TEACHER,
    "uncertainty_mean_teacher": UNCERTAINTY_MEAN_TEACHER,
    "cps": CPS,
    "fixmatch": FIXMATCH,
    "two_step": TWO_STEP,
    "pseudo": PSEUDO,
}


def find_method(name: str) -> SemiMethod:
    """The method called `name`, or the one that a plug-in (`segclf.semi`) offers.

    Raises:
        UsageError: There is none.
    """
    return lookup(name, SEMI, kind="semi-supervised method", group="segclf.semi")
