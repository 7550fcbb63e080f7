"""Whether a failed action may be taken up again: only where nothing that came after it would be put in doubt."""

from __future__ import annotations

from mmtp_fw.loop.facts import Facts, Kind
from mmtp_fw.loop.fits import MEMBER

_ORDER = (Kind.PRETRAIN, Kind.LABEL, Kind.FIT, Kind.MD, Kind.SELECT)
"""What a round does, in order; averages, members and report come after all rounds."""


def obstacle(facts: Facts, key: str, role: str | None = None) -> str | None:
    """Return why a failed action stays failed, in words; None where it may be taken up again.

    Later work that went on without it is never computed or decided anew. A late label is an exception where its round
    has a potential all the same: the next fit uses it.

    Parameters
    ----------
    facts : Facts
    key : str
        Of a failed action of this campaign.
    role : str, optional
        Of a fit: "version" or "member".
    """
    fact = facts.finished[key]
    if fact.kind not in _ORDER or role == MEMBER:
        return _superseded(facts, key)
    mine = (fact.iteration, _ORDER.index(fact.kind))
    later = [step for step in map(_step, facts.planned) if step is not None and step > mine]
    if not later or (fact.kind == Kind.LABEL and _may_be_late(facts, fact.iteration)):
        return None
    iteration, place = min(later)
    return f"the campaign has gone on without it: {_ORDER[place].value} of round {iteration}"


def _superseded(facts: Facts, key: str) -> str | None:
    """Return why an average or a member of the ensemble is no longer of use; a reference belongs to no round."""
    newest = max((fact.iteration for fact in facts.finished.values() if fact.kind in _ORDER), default=0)
    if key not in facts.potentials or newest <= facts.finished[key].iteration:
        return None
    return f"round {newest} has come after it, with its own"


def _step(key: str) -> tuple[int, int] | None:
    """Return where in a campaign an action stands; None of what comes after all rounds."""
    _, iteration, kind, *subject = key.split("/")
    if Kind(kind) not in _ORDER or (kind == Kind.FIT and subject and subject[0].startswith(MEMBER)):
        return None
    return int(iteration), _ORDER.index(Kind(kind))


def _may_be_late(facts: Facts, iteration: int) -> bool:
    """Return whether a label of a round changes nothing that was decided: its round has a potential, or no MD yet."""
    made = any(fit.iteration == iteration and fit.potential is not None for fit in facts.of_kind(Kind.FIT))
    return made or not facts.explored(iteration)
