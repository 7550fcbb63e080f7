"""What a campaign would cost, before anything is started."""

from __future__ import annotations

from dataclasses import dataclass

from mmtp_fw.campaign import Campaign
from mmtp_fw.structures import number_of_atoms

# Seconds on one core, measured; an engine's description has its own.
_STEP_SECONDS_PER_ATOM = 4e-4
_FIT_SECONDS_PER_LABEL = 1.0
# Calculations of a label by kind of constraint, and what a check that is asked for adds.
_SCF_RUNS_PER_LABEL = {"hard": 1.2, "soft": 5.0}
_SCF_RUNS_PER_CHECK = {"hard": 3.0, "soft": 1.0}


@dataclass(frozen=True)
class Cost:
    """An estimate; the range is from one round to the whole budget.

    Attributes
    ----------
    atoms : int
        Atoms of one cell.
    labels : tuple of int
        Fewest and most configurations sent to DFT.
    scf_runs : tuple of int
        Fewest and most self-consistent calculations.
    md_steps : tuple of int
        Fewest and most steps, final properties included.
    md_runs : tuple of int
        Fewest and most trajectories, final properties included.
    core_hours : tuple of float
        Fewest and most hours of one core.
    """

    atoms: int
    labels: tuple[int, int]
    scf_runs: tuple[int, int]
    md_steps: tuple[int, int]
    md_runs: tuple[int, int]
    core_hours: tuple[float, float]


def estimate(campaign: Campaign) -> Cost:
    """Estimate the cost of a campaign from its settings alone.

    Parameters
    ----------
    campaign : Campaign
        Checked settings.

    Returns
    -------
    Cost
        From the case that the first potential selects nothing, to the case that the budget is spent.
    """
    system, budget, properties = campaign.system, campaign.budget, campaign.properties
    atoms = number_of_atoms(system.structure, system.supercell)
    first = campaign.pretraining.structures
    rounds = min(
        budget.max_iterations,
        1 + -(-(budget.max_labels - first) // campaign.selection.max_per_iteration),
    )
    labels = (first, min(budget.max_labels, first + rounds * campaign.selection.max_per_iteration))
    runs_per_round = (
        len(system.lattice_parameters_A)
        * len(campaign.md.temperatures_K)
        * len(campaign.md.magnetic_orders)
        * campaign.md.replicas
    )
    # At rest there is no trajectory, and the reference is one calculation without constraint at every volume.
    thermal, volumes = properties.mode == "thermal", len(system.all_lattice_parameters_A)
    averages = volumes * properties.replicas if thermal else 0
    reference = averages if properties.reference else 0
    at_rest = volumes if properties.reference and not thermal else 0
    final_steps = (averages + reference) * properties.steps
    round_steps = runs_per_round * campaign.md.steps
    scf_runs = tuple(min(budget.max_scf_runs, _scf_runs(campaign, n)) for n in labels)
    hours = tuple(
        _hours(campaign, atoms, n, scf + at_rest, r * round_steps + averages * properties.steps, reference)
        for n, scf, r in zip(labels, scf_runs, (1, rounds), strict=True)
    )
    return Cost(
        atoms=atoms,
        labels=labels,
        scf_runs=(scf_runs[0], scf_runs[1]),
        md_steps=(round_steps + final_steps, rounds * round_steps + final_steps),
        md_runs=(runs_per_round + averages + reference, rounds * runs_per_round + averages + reference),
        core_hours=(hours[0], hours[1]),
    )


def _scf_runs(campaign: Campaign, labels: int) -> int:
    """Return the calculations that so many labels take, checks included."""
    protocol = campaign.dft.protocol
    kind = campaign.dft.description.constraints[0] if protocol.constraint == "auto" else protocol.constraint
    checked = sum(protocol.checks(number) for number in range(labels))
    return round(_SCF_RUNS_PER_LABEL[kind] * labels + _SCF_RUNS_PER_CHECK[kind] * checked)


def _hours(campaign: Campaign, atoms: int, labels: int, scf_runs: int, steps: int, references: int) -> float:
    costs = campaign.dft.description.costs
    seconds = scf_runs * costs.scf_seconds
    seconds += steps * atoms * _STEP_SECONDS_PER_ATOM
    seconds += references * campaign.properties.steps * atoms * costs.step_seconds_per_atom
    seconds += labels * _FIT_SECONDS_PER_LABEL * (1 + campaign.fit.ensemble)
    return seconds / 3600.0
