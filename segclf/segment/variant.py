"""How a training of a segmenter may depart from the plain one."""

from collections.abc import Callable
from dataclasses import dataclass, field

from segclf.data import Plan
from segclf.training import Prepared, Task


@dataclass(frozen=True)
class Variant:
    """How a training departs from the plain one, in which masks alone are learned."""

    identity_parts: tuple[str, ...]
    """Sections of the recipe that it depends on as well."""
    plan: Callable[[Prepared], Plan]
    """Which cases each step sees."""
    change: Callable[[Task, Prepared], Task]
    """The plain task to the one that is trained. It shares the network, which is what is kept."""
    facts: dict[str, str] = field(default_factory=dict)
    """What else a resumed training must agree in."""
