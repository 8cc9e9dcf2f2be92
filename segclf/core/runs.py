"""Run folders: where each stage of one experiment writes, and how the next stage finds it."""

import os
import re
from dataclasses import dataclass
from pathlib import Path

from segclf.core.catalog import unknown_name
from segclf.core.errors import UsageError

RUNS = Path("runs")


@dataclass(frozen=True)
class Run:
    """One experiment on disk: `runs/<name>/`."""

    path: Path

    @property
    def config(self) -> Path:
        """The resolved recipe."""
        return self.path / "config.yaml"

    @property
    def split(self) -> Path:
        """Which case is in train, val and test, per fold."""
        return self.path / "split.parquet"

    def stage(self, *parts: str, fold: int | None = None) -> Path:
        """The folder of a stage; with folds, one folder `fold<k>` for each."""
        folder = self.path.joinpath(*parts)
        return folder if fold is None else folder / f"fold{fold}"


def find_run(run: Path | None, *, needs: str, made_by: str, root: Path = RUNS) -> Run:
    """The run the user named, else the newest one under `root` that holds `needs`.

    Args:
        run: A run folder, or a name under `root`; None picks the newest.
        needs: Glob, relative to a run folder, of a file that the caller is going to read.
        made_by: The command that writes `needs`, for the error message.
        root: The folder that holds all runs.

    Raises:
        UsageError: There is no such run.
    """
    if run is not None:
        folder = named_run(run, root).path
        if run.is_dir() and not folder.is_dir():
            folder = run
        if folder.is_dir() and any(folder.glob(needs)):
            return Run(folder)
        if not folder.is_dir():
            known = [path.parent.name for path in root.glob("*/config.yaml")]
            raise unknown_name(str(run), known, kind="run", where=f"--run {run}")
        raise UsageError(
            f"the run {str(run)!r} has no {needs}.",
            where=str(folder),
            expected=f"a run folder in which `{made_by}` has ended",
            fix=f"run: {made_by} --run {run}",
        )
    found = [hit for folder in root.glob("*/") for hit in folder.glob(needs)]
    if not found:
        raise UsageError(
            f"no run has {needs} yet.",
            where=f"{root}/",
            expected=f"a run in which `{made_by}` has ended",
            fix=f"run: {made_by}",
        )
    newest = max(found, key=lambda path: (path.stat().st_mtime_ns, str(path)))
    return Run(root / newest.relative_to(root).parts[0])


def named_run(run: Path, root: Path = RUNS) -> Run:
    """The run that a folder or a name under `root` means; it need not exist.

    A data folder may have the name of a run, so a folder counts only if it holds a run's recipe.
    """
    inside = root / safe_name(run.name if run.parent == root else str(run))
    return Run(run if (run / "config.yaml").is_file() else inside)


def safe_name(text: str) -> str:
    """`text` as a file name: letters, digits, `.`, `_`, `-`; anything else becomes `_`."""
    return re.sub(r"[^A-Za-z0-9._-]+", "_", text).strip(".") or "_"


def shown(path: Path) -> str:
    """A path for messages: relative to the current folder where that is shorter."""
    relative = os.path.relpath(path)
    return str(path) if relative.startswith("..") else relative
