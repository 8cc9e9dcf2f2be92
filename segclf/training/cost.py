"""What a training costs: processor seconds, summed over all calls that it took.

They lie in a file of their own, because everything else that a training writes is the same each
time.
"""

import os
from pathlib import Path

from segclf.core.atomic import read_json, write_json

COST = "cost.json"


class Cost:
    """A running count of processor seconds, of this process and of its workers."""

    def __init__(self, folder: Path, *, goes_on: bool) -> None:
        """Count from now on; from what `folder` says was spent if a training goes on."""
        self.path = folder / COST
        self._begun_s = _processor_s()
        self._before_s = read_cost(folder) or 0.0 if goes_on else 0.0

    def write(self) -> None:
        """Write the seconds so far to `cost.json`."""
        write_json(self.path, {"cpu_s": round(self._before_s + _processor_s() - self._begun_s, 3)})


def read_cost(folder: Path) -> float | None:
    """Processor seconds of the training in a folder; None if it does not say."""
    try:
        return float(read_json(folder / COST)["cpu_s"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _processor_s() -> float:
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system
