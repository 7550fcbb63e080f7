"""Averages at one lattice parameter: from the potential, or from the engine itself."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from ase import Atoms
from pymongo.client_session import ClientSession

from mmtp_fw.campaign import Campaign
from mmtp_fw.database import store
from mmtp_fw.dft import get_engine
from mmtp_fw.dft.hamiltonian_calculator import HamiltonianCalculator
from mmtp_fw.firetasks.base import INTERRUPTED, Context
from mmtp_fw.firetasks.potentials import load_potential
from mmtp_fw.firetasks.reference import reference_trajectory
from mmtp_fw.firetasks.start import starting_cell
from mmtp_fw.loop.facts import seed_of
from mmtp_fw.md import MdSettings, MdState, run_md
from mmtp_fw.properties import averages_of_trajectories, vibrational_dos

SAMPLE_INTERVAL = 5
"""Steps between two samples: 10 fs at the default time step resolve all phonons."""
HIGHEST_FREQUENCY_THZ = 15.0
"""Where the stored density of states ends."""
AVERAGED = ("magnetization_muB_per_atom", "pressure_GPa", "temperature_K", "potential_energy_eV")


@dataclass(frozen=True)
class _Trajectory:
    """What both sources give: columns and velocities (samples, n, 3) of one trajectory."""

    state: MdState
    steps: int
    thermo: Mapping[str, np.ndarray]
    velocities: np.ndarray
    message: str = ""


class PropertyWork:
    """`Work` of a property action."""

    def compute(self, context: Context) -> dict[str, Any] | None:
        """Average over one trajectory per replica; from a static calculation where the engine has no MD."""
        params, campaign = context.action.params, context.campaign
        # One arrangement of species for both sources at every volume: they differ in nothing else.
        arrangement = seed_of(campaign, "property/arrangement")
        cell = starting_cell(campaign, params["lattice_parameter_A"], "ferromagnetic", arrangement)
        if params["source"] == "reference" and campaign.dft.engine != "hamiltonian":
            return _static(context, cell)
        run = _reference if params["source"] == "reference" else _mmtp
        trajectories: list[_Trajectory] = []
        for replica in range(campaign.properties.replicas):
            ended = run(context, cell, replica)
            if ended is INTERRUPTED:
                return INTERRUPTED
            if ended.state != MdState.COMPLETED:  # an average over what is left would mean nothing
                return {"outcome": ended.state.value, "message": ended.message, "md_steps": ended.steps}
            trajectories.append(ended)
        values = {"outcome": "done", "md_steps": sum(one.steps for one in trajectories)}
        values |= averages([one.thermo for one in trajectories], campaign.properties.equilibration_steps)
        if campaign.properties.phonon_dos:
            values["phonon_dos"] = phonon_dos(trajectories, cell, campaign)
        return values

    def store(self, context: Context, payload: dict[str, Any], session: ClientSession) -> Mapping[str, Any]:
        """Store the averages; the planner's result repeats those that the summary needs."""
        action = context.action
        store.save_property(
            context.database,
            action.key,
            session=session,
            campaign=context.campaign.name,
            iteration=action.iteration,
            source=action.params["source"],
            potential=action.params["potential"],
            params=dict(action.params),
            values=payload,
        )
        kept = ("outcome", "message", "magnetization_muB_per_atom", "pressure_GPa", "md_steps")
        return {name: payload[name] for name in kept if name in payload}


def averages(trajectories: Sequence[Mapping[str, Any]], equilibration_steps: int) -> dict[str, float]:
    """Return means and standard errors (``<name>_error``) over trajectories.

    Parameters
    ----------
    trajectories : sequence of mapping of str to array
        Recorded columns of each trajectory, with ``step``.
    equilibration_steps : int
        Steps left out at the start of each.
    """
    found = averages_of_trajectories(trajectories, AVERAGED, equilibration_steps)
    means = {name: one.mean for name, one in found.items()}
    return means | {f"{name}_error": one.error for name, one in found.items()}


def phonon_dos(trajectories: Sequence[_Trajectory], cell: Atoms, campaign: Campaign) -> dict[str, Any] | None:
    """Return the density of states over all trajectories (THz, 1/THz), total and by species.

    None where the trajectories are too short to hold one.
    """
    spectra = []
    for one in trajectories:
        late = (
            np.asarray(one.thermo["step"])[-len(one.velocities) :] > campaign.properties.equilibration_steps
        )
        interval = campaign.md.timestep_fs * SAMPLE_INTERVAL
        if np.count_nonzero(late) < 16:
            return None
        spectra.append(vibrational_dos(one.velocities[late], cell.numbers, interval))
    shown = spectra[0].frequency_THz <= HIGHEST_FREQUENCY_THZ
    curves = {name: np.mean([one.species[name] for one in spectra], axis=0) for name in spectra[0].species}
    return {
        "frequency_THz": spectra[0].frequency_THz[shown].tolist(),
        "total": np.mean([one.total for one in spectra], axis=0)[shown].tolist(),
        "species": {name: curve[shown].tolist() for name, curve in curves.items()},
    }


def _mmtp(context: Context, cell: Atoms, replica: int) -> _Trajectory | None:
    params, section = context.action.params, context.campaign.properties
    settings = MdSettings(
        **{
            "temperature_K": section.temperature_K,
            "steps": section.steps,
            "timestep_fs": context.campaign.md.timestep_fs,
            "seed": params["seed"] + replica,
        }
        | section.settings
        | {"sample_interval": SAMPLE_INTERVAL}
    )
    potential = load_potential(context.database, params["potential"])
    run = run_md(potential, None, cell, settings, context.directory, context.should_stop)
    if run.state == MdState.INTERRUPTED:
        return INTERRUPTED
    velocities = np.array([frame.get_velocities() for frame in run.frames])
    return _Trajectory(run.state, run.steps_done, run.thermo, velocities, run.message)


def _reference(context: Context, cell: Atoms, replica: int) -> _Trajectory | None:
    params, section = context.action.params, context.campaign.properties
    run = reference_trajectory(
        HamiltonianCalculator(),
        cell,
        section.temperature_K,
        section.steps,
        context.campaign.md.timestep_fs,
        params["seed"] + replica,
        interval=SAMPLE_INTERVAL,
        should_stop=context.should_stop,
    )
    return INTERRUPTED if run is None else _Trajectory(MdState.COMPLETED, section.steps, *run)


def _static(context: Context, cell: Atoms) -> dict[str, Any]:
    dft = context.campaign.dft
    labelled = get_engine(dft.engine, **dft.settings).unconstrained(cell, context.directory)
    return {
        "magnetization_muB_per_atom": float(np.mean(labelled.get_magnetic_moments())),
        "pressure_GPa": float(-np.mean(labelled.get_stress()[:3]) * 160.21766208),
        "outcome": "done",
        "source": "static cell",
    }
