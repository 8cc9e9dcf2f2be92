"""What `segclf init` and `segclf check` do before anything is trained."""

import inspect
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from segclf.console import EventSink
from segclf.core.atomic import write_text
from segclf.core.config import Recipe, assign, load_recipe, recipe_yaml, validated
from segclf.core.errors import ExitCode, UsageError
from segclf.manifest import check_manifest, check_text, read_manifest
from segclf.phantom import PhantomSettings, write_phantom


def init_phantom(folder: Path, overrides: tuple[str, ...]) -> Path:
    """Write the phantom into a new or empty folder; returns its recipe."""
    if folder.exists() and not folder.is_dir():
        raise UsageError(
            f"{folder.name!r} is a file.",
            where=str(folder),
            expected="a new or an empty folder",
            fix="choose another name",
        )
    if folder.exists() and any(folder.iterdir()):
        raise UsageError(
            f"the folder {folder.name!r} is not empty.",
            where=str(folder),
            expected="a new or an empty folder",
            fix="choose another name",
        )
    values: dict[str, Any] = {}
    assign(values, overrides)
    write_phantom(folder, validated(PhantomSettings, values, where="--set", overrides=overrides))
    return folder / "recipe.yaml"


def init_recipe(path: Path, overrides: tuple[str, ...]) -> Path:
    """Write a recipe with every setting, its explanation and its default."""
    if path.exists():
        raise UsageError(
            f"{path.name!r} exists.",
            where=str(path),
            expected="the name of a new file",
            fix="choose another name",
        )
    write_text(path, explained_yaml(load_recipe(None, overrides)))
    return path


def explained_yaml(recipe: Recipe) -> str:
    """The recipe as YAML with the explanation of each setting above it."""
    texts = dict(_explanations(Recipe))
    lines: list[str] = []
    place: list[str] = []
    for line in recipe_yaml(recipe).splitlines():
        key = line.strip().partition(":")[0]
        indent = len(line) - len(line.lstrip())
        place = [*place[: indent // 2], key]
        text = texts.get(".".join(place), "")
        lines += [f"{' ' * indent}# {part}" for part in text.splitlines()]
        lines.append(line)
    return "\n".join(lines) + "\n"


def _explanations(kind: type[BaseModel], before: str = "") -> Iterator[tuple[str, str]]:
    """Place of every setting (`classify.metric.k`) and its text, at any depth."""
    for name, field in kind.model_fields.items():
        inner = field.annotation
        group = inner if isinstance(inner, type) and issubclass(inner, BaseModel) else None
        yield before + name, field.description or (inspect.getdoc(group) if group else "") or ""
        if group is not None:
            yield from _explanations(group, f"{before}{name}.")


def check_data(
    manifest: Path | None,
    config: Path | None,
    overrides: tuple[str, ...],
    workers: int,
    on_event: EventSink,
) -> tuple[dict[str, Any], str, int]:
    """Check a manifest: the result as data and as text, and the exit code it deserves."""
    if manifest is None and config is None:
        raise UsageError(
            "there is nothing to check.",
            where="segclf check",
            expected="a manifest, or --config with a recipe that names one",
            fix="run: segclf check manifest.csv",
        )
    base = config.parent if config else Path()
    named = os.path.relpath(manifest, base) if manifest else None
    recipe = load_recipe(config, overrides, manifest=named)
    report = check_manifest(
        read_manifest(recipe, base=base, strict=False), workers=workers, progress=on_event
    )
    errors = [p for p in report.problems if p.severity == "error"]
    return report.as_dict(), check_text(report), ExitCode.DATA if errors else ExitCode.OK
