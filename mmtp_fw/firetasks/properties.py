"""Averages at one lattice parameter: from the potential, or from the engine itself."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from ase import Atoms, units
from pymongo.client_session import ClientSession

from mmtp_fw.compared import COMPARED
from mmtp_fw.database import store
from mmtp_fw.dft import get_engine
from mmtp_fw.errors import EngineError, InputError
from mmtp_fw.firetasks.base import INTERRUPTED, Context, NotHereError
from mmtp_fw.firetasks.potentials import load_active_set, load_potential
from mmtp_fw.firetasks.start import starting_cell
from mmtp_fw.labelling import FAILED
from mmtp_fw.loop.facts import seed_of
from mmtp_fw.md import CalculatorModel, MdResult, MdSettings, MdState, run_md, trajectory
from mmtp_fw.potential import MomentVerdict
from mmtp_fw.properties import (
    SampledTrajectory,
    phonon_dos,
    thermal_averages,
)

SAMPLE_INTERVAL = 5
"""Steps between two samples: 10 fs at the default time step resolve all phonons."""


KEPT_FRAMES = 32
"""Frames kept of an average, for what is asked of it later."""

UNSOUND = {
    MomentVerdict.AT_BOUND: MdState.MOMENTS_AT_BOUND.value,
    MomentVerdict.NOT_CONVERGED: MdState.MOMENTS_NOT_RELAXED.value,
    MomentVerdict.OUTSIDE: "moments_outside_trained_range",
}
"""What a cell at rest ends with where its moments found no minimum that the potential knows."""


class PropertyWork:
    """`Work` of a property action."""

    def compute(self, context: Context) -> dict[str, Any] | None:
        """Average over one trajectory per replica, or take the cell at rest."""
        params, campaign = context.action.params, context.campaign
        # One arrangement of species for both sources at every volume: they differ in nothing else.
        arrangement = seed_of(campaign, "property/arrangement")
        order = params.get("magnetic_order", "ferromagnetic")
        cell = starting_cell(campaign, params["lattice_parameter_A"], order, arrangement, params.get("phase"))
        if campaign.properties.mode == "static":
            return _graded(context, _static(context, cell))
        run = _reference if params["source"] == "reference" else _mmtp
        trajectories: list[SampledTrajectory] = []
        for replica in range(campaign.properties.replicas):
            ended = run(context, cell, replica)
            if ended is INTERRUPTED:
                return INTERRUPTED
            if ended.state != MdState.COMPLETED:  # an average over what is left would mean nothing
                return {"outcome": ended.state.value, "message": ended.message, "md_steps": ended.steps}
            trajectories.append(ended)
        section = campaign.properties
        values = {"outcome": "done", "md_steps": sum(one.steps for one in trajectories)}
        values |= thermal_averages(trajectories, section.equilibration_steps)
        if section.phonon_dos:
            interval = campaign.md.timestep_fs * SAMPLE_INTERVAL
            values["phonon_dos"] = phonon_dos(trajectories, cell.numbers, interval, section.equilibration_steps)
        return _graded(context, values | {"frames": _some_frames(trajectories, section.equilibration_steps)})

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
            execution=context.executed,
            frames=payload.get("frames", ()),
            values={name: value for name, value in payload.items() if name != "frames"},
        )
        kept = ("outcome", "message", "reason", *COMPARED, "md_steps")
        return {name: payload[name] for name in kept if name in payload}


def _graded(context: Context, values: dict[str, Any]) -> dict[str, Any]:
    """Add the largest grade of the frames, by which a verdict knows whether the potential extrapolated."""
    params = context.action.params
    if params["source"] != "mmtp" or not values.get("frames"):
        return values
    try:
        active_set = load_active_set(context.database, params["potential"])
    except InputError:  # without an active set no grade is known, and the verdict will say so
        return values
    return values | {"max_grade": max(float(active_set.grade(atoms)) for atoms in values["frames"])}


def _mmtp(context: Context, cell: Atoms, replica: int) -> SampledTrajectory | None:
    potential = load_potential(context.database, context.action.params["potential"])
    settings = _settings(context, replica)
    return _sampled(run_md(potential, None, cell, settings, context.directory, context.should_stop))


def _reference(context: Context, cell: Atoms, replica: int) -> SampledTrajectory | None:
    dft = context.campaign.dft
    if dft.description.dynamics is None:
        raise InputError(f"{dft.description.title} has no molecular dynamics to compare with", "set mode: static")
    # The same integrator and thermostat as the potential's: a spectrum shows the thermostat's friction, too.
    model = CalculatorModel(dft.description.dynamics(dft.settings), cell.get_initial_magnetic_moments())
    return _sampled(trajectory(model, cell, _settings(context, replica), should_stop=context.should_stop))


def _settings(context: Context, replica: int) -> MdSettings:
    section = context.campaign.properties
    return MdSettings(
        **{
            "temperature_K": section.temperature_K,
            "steps": section.steps,
            "timestep_fs": context.campaign.md.timestep_fs,
            "seed": context.action.params["seed"] + replica,
        }
        | section.settings
        | {"sample_interval": SAMPLE_INTERVAL}
    )


def _sampled(run: MdResult) -> SampledTrajectory | None:
    if run.state == MdState.INTERRUPTED:
        return INTERRUPTED
    velocities = np.array([frame.get_velocities() for frame in run.frames])
    return SampledTrajectory(run.state, run.steps_done, run.thermo, velocities, run.message, run.frames)


def _some_frames(trajectories: Sequence[SampledTrajectory], equilibration_steps: int) -> list[Atoms]:
    """Return at most `KEPT_FRAMES` frames after equilibration, evenly over all trajectories."""
    late = [atoms for one in trajectories for atoms in one.frames if atoms.info["step"] > equilibration_steps]
    return late[:: max(1, -(-len(late) // KEPT_FRAMES))]


def _static(context: Context, cell: Atoms) -> dict[str, Any]:
    """Return magnetization and pressure of a cell at rest, its moments relaxed from those of its order."""
    params, dft = context.action.params, context.campaign.dft
    if params["source"] == "mmtp":
        potential = load_potential(context.database, params["potential"])
        relaxed = potential.relax_moments(cell, start=cell.get_initial_magnetic_moments())
        if not relaxed.sound:  # no number, but the reason, as for a trajectory that broke off
            return {"outcome": UNSOUND[relaxed.verdict], "message": relaxed.warning, "frames": [cell]}
        moments, stress = relaxed.moments, potential.evaluate(cell, moments=relaxed.moments).stress
        cell.set_initial_magnetic_moments(moments)
    else:
        engine = get_engine(dft.engine, **dft.settings)
        try:
            engine.check(cell)
        except EngineError as error:
            raise NotHereError(str(error)) from error
        labelled = engine.unconstrained(cell, context.directory)
        moments, stress = labelled.get_magnetic_moments(), labelled.calc.results.get("stress")
        if stress is None:
            return {"outcome": FAILED, "reason": f"{engine.name} computes no stress: there is no pressure to compare"}
    cell.info["step"] = 0
    return {
        "outcome": "done",
        "magnetization_muB_per_atom": float(np.mean(moments)),
        "absolute_moment_muB_per_atom": float(np.mean(np.abs(moments))),
        "pressure_GPa": float(-np.mean(stress[:3]) / units.GPa),
        "frames": [cell],
    }
