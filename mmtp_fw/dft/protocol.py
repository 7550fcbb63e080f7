"""The staged soft-constraint protocol, written once for every engine.

equilibrium → radii → map → ramp → refine → accept: see docs/dft.md. Every decision depends only on the
stages before it, so that a run that is given the `finished` stages of an interrupted one takes the same
way again and computes nothing twice.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from ase import Atoms

from mmtp_fw.dft import quality, ramp
from mmtp_fw.dft.checks import check_request
from mmtp_fw.dft.engine import SMOOTHED, UNSMOOTHED, Engine, settings_hash
from mmtp_fw.dft.moments import flipped, per_atom, slope_by_species
from mmtp_fw.dft.recorder import Recorder, StoppedError
from mmtp_fw.dft.settings import ProtocolSettings
from mmtp_fw.dft.stages import Label, Outcome, OutcomeStatus, Rule, Stage, StageName
from mmtp_fw.errors import EngineError, RefusedInputError


def run_protocol(
    engine: Engine,
    atoms: Atoms,
    settings: ProtocolSettings | None = None,
    directory: Path | str = ".",
    finished: Sequence[Stage] = (),
    on_stage: Callable[[Stage], None] | None = None,
    should_stop: Callable[[], bool] | None = None,
    others: Sequence[Stage] = (),
) -> Outcome:
    """Label one configuration by soft-constrained calculations.

    Parameters
    ----------
    engine : Engine
    atoms : Atoms
        With the target moments (μB, signed) as initial magnetic moments.
    settings : ProtocolSettings, optional
    directory : path
        Where the calculations may leave their files, one folder each; restart files are looked for here.
    finished : sequence of Stage
        Stages of an earlier, interrupted run: what they hold is not computed again.
    on_stage : callable, optional
        Called with every new stage the moment it ends.
    should_stop : callable, optional
        Asked before every calculation (and handed to the engine); True ends the run as interrupted.
    others : sequence of Stage
        Stages that were computed for the same configuration with the same engine under other settings of the protocol,
        each with its `reused_from`. One that answers the very same request is taken over, from the same datasets only.

    Returns
    -------
    Outcome
        Accepted with a label, rejected by a rule, failed with the engine's reason, or interrupted; in
        each case with all stages.

    Raises
    ------
    InputError
        A structure or target that can't be computed, before anything is.

    Examples
    --------
    >>> from ase.build import bulk
    >>> from mmtp_fw.dft import get_engine
    >>> iron = bulk("Fe", "fcc", a=3.7, cubic=True)
    >>> iron.set_initial_magnetic_moments([2.0, 2.3, 2.5, 2.1])
    >>> run_protocol(get_engine("hamiltonian"), iron).status.value
    'accepted'
    """
    check_request(engine, atoms)
    settings = settings or ProtocolSettings()
    recorder = Recorder(engine, atoms, settings, Path(directory), finished, on_stage, should_stop, others)
    try:
        return _Protocol(recorder).run()
    except StoppedError as stop:
        return recorder.outcome(OutcomeStatus.INTERRUPTED, Rule.STOPPED, str(stop))
    except RefusedInputError as error:
        return recorder.outcome(OutcomeStatus.FAILED, Rule.INPUT_REFUSED, str(error))
    except EngineError as error:
        return recorder.outcome(OutcomeStatus.FAILED, Rule.ENGINE_FAILED, str(error))


class _Protocol:
    """One configuration's way through the stages; the recorder computes and keeps them."""

    def __init__(self, recorder: Recorder) -> None:
        self.recorder = recorder
        self.settings = recorder.settings
        self.symbols = list(recorder.atoms.symbols)
        self.target = recorder.target
        self.radii: dict[str, float] = {}
        # The converged calculation that the next one restarts from, and the one before it.
        self.last: Stage | None = None
        self.before: Stage | None = None
        self.budget = self.settings.step_backs
        # The change of field (eV/μB) that is dared: infinite until one has broken self-consistency.
        self.dare = np.inf

    def run(self) -> Outcome:
        self._compute(StageName.EQUILIBRIUM, None, None)
        if self.last is not None:
            self.radii = dict(self.last.radii_A or {})
        self._match_radii()
        if self.last is None:
            return self._rejected(Rule.NO_CONVERGED_STAGE, "neither equilibrium nor radii stage converged")
        slopes = self._map()
        accepted = self._ramp_adaptively(slopes) if self.settings.adaptive else self._ramp_by_series(slopes)
        if accepted is not None:
            self._refine(accepted, slopes)
        return self._accept()

    def _compute(self, name: StageName, strength: float | None, constraint: np.ndarray | None) -> Stage:
        stage = self.recorder.scf(name, strength, constraint, self.radii, self.last)
        if stage.converged:
            self.before, self.last = self.last, stage
        return stage

    # -- radii and map ---------------------------------------------------------------------------------

    def _match_radii(self) -> None:
        """Rescale the spheres until their moments agree with the final ones."""
        if not self.recorder.engine.adjustable_radii and self.last is not None:
            return
        strength = self.settings.radii_lambda_eV_per_muB2
        tried: list[tuple[dict[str, float], dict[str, float]]] = []
        for _ in range(self.settings.radii_runs):
            if self.last is not None:
                tried.append((dict(self.last.radii_A or {}), self._sphere_ratios(self.last)))
                self.radii = _rescaled(tried)
            stage = self._compute(StageName.RADII, strength, self._provisional_slopes() * self.target)
            if not stage.converged:
                strength *= 0.25
            elif self._radii_match(stage):
                return

    def _provisional_slopes(self) -> np.ndarray:
        """Return d m^sWS / d m^final from the last calculation, ones before there is any, shape (n,)."""
        slope = (self.last.slope if self.last is not None else None) or dict.fromkeys(self.symbols, 1.0)
        return per_atom(self.symbols, slope)

    def _sphere_ratios(self, stage: Stage) -> dict[str, float]:
        """Return m^final / m^WS by species."""
        spheres = np.array(stage.achieved[UNSMOOTHED])
        return slope_by_species(self.symbols, spheres, stage.final_moments())

    def _radii_match(self, stage: Stage) -> bool:
        """Return whether every species' sphere moments agree with the final ones."""
        difference = np.abs(np.array(stage.achieved[UNSMOOTHED]) - stage.final_moments())
        symbols = np.array(self.symbols)
        return all(
            abs(ratio - 1.0) <= self.settings.radii_tolerance
            or np.mean(difference[symbols == species]) <= self.settings.radii_tolerance_muB
            for species, ratio in self._sphere_ratios(stage).items()
        )

    def _map(self) -> np.ndarray:
        """Fit m^sWS against m^WS and return the slope of every atom's species, shape (n,)."""
        assert self.last is not None
        smoothed, spheres = (np.array(self.last.achieved[key]) for key in (SMOOTHED, UNSMOOTHED))
        fitted = slope_by_species(self.symbols, spheres, smoothed)
        slopes = per_atom(self.symbols, fitted)
        self.radii = dict(self.last.radii_A or {})
        message = "m^constr = slope · m^target, slope of m^sWS against m^WS by species"
        if self.recorder.engine.adjustable_radii and not self._radii_match(self.last):
            off = ", ".join(f"{z} {100 * (ratio - 1):+.1f} %" for z, ratio in self._sphere_ratios(self.last).items())
            message += f"; the spheres' moments still differ from the final ones: {off}"
        self.recorder.decision(StageName.MAP, constraint=slopes * self.target, slope=fitted, message=message)
        return slopes

    # -- ramp ------------------------------------------------------------------------------------------

    def _inside(self, stage: Stage) -> bool:
        mae, largest = stage.mae_muB, stage.max_deviation_muB
        limits = self.settings
        return (
            stage.converged
            and mae is not None
            and largest is not None
            and mae <= limits.mae_limit_muB
            and largest <= limits.max_limit_muB
        )

    def _last_strength(self) -> float | None:
        """Return λ of the last converged constrained calculation."""
        return self.last.lambda_eV_per_muB2 if self.last is not None else None

    def _ramp_by_series(self, slopes: np.ndarray) -> Stage | None:
        """Raise λ through the series; return the first calculation inside the limits."""
        constraint = slopes * self.target
        for goal in self.settings.lambda_series:
            strength = goal
            while True:
                stage = self._compute(StageName.RAMP, strength, constraint)
                if self._inside(stage):
                    return stage
                if stage.converged and strength == goal:
                    break
                if stage.converged:
                    strength = goal
                elif self.budget == 0:
                    return None
                else:
                    self.budget -= 1
                    strength = ramp.step_back(self._last_strength(), strength)
        return None

    def _ramp_adaptively(self, slopes: np.ndarray) -> Stage | None:
        """Choose λ and the constraint's shift from the measured response, until inside the limits."""
        for _ in range(self.settings.ramp_runs):
            assert self.last is not None
            last = self._last_strength() or self.settings.radii_lambda_eV_per_muB2
            state, target = _smoothed_and_force(self.last), slopes * self.target
            step = ramp.adaptive_step(self._response(slopes), state, target, last, self.dare, self.settings)
            stage = self._compute(StageName.RAMP, step.strength, step.constraint)
            if self._inside(stage):
                return stage
            if stage.converged:
                if step.strength >= self.settings.lambda_max:
                    return None
                self.dare *= 1.2
            elif self.budget == 0:
                return None
            else:
                self.budget -= 1
                self.dare = 0.5 * step.jump
        return None

    def _response(self, slopes: np.ndarray) -> ramp.Response:
        """Return the response measured by the last two converged calculations."""
        assert self.last is not None
        now = _smoothed_and_force(self.last)
        before = _smoothed_and_force(self.before) if self.before is not None else None
        if before is None or (self.before is not None and self.before.radii_A != self.last.radii_A):
            # Smoothed moments in other spheres can't be compared: rescale the free ones by the slope.
            scale = slopes if self.before is None else self._rescale_between(self.before, self.last)
            free = now[0] if self.before is None else np.array(self.before.achieved[SMOOTHED]) * scale
            force = np.zeros_like(free) if before is None else before[1] / scale
            before = (free, force)
        return ramp.Response.measure(before, now, slopes * self.target, slopes)

    def _rescale_between(self, one: Stage, two: Stage) -> np.ndarray:
        """Return d m^sWS(two) / d m^sWS(one) of every atom, from their slopes."""
        ratio = {z: (two.slope or {})[z] / (one.slope or {})[z] for z in two.slope or {}}
        return per_atom(self.symbols, ratio)

    # -- refine and accept -----------------------------------------------------------------------------

    def _refine(self, accepted: Stage, slopes: np.ndarray) -> None:
        """Shift the constraint by what is left between final moments and targets; same λ."""
        best = accepted
        for _ in range(self.settings.refine_runs):
            if (best.mae_muB or 0.0) <= self.settings.refine_limit_mae_muB:
                return
            rest = slopes * (self.target - best.final_moments())
            strength = best.lambda_eV_per_muB2 or 0.0
            if self.settings.adaptive:
                # A soft constraint passes on only 2λ/(2λ + κ) of a shift.
                rest *= 1.0 + self._response(slopes).stiffness / (2.0 * strength)
            stage = self._compute(StageName.REFINE, strength, np.array(best.constrained) + rest)
            if not stage.converged or (stage.mae_muB or 0.0) >= (best.mae_muB or 0.0):
                return
            best = stage

    def _accept(self) -> Outcome:
        """Apply the criteria to the best calculation and record the verdict."""
        candidates = [s for s in self.recorder.stages if s.name in (StageName.RAMP, StageName.REFINE)]
        candidates = [s for s in candidates if s.converged]
        if not candidates:
            return self._rejected(Rule.NO_CONVERGED_STAGE, "no constrained calculation converged")
        best = min(candidates, key=lambda s: (not self._inside(s), s.mae_muB or 0.0))
        residual, agrees = quality.integration_residual(self.recorder.stages, self.settings)
        reached = f"MAE {best.mae_muB:.3f}, largest deviation {best.max_deviation_muB:.3f} μB"
        if not agrees:
            return self._rejected(
                Rule.INCONSISTENT_ENERGY,
                f"energy and work of the magnetic forces differ by {1000 * (residual or 0):.1f} meV/atom",
            )
        wrong = flipped(best.final_moments(), self.target, self.settings.flip_threshold_muB)
        if wrong:
            return self._rejected(Rule.MOMENT_FLIPPED, f"atoms {wrong} have the wrong sign; {reached}")
        inside = self._inside(best)
        if not inside and not self._useful(best):
            return self._rejected(Rule.MOMENTS_TOO_FAR, f"at the best λ: {reached}")
        label = self._label(best, inside, residual)
        rule = Rule.CRITERIA_MET if inside else Rule.SMALLEST_MAE_USEFUL
        reason = f"λ = {label.lambda_eV_per_muB2:.3g} eV/μB²: {reached}"
        self.recorder.decision(StageName.ACCEPT, best=best, message=f"{rule.value}: {reason}")
        return self.recorder.outcome(OutcomeStatus.ACCEPTED, rule, reason, label)

    def _confirmed(self, residual: float | None) -> bool:
        """Return whether the energy was confirmed along the ramp and from the unconstrained state."""
        from_free, agrees = quality.equilibrium_residual(self.recorder.stages, self.settings)
        return residual is not None and from_free is not None and agrees

    def _useful(self, stage: Stage) -> bool:
        limits = self.settings
        return (stage.mae_muB or 0.0) <= limits.useful_mae_limit_muB and (
            stage.max_deviation_muB or 0.0
        ) <= limits.useful_max_limit_muB

    def _rejected(self, rule: Rule, reason: str) -> Outcome:
        self.recorder.decision(StageName.ACCEPT, message=f"rejected, {rule.value}: {reason}", converged=False)
        return self.recorder.outcome(OutcomeStatus.REJECTED, rule, reason)

    def _label(self, best: Stage, inside: bool, residual: float | None) -> Label:
        recorder, atoms = self.recorder, self.recorder.atoms
        limit = quality.extrapolate(recorder.stages, best)
        outcome = recorder.outcome(OutcomeStatus.ACCEPTED, Rule.CRITERIA_MET, "")
        return Label.model_validate(
            {
                "symbols": self.symbols,
                "positions": atoms.positions.tolist(),
                "cell": np.asarray(atoms.cell).tolist(),
                "pbc": [bool(periodic) for periodic in atoms.pbc],
                "energy_eV": best.energy_eV,
                "forces": best.forces,
                "stress": best.stress,
                "moments": best.final_moments().tolist(),
                "magnetic_forces": best.magnetic_forces,
                "which_definition": best.which_definition,
                "target": self.target.tolist(),
                "lambda_eV_per_muB2": best.lambda_eV_per_muB2,
                "mae_muB": best.mae_muB,
                "max_deviation_muB": best.max_deviation_muB,
                "grade": quality.grade(inside, self._confirmed(residual)),
                "extrapolation": limit,
                "integration_residual_eV_per_atom": residual,
                "bias_eV_per_atom": (limit.energy_eV - (best.energy_eV or 0.0)) / len(atoms),
                "engine": recorder.engine.name,
                "settings_hash": settings_hash(recorder.engine.settings_document()),
                "scf_runs": outcome.scf_runs,
                "stage_key": best.key,
            }
        )


