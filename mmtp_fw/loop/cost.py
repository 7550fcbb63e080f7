"""What a campaign would cost, before anything is started.

The calculations of an engine that counts its work (`EngineCosts.work`) cost what their cells, cut-offs, meshes,
electrons and bands say: electronic steps × operations × seconds per operation. The last number depends on the machine:
finished stages of a database measure it (`calibrate`), by default it is the engine's own, with a range of a factor of
three.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from ase import Atoms

from mmtp_fw.campaign import Campaign
from mmtp_fw.dft.registry import EngineCosts
from mmtp_fw.dft.work import ScfWork

# Seconds on one core, measured; an engine's description has its own.
_STEP_SECONDS_PER_ATOM = 4e-4
_FIT_SECONDS_PER_LABEL = 1.0
# Calculations of a label by kind of constraint, and what a check that is asked for adds.
_SCF_RUNS_PER_LABEL = {"hard": 1.2, "soft": 5.0}
_SCF_RUNS_PER_CHECK = {"hard": 3.0, "soft": 1.0}
# Factor either way of what nothing measured, and of what few stages did.
_UNCALIBRATED, _FEW = 3.0, 2.0
_MANY_STAGES = 5
# Stages whose step takes up to so many times the operations of those asked for, or as many times fewer, are alike.
_ALIKE = 2.0
# Beyond that the range grows by this power of the ratio: what the counts of operations leave out.
_DOUBT = 0.2


@dataclass(frozen=True)
class Measured:
    """A finished stage.

    Attributes
    ----------
    work : ScfWork or None
        Of one of its electronic steps.
    steps : int
    seconds : float
        Of all its processes together.
    """

    work: ScfWork | None
    steps: int
    seconds: float


@dataclass(frozen=True)
class Calibration:
    """What finished stages say about an engine's estimates.

    Attributes
    ----------
    stages : int
        How many it rests on.
    factor : float
        Median of measured over estimated seconds.
    low, high : float
        Where most ratios lie, at least a factor of 1.5 to either side (2 of fewer than five stages), and more where
        the stages are of other sizes than what is asked for.
    electronic_steps : float
        Mean of a stage.
    alike : bool
        Whether they are of about the size that is asked for.
    """

    stages: int
    factor: float
    low: float
    high: float
    electronic_steps: float
    alike: bool


def calibrate(costs: EngineCosts, stages: Sequence[Measured], work: ScfWork | None = None) -> Calibration | None:
    """Compare what an engine's calculations took with what was to be expected of them.

    Parameters
    ----------
    costs : EngineCosts
    stages : sequence of Measured
        Stages of the engine, of any settings and cells.
    work : ScfWork, optional
        What is asked for: five stages or more of about its size (a factor of two) go before all others.

    Returns
    -------
    Calibration or None
        None without any stage.
    """
    known = _that_tell(stages, work)
    if not known:
        return None
    sizes = [_distance(stage.work, work) for stage in known]
    near = [stage for stage, size in zip(known, sizes, strict=True) if size <= _ALIKE]
    alike = len(near) >= _MANY_STAGES
    known = near if alike else known
    ratios = np.array([stage.seconds / costs.seconds(stage.work, stage.steps) for stage in known])
    factor = float(np.median(ratios))
    least = 1.5 if len(known) >= _MANY_STAGES else _FEW
    if not alike:
        least *= max(1.0, float(np.median(sizes)) / _ALIKE) ** _DOUBT
    low, high = np.quantile(ratios, [0.1, 0.9])
    steps = float(np.mean([stage.steps for stage in known]))
    return Calibration(len(known), factor, min(low, factor / least), max(high, factor * least), steps, alike)


def _that_tell(stages: Sequence[Measured], work: ScfWork | None) -> list[Measured]:
    """Return the stages that took time, and of which the work is known where it is asked for."""
    took = [stage for stage in stages if stage.steps > 0 and stage.seconds > 0]
    return took if work is None else [stage for stage in took if stage.work is not None]


def _distance(one: ScfWork | None, other: ScfWork | None) -> float:
    """Return how many times larger the larger of two is."""
    if one is None or other is None:
        return 1.0
    return math.exp(abs(math.log(one.operations / other.operations)))


@dataclass(frozen=True)
class Cost:
    """An estimate; ranges are from one round to the whole budget.

    Attributes
    ----------
    atoms : int
        Atoms of one cell.
    labels : tuple of int
        Fewest and most configurations sent to DFT.
    scf_runs : tuple of int
        Fewest and most self-consistent calculations that are still to be made.
    md_steps : tuple of int
        Fewest and most steps, final properties included.
    md_runs : tuple of int
        Fewest and most trajectories, final properties included.
    core_hours : tuple of float
        Fewest and most hours of one core, by the best estimate.
    core_hours_range : tuple of float
        The same with what is uncertain about a calculation's time: from the fewest at the low end to the most at the
        high end.
    scf_seconds : tuple of float
        Low end, best estimate and high end of one self-consistent calculation on one core.
    rests_on : str
        What the time of a calculation was estimated from.
    work : ScfWork or None
        Of an electronic step; None where the engine does not count it.
    """

    atoms: int
    labels: tuple[int, int]
    scf_runs: tuple[int, int]
    md_steps: tuple[int, int]
    md_runs: tuple[int, int]
    core_hours: tuple[float, float]
    core_hours_range: tuple[float, float]
    scf_seconds: tuple[float, float, float]
    rests_on: str
    work: ScfWork | None


def work_of(campaign: Campaign, cells: Sequence[Atoms] = ()) -> ScfWork | None:
    """Return the work of an electronic step in the most demanding of some cells; None where it is not counted.

    Parameters
    ----------
    campaign : Campaign
    cells : sequence of Atoms
        By default the undistorted one of each phase at its largest lattice parameter.
    """
    count = campaign.dft.description.costs.work
    if count is None:
        return None
    if not cells:
        cells = [phase.cell(phase.all_lattice_parameters_A[-1], np.random.default_rng(0)) for phase in campaign.phases]
    return max((count(campaign.dft.settings, cell) for cell in cells), key=lambda work: work.operations)


def estimate(
    campaign: Campaign, cells: Sequence[Atoms] = (), stages: Sequence[Measured] = (), finished: int = 0
) -> Cost:
    """Estimate the cost of a campaign from its settings, and from what a database has of its engine.

    Parameters
    ----------
    campaign : Campaign
        Checked settings.
    cells : sequence of Atoms
        Configurations of it, from which the work of a calculation is counted; see `work_of`.
    stages : sequence of Measured
        Finished stages of its engine; see `calibrate`.
    finished : int
        Labels that are there and are not computed again.

    Returns
    -------
    Cost
        From the case that the first potential selects nothing, to the case that the budget is spent.
    """
    phases, budget, properties = campaign.phases, campaign.budget, campaign.properties
    atoms = max(phase.number_of_atoms for phase in phases)
    rounds, labels = _rounds_and_labels(campaign)
    points = [len(phase.lattice_parameters_A) * len(phase.orders) for phase in phases]
    runs_per_round = sum(points) * len(campaign.md.temperatures_K) * campaign.md.replicas
    # At rest there is no trajectory, and the reference is one calculation without constraint at every volume.
    thermal, volumes = (
        properties.mode == "thermal",
        sum(len(p.all_lattice_parameters_A) * len(p.compared) for p in phases),
    )
    averages = volumes * properties.replicas if thermal else 0
    reference = averages if properties.reference else 0
    at_rest = volumes if properties.reference and not thermal else 0
    final_steps = (averages + reference) * properties.steps
    round_steps = runs_per_round * campaign.md.steps
    done = _scf_runs(campaign, finished)
    scf_runs = tuple(max(0, min(budget.max_scf_runs, _scf_runs(campaign, n)) - done) for n in labels)
    work = work_of(campaign, cells)
    seconds, rests_on = _scf_seconds(campaign, work, stages)
    hours = [
        [
            _hours(campaign, atoms, n, (scf + at_rest) * each, r * round_steps + averages * properties.steps, reference)
            for n, scf, r in zip(labels, scf_runs, (1, rounds), strict=True)
        ]
        for each in seconds
    ]
    return Cost(
        atoms=atoms,
        labels=labels,
        scf_runs=(scf_runs[0], scf_runs[1]),
        md_steps=(round_steps + final_steps, rounds * round_steps + final_steps),
        md_runs=(runs_per_round + averages + reference, rounds * runs_per_round + averages + reference),
        core_hours=(hours[1][0], hours[1][1]),
        core_hours_range=(hours[0][0], hours[2][1]),
        scf_seconds=seconds,
        rests_on=rests_on,
        work=work,
    )


def _rounds_and_labels(campaign: Campaign) -> tuple[int, tuple[int, int]]:
    """Return how many rounds the budget allows, and the fewest and most labels."""
    budget, first, step = campaign.budget, campaign.pretraining.structures, campaign.selection.max_per_iteration
    rounds = min(budget.max_iterations, 1 + -(-(budget.max_labels - first) // step))
    return rounds, (first, min(budget.max_labels, first + rounds * step))


def _scf_seconds(
    campaign: Campaign, work: ScfWork | None, stages: Sequence[Measured]
) -> tuple[tuple[float, float, float], str]:
    """Return low end, best estimate and high end of a calculation's seconds on one core, and what they rest on."""
    costs, title = campaign.dft.description.costs, campaign.dft.description.title
    found = calibrate(costs, stages, work)
    if found is None:
        usual = costs.seconds(work)
        rests_on = costs.rests_on or "no measurement at all"
        text = (
            f"no finished stage of {title} in a database: {rests_on}; right within a factor of {_UNCALIBRATED:g} or so"
        )
        return (usual / _UNCALIBRATED, usual, usual * _UNCALIBRATED), text
    usual = costs.seconds(work, found.electronic_steps)
    sizes = "" if found.alike or work is None else ", of cells or settings of another size"
    text = f"{found.stages} finished stages of {title} in this database{sizes}"
    return (usual * found.low, usual * found.factor, usual * found.high), text


def _scf_runs(campaign: Campaign, labels: int) -> int:
    """Return the calculations that so many labels take, checks included."""
    protocol = campaign.dft.protocol
    kind = campaign.dft.description.constraints[0] if protocol.constraint == "auto" else protocol.constraint
    checked = sum(protocol.checks(number) for number in range(labels))
    return round(_SCF_RUNS_PER_LABEL[kind] * labels + _SCF_RUNS_PER_CHECK[kind] * checked)


def _hours(campaign: Campaign, atoms: int, labels: int, scf_seconds: float, steps: int, references: int) -> float:
    costs = campaign.dft.description.costs
    seconds = scf_seconds
    seconds += steps * atoms * _STEP_SECONDS_PER_ATOM
    seconds += references * campaign.properties.steps * atoms * costs.step_seconds_per_atom
    seconds += labels * _FIT_SECONDS_PER_LABEL * (1 + campaign.fit.ensemble)
    return seconds / 3600.0
