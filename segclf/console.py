"""What the user sees while a stage works: a bar on a terminal, plain lines elsewhere."""

import json
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from segclf.core.text import visible

Event = dict[str, Any]
EventSink = Callable[[Event], None]

PLAIN_EVERY_S = 10.0
HIDDEN = {"kind", "step", "of", "message", "fold", "eta_s"}


def clean(text: str) -> str:
    """`text` without hidden characters, so that an id cannot steer the terminal."""
    return visible(text, keep="\t\n")


def say(text: str) -> None:
    """Print one line (or block) for the user on standard error, free of control characters."""
    print(clean(text), file=sys.stderr, flush=True)


def answer(value: dict[str, Any], text: str, *, as_json: bool) -> None:
    """Print the result on standard output: `text`, or one JSON object with --json."""
    print(json.dumps(value, allow_nan=False, default=str) if as_json else clean(text), flush=True)


@contextmanager
def progress(title: str) -> Iterator[EventSink]:
    """A sink for the events of a stage; shows a bar on a terminal, a line now and then elsewhere.

    Events with a `message` or `warning` are always printed; events with `step` and `of` move
    the bar.
    """
    if sys.stderr.isatty():
        yield from _bar(title)
    else:
        yield from _lines(title)


def _lines(title: str) -> Iterator[EventSink]:
    last = 0.0
    first: tuple[float, float] | None = None  # time and step of the first event: start-up is over

    def show(event: Event) -> None:
        nonlocal last, first
        now = time.monotonic()
        if first is None and event.get("of"):
            first = now, event["step"]
        if "message" in event:
            say(f"{title}: {event['message']}")
        elif event.get("kind") == "validate" or now - last > PLAIN_EVERY_S:
            last = now
            say(f"{title}: {_place(event)} {_numbers(event)} {_remaining(event, now, first)}")

    yield show


def _bar(title: str) -> Iterator[EventSink]:
    from rich.markup import escape
    from rich.progress import (
        BarColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    with Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.completed:.0f}/{task.total:.0f}"),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[numbers]}"),
        transient=False,
    ) as bar:
        task = bar.add_task(escape(title), total=1, numbers="")
        kept: Event = {}

        def show(event: Event) -> None:
            if "message" in event:
                bar.console.print(escape(clean(str(event["message"]))))
            if event.get("of"):
                kept.update(event)
                bar.update(
                    task,
                    total=event["of"],
                    completed=event["step"],
                    numbers=escape(_numbers(kept)),
                )

        yield show


def _place(event: Event) -> str:
    return f"{event['step']}/{event['of']}" if event.get("of") else str(event.get("kind", ""))


def _numbers(event: Event) -> str:
    shown = (
        (name, value)
        for name, value in event.items()
        if name not in HIDDEN and isinstance(value, int | float) and not isinstance(value, bool)
    )
    return " ".join(f"{name} {value:.4g}" for name, value in shown)


def _remaining(event: Event, now: float, first: tuple[float, float] | None) -> str:
    """Time left: the stage's own estimate, or from the pace since the first step."""
    if not event.get("of") or first is None:
        return ""
    left_s = event.get("eta_s")
    if left_s is None:
        done = event["step"] - first[1]
        left_s = (now - first[0]) * (event["of"] - event["step"]) / done if done > 0 else 0.0
    return f"about {left_s / 60:.1f} min left" if left_s > 5 else ""