def _smoothed_and_force(stage: Stage) -> tuple[np.ndarray, np.ndarray]:
    """Return m^sWS and 2λ (m^sWS − m^constr), which vanishes without constraint."""
    smoothed = np.array(stage.achieved[SMOOTHED])
    if stage.constrained is None or stage.lambda_eV_per_muB2 is None:
        return smoothed, np.zeros_like(smoothed)
    return smoothed, 2.0 * stage.lambda_eV_per_muB2 * (smoothed - np.array(stage.constrained))


def _rescaled(tried: list[tuple[dict[str, float], dict[str, float]]]) -> dict[str, float]:
    """Return the next radii from (radii, m^final/m^WS) of those tried.

    At first a sphere's moment is taken to grow as R^1.5 (slower than the volume, since d electrons are
    near the nucleus); then as it was seen to grow.
    """
    radii, ratios = tried[-1]
    new = {}
    for species, radius in radii.items():
        power = 1.5
        if len(tried) > 1:
            before, ratios_before = tried[-2]
            way = np.log(radius / before[species])
            if abs(way) > 1e-6:
                power = float(np.clip(np.log(ratios_before[species] / ratios[species]) / way, 0.3, 6.0))
        new[species] = radius * float(np.clip(ratios[species] ** (1.0 / power), 0.85, 1.15))
    return new
