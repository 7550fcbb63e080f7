"""The planner: a pure function from facts to the actions that are due.

A campaign is a sequence of rounds. Round k labels what round k-1 selected (round 0: the generated
pretraining set), fits a potential to every accepted label so far, runs molecular dynamics with it, and
selects from what the trajectories saved; what would close a hole of the potential is labelled with that. It ends when
no trajectory selects anything, in `selection.clean_rounds` rounds in a row, each with seeds of its own, or when `stop`
says so; after a change of its settings it has to converge anew. Then properties and report follow. Nothing here looks
at a clock or a random number: the same facts always give the same actions, and a campaign can be replayed.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import product
from typing import Any

from mmtp_fw.loop.closed import Closed, Wanted
from mmtp_fw.loop.facts import ACCEPTED, CATEGORIES, Action, Fact, Facts, Kind, seed_of
from mmtp_fw.loop.fits import best_of, fits_of_round, members
from mmtp_fw.loop.stop import StopReason, budget_stop
from mmtp_fw.loop.trajectories import chains, named, parts_of

REFERENCE_PRIORITY = 10
"""The reference waits for nothing and fills idle workers."""


@dataclass(frozen=True)
class Position:
    """Where a campaign stands.

    Attributes
    ----------
    iteration : int
        The round.
    phase : Kind
        Kind of the actions that are due; REPORT with an empty `due` when all is done.
    due : tuple of Action
        Ready and not finished, planned or not.
    potential : int or None
        The newest potential.
    stop : StopReason or None
        Why the learning ended, when it has.
    """

    iteration: int
    phase: Kind
    due: tuple[Action, ...] = ()
    potential: int | None = None
    stop: StopReason | None = None

    @property
    def finished(self) -> bool:
        """Whether nothing is left to do."""
        return self.phase == Kind.REPORT and not self.due


def plan(facts: Facts) -> list[Action]:
    """Return the actions that are due and not yet planned.

    Parameters
    ----------
    facts : Facts
        What is known of one campaign.

    Returns
    -------
    list of Action
        With unique keys, in a deterministic order. Planning again after they were recorded as planned gives
        nothing.

    Examples
    --------
    >>> from mmtp_fw.campaign import Campaign
    >>> [action.key for action in plan(Facts(Campaign(name="c"))) if action.kind == "pretrain"]
    ['c/000/pretrain']
    """
    return [action for action in due(facts) if action.key not in facts.planned]


def due(facts: Facts) -> list[Action]:
    """Return every action that is ready and not finished, planned or not."""
    return due_at(facts, locate(facts))


def due_at(facts: Facts, position: Position) -> list[Action]:
    """Return every action that is ready and not finished where a campaign stands, planned or not."""
    actions = {action.key: action for action in position.due}
    # The averages of an engine that needs no program depend on no potential and are cheap: they may start at once.
    if not facts.campaign.dft.description.programs and not position.finished:
        actions |= {action.key: action for action in _references(facts) if action.key not in facts.finished}
    return list(actions.values())


def locate(facts: Facts) -> Position:
    """Return where the campaign stands."""
    return walk(facts)[1]


def walk(facts: Facts) -> tuple[Closed, Position]:
    """Walk through the finished rounds that `facts.closed` does not cover, to where the campaign stands.

    Returns
    -------
    Closed
        What all rounds before that come to: with it in the place of their facts, the campaign stands where it does.
    Position
        Where that is.
    """
    closed = facts.closed
    if not closed.rounds:
        start = _started(facts)
        if isinstance(start, Position):
            return closed, start
        closed = replace(closed, wanted=start)
    while True:
        learnt = _learn(facts, closed)
        if isinstance(learnt, Position):
            if not _goes_on(facts, learnt):
                return closed, learnt
            closed = _skipped(facts, closed, closed.fit)
            continue
        new_labels, fit = learnt
        explored = _explore(facts, closed.rounds, fit, _stalled(facts, closed, new_labels), closed)
        if isinstance(explored, Position):
            if not _goes_on(facts, explored):
                return closed, explored
            explored = _skipped(facts, closed, fit.key)
        closed = explored


def _goes_on(facts: Facts, position: Position) -> bool:
    """Return whether labels were brought into a campaign that had come to its end here: they begin a round."""
    return position.stop is not None and bool(facts.imported(position.iteration + 1))


def _skipped(facts: Facts, closed: Closed, fit: str | None) -> Closed:
    """Return what rounds come to of which the last one ended the campaign, where it goes on all the same."""
    return Closed(closed.rounds + 1, (), fit, spent=facts.spent_until(closed.rounds))


def _started(facts: Facts) -> Position | Wanted:
    """Generate the first configurations: a position where that isn't finished, else what is to be labelled."""
    pretrain = facts.action(0, Kind.PRETRAIN)
    if facts.awaited:
        return Position(0, Kind.PRETRAIN)
    start = facts.finished.get(pretrain.key)
    if start is None:
        return Position(0, Kind.PRETRAIN, (pretrain,))
    if start.failed:
        return _final(facts, 0, None, StopReason.PRETRAIN_FAILED)
    return tuple((configuration, start.key) for configuration in start.configurations)


