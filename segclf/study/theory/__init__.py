"""`segclf study separability`: what image labels and masks tell apart, known and measured.

docs/science.md derives what is tested here.
"""

from segclf.study.theory.figure import separability_svg
from segclf.study.theory.run import run_separability
from segclf.study.theory.section import separability_section
from segclf.study.theory.settings import Separability

__all__ = ["Separability", "run_separability", "separability_section", "separability_svg"]
