"""The parts of a data set that comes with some: a split column that segclf can use."""

import math
from collections import Counter

from segclf.importers.record import Job
from segclf.manifest import deal

VAL_SHARE = 0.2
SEED = 0


def settle_parts(job: Job) -> dict[str, str]:
    """Make the cells `split` usable; returns where the column comes from, {} without one.

    Without a validation part, a fifth of the training patients becomes one. A set with a single
    part, or with cases of no part, gets no split column.
    """
    parts = Counter(str(row.get("split", "")) for row in job.rows)
    if set(parts) == {"train", "test"}:
        _make_val(job)
        parts = Counter(str(row.get("split", "")) for row in job.rows)
    if "" not in parts and {"train", "val"} <= set(parts):
        return {"split": "the parts of the set"}
    if set(parts) - {""}:
        listed = ", ".join(f"{n} {part or 'of no part'}" for part, n in sorted(parts.items()))
        job.notes.append(f"no split column ({listed}): segclf split makes one by patient")
    for row in job.rows:
        row.pop("split", None)
    return {}


def _make_val(job: Job) -> None:
    """Turn a fifth of the training patients into the validation part, stratified by label."""
    names = sorted({key for row in job.rows for key in row if key.startswith("label_")})
    training = [row for row in job.rows if row["split"] == "train"]
    patients = [str(row.get("patient_id") or row["case_id"]) for row in training]
    labels: dict[str, tuple[float, ...]] = {}
    for patient, row in zip(patients, training, strict=True):
        before = labels.get(patient, (math.nan,) * len(names))
        now = [float(str(row[name])) if row.get(name) else math.nan for name in names]
        labels[patient] = tuple(
            b if math.isnan(n) or b == 1 else n for b, n in zip(before, now, strict=True)
        )
    dealt = deal(labels, {"train": 1 - VAL_SHARE, "val": VAL_SHARE}, SEED, "import")
    for patient, row in zip(patients, training, strict=True):
        row["split"] = dealt[patient]
    n_val = sum(row["split"] == "val" for row in training)
    job.notes.append(
        f"the set has no validation part: {n_val} training cases (a fifth of the patients, chosen "
        "by chance) became one"
    )
