"""The one way to write a file: complete or not at all."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

PRIVATE = 0o600
"""Mode of what only its owner may read."""


@contextmanager
def replacing(path: str | Path, *, durable: bool = False, private: bool = False) -> Iterator[Path]:
    """Give a name beside `path` to write under; at the end that file takes the place of `path`.

    Whoever reads `path` finds the old file or the new one, never a part; several may write at once, and the last one
    stays. After an exception the old file is as it was, and nothing lies beside it.

    Parameters
    ----------
    path : str or Path
        The file; its directory exists.
    durable : bool
        Wait until it is on the disk, so that it is also there after a power cut.
    private : bool
        Nobody but its owner may read it (mode 0600), at no time; otherwise what the umask allows.

    Yields
    ------
    Path
        Where to write.

    Raises
    ------
    OSError
        The directory can't be written, the disk is full.
    """
    path = Path(path)
    partial = path.with_name(f".{path.name}.{secrets.token_hex(4)}.part")
    try:
        os.close(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, PRIVATE if private else 0o666))
        yield partial
        if durable:
            _sync(partial)
        partial.replace(path)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise
    if durable:
        _sync(path.parent)


def write_whole(path: str | Path, content: str | bytes, *, durable: bool = False, private: bool = False) -> None:
    """Write text (UTF-8) or bytes to a file, complete or not at all; see `replacing`."""
    with replacing(path, durable=durable, private=private) as partial:
        partial.write_bytes(content.encode() if isinstance(content, str) else content)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
