"""What the planner sees of a campaign: plain frozen data, no database, no FireWorks."""

from __future__ import annotations

import functools
import hashlib
import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from mmtp_fw.campaign import Campaign
from mmtp_fw.campaign.changes import AT_ONCE, EXPLORING
from mmtp_fw.labelling import ACCEPTED as ACCEPTED
from mmtp_fw.labelling import FAILED as FAILED
from mmtp_fw.loop.closed import Closed, Spent


class Kind(StrEnum):
    """What an action does."""

    PRETRAIN = "pretrain"
    LABEL = "label"
    FIT = "fit"
    MD = "md"
    SELECT = "select"
    PROPERTY = "property"
    REPORT = "report"


class Category(StrEnum):
    """Which FireWorkers pull an action: ``_category`` of its Firework."""

    MD = "md"
    DFT = "dft"
    FIT = "fit"
    LIGHT = "light"


CATEGORIES: Mapping[Kind, Category] = {
    Kind.PRETRAIN: Category.LIGHT,
    Kind.LABEL: Category.DFT,
    Kind.FIT: Category.FIT,
    Kind.MD: Category.MD,
    Kind.SELECT: Category.LIGHT,
    Kind.PROPERTY: Category.MD,
    Kind.REPORT: Category.LIGHT,
}

# What keeps others waiting goes first.
PRIORITIES: Mapping[Kind, int] = {
    Kind.PRETRAIN: 60,
    Kind.FIT: 60,
    Kind.SELECT: 60,
    Kind.LABEL: 50,
    Kind.MD: 40,
    Kind.PROPERTY: 30,
    Kind.REPORT: 60,
}

COMPLETED = "completed"


@dataclass(frozen=True)
class Action:
    """One piece of work with a deterministic key.

    Attributes
    ----------
    key : str
        ``<campaign>/<iteration>/<kind>[/<subject>]``; the same work always has the same key.
    kind : Kind
        What is to be done.
    category : Category
        Which workers do it.
    iteration : int
        Round of the campaign, from 0.
    params : mapping
        JSON-able arguments of the Firetask.
    after : tuple of str
        Keys of the facts that made the action due.
    priority : int
        Larger is pulled first.
    """

    key: str
    kind: Kind
    category: Category
    iteration: int
    params: Mapping[str, Any] = field(default_factory=dict)
    after: tuple[str, ...] = ()
    priority: int = 0


@dataclass(frozen=True)
class Fact:
    """The outcome of a finished action, whatever it was.

    Attributes
    ----------
    key : str
        Key of the action.
    kind : Kind
        Its kind.
    iteration : int
        Its round.
    outcome : str
        "accepted", "rejected" or "failed" of a label, the state of an MD run, "done" or "failed" of others.
    configurations : tuple of str
        Content hashes that were generated (pretrain), selected (select), or would close a potential's holes (fit).
    potential : int or None
        Version that a fit made.
    candidates : int
        Configurations that an MD run saved above γ_select.
    scf_runs : int
        Self-consistent calculations that were spent.
    md_steps : int
        Molecular dynamics steps that were done.
    loss : float
        Loss that a fit reached; infinite where it isn't known.
    refused : bool
        Whether a label's target was refused before anything was computed.
    holes : int
        Holes of a fit's potential within reach of the campaign's temperatures.
    imported : bool
        Whether a label was there before: it costs nothing.
    """

    key: str
    kind: Kind
    iteration: int
    outcome: str = "done"
    configurations: tuple[str, ...] = ()
    potential: int | None = None
    candidates: int = 0
    scf_runs: int = 0
    md_steps: int = 0
    loss: float = math.inf
    refused: bool = False
    holes: int = 0
    imported: bool = False

    @property
    def failed(self) -> bool:
        """Whether the action could not be done in all its attempts."""
        return self.outcome == FAILED

    @classmethod
    def from_result(cls, key: str, kind: str, iteration: int, result: Mapping[str, Any]) -> Fact:
        """Build a fact from a stored result; keys that the planner doesn't need are left out."""
        return cls(
            key=key,
            kind=Kind(kind),
            iteration=iteration,
            outcome=str(result.get("outcome", "done")),
            configurations=tuple(result.get("configurations", ())),
            potential=result.get("potential"),
            candidates=int(result.get("candidates", 0)),
            scf_runs=int(result.get("scf_runs", 0)),
            md_steps=int(result.get("md_steps", 0)),
            refused=bool(result.get("refused", False)),
            holes=int(result.get("holes", 0)),
            imported=bool(result.get("imported", False)),
            loss=float(result.get("fit", {}).get("loss", math.inf)),
        )


