"""Errors of a file become errors of its case."""

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext

from segclf.core.errors import CaseError
from segclf.core.records import Case
from segclf.io.guard import time_limit


@contextmanager
def about(case: Case, *, limit_s: float | None = None) -> Iterator[None]:
    """Name the case in the errors of the block; a lack of memory or a failing disk is one too.

    Args:
        case: What is read.
        limit_s: Time for decoding a file, as `time_limit` takes it; None leaves it as it is.
    """
    try:
        with nullcontext() if limit_s is None else time_limit(limit_s):
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
