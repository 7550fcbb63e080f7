"""The entry point: every error becomes one line and an exit code."""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Sequence

from mmtp_fw.errors import InputError, MmtpError

INTERRUPTED = 130
"""Exit code after Ctrl-C, as shells have it."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and leave the program.

    Parameters
    ----------
    arguments : sequence of str, optional
        By default those of the process. ``--debug`` may stand anywhere.

    Raises
    ------
    SystemExit
        0 after success, 2 after bad input, 130 after Ctrl-C, 1 after every other failure.
    """
    given = list(sys.argv[1:] if arguments is None else arguments)
    debug = "--debug" in given
    raise SystemExit(_run([item for item in given if item != "--debug"], debug))


def _run(arguments: list[str], debug: bool) -> int:
    from typer.main import get_command

    from mmtp_fw.cli.app import app

    try:
        code = get_command(app).main(args=arguments, prog_name="mmtp", standalone_mode=False)
        sys.stdout.flush()
    except BrokenPipeError:  # `mmtp find | head`: nobody reads on
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except KeyboardInterrupt:
        print("stopped", file=sys.stderr)
        return INTERRUPTED
    except BaseException as error:
        return _fail(error, debug)
    return code if isinstance(code, int) else 0


def _fail(error: BaseException, debug: bool) -> int:
    """Print what went wrong; return the exit code."""
    if isinstance(error, SystemExit):
        return error.code if isinstance(error.code, int) else 1
    if type(error).__name__ == "Abort":  # click's name for Ctrl-C and for a declined question
        print("stopped", file=sys.stderr)
        return INTERRUPTED
    if debug:
        traceback.print_exception(error)
    if isinstance(error, MmtpError):
        _complain(error.message, error.hint)
        return error.exit_code
    if hasattr(error, "format_message"):  # what click says about arguments
        _complain(error.format_message(), "`mmtp --help` and `mmtp COMMAND --help` list what there is")
        return int(getattr(error, "exit_code", 2))
    if isinstance(error, OSError) and error.filename:
        _complain(f"{error.filename}: {error.strerror}", "")
        return 1
    _complain(f"{type(error).__name__}: {error}", "" if debug else "the same with --debug shows where")
    return 2 if isinstance(error, InputError) else 1


def _complain(message: str, hint: str) -> None:
    line = " ".join(message.split())
    print(f"mmtp: {line}" + (f" ({' '.join(hint.split())})" if hint else ""), file=sys.stderr)
