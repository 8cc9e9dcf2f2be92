"""The first and last lines of a command: its run, what it wrote, what to run next."""

from pathlib import Path
from typing import Any

import typer

from segclf.console import answer, say
from segclf.core.errors import ExitCode
from segclf.core.text import counted


def same_run(exp: Any, *given: object, other: Path | None = None) -> str:  # noqa: ANN401
    """Options by which the next command works on the same run (where one was said) and cases."""
    path = exp.run.path
    named = f" --run {path.name if path.parent.name == 'runs' else path}" if any(given) else ""
    return named + (f" --manifest {other}" if other else "")


def announce(exp: Any) -> None:  # noqa: ANN401 (Experiment, whose import would cost seconds)
    """First line of a command: the run it works on, and whether the data are synthetic."""
    kind = "data: phantom (synthetic) · " if exp.recipe.data == "phantom" else ""
    say(f"{kind}run: {exp.run.path}")


def done(path: Path, then: str, as_json: bool, text: str = "") -> None:
    """Last lines of a command: what was written, and what to run next."""
    body = f"{text}\n" if text else ""
    answer({"wrote": path, "next": then}, f"{body}wrote {path}\nnext: {then}", as_json=as_json)


def quarantined(n_cases: int, *, why: str = "quarantine.jsonl") -> None:
    """End with exit code 4 if cases were set aside; `why` names the files that tell of them."""
    if n_cases:
        say(f"{counted(n_cases, 'case')} set aside; why: {why}")
        raise typer.Exit(ExitCode.QUARANTINED)
