"""Averages at one lattice parameter: from the potential, or from the engine itself."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from ase import Atoms
from pymongo.client_session import ClientSession

from mmtp_fw.database import store
from mmtp_fw.dft import get_engine
from mmtp_fw.dft.hamiltonian_calculator import HamiltonianCalculator
from mmtp_fw.firetasks.base import INTERRUPTED, Context
from mmtp_fw.firetasks.potentials import load_potential
from mmtp_fw.firetasks.reference import reference_trajectory
from mmtp_fw.firetasks.start import starting_cell
from mmtp_fw.loop.facts import seed_of
from mmtp_fw.md import MdResult, MdSettings, MdState, run_md

AVERAGED = ("magnetization_muB_per_atom", "pressure_GPa", "temperature_K", "potential_energy_eV")


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
        columns: list[Mapping[str, Any]] = []
        for replica in range(campaign.properties.replicas):
            ended = run(context, cell, replica)
            if ended is INTERRUPTED:
                return INTERRUPTED
            if ended.state != MdState.COMPLETED:  # an average over what is left would mean nothing
                return {"outcome": ended.state.value, "message": ended.message, "md_steps": ended.steps_done}
            columns.append(ended.thermo)
        return {"outcome": "done"} | averages(columns, campaign.properties.equilibration_steps)

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


def averages(columns: Sequence[Mapping[str, Any]], equilibration_steps: int) -> dict[str, Any]:
    """Return means and standard errors (``<name>_error``, block averages) over trajectories.

    Parameters
    ----------
    columns : sequence of mapping of str to array
        Recorded columns of each trajectory, with ``step``.
    equilibration_steps : int
        Steps left out at the start of each.
    """
    values: dict[str, Any] = {"md_steps": int(sum(int(c["step"][-1]) for c in columns if len(c["step"])))}
    for name in AVERAGED:
        parts = [np.asarray(c[name], float)[np.asarray(c["step"]) > equilibration_steps] for c in columns]
        blocks = np.concatenate([_blocks(part) for part in parts])
        values[name] = float(np.mean(np.concatenate(parts)))
        values[f"{name}_error"] = (
            float(np.std(blocks, ddof=1) / np.sqrt(len(blocks))) if len(blocks) > 1 else 0.0
        )
    return values


def _blocks(series: np.ndarray, count: int = 10) -> np.ndarray:
    return np.array([block.mean() for block in np.array_split(series, count) if len(block)])


def _mmtp(context: Context, cell: Atoms, replica: int) -> MdResult | None:
    params, section = context.action.params, context.campaign.properties
    settings = MdSettings(
        **{
            "temperature_K": section.temperature_K,
            "steps": section.steps,
            "timestep_fs": context.campaign.md.timestep_fs,
            "seed": params["seed"] + replica,
        }
        | section.settings
    )
    potential = load_potential(context.database, params["potential"])
    run = run_md(potential, None, cell, settings, context.directory, context.should_stop)
    return INTERRUPTED if run.state == MdState.INTERRUPTED else run


def _reference(context: Context, cell: Atoms, replica: int) -> MdResult | None:
    params, section = context.action.params, context.campaign.properties
    thermo = reference_trajectory(
        HamiltonianCalculator(),
        cell,
        section.temperature_K,
        section.steps,
        context.campaign.md.timestep_fs,
        params["seed"] + replica,
        should_stop=context.should_stop,
    )
    return INTERRUPTED if thermo is None else MdResult(steps_done=section.steps, thermo=thermo)


def _static(context: Context, cell: Atoms) -> dict[str, Any]:
    dft = context.campaign.dft
    labelled = get_engine(dft.engine, **dft.settings).unconstrained(cell, context.directory)
    return {
        "magnetization_muB_per_atom": float(np.mean(labelled.get_magnetic_moments())),
        "pressure_GPa": float(-np.mean(labelled.get_stress()[:3]) * 160.21766208),
        "outcome": "done",
        "source": "static cell",
    }