def _learn(facts: Facts, closed: Closed) -> Position | tuple[int, Fact]:
    """Label and fit: a position where that isn't finished, else the number of new labels and the newest fit."""
    iteration = closed.rounds
    newest = facts.finished[closed.fit] if closed.fit is not None else None
    potential = newest.potential if newest is not None else None
    labels = [_label(facts, iteration, configuration, source) for configuration, source in closed.wanted]
    open_labels = _unfinished(facts, labels)
    if open_labels:
        return Position(iteration, Kind.LABEL, open_labels, potential)
    brought = facts.imported(iteration)
    accepted = sum(facts.finished[label.key].outcome == ACCEPTED for label in labels) + len(brought)
    if accepted:
        after = tuple(dict.fromkeys((*(label.key for label in labels), *brought)))
        fits = fits_of_round(facts, iteration, potential, after)
        open_fits = _unfinished(facts, fits)
        if open_fits:
            return Position(iteration, Kind.FIT, open_fits, potential)
        newest = best_of([facts.finished[fit.key] for fit in fits])
        if newest is None:
            return _final(facts, iteration, potential, StopReason.FIT_FAILED)
    if newest is None:
        return _final(facts, iteration, None, StopReason.NO_LABELS)
    return accepted, newest


def _stalled(facts: Facts, closed: Closed, new_labels: int) -> int:
    """Return how many rounds in a row, this one included, have given no new label."""
    if new_labels or facts.changed(closed.rounds):
        return 0
    # After a clean round there was nothing to label.
    return closed.stalled + 1 if closed.rounds and not closed.clean else closed.stalled


def _explore(facts: Facts, iteration: int, fit: Fact, stalled: int, closed: Closed) -> Position | Closed:
    """Run MD and select: a position where that isn't finished, else what the rounds up to this one come to."""
    potential = fit.potential
    assert potential is not None, "`best_of` takes no other"
    stop = _stop_before(facts, iteration, stalled, closed)
    if stop:
        return _final(facts, iteration, potential, stop)
    trajectories = chains(facts, iteration, potential)
    open_runs = tuple(chain.due for chain in trajectories if chain.due is not None)
    if open_runs:
        return Position(iteration, Kind.MD, open_runs, potential)
    selected = _select(facts, iteration, potential, parts_of(trajectories))
    if isinstance(selected, Position):
        return selected
    wanted = (*selected, *_closing(facts, iteration, fit, len(selected)))
    spent = facts.spent_until(iteration)
    ended = Closed(iteration + 1, wanted, fit.key, stalled, 0, bool(selected), spent)
    more = wanted or facts.changed(iteration + 1) or facts.imported(iteration + 1)
    if more or not all(chain.completed for chain in trajectories):
        return ended
    ended = replace(ended, clean=closed.clean + 1)
    stop = _learnt(facts, iteration, fit, ended.clean)
    return ended if stop is None else _final(facts, iteration, potential, stop)


def _learnt(facts: Facts, iteration: int, fit: Fact, clean: int) -> StopReason | None:
    """Return whether so many clean rounds end the learning, and as what."""
    if fit.holes:
        return StopReason.HOLES
    return StopReason.CONVERGED if clean >= facts.at(iteration).selection.clean_rounds else None


def _closing(facts: Facts, iteration: int, fit: Fact, selected: int) -> Wanted:
    """Return what would close the holes of a potential and was never labelled, as far as the budget goes."""
    untried = [one for one in fit.configurations if not facts.labelled(one, iteration)]
    left = facts.campaign.budget.max_labels - facts.spent_until(iteration).labels - selected
    return tuple((configuration, fit.key) for configuration in untried[: max(0, left)])


