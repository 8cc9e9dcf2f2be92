"""The record of a training: `metrics.jsonl`, and TensorBoard if asked for."""

import json
import os
from pathlib import Path
from typing import Any

from segclf.core.atomic import write_text
from segclf.core.errors import MissingExtraError


class MetricsLog:
    """Appends one JSON line per event; validations are flushed to disk at once."""

    def __init__(self, path: Path, *, step: int, tensorboard: bool) -> None:
        """Open the log at a step; lines that an interrupted run wrote after it are dropped."""
        path.parent.mkdir(parents=True, exist_ok=True)
        self._board = _open_board(path.parent / "tensorboard", step) if tensorboard else None
        if path.is_file():
            write_text(path, "".join(_lines_up_to(path, step)))
        self._stream = open(path, "a", encoding="utf-8")  # noqa: SIM115 (closed in `close`)

    def write(self, line: dict[str, Any], *, durable: bool) -> None:
        """Append plain data with `kind` and `step`; `durable` waits until it is on disk."""
        self._stream.write(json.dumps(line, allow_nan=False) + "\n")
        self._stream.flush()
        if durable:
            os.fsync(self._stream.fileno())
        if self._board is not None:
            for name, value in line.items():
                if isinstance(value, int | float) and name != "step":
                    self._board.add_scalar(f"{line['kind']}/{name}", value, line["step"])

    def close(self) -> None:
        """Flush and close the files."""
        self._stream.flush()
        os.fsync(self._stream.fileno())
        self._stream.close()
        if self._board is not None:
            self._board.close()


def _lines_up_to(path: Path, step: int) -> list[str]:
    kept = []
    for line in path.read_text(encoding="utf-8").splitlines(keepends=True):
        try:
            if line.endswith("\n") and json.loads(line)["step"] <= step:
                kept.append(line)
        except (ValueError, KeyError, TypeError):
            continue  # a line that a crash cut short
    return kept


def _open_board(folder: Path, step: int) -> Any:  # noqa: ANN401 (the type needs the extra)
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        raise MissingExtraError(
            "tensorboard", extra="tensorboard", needed_for="train.tensorboard"
        ) from None
    return SummaryWriter(str(folder), purge_step=step + 1)
