"""What VASP said of its end: the error itself, not the farewell after it, a warning, or the launcher's words."""

from __future__ import annotations

import re
from collections.abc import Iterator

_MOST_CHARACTERS = 300

# Letters drawn of letters (ERROR, WARNING, BUG), and lines without any word.
_DRAWN = re.compile(r"^(?:(?:([^\W\d_])\1*|[#!|_/\\()*<>=.-]+)(?:\s+|$))*$")
_WARNING = re.compile(r"W    W    A|ADVICE TO THIS USER|WARNING", re.IGNORECASE)
_FAREWELL = re.compile(
    r"I REFUSE TO CONTINUE|If you are not a developer|Please submit a bug report|^\W*BYE\W*$", re.IGNORECASE
)
_REFUSAL = re.compile(r"I REFUSE TO CONTINUE")
_BUG = re.compile(r"submit a bug report|not a developer", re.IGNORECASE)
_ERROR = re.compile(
    r"VERY BAD NEWS|(?i:internal error)|Error reading item|(?i:\bfatal error\b)|^\s*Error\b(?! code)|^\s*ERROR\b"
    r"|[A-Z]{4,}: ERROR\b|LAPACK: Routine \w+ failed|TOO FEW BANDS|STOPPING\b|very serious problems"
    r"|No initial positions|REAL_OPT|not all point group operations|are incommensurate"
)
_DRAWN_ERROR = re.compile(r"EEEEEEE  RRRRRR|_     ____    _    _    _____     _")
_NOT_VASP = re.compile(
    r"^(?:forrtl|mpi(?:run|exec)|srun|slurmstepd|prterun|orterun|MPI|PMI|PRTE|NOTE:|You may or may not|exactly when|"
    r"with errorcode|Abort|application called|Image |Stack trace|Backtrace|\[|=|#\d|Program received|Primary job|"
    r"a non-zero exit code|CLEANING UP|YOU CAN IGNORE|EXIT CODE|BAD TERMINATION|RANK |PID |Process name|Exit code|"
    r"HYD|Job has|Local host|vasp\S*\s+[0-9A-F]{8})",
    re.IGNORECASE,
)
_RUNTIME = re.compile(
    r"forrtl: |Program received signal|[Ss]egmentation fault|SIGSEGV|[Oo]ut [Oo]f [Mm]emory|oom[-_]kill|"
    r"DUE TO TIME LIMIT|No space left|cannot open shared object|error while loading|command not found"
)
_NUMBERS = re.compile(r"^[-+\d.eEdD\s*]+$")
_HARMLESS = re.compile(r"[Rr]esults are still useful")
_BEGUN = re.compile(r"^\s*entering main loop", re.MULTILINE)
_RESTART_FILE = re.compile(r"WAVECAR|CHGCAR|WAVEDER|TMPCAR")


def complaint(said: str) -> str | None:
    """Return the error that VASP itself reports, in one line; None where it reports none.

    Parameters
    ----------
    said : str
        Its standard output and error. Of several errors the last one that it framed counts, else the last of all:
        what it could live with stands before.
    """
    framed = [text for text, is_error in _boxes(said) if is_error and text and not _HARMLESS.search(text)]
    if framed:
        return framed[-1]
    loose = [text for text in _loose(said) if not _HARMLESS.search(text)]
    return loose[-1] if loose else None


def last_words(said: str) -> str:
    """Return why VASP ended, as far as it or the system said so: its complaint, else the line that says most."""
    found = complaint(said)
    if found is not None:
        return found
    lines = [line.strip() for line in said.splitlines() if line.strip(" -=|*#")]
    crashes = [line for line in lines if _RUNTIME.search(line)]
    if crashes:
        return _short(crashes[0])
    telling = [line for line in lines if not _NUMBERS.match(line) and not _NOT_VASP.match(line)]
    return _short((telling or lines or ["no message"])[-1])


def refusal(said: str) -> str | None:
    """Return the error for which VASP gave up before its first electronic step, where its input is to blame.

    The same input meets the same error again. Files of an earlier run may be half written, which another copy mends,
    and a bug that VASP finds in itself may be the file system's: they are no refusals.
    """
    found = complaint(said)
    if found is None or _BEGUN.search(said) or _RESTART_FILE.search(found) or _BUG.search(said):
        return None
    return found


def _boxes(said: str) -> Iterator[tuple[str, bool]]:
    """Yield the text of each frame, and whether it reports an error."""
    frame: list[str] = []
    for line in [*said.splitlines(), ""]:
        stripped = line.strip()
        if len(stripped) > 1 and stripped.startswith("|") and stripped.endswith("|"):
            frame.append(stripped[1:-1].rstrip())
        elif frame:
            yield _frame(frame)
            frame = []


def _frame(lines: list[str]) -> tuple[str, bool]:
    whole = "\n".join(lines)
    text = _text(lines)
    if _DRAWN_ERROR.search(whole) or _REFUSAL.search(whole):
        return text, True
    return text, not _WARNING.search(whole) and bool(_ERROR.search(text))


def _text(lines: list[str]) -> str:
    words = [line.strip() for line in lines if not _DRAWN.match(line.strip()) and not _FAREWELL.search(line)]
    return _short(" ".join(words))


def _loose(said: str) -> Iterator[str]:
    """Yield errors that stand without a frame, each with the lines that go on with it."""
    lines = [line.strip() for line in said.splitlines()]
    for k, line in enumerate(lines):
        if line.startswith("|") or not _ERROR.search(line) or _NOT_VASP.match(line) or _FAREWELL.search(line):
            continue
        going_on = []
        for after in lines[k + 1 : k + 4]:
            ends = not after or after == line or after.startswith(("|", "-")) or _NOT_VASP.match(after)
            if ends or _NUMBERS.match(after) or _ERROR.search(after) or _FAREWELL.search(after):
                break
            going_on.append(after)
        yield _short(" ".join([line, *going_on]))


def _short(text: str) -> str:
    return re.sub(r"\s+", " ", text).strip()[:_MOST_CHARACTERS]
