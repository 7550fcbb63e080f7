"""Claims: one worker at a time works on an action, and only the last one may write its result.

A claim has an owner, a lease that runs out by the database's clock, and a fence: a number that grows with
every new owner. A result is written in one transaction that also checks the fence, so a worker that was
paused, cut off or declared dead can't write over its successor's result when it comes back.
"""

from __future__ import annotations

import contextlib
import contextvars
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from types import TracebackType
from typing import TYPE_CHECKING, Any

from pymongo.client_session import ClientSession
from pymongo.errors import DuplicateKeyError, PyMongoError
from pymongo.read_concern import ReadConcern
from pymongo.write_concern import WriteConcern

from mmtp_fw import log
from mmtp_fw.database.process import identity, machine, started
from mmtp_fw.errors import LeaseLostError

if TYPE_CHECKING:
    from mmtp_fw.database.database import Database

_LOG = log.logger(__name__)


class Claim:
    """The right to work on an action; take it with `Claim.take`, use it as a context.

    Inside the context a thread renews the lease. At the end the claim is released.

    Attributes
    ----------
    key, owner : str
    fence : int
    lost : bool
        The lease was taken over, or could not be renewed before it ran out: stop, and write nothing.

    Examples
    --------
    ::

        claim = Claim.take(database, "c/000/fit", "host:4711", lease_seconds=600)
        if claim is not None:
            with claim:
                result = compute(should_stop=lambda: claim.lost)
                claim.commit(lambda session: write(result, session))
    """

    def __init__(self, database: Database, key: str, owner: str, fence: int, lease_seconds: float) -> None:
        self.database = database
        self.key = key
        self.owner = owner
        self.fence = fence
        self.lease_seconds = lease_seconds
        self._deadline = time.monotonic() + 0.9 * lease_seconds
        self._lost = threading.Event()
        self._ended = threading.Event()
        self._thread: threading.Thread | None = None

    @classmethod
    def take(cls, database: Database, key: str, owner: str, lease_seconds: float) -> Claim | None:
        """Take the claim on `key` atomically, or return None while another's lease runs.

        Parameters
        ----------
        database : Database
        key : str
        owner : str
            Who takes it, for people.
        lease_seconds : float
            How long it holds without being renewed.
        """
        free = {"$lte": ["$lease_until", "$$NOW"]}
        claim = {
            "owner": owner,
            "fence": {"$add": ["$fence", 1]},
            "lease_until": {"$add": ["$$NOW", round(lease_seconds * 1000)]},
            "taken": "$$NOW",
            "process": {"$literal": identity()},
        }
        # MongoDB refuses $expr in an upsert: first a claim that nobody holds, then the contest for it.
        with contextlib.suppress(DuplicateKeyError):
            database.claims.update_one(
                {"_id": key},
                {"$setOnInsert": {"owner": "", "fence": 0, "lease_until": datetime.fromtimestamp(0, UTC)}},
                upsert=True,
            )
        asked = time.monotonic()
        before = database.claims.find_one_and_update({"_id": key, "$expr": free}, [{"$set": claim}])
        if before is None:
            return None
        if before.get("process") is not None:  # released claims have none
            _LOG.warning("claim on %s taken over from %s, whose lease ran out", key, before["owner"])
        taken = cls(database, key, owner, before["fence"] + 1, lease_seconds)
        taken._deadline = asked + 0.9 * lease_seconds
        return taken

    @property
    def lost(self) -> bool:
        """Whether the right to write is gone, or will be before a renewal can be hoped for.

        It is the clock that decides, not the renewing thread: that one may hang in a call to a dead server.
        """
        return self._lost.is_set() or time.monotonic() > self._deadline

    def __enter__(self) -> Claim:
        keep = contextvars.copy_context().run  # the log goes on to say what it is about
        self._thread = threading.Thread(target=keep, args=(self._keep,), name=f"lease {self.key}", daemon=True)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        if self._thread is not None:
            self._thread.join(timeout=10.0)
        with contextlib.suppress(PyMongoError):  # then the lease runs out by itself
            self.release()

    def renew(self) -> bool:
        """Prolong the lease; return False when it is another's by now."""
        until = {"$add": ["$$NOW", round(self.lease_seconds * 1000)]}
        asked = time.monotonic()
        result = self.database.claims.update_one(
            {"_id": self.key, "fence": self.fence}, [{"$set": {"lease_until": until}}]
        )
        if result.matched_count == 0:
            self._lost.set()
            _LOG.warning("claim on %s is lost: another worker has taken it over", self.key)
            return False
        self._deadline = asked + 0.9 * self.lease_seconds
        return True

    def release(self) -> None:
        """End the lease at once, if it is still ours."""
        ended: list[dict[str, Any]] = [{"$set": {"lease_until": "$$NOW"}}, {"$unset": "process"}]
        self.database.claims.update_one({"_id": self.key, "fence": self.fence}, ended)

    def commit(self, write: Callable[[ClientSession], Any]) -> Any:
        """Run `write` in a transaction that holds only while the fence is ours.

        Parameters
        ----------
        write : callable
            Gets the session, which every write in it must be given; may be called again when the server
            asks for another try.

        Raises
        ------
        LeaseLostError
            Another owner has taken the claim; nothing was written.
        """

        def fenced(session: ClientSession) -> Any:
            held = self.database.claims.update_one(
                {"_id": self.key, "fence": self.fence}, [{"$set": {"committed": "$$NOW"}}], session=session
            )
            if held.matched_count == 0:
                self._lost.set()
                raise LeaseLostError(f"'{self.key}' was taken over from {self.owner}")
            return write(session)

        with self.database.launchpad.connection.start_session() as session:
            return session.with_transaction(
                fenced,
                read_concern=ReadConcern("snapshot"),
                write_concern=WriteConcern("majority", j=True),
            )

    def _keep(self) -> None:
        """Renew at a third of the lease; a failed renewal is tried again, ten times as often."""
        pause = self.lease_seconds / 3
        while not self._ended.wait(pause):
            try:
                if not self.renew():
                    return
                pause = self.lease_seconds / 3
            except PyMongoError as error:
                _LOG.warning("claim on %s not renewed, tried again: %s", self.key, str(error)[:200])
                pause = max(0.1, self.lease_seconds / 30)


def revoke(database: Database, key: str, session: ClientSession | None = None) -> None:
    """Take the right to write away from whoever works on `key`; nobody has it then."""
    ended = {"fence": {"$add": ["$fence", 1]}, "lease_until": "$$NOW"}
    database.claims.update_one({"_id": key}, [{"$set": ended}, {"$unset": "process"}], session=session)


def release_dead(database: Database) -> list[str]:
    """End the leases of processes of this machine that are gone: nobody will renew them.

    Returns
    -------
    list of str
        The keys of their claims.
    """
    here = machine()
    if here is None:
        return []
    live = {"process.machine": here, "$expr": {"$gt": ["$lease_until", "$$NOW"]}}
    released = []
    for claim in database.claims.find(live, {"fence": 1, "process": 1}):
        if started(claim["process"]["pid"]) != claim["process"]["started"]:
            database.claims.update_one(
                {"_id": claim["_id"], "fence": claim["fence"]}, [{"$set": {"lease_until": "$$NOW"}}]
            )
            released.append(claim["_id"])
            _LOG.warning("claim on %s ended: process %s of this machine is gone", claim["_id"], claim["process"]["pid"])
    return released