@dataclass(frozen=True)
class Facts:
    """Everything that decides what comes next.

    Attributes
    ----------
    campaign : Campaign
        The settings.
    finished : mapping of str to Fact
        Finished actions by key.
    planned : frozenset of str
        Keys of all actions that were ever planned, finished or not.
    potentials : mapping of str to int
        Version that a planned average or member of an ensemble is about, by the action's key.
    earlier : tuple of (int, Campaign)
        Settings that were changed, the oldest first, each with the first round that has them no more.
    closed : Closed
        What the first rounds come to; of those rounds' actions only some need be in `finished` and `planned`: the fit
        that it names, references, and labels of what would close a hole.
    awaited : tuple of str
        Files of ``start_from.labels`` that were not read yet: nothing is planned before.
    """

    campaign: Campaign
    finished: Mapping[str, Fact] = field(default_factory=dict)
    planned: frozenset[str] = frozenset()
    potentials: Mapping[str, int] = field(default_factory=dict)
    earlier: tuple[tuple[int, Campaign], ...] = ()
    closed: Closed = field(default_factory=Closed)
    awaited: tuple[str, ...] = ()

    def at(self, iteration: int) -> Campaign:
        """Return the settings of a round; its limits are those of today."""
        before = next((settings for until, settings in self.earlier if iteration < until), self.campaign)
        return before.model_copy(update={name: getattr(self.campaign, name) for name in AT_ONCE})

    def changed(self, iteration: int) -> bool:
        """Return whether a round is the first to explore with other settings."""
        since = [settings for until, settings in self.earlier if until == iteration]
        return bool(since) and any(getattr(since[0], name) != getattr(self.at(iteration), name) for name in EXPLORING)

    def key(self, iteration: int, kind: Kind, subject: str = "") -> str:
        """Return the key of an action of this campaign."""
        parts = [self.campaign.name, f"{iteration:03d}", kind.value, subject]
        return "/".join(part for part in parts if part)

    def action(
        self,
        iteration: int,
        kind: Kind,
        subject: str = "",
        params: Mapping[str, Any] | None = None,
        after: tuple[str, ...] = (),
        priority: int | None = None,
    ) -> Action:
        """Return an action of this campaign with its key, category and priority."""
        key = self.key(iteration, kind, subject)
        priority = PRIORITIES[kind] if priority is None else priority
        return Action(key, kind, CATEGORIES[kind], iteration, params or {}, after, priority)

    def subject(self, iteration: int, kind: Kind, subject: str, potential: int) -> str:
        """Return the subject under which something is computed with a potential.

        Where another potential has had that name in the same round, as before a failed fit was tried again, a number is
        added: what was computed stays what it is.
        """
        for again in itertools.count():
            name = f"{subject}-again{again}" if again else subject
            if self.potentials.get(self.key(iteration, kind, name), potential) == potential:
                return name
        raise AssertionError("counting never ends")

    def explored(self, iteration: int) -> bool:
        """Return whether trajectories of a round were planned: what was decided before them is not decided anew."""
        return iteration in self._explored

    @functools.cached_property
    def _explored(self) -> frozenset[int]:
        parts = (key.split("/") for key in self.planned)
        return frozenset(int(part[1]) for part in parts if part[2:3] == [Kind.MD])

    def imported(self, iteration: int) -> tuple[str, ...]:
        """Return the keys of the labels that were brought into a round, in order."""
        return self._imported.get(iteration, ())

    @functools.cached_property
    def _imported(self) -> Mapping[int, tuple[str, ...]]:
        found: dict[int, list[str]] = {}
        for key in sorted(self.finished):
            if (fact := self.finished[key]).imported and fact.outcome == ACCEPTED:
                found.setdefault(fact.iteration, []).append(key)
        return {iteration: tuple(keys) for iteration, keys in found.items()}

    def labelled(self, configuration: str, iteration: int) -> bool:
        """Return whether a configuration was labelled, however that ended, in a round up to `iteration`."""
        return self._first_labelled.get(configuration, iteration + 1) <= iteration

    @functools.cached_property
    def _first_labelled(self) -> Mapping[str, int]:
        first: dict[str, int] = {}
        for fact in self.finished.values():
            if fact.kind == Kind.LABEL:
                configuration = fact.key.split("/", 3)[3]
                first[configuration] = min(fact.iteration, first.get(configuration, fact.iteration))
        return first

    def spent_until(self, iteration: int) -> Spent:
        """Return what the labels of all rounds up to and including `iteration` have cost; imported ones nothing.

        Later rounds are left out so that a decision of a past round comes out the same for ever.
        """
        place = iteration - self.closed.rounds
        return self._spent[min(place, len(self._spent) - 1)] if place >= 0 and self._spent else self.closed.spent

    @functools.cached_property
    def _spent(self) -> Sequence[Spent]:
        """What labels have cost up to each open round."""
        each: dict[int, Spent] = {}
        for label in self.finished.values():
            paid = label.kind == Kind.LABEL and not (label.refused or label.imported)
            if paid and label.iteration >= self.closed.rounds:
                one = Spent(1, int(label.outcome != ACCEPTED), label.scf_runs)
                each[label.iteration] = each.get(label.iteration, Spent()) + one
        rounds = range(self.closed.rounds, max(each, default=-1) + 1)
        return list(itertools.accumulate((each.get(k, Spent()) for k in rounds), initial=self.closed.spent))[1:]

    def of_kind(self, kind: Kind) -> Iterator[Fact]:
        """Iterate over the finished actions of a kind, by key."""
        return (self.finished[key] for key in sorted(self.finished) if self.finished[key].kind == kind)


def seed_of(campaign: Campaign, key: str) -> int:
    """Return the seed of an action, in [0, 2³¹): the same for the same campaign seed and key.

    The campaign's name is no part of it: a second campaign on the same system, with another potential say, begins with
    the same configurations, and finds their labels there.
    """
    bare = key.removeprefix(f"{campaign.name}/")
    digest = hashlib.blake2b(f"{campaign.seed}/{bare}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") % 2**31
