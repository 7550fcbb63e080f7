"""The ladder of soft-constrained calculations: equilibrium → radii → map → ramp → refine → check → accept."""

from __future__ import annotations

import numpy as np

from mmtp_fw.arrays import FloatArray
from mmtp_fw.dft import ramp
from mmtp_fw.dft.check import SoftCheck
from mmtp_fw.dft.engine import SMOOTHED, UNSMOOTHED, ConstraintKind
from mmtp_fw.dft.moments import LARGER_START, lost_magnetization, per_atom, slope_by_species
from mmtp_fw.dft.recorder import Recorder
from mmtp_fw.dft.stages import Outcome, Rule, Stage
from mmtp_fw.dft.verdict import Verdict
from mmtp_fw.labelling import StageName


class SoftLadder:
    """One configuration's way through the stages; the recorder computes and keeps them.

    Parameters
    ----------
    recorder : Recorder
    check : bool
        Whether to make the label once more from scratch.
    start : Stage, optional
        A converged calculation to go on from instead of the equilibrium.
    """

    def __init__(self, recorder: Recorder, check: bool, start: Stage | None = None) -> None:
        self.recorder = recorder
        self.check = check
        self.verdict = Verdict(recorder)
        self.settings = recorder.settings
        self.symbols = list(recorder.atoms.symbols)
        self.target = recorder.target
        self.radii: dict[str, float] = {}
        # The converged calculation that the next one restarts from, and the one before it.
        self.last: Stage | None = start
        self.before: Stage | None = None
        self.budget = self.settings.step_backs
        # The change of field (eV/μB) that is dared: infinite until one has broken self-consistency.
        self.dare = np.inf

    def run(self) -> Outcome:
        """Return the outcome."""
        if self.last is None:
            self._find_equilibrium()
        if self.last is not None:
            self.radii = dict(self.last.radii_A or {})
        self._match_radii()
        if self.last is None:
            return self.verdict.rejected(Rule.NO_CONVERGED_STAGE, "neither equilibrium nor radii stage converged")
        slopes = self._map()
        accepted = self._ramp_adaptively(slopes) if self.settings.adaptive else self._ramp_by_series(slopes)
        if accepted is not None:
            self._refine(accepted, slopes)
        return self._accept()

    def _compute(self, name: StageName, strength: float | None, constraint: FloatArray | None) -> Stage:
        stage = self.recorder.scf(name, strength, constraint, self.radii, self.last)
        if stage.converged:
            self.before, self.last = self.last, stage
        return stage

    def _find_equilibrium(self) -> None:
        """Compute the state without constraint, once more from larger moments where it lost its magnetization."""
        free = self._compute(StageName.EQUILIBRIUM, None, None)
        reached = free.achieved.get(free.which_definition)
        if lost_magnetization(self.target, None if reached is None else np.array(reached)):
            self.last = None
            again = self.recorder.scf(
                StageName.EQUILIBRIUM, None, None, self.radii, None, start=LARGER_START * self.target
            )
            found = [s for s in (free, again) if s.converged and s.energy_eV is not None]
            self.last = min(found, key=lambda s: s.energy_eV or 0.0, default=None)

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

    def _provisional_slopes(self) -> FloatArray:
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

    def _map(self) -> FloatArray:
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

    def _last_strength(self) -> float | None:
        """Return λ of the last converged constrained calculation."""
        return self.last.lambda_eV_per_muB2 if self.last is not None else None

    def _ramp_by_series(self, slopes: FloatArray) -> Stage | None:
        """Raise λ through the series; return the first calculation inside the limits."""
        constraint = slopes * self.target
        for goal in self.settings.lambda_series:
            strength = goal
            while True:
                stage = self._compute(StageName.RAMP, strength, constraint)
                if self.verdict.inside(stage):
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

    def _ramp_adaptively(self, slopes: FloatArray) -> Stage | None:
        """Choose λ and the constraint's shift from the measured response, until inside the limits."""
        for _ in range(self.settings.ramp_runs):
            assert self.last is not None
            last = self._last_strength() or self.settings.radii_lambda_eV_per_muB2
            state, target = _smoothed_and_force(self.last), slopes * self.target
            step = ramp.adaptive_step(self._response(slopes), state, target, last, self.dare, self.settings)
            stage = self._compute(StageName.RAMP, step.strength, step.constraint)
            if self.verdict.inside(stage):
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

    def _response(self, slopes: FloatArray) -> ramp.Response:
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

    def _rescale_between(self, one: Stage, two: Stage) -> FloatArray:
        """Return d m^sWS(two) / d m^sWS(one) of every atom, from their slopes."""
        ratio = {z: (two.slope or {})[z] / (one.slope or {})[z] for z in two.slope or {}}
        return per_atom(self.symbols, ratio)

    # -- refine and accept -----------------------------------------------------------------------------

    def _refine(self, accepted: Stage, slopes: FloatArray) -> None:
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
        """Apply the criteria to the best calculation, check it and record the verdict."""
        candidates = [s for s in self.recorder.stages if s.name in (StageName.RAMP, StageName.REFINE)]
        candidates = [s for s in candidates if s.converged and s.kind is ConstraintKind.SOFT]
        if not candidates:
            return self.verdict.rejected(Rule.NO_CONVERGED_STAGE, "no constrained calculation converged")
        best = min(candidates, key=lambda s: (not self.verdict.inside(s), s.mae_muB or 0.0))
        refusal = self.verdict.refusal(best)
        if refusal is not None:
            return refusal
        assert self.last is not None
        return self.verdict.given(SoftCheck(self.recorder).run(best, self.last, self.check))


def _smoothed_and_force(stage: Stage) -> tuple[FloatArray, FloatArray]:
    """Return m^sWS and the penalty's force on it."""
    return np.array(stage.achieved[SMOOTHED]), stage.smoothed_force()


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
