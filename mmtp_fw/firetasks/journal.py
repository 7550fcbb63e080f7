"""A local journal: what was computed survives when the database is away at the moment it is to be written."""

from __future__ import annotations

import contextlib
import hashlib
import pickle
from pathlib import Path
from typing import Any

from mmtp_fw import __version__, log
from mmtp_fw.database.home import home
from mmtp_fw.files import write_whole

_LOG = log.logger(__name__)


def journal_directory() -> Path:
    """Return the directory of the journal: ``$MMTP_HOME/journal``, else below the user's data directory."""
    return home() / "journal"


class Journal:
    """The journal entry of one action on this machine.

    A pickle in a directory that only its owner may read: it is written and read by the same user on the same
    machine, never sent anywhere.

    Parameters
    ----------
    scope : str
        Tells databases apart: an action's key is unique only inside one database, and only while that lives.
    key : str
        Key of the action.
    """

    def __init__(self, scope: str, key: str) -> None:
        name = hashlib.blake2b(f"{scope}\n{key}".encode(), digest_size=16).hexdigest()
        self.path = journal_directory() / f"{name}.pickle"

    def save(self, payload: Any) -> None:
        """Write `payload` so that it is there completely or not at all (write, fsync, rename).

        Where nothing can be written (a read-only home, a full disk) the work goes on without the journal.
        """
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            write_whole(self.path, pickle.dumps((__version__, payload)), durable=True, private=True)
        except OSError as error:
            _LOG.warning("no journal, set MMTP_HOME to a directory that can be written: %s", error)

    def load(self) -> Any | None:
        """Return what was saved; None if nothing was, or if another version or a broken disk wrote it."""
        try:
            with self.path.open("rb") as stream:
                version, payload = pickle.load(stream)
        except (
            OSError,
            EOFError,
            pickle.UnpicklingError,
            AttributeError,
            ImportError,
            ValueError,
            TypeError,
        ):
            return None
        return payload if version == __version__ else None

    def clear(self) -> None:
        """Forget the entry: its content is in the database."""
        with contextlib.suppress(OSError):  # nothing was written where nothing can be removed
            self.path.unlink(missing_ok=True)
