"""Every error that segclf raises on purpose: what is wrong, where, what was expected, the fix."""

from enum import IntEnum


class ExitCode(IntEnum):
    """What the process tells its caller when a command ends."""

    OK = 0
    USAGE = 2
    """Wrong option or recipe."""
    DATA = 3
    """The data are invalid; nothing was done with them."""
    QUARANTINED = 4
    """Done, but some cases were set aside with a reason."""
    INTEGRITY = 5
    """A hash, a checkpoint or a mixture of models is wrong."""
    STOPPED = 6
    """The work stopped (NaN loss, full disk); the last good state was kept."""
    INTERRUPTED = 130
    """Interrupted from the keyboard; run the same command with --resume."""
    TERMINATED = 143
    """Terminated by SIGTERM; run the same command with --resume."""


class SegclfError(Exception):
    """Base of all errors for users; printed without a traceback unless `--debug` is given."""

    exit_code = ExitCode.USAGE

    def __init__(self, wrong: str, *, where: str, expected: str, fix: str) -> None:
        """Build the four-line message from its parts."""
        self.wrong, self.where, self.expected, self.fix = wrong, where, expected, fix
        super().__init__(f"{wrong}\n  where:    {where}\n  expected: {expected}\n  fix:      {fix}")

    def __reduce__(self) -> tuple[object, ...]:
        """Travel between processes whole: keyword-only constructors are not copied by default."""
        return _rebuilt, (type(self), self.args, self.__dict__)


def _rebuilt(
    kind: type[SegclfError], args: tuple[object, ...], state: dict[str, object]
) -> SegclfError:
    error = kind.__new__(kind, *args)
    error.__dict__.update(state)
    return error


class UsageError(SegclfError):
    """A command was called with an option or name that it does not know."""


class ConfigError(SegclfError):
    """A recipe holds a wrong key or value."""


class MissingExtraError(UsageError):
    """An optional package is not installed."""

    def __init__(self, package: str, *, extra: str, needed_for: str) -> None:
        """Name the extra that brings `package`."""
        super().__init__(
            f"{needed_for} needs the package {package!r}: install segclf[{extra}]",
            where=f"import {package}",
            expected=f"the optional extra {extra!r}",
            fix=f"pip install 'segclf[{extra}]'",
        )


class DataError(SegclfError):
    """The manifest or a file does not hold what it should."""

    exit_code = ExitCode.DATA


class CaseError(DataError):
    """One case cannot be used; a long run sets it aside under `reason` and goes on."""

    def __init__(self, reason: str, wrong: str, *, where: str, expected: str, fix: str) -> None:
        """Keep the machine-readable reason code (`missing_file`, `unreadable`, `too_large`, …)."""
        super().__init__(wrong, where=where, expected=expected, fix=fix)
        self.reason = reason


class IntegrityError(SegclfError):
    """Files of a run do not belong together, or changed since they were written."""

    exit_code = ExitCode.INTEGRITY


class StoppedError(SegclfError):
    """Work stopped before its end; the last good state is kept."""

    exit_code = ExitCode.STOPPED
