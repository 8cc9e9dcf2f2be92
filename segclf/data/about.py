"""Errors of a file become errors of its case."""

from collections.abc import Iterator
from contextlib import contextmanager

from segclf.core.errors import CaseError
from segclf.core.records import Case


@contextmanager
def about(case: Case) -> Iterator[None]:
    """Name the case in the errors of the block; a lack of memory or a failing disk is one too."""
    try:
        yield
    except CaseError as error:
        raise CaseError(
            error.reason,
            error.wrong,
            where=f"case {case.case_id}, {error.where}",
            expected=error.expected,
            fix=error.fix,
        ) from None
    except MemoryError:
        raise CaseError(
            "too_large",
            "preparing the case needs more memory than is free.",
            where=f"case {case.case_id}",
            expected="a case that fits the memory",
            fix="use a machine with more memory, or store the image at a coarser grid",
        ) from None
    except OSError as error:
        raise CaseError(
            "unreadable",
            f"a file cannot be read: {type(error).__name__}: {error.strerror}.",
            where=f"case {case.case_id}",
            expected="files that the system can read",
            fix="check the disk and the permissions, then copy the file again",
        ) from None
