"""Goals that were stated before the results, and what came."""

from collections.abc import Mapping, Sequence
from typing import Any

Entry = dict[str, Any]
LONGEST_S, LONGEST_MIN = 60, 120
"""What a training of a phantom comparison, and all of them, may take."""


def goal_lines(goals: Sequence[Mapping[str, Any]]) -> list[str]:
    """Goals, what came, and whether that reaches them, as a table."""
    if not goals:
        return []
    text = ["| goal, stated before the results | value | reached |", "|---|---|---|"]
    for goal in goals:
        value = "not run" if goal["value"] is None else f"{goal['value']:.3f}"
        reached = {None: "", True: "yes", False: "no"}[goal["reached"]]
        name = goal["number"].replace("_", " ").replace("auroc", "AUROC")
        text.append(f"| {goal['method']}: {name} {goal['goal']} | {value} | {reached} |")
    return ["\n".join(text) + "\n"]


def checked(goal: tuple[str, str, str, float], rows: Mapping[str, Any]) -> Entry:
    """A goal `(method, number, >= or <=, value)` with the number of the method's row."""
    method, number, sign, bound = goal
    value = rows.get(method, {}).get(number)
    reached = None if value is None else bool(value >= bound if sign == ">=" else value <= bound)
    return {"method": method, "number": number, "goal": f"{sign} {bound:g}", "value": value} | {
        "reached": reached
    }


def spent_lines(entries: Sequence[Mapping[str, Any]]) -> list[str]:
    """What all trainings of phantom comparisons took, beside the goal; nothing if not kept.

    Args:
        entries: Of comparisons (`trainings_cpu_s`) and of proofs (`cpu_s`); those without such a
            list are left out.
    """
    lists = [entry.get("trainings_cpu_s") or entry.get("cpu_s") or () for entry in entries]
    known = [value for own in lists for value in own if value is not None]
    if not known:
        return []
    return [
        f"Goal for the phantom sections that say what their trainings took: at most {LONGEST_S} s "
        f"a training, and {LONGEST_MIN} machine-minutes in all. It came to {len(known)} trainings "
        f"of {sum(known) / 60:.0f} CPU-minutes in all, the longest {max(known):.0f} CPU-seconds.\n"
    ]


def cost_line(cpu_s: Sequence[float | None]) -> str:
    """How many trainings there were, and what they cost."""
    known = [value for value in cpu_s if value is not None]
    if not known:
        return f"{len(cpu_s)} trainings; their processor time was not recorded."
    return (
        f"{len(cpu_s)} trainings of {min(known):.0f} to {max(known):.0f} processor seconds, "
        f"{sum(known) / 60:.0f} min in all."
    )
