"""A trajectory and its continuations: parts that a wall time or a worker's end cut off are followed by others."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import product

from mmtp_fw.loop.facts import COMPLETED, Action, Fact, Facts, Kind, seed_of
from mmtp_fw.structures.phases import Phase

CUT_OFF = frozenset({"wall_time", "interrupted"})
"""Outcomes after which a trajectory goes on where it stopped."""
MAX_EMPTY_PARTS = 3
"""Parts in a row without a single step after which a trajectory counts as broken."""


@dataclass(frozen=True)
class Chain:
    """One trajectory as far as it is known.

    Attributes
    ----------
    parts : tuple of Fact
        Its finished parts.
    due : Action or None
        The part to be computed next; None when the trajectory has ended.
    """

    parts: tuple[Fact, ...]
    due: Action | None

    @property
    def completed(self) -> bool:
        """Whether it went to its last step."""
        return self.due is None and bool(self.parts) and self.parts[-1].outcome == COMPLETED


def chains(facts: Facts, iteration: int, potential: int) -> list[Chain]:
    """Return every trajectory of a round: phases × lattice parameters × temperatures × orders × replicas."""
    return [_chain(facts, first) for first in _first_parts(facts, iteration, potential)]


def parts_of(trajectories: Sequence[Chain]) -> list[Fact]:
    """Return all finished parts, in order."""
    return [part for chain in trajectories for part in chain.parts]


def _chain(facts: Facts, first: Action) -> Chain:
    parts: list[Fact] = []
    action, left, empty = first, int(first.params["steps"]), 0
    while (fact := facts.finished.get(action.key)) is not None:
        parts.append(fact)
        left -= fact.md_steps
        empty = 0 if fact.md_steps else empty + 1
        if fact.outcome not in CUT_OFF or left <= 0 or empty >= MAX_EMPTY_PARTS:
            return Chain(tuple(parts), None)
        number = len(parts)
        key = f"{first.key}-part{number}"
        # Another seed: flips of moments must not begin their random numbers anew.
        more = {"steps": left, "continues": fact.key, "part": number, "seed": seed_of(facts.campaign, key)}
        action = replace(first, key=key, params={**first.params, **more}, after=(fact.key,))
    return Chain(tuple(parts), action)


def _first_parts(facts: Facts, iteration: int, potential: int) -> Iterator[Action]:
    settings = facts.at(iteration)
    md = settings.md
    points = [(phase, a) for phase in settings.phases for a in phase.lattice_parameters_A]
    for (phase, a), temperature in product(points, md.temperatures_K):
        for order, replica in product(phase.orders, range(md.replicas)):
            subject = f"{prefix(phase)}a{a:g}-T{temperature:g}-{order}-{replica}"
            params = named(phase) | {
                "lattice_parameter_A": a,
                "temperature_K": temperature,
                "magnetic_order": order,
                "replica": replica,
                "potential": potential,
                "seed": seed_of(facts.campaign, facts.key(iteration, Kind.MD, subject)),
                "steps": md.steps,
            }
            yield facts.action(iteration, Kind.MD, subject, params)


def prefix(phase: Phase) -> str:
    """Return what keys of a phase's actions have before the lattice parameter; nothing where it has no name."""
    return f"{phase.name}-" if phase.name else ""


def named(phase: Phase) -> dict[str, str]:
    """Return the parameter that tells an action's phase; none where it has no name."""
    return {"phase": phase.name} if phase.name else {}
