"""Which column of a manifest plays which part: the recipe's mapping first, then names."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from segclf.core.catalog import unknown_name
from segclf.core.config import Recipe
from segclf.core.errors import ConfigError, DataError
from segclf.core.pixel_values import finding_values

SINGLE = (
    "case_id",
    "patient_id",
    "split",
    "fold",
    "volume_id",
    "slice_index",
    "spacing_mm",
    "mask_source",
    "mask_kind",
    "n_findings",
)
"""Roles that one column plays."""
FAMILIES = ("mask_kind", "mask_source", "image", "mask", "label", "class")
"""Roles that a column plays for a channel, a finding or a head: `mask` or `mask_<finding>`."""
TRUTH = ("mask_kind", "mask_source", "mask", "label", "class")
DEFAULT_FINDING = "target"
FROM_ANSWER = ("derived", "ignored")

Part = tuple[str, str]
"""Role and suffix: ("label", "lesion"), ("label", ""), ("patient_id", "")."""


@dataclass(frozen=True)
class Layout:
    """Headers by the part they play."""

    findings: tuple[str, ...]
    images: tuple[str, ...]
    """In column order: the channels."""
    masks: dict[str, str]
    """Finding to the header of its own mask."""
    shared_mask: str | None
    """Header of the integer map or class-valued mask of all findings."""
    labels: dict[str, str]
    classes: dict[str, str]
    notes: dict[str, str]
    """`mask_kind_<finding>` and `mask_source_<finding>` to their headers."""
    single: dict[str, str]
    metadata: tuple[str, ...] = ()


def resolve_columns(headers: Sequence[str], recipe: Recipe, *, need_truth: bool = True) -> Layout:
    """The layout of a table with these headers.

    Args:
        headers: Column names in order, each once.
        recipe: `columns`, `findings`, `mask_values`, `mask_class` and `roles` are used.
        need_truth: False lets mapped mask, label and class columns be absent (new cases).

    Raises:
        ConfigError: `columns` names an unknown role or a header that is not there, or the
            findings do not fit the mapping.
        DataError: There is no image column, or it is not clear whose mask or label one is.
    """
    mapped = _mapped(headers, recipe, need_truth=need_truth)
    named = _named(headers, mapped, recipe)
    parts = {**{part: header for part, header in named.items() if part not in mapped}, **mapped}
    findings = _findings(headers, parts, recipe)
    layout = Layout(
        findings=findings,
        images=_images(headers, parts),
        masks=_own("mask", parts, findings, mapped),
        shared_mask=_shared_mask(parts, findings, mapped, recipe),
        labels=_labels(parts, findings, mapped, recipe),
        classes={suffix: h for (role, suffix), h in parts.items() if role == "class" and suffix},
        notes={
            f"{role}_{finding}": header
            for role in ("mask_kind", "mask_source")
            for finding, header in _own(role, parts, findings, mapped).items()
        },
        single={role: h for (role, suffix), h in parts.items() if role in SINGLE and not suffix},
    )
    rest = [header for header in headers if header not in _used(layout)]
    rest = [header for header in rest if not (part_of(header) or ("",))[0].startswith("mask")]
    if recipe.mask_class and recipe.mask_class in headers and recipe.mask_class not in rest:
        rest.append(recipe.mask_class)
    return replace(layout, metadata=tuple(rest))


def _used(layout: Layout) -> set[str | None]:
    several = (layout.masks, layout.labels, layout.classes, layout.notes, layout.single)
    headers = [header for group in several for header in group.values()]
    return {*layout.images, layout.shared_mask, *headers}


def part_of(name: str) -> Part | None:
    """The part that a role name or a header stands for; None for metadata."""
    if name in SINGLE:
        return name, ""
    for family in FAMILIES:
        if name == family:
            return family, ""
        if name.startswith((f"{family}_", f"{family}.")) and len(name) > len(family) + 1:
            return family, name[len(family) + 1 :]
    return None


def _mapped(headers: Sequence[str], recipe: Recipe, *, need_truth: bool) -> dict[Part, str]:
    mapped: dict[Part, str] = {}
    for role, header in recipe.columns.items():
        part = part_of(role)
        if part is None or part == ("class", ""):
            known = [*SINGLE, "image", "mask", "label", *(f"{family}.NAME" for family in FAMILIES)]
            raise _config(unknown_name(role, known, kind="role"), f"columns.{role}")
        is_truth = part[0] in TRUTH
        if header in headers:
            mapped[part] = header
        elif need_truth or not is_truth:
            raise missing_column(header, headers, where=f"columns.{role} = {header!r}")
        of_finding = part[1] if part[0] in TRUTH[:-1] else ""
        if of_finding and recipe.findings and of_finding not in recipe.findings:
            error = unknown_name(of_finding, recipe.findings, kind="finding")
            raise _config(error, f"columns.{role}")
    return mapped


def missing_column(header: str, headers: Iterable[str], *, where: str) -> ConfigError:
    """The error for a recipe that names a column which the table does not have."""
    return _config(unknown_name(header, headers, kind="column"), where)


def _config(error: Exception, where: str) -> ConfigError:
    wrong, expected, fix = (getattr(error, key) for key in ("wrong", "expected", "fix"))
    return ConfigError(wrong, where=where, expected=expected, fix=fix)


def _named(headers: Sequence[str], mapped: dict[Part, str], recipe: Recipe) -> dict[Part, str]:
    """Columns that play a part by their own name, and that the recipe did not assign."""
    named: dict[Part, str] = {}
    for header in headers:
        part = part_of(header) if "." not in header else None
        if part is None or header in mapped.values() or header == recipe.mask_class:
            continue
        if part[0] in TRUTH and recipe.roles.get(header) in FROM_ANSWER:
            continue  # the recipe says that it is metadata
        named[part] = header
    return named


def _findings(headers: Sequence[str], parts: dict[Part, str], recipe: Recipe) -> tuple[str, ...]:
    """Findings by the recipe, else by pixel values, else by suffixes; () waits for categories."""
    if recipe.findings is not None:
        if len(set(recipe.findings)) != len(recipe.findings) or not all(recipe.findings):
            raise ConfigError(
                "the findings are not distinct names.",
                where=f"findings = {list(recipe.findings)}",
                expected="each name once",
                fix="correct the list",
            )
        return recipe.findings
    if recipe.mask_class:
        return ()
    if recipe.mask_values:
        named = finding_values(recipe.mask_values)
        return tuple(dict.fromkeys(name for _, name in sorted(named.items())))
    found = [
        (headers.index(header), suffix)
        for (role, suffix), header in parts.items()
        if role in ("mask", "label") and suffix
    ]
    return tuple(dict.fromkeys(suffix for _, suffix in sorted(found))) or (DEFAULT_FINDING,)


def _images(headers: Sequence[str], parts: dict[Part, str]) -> tuple[str, ...]:
    if ("image", "") in parts:
        return (parts["image", ""],)
    channels = [header for (role, _), header in parts.items() if role == "image"]
    if channels:
        return tuple(sorted(channels, key=list(headers).index))
    raise DataError(
        "the manifest has no image column.",
        where=f"columns {', '.join(headers)}",
        expected="a column 'image', or 'image_<channel>' per channel",
        fix="rename the column, or map it in the recipe: columns: {image: HEADER}",
    )


def _own(
    role: str, parts: dict[Part, str], findings: tuple[str, ...], mapped: dict[Part, str]
) -> dict[str, str]:
    """Finding to its own column; a mapped column without a suffix beats one found by name."""
    own = {finding: parts[role, finding] for finding in findings if (role, finding) in parts}
    if (role, "") in mapped and len(findings) == 1 and (role, findings[0]) not in mapped:
        return {}
    return own


def _shared_mask(
    parts: dict[Part, str], findings: tuple[str, ...], mapped: dict[Part, str], recipe: Recipe
) -> str | None:
    header = parts.get(("mask", ""))
    own = _own("mask", parts, findings, mapped)
    if header is None or (findings and set(own) == set(findings)):
        return None
    if len(findings) == 1 or recipe.mask_values or recipe.mask_class:
        return header
    raise DataError(
        f"the column {header!r} could be the mask of any of {len(findings)} findings.",
        where=f"findings {', '.join(findings)}",
        expected="one mask column per finding, or names for the pixel values",
        fix=f"set mask_values: {{1: {findings[0]}, 2: {findings[1]}}}, or map mask.{findings[0]}",
    )


def _labels(
    parts: dict[Part, str], findings: tuple[str, ...], mapped: dict[Part, str], recipe: Recipe
) -> dict[str, str]:
    if recipe.mask_class:
        for role, suffix in mapped:
            if role == "label":
                raise ConfigError(
                    f"mask_class = {recipe.mask_class!r} and columns both say what the label is.",
                    where=f"columns.label{'.' if suffix else ''}{suffix}",
                    expected="with mask_class, the label of a finding is (category == finding)",
                    fix="remove this line, or mask_class",
                )
        return {}
    plain, own = parts.get(("label", "")), _own("label", parts, findings, mapped)
    if plain is None or (findings and set(own) == set(findings)):
        return own
    if len(findings) == 1:
        return {findings[0]: plain}
    raise DataError(
        f"the column {plain!r} could be the label of any of {len(findings)} findings.",
        where=f"findings {', '.join(findings)}",
        expected="one label column per finding",
        fix=f"map it, columns: {{label.{findings[0]}: {plain}}}, or set roles: "
        f"{{{plain}: ignored}}",
    )


def near(name: str, known: Iterable[str], otherwise: str) -> str:
    """A fix that suggests the nearest of the known names, else `otherwise`."""
    fix = unknown_name(name, known, kind="name").fix
    return fix if fix.startswith("did you mean") else otherwise
