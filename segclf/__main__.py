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

AFTER_INTERRUPT = {
    "advise": "the same command continues",
    "compare": "the same command continues",
    "demo": "the same command continues",
    "enroll": "run it again; with folds use --fold for each that lacks the class",
    "export-masks": "the same command continues",
    "init": "remove what it wrote and run it again",
    "predict": "the same command continues",
    "pseudo-label": "the same command continues",
    "study": "the same command continues",
    "summarize": "the same command continues",
    "train-clf": "--resume continues",
    "train-seg": "--resume continues",
}
"""What to do about an interrupted command; the others keep nothing."""


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
    except KeyboardInterrupt:  # outside a command, which typer ends with this code
        code = ExitCode.INTERRUPTED
    except SystemExit as error:
        code = error.code
    except Exception as error:
        code = _unexpected(error, debug)
    if code in (ExitCode.INTERRUPTED, ExitCode.TERMINATED):
        say(f"segclf: {_interrupted(arguments)}")
    sys.exit(code or ExitCode.OK)


def _interrupted(arguments: list[str]) -> str:
    command = next((argument for argument in arguments if not argument.startswith("-")), "")
    return f"interrupted; {AFTER_INTERRUPT.get(command, 'nothing was kept, run it again')}"


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