def _stop_before(facts: Facts, iteration: int, stalled: int, closed: Closed) -> StopReason | None:
    """Return why a round runs no trajectories; what was decided about a round that has some stays."""
    if facts.explored(iteration):
        return None
    stop = budget_stop(facts, iteration)
    if stop or stalled < facts.campaign.budget.max_stalled_iterations:
        return stop
    return StopReason.STALLED if closed.selected else StopReason.MD_BROKEN


def _select(facts: Facts, iteration: int, potential: int, runs: Sequence[Fact]) -> Position | Wanted:
    """Select from finished runs: a position where that isn't done, else what was selected."""
    keys = tuple(run.key for run in runs)
    if not any(run.candidates for run in runs):
        return ()
    select = _selection(facts, iteration, potential, keys)
    fact = facts.finished.get(select.key)
    if fact is None:
        return Position(iteration, Kind.SELECT, (select,), potential)
    if fact.failed:
        return _final(facts, iteration, potential, StopReason.SELECTION_FAILED)
    return tuple((configuration, fact.key) for configuration in fact.configurations)


def _final(facts: Facts, iteration: int, potential: int | None, stop: StopReason) -> Position:
    """Properties with the last potential, then the report."""
    properties: list[Action] = []
    if potential is not None:
        properties = [
            *_properties(facts, iteration, potential),
            *_references(facts),
            *members(facts, iteration, potential),
        ]
        missing = _unfinished(facts, properties)
        if missing:
            return Position(iteration, Kind.PROPERTY, missing, potential, stop)
    report = facts.action(
        iteration,
        Kind.REPORT,
        params={"stop": stop.value, "potential": potential},
        after=tuple(action.key for action in properties),
    )
    return Position(iteration, Kind.REPORT, _unfinished(facts, [report]), potential, stop)


def _label(facts: Facts, iteration: int, configuration: str, source: str) -> Action:
    params = {"configuration": configuration}
    return facts.action(iteration, Kind.LABEL, configuration, params, (source,))


def _selection(facts: Facts, iteration: int, potential: int, runs: tuple[str, ...]) -> Action:
    campaign = facts.at(iteration)
    left = campaign.budget.max_labels - facts.spent_until(iteration).labels
    params = {"potential": potential, "max_count": min(campaign.selection.max_per_iteration, left)}
    return facts.action(iteration, Kind.SELECT, params=params, after=runs)


def _properties(facts: Facts, iteration: int, potential: int) -> Iterator[Action]:
    for point, where in _compared(facts):
        subject = f"mmtp-{point}"
        params = {"source": "mmtp", **where, "potential": potential} | _seed(facts, subject)
        yield facts.action(
            iteration, Kind.PROPERTY, facts.subject(iteration, Kind.PROPERTY, subject, potential), params
        )


def _references(facts: Facts) -> Iterator[Action]:
    """Averages of the engine itself; their key has round 0, for they depend on no round."""
    if not facts.campaign.properties.reference:
        return
    # Where a program is needed, the workers that label have it.
    category = CATEGORIES[Kind.LABEL if facts.campaign.dft.description.programs else Kind.PROPERTY]
    for point, where in _compared(facts):
        subject = f"reference-{point}"
        params = {"source": "reference", **where, "potential": None}
        action = facts.action(0, Kind.PROPERTY, subject, params | _seed(facts, subject))
        yield replace(action, priority=REFERENCE_PRIORITY, category=category)


def _compared(facts: Facts) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield every point at which potential and engine are compared, as a part of keys and as parameters."""
    for phase in facts.campaign.phases:
        for order, a in product(phase.compared, phase.all_lattice_parameters_A):
            where: dict[str, Any] = named(phase) | {"lattice_parameter_A": a}
            if phase.name:
                held_out = a in phase.held_out_lattice_parameters_A
                yield f"{phase.name}-{order}-a{a:g}", where | {"magnetic_order": order, "held_out": held_out}
            elif order != "ferromagnetic":
                yield f"{order}-a{a:g}", where | {"magnetic_order": order}
            else:  # as the first versions planned it
                yield f"a{a:g}", where


def _seed(facts: Facts, subject: str) -> dict[str, int]:
    return {"seed": seed_of(facts.campaign, f"property/{subject}")}


def _unfinished(facts: Facts, actions: Sequence[Action]) -> tuple[Action, ...]:
    return tuple(action for action in actions if action.key not in facts.finished)
