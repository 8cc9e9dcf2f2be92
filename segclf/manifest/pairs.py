"""Tables of similar and dissimilar pairs of cases."""

from segclf.core.errors import CaseError, ConfigError, DataError
from segclf.io import confine
from segclf.manifest.records import CaseTable
from segclf.manifest.sources import parse_table, read_bytes

COLUMNS = ("case_a", "case_b", "similar")


def read_pairs(text: str, table: CaseTable) -> dict[tuple[str, str], bool]:
    """The pairs of a table with `case_a`, `case_b` and `similar` (1 or 0); each pair once.

    Args:
        text: `classify.metric.pairs`: a CSV or Parquet file inside the data root.
        table: The cases, of which no label is read.

    Raises:
        ConfigError: There is no such file inside the data root.
        DataError: A column is missing, an id is in no row of the manifest, a case is paired with
            itself, `similar` is neither 1 nor 0, or a pair is said to be both.
    """
    try:
        path = confine(text, [table.root])
    except CaseError as error:
        raise ConfigError(
            f"the table of pairs {text!r} cannot be used: {error.wrong}",
            where=f"classify.metric.pairs = {text!r}",
            expected="a .csv or .parquet file inside the data root",
            fix="correct the path; it is relative to the data root",
        ) from None
    raw = parse_table(read_bytes(path), path.name)
    for name in COLUMNS:
        if name not in raw.columns:
            expected = ", ".join(COLUMNS)
            raise _bad(path.name, f"there is no column {name!r}.", expected, "rename the columns")
    known = {case.case_id for case in table.cases}
    pairs: dict[tuple[str, str], bool] = {}
    for row, a, b, similar in zip(raw.rows, *(raw.columns[n] for n in COLUMNS), strict=True):
        where = f"{path.name}, row {row}"
        for case_id in (a, b):
            if case_id not in known:
                wrong = f"the case {case_id!r} is not in the manifest."
                raise _bad(where, wrong, "ids of the manifest", "correct it, or leave the row out")
        if a == b:
            wrong = f"the case {a!r} is paired with itself."
            raise _bad(where, wrong, "two different cases", "leave the row out")
        if similar not in ("0", "1"):
            raise _bad(where, f"similar = {similar!r} does not fit.", "1 or 0", "correct it")
        key = (min(a, b), max(a, b))
        if pairs.setdefault(key, similar == "1") != (similar == "1"):
            wrong = f"the pair {a!r} and {b!r} is both similar and dissimilar."
            raise _bad(where, wrong, "one answer per pair", "leave one of the rows out")
    return pairs


def _bad(where: str, wrong: str, expected: str, fix: str) -> DataError:
    return DataError(wrong, where=where, expected=expected, fix=fix)
