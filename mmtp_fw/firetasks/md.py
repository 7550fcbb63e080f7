"""Exploring trajectories."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pymongo.client_session import ClientSession

from mmtp_fw.database import store, trajectories
from mmtp_fw.errors import MachineError
from mmtp_fw.firetasks.base import INTERRUPTED, Context
from mmtp_fw.firetasks.faults import trouble_in
from mmtp_fw.firetasks.potentials import load_active_set, load_potential
from mmtp_fw.firetasks.start import starting_cell
from mmtp_fw.md import MdSettings, MdState, run_md


class MdWork:
    """`Work` of an MD action."""

    def compute(self, context: Context) -> dict[str, Any] | None:
        """Run the trajectory, or go on with it; however it ends, that is its result.

        A worker that is asked to end keeps what was done: the planner has the rest computed as another part.
        """
        params, campaign = context.action.params, context.campaign
        potential = load_potential(context.database, params["potential"])
        active_set = load_active_set(context.database, params["potential"])
        if "continues" in params:
            cell = store.last_frame(context.database, params["continues"])
        else:
            cell = starting_cell(
                campaign,
                params["lattice_parameter_A"],
                params["magnetic_order"],
                params["seed"],
                params.get("phase"),
            )
        settings = MdSettings(
            **{
                "temperature_K": params["temperature_K"],
                "timestep_fs": campaign.md.timestep_fs,
                "gamma_select": campaign.selection.gamma_select,
                "gamma_break": campaign.selection.gamma_break,
                "seed": params["seed"],
            }
            | campaign.md.settings
            | {"steps": params["steps"]}
        )
        run = run_md(potential, active_set, cell, settings, context.directory, context.should_stop)
        if run.state == MdState.INTERRUPTED and run.steps_done == 0:
            return INTERRUPTED
        if run.state == MdState.CRASHED and (trouble := trouble_in(context.directory)):
            raise MachineError(trouble, run.message)
        return {
            "state": run.state.value,
            "steps": run.steps_done,
            "max_grade": run.max_grade,
            "message": run.message,
            "wall_seconds": run.wall_seconds,
            "thermo": {name: list(map(float, column)) for name, column in run.thermo.items()},
            "candidates": run.candidates,
            "trajectory": trajectories.pack(run.frames),
            "continues": params.get("continues"),
        }

    def store(self, context: Context, payload: dict[str, Any], session: ClientSession) -> Mapping[str, Any]:
        """Write the run with its candidates."""
        action = context.action
        number = store.save_md_run(
            context.database,
            action.key,
            session=session,
            campaign=context.campaign.name,
            iteration=action.iteration,
            potential=action.params["potential"],
            params=dict(action.params),
            execution=context.executed,
            **payload,
        )
        return {
            "outcome": payload["state"],
            "candidates": len(payload["candidates"]),
            "md_steps": payload["steps"],
            "md_run": number,
        }
