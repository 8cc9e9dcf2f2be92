"""`segclf` and `python -m segclf`: run a command, print errors for people, exit with a code."""

import os
import signal
import sys
import traceback
from types import FrameType
from typing import NoReturn

from segclf.cli import app
from segclf.console import say
from segclf.core.errors import ExitCode, SegclfError


def main() -> NoReturn:
    """Run the command line and exit with the code that `ExitCode` documents."""
    # threads that spin while they wait make training ten times slower beside any other process
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    debug = "--debug" in sys.argv
    arguments = [argument for argument in sys.argv[1:] if argument != "--debug"]
    signal.signal(signal.SIGTERM, _terminate)
    try:
        code = app(args=arguments, prog_name="segclf", standalone_mode=False)
    except SegclfError as error:
        code = _fail(error, error.exit_code, debug)
    except KeyboardInterrupt as error:
        code = _fail(error, ExitCode.INTERRUPTED, debug, "interrupted; --resume continues")
    except Exception as error:
        code = _unexpected(error, debug)
    sys.exit(code or ExitCode.OK)


def _unexpected(error: Exception, debug: bool) -> int:
    if hasattr(error, "format_message"):  # click's own usage errors
        return _fail(error, ExitCode.USAGE, debug, f"{error.format_message()}")  # pyright: ignore[reportAttributeAccessIssue]
    from segclf.doctor import MISMATCH_SIGN, mismatch_message

    if MISMATCH_SIGN in str(error):
        return _fail(error, ExitCode.INTEGRITY, debug, mismatch_message(str(error)))
    text = (
        f"unexpected {type(error).__name__}: {error}. Please report it with the output of --debug"
    )
    return _fail(error, 1, debug, text)


def _fail(error: BaseException, code: int, debug: bool, text: str | None = None) -> int:
    if debug:
        traceback.print_exception(error)
    else:
        say(f"segclf: {text or error}")
    return int(code)


def _terminate(_signal: int, _frame: FrameType | None) -> NoReturn:
    sys.exit(ExitCode.TERMINATED)


if __name__ == "__main__":
    main()
