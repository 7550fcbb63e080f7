"""Computes the stages of one configuration, keeps each as a record, and never computes one twice."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms

from mmtp_fw.arrays import FloatArray
from mmtp_fw.dft.engine import SMOOTHED, ConstraintKind, Engine, ScfRequest, ScfResult, settings_hash
from mmtp_fw.dft.moments import deviations, magnetic_forces, per_atom, slope_by_species
from mmtp_fw.dft.settings import ProtocolSettings
from mmtp_fw.dft.stages import Label, Outcome, Rule, Stage
from mmtp_fw.errors import EngineError
from mmtp_fw.labelling import DECISIONS, OutcomeStatus, StageName


class StoppedError(Exception):
    """The run was asked to stop; what is finished is kept."""


class Recorder:
    """All stages of one configuration, old and new.

    Parameters
    ----------
    engine, atoms, settings, directory, finished, on_stage, should_stop, others
        As for `run_protocol`.

    Attributes
    ----------
    target : ndarray, shape (n,)
        μB.
    identity : str
        Digest of engine settings, structure and targets.
    stages : list of Stage
        In their order; those of `finished` appear as the protocol comes to them.
    """

    def __init__(
        self,
        engine: Engine,
        atoms: Atoms,
        settings: ProtocolSettings,
        directory: Path,
        finished: Sequence[Stage] = (),
        on_stage: Callable[[Stage], None] | None = None,
        should_stop: Callable[[], bool] | None = None,
        others: Sequence[Stage] = (),
    ) -> None:
        self.engine = engine
        self.atoms = atoms
        self.settings = settings
        self.directory = directory
        self.target: FloatArray = np.array(atoms.get_initial_magnetic_moments(), dtype=np.float64)
        self.stages: list[Stage] = []
        self._finished = {stage.key: stage for stage in finished}
        self._datasets = engine.datasets(atoms)
        self._others = {
            stage.key: stage for stage in others if stage.name not in DECISIONS and stage.datasets == self._datasets
        }
        self._on_stage = on_stage or (lambda stage: None)
        self._should_stop = should_stop or (lambda: False)
        self._symbols = list(atoms.symbols)
        self.identity = settings_hash(
            engine.settings_document(),
            {
                "symbols": self._symbols,
                "positions": atoms.positions.tolist(),
                "cell": np.asarray(atoms.cell).tolist(),
                "target": self.target.tolist(),
            },
        )

    def scf(
        self,
        name: StageName,
        strength: float | None,
        constraint: FloatArray | None,
        radii: dict[str, float],
        previous: Stage | None,
        hard: bool = False,
        start: FloatArray | None = None,
    ) -> Stage:
        """Return the stage of one calculation, computing it unless it is among the finished ones.

        Parameters
        ----------
        name : StageName
        strength : float or None
            λ in eV/μB².
        constraint : ndarray, shape (n,), or None
            m^constr, μB.
        radii : dict of str to float
        previous : Stage or None
            The converged calculation to restart from.
        hard : bool
            Hold the moments at `constraint` itself.
        start : ndarray, shape (n,), optional
            Moments (μB) to start from without `previous`; the targets when not given.
        """
        # Rounded before they are computed with: the last bits of sums differ between machines, and a key that holds
        # them would make another calculation of the same one.
        strength = None if strength is None else round(float(strength), 9)
        constraint = None if constraint is None else np.round(constraint, 9) + 0.0
        radii = {species: round(float(radius), 9) for species, radius in radii.items()}
        asked = {
            "name": name.value,
            "index": len(self.stages),
            "lambda": strength,
            "constraint": None if constraint is None else constraint.tolist(),
            "radii": radii,
            "previous": previous.key if previous else None,
        }
        # Only where there is such a thing: keys of stages that were recorded before stay what they are.
        if hard:
            asked["hard"] = True
        if start is not None:
            start = np.round(start, 9) + 0.0
            asked["start"] = start.tolist()
        key = settings_hash({"identity": self.identity}, asked)
        if key in self._finished:
            return self._keep(self._finished[key], new=False)
        if key in self._others:
            return self._keep(self._others[key])
        if self._should_stop():
            raise StoppedError(f"asked to stop before stage {len(self.stages)} ({name.value})")
        begin = self.target if start is None else start
        request = ScfRequest(
            atoms=self.atoms,
            stage=name.value,
            start_moments=previous.final_moments() if previous else begin,
            directory=self.directory / f"{len(self.stages):02d}_{name.value}",
            lambda_eV_per_muB2=strength or 0.0,
            constraint=constraint,
            radii_A=radii,
            restart=previous.restart if previous else {},
            should_stop=self._should_stop,
            hard=hard,
        )
        started, clock = datetime.now(UTC), time.perf_counter()
        result = self.engine.scf(request)
        if result.interrupted:
            raise StoppedError(f"stopped during stage {len(self.stages)} ({name.value}): {result.message}")
        return self._keep(
            self._stage(
                name,
                key,
                request,
                result,
                started=started,
                wall_seconds=time.perf_counter() - clock,
            )
        )

    def decision(
        self,
        name: StageName,
        message: str,
        constraint: FloatArray | None = None,
        slope: dict[str, float] | None = None,
        best: Stage | None = None,
        converged: bool = True,
    ) -> Stage:
        """Record a stage that decides without a calculation (map, accept).

        `best`, the calculation that the verdict is about, lends its λ, moments and energies.
        """
        asked = {"name": name.value, "index": len(self.stages), "message": message}
        key = settings_hash({"identity": self.identity}, asked)
        if key in self._finished:
            return self._keep(self._finished[key], new=False)
        now = datetime.now(UTC)
        lent: dict[str, Any] = {}
        if best is not None:
            lent = best.model_dump(
                include={
                    "kind",
                    "lambda_eV_per_muB2",
                    "constrained",
                    "achieved",
                    "mae_muB",
                    "max_deviation_muB",
                    "energy_eV",
                    "energy_with_penalty_eV",
                    "penalty_eV",
                    "radii_A",
                    "slope",
                }
            )
        else:
            lent = {
                "kind": ConstraintKind.NONE,
                "slope": slope,
                "constrained": None if constraint is None else constraint.tolist(),
            }
        stage = Stage(
            name=name,
            index=len(self.stages),
            key=key,
            target=self.target.tolist(),
            which_definition=self.engine.final_definition,
            converged=converged,
            host=socket.gethostname(),
            started=now,
            ended=now,
            message=message,
            **lent,
        )
        return self._keep(stage)

    def outcome(self, status: OutcomeStatus, rule: Rule, reason: str, label: Label | None = None) -> Outcome:
        """Return the outcome with all stages so far."""
        return Outcome(status=status, rule=rule, reason=reason, stages=self.stages, label=label)

    def _keep(self, stage: Stage, new: bool = True) -> Stage:
        self.stages.append(stage)
        if new:
            self._on_stage(stage)
        return stage

    def _stage(
        self,
        name: StageName,
        key: str,
        request: ScfRequest,
        result: ScfResult,
        started: datetime,
        wall_seconds: float,
    ) -> Stage:
        """Return the record of a calculation, with deviations and magnetic forces derived."""
        final = result.moments.get(self.engine.final_definition)
        constraint = request.constraint
        mae = largest = slope = forces = None
        if final is not None:
            mae, largest = deviations(final, self.target)
            slope = slope_by_species(self._symbols, final, result.moments[SMOOTHED])
            if constraint is not None and result.converged:
                forces = self._magnetic_forces(request, result, per_atom(self._symbols, slope))
        return Stage(
            name=name,
            index=len(self.stages),
            key=key,
            kind=request.kind,
            lambda_eV_per_muB2=request.lambda_eV_per_muB2 if request.kind is ConstraintKind.SOFT else None,
            target=self.target.tolist(),
            constrained=None if constraint is None else constraint.tolist(),
            achieved={definition: values.tolist() for definition, values in result.moments.items()},
            which_definition=self.engine.final_definition,
            mae_muB=mae,
            max_deviation_muB=largest,
            energy_eV=result.energy_eV,
            energy_with_penalty_eV=result.energy_with_penalty_eV,
            penalty_eV=result.penalty_eV,
            forces=None if result.forces is None else result.forces.tolist(),
            stress=None if result.stress is None else result.stress.tolist(),
            magnetic_forces=None if forces is None else forces.tolist(),
            energy_noise_eV=result.energy_noise_eV,
            scf_steps=result.scf_steps,
            converged=result.converged,
            wall_seconds=wall_seconds,
            host=socket.gethostname(),
            started=started,
            ended=datetime.now(UTC),
            radii_A=result.radii_A,
            slope=slope,
            datasets=self._datasets,
            restart=result.restart,
            message=result.message,
        )

    def _magnetic_forces(self, request: ScfRequest, result: ScfResult, slopes: FloatArray) -> FloatArray:
        """Return T_i of the final moments, the engine's own where it gives them, else from the penalty."""
        assert request.constraint is not None
        smoothed = result.moments[SMOOTHED]
        own = result.magnetic_forces
        if own is not None and result.magnetic_forces_definition == self.engine.final_definition:
            return own
        if own is not None and result.magnetic_forces_definition == SMOOTHED:
            return own * slopes
        if own is not None or request.hard:
            raise EngineError(
                f"engine '{self.engine.name}' gave no magnetic forces of its final moments "
                f"({self.engine.final_definition}) for a {request.kind.value} constraint"
            )
        return magnetic_forces(request.lambda_eV_per_muB2, smoothed, request.constraint, slopes)
