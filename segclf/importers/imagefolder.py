"""A folder per class, alone or below folders of parts: torchvision's ImageFolder.

Source: pytorch.org/vision, `torchvision.datasets.ImageFolder`: root/dog/xxx.png,
root/cat/nsdf3/asd932_.png; with parts, root/train/dog/xxx.png.
"""

from segclf.importers.labels import image_settings
from segclf.importers.parts import settle_parts
from segclf.importers.record import Job, Mapping
from segclf.importers.source import case_row, folders, image_files, stem, unusable, walk
from segclf.io import FORMATS, suffix_of

PARTS = {"train": "train", "training": "train", "val": "val", "valid": "val",
         "validation": "val", "test": "test", "testing": "test"}  # fmt: skip


def read_imagefolder(job: Job) -> Mapping:
    """One case per image; its class is the name of its folder."""
    top = folders(job)
    parts = {name: PARTS[name.lower()] for name in top if name.lower() in PARTS}
    has_parts = bool(parts) and len(parts) == len(top)
    roots = [(name, part) for name, part in parts.items()] if has_parts else [("", "")]
    names: dict[str, None] = {}
    for root, part in roots:
        for name in folders(job, root):
            folder = f"{root}/{name}".lstrip("/")
            names[name] = None
            for path in image_files(job, folder):
                inner = path[len(folder) + 1 : path.rfind("/") + 1] + stem(path)
                wanted = "_".join(filter(None, [part, name, inner.replace("/", "_")]))
                row = case_row(job, wanted, {"image": path}, path)
                if row is not None:
                    job.rows.append(
                        {**row, "class_label": name, **({"split": part} if part else {})}
                    )
    used = {row["image"] for row in job.rows} | {each.where for each in job.left_out}
    for path in walk(job):
        if path not in used:
            if suffix_of(path) in FORMATS:
                job.leave_out(path, "no_class", "it is in no folder of a class")
            else:
                job.leave_out(path, "unknown_format", "it is no picture")
    if len(names) < 2:
        raise unusable(
            job.source.name,
            f"there are the classes {', '.join(names) or '(none)'}.",
            expected="at least two folders, one per class",
        )
    if not job.rows:
        return Mapping({}, {})
    recipe = image_settings(job)
    recipe["classify"] = {"head": "softmax", "targets": ["label"]}
    columns = {"case_id": "class and name of the file", "image": "the files",
               "class_label": "name of the folder"}  # fmt: skip
    return Mapping(recipe, {**columns, **settle_parts(job)})
