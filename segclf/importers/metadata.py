"""Metadata columns of a foreign table: under names that play no other part, with a role."""

from collections.abc import Collection, Iterable

from segclf.core.text import guarded, visible
from segclf.importers.record import Job
from segclf.manifest.columns import part_of

PATIENT = (
    "age",
    "age_approximate",
    "age_approx",
    "age_years",
    "sex",
    "gender",
    "race",
    "ethnicity",
)
ACQUISITION = ("site", "scanner", "manufacturer", "localization", "anatom_site_general", "modality",
               "image_type", "view", "viewposition", "pixelspacing")  # fmt: skip


def metadata_names(job: Job, headers: Iterable[str], used: Collection[str]) -> dict[str, str]:
    """Header of the foreign table to column of the manifest, for those that play no part.

    Args:
        job: Gets a note for each header that has to change.
        headers: All headers.
        used: Those that are mapped otherwise.
    """
    names: dict[str, str] = {}
    for header in headers:
        if header in used:
            continue
        name = guarded(visible(header))
        if part_of(name) is not None or name in names.values() or name.startswith("'"):
            name = f"meta_{name.lstrip(chr(39))}"
        if name != header:
            job.notes.append(f"the column {visible(header)!r} is called {name!r}")
        names[header] = name
    return names


def roles_of(names: Iterable[str], derived: Collection[str] = ()) -> dict[str, str]:
    """Roles of the metadata columns whose meaning the layout settles."""
    roles: dict[str, str] = {}
    for name in names:
        plain = name.lower().removeprefix("meta_")
        if name in derived:
            roles[name] = "derived"
        elif plain in PATIENT:
            roles[name] = "patient"
        elif plain in ACQUISITION:
            roles[name] = "acquisition"
    return roles
