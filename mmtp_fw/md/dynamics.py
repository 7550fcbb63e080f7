"""The loop around LAMMPS: records, grades, candidates, and every way to end."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
from ase import Atoms

from mmtp_fw.errors import EngineError, InputError
from mmtp_fw.md.lammps import LammpsRun
from mmtp_fw.md.models import Model, PotentialModel
from mmtp_fw.md.pair import PairRun
from mmtp_fw.md.settings import MdResult, MdSettings, MdState
from mmtp_fw.potential import Potential
from mmtp_fw.potential.system import type_indices

if TYPE_CHECKING:
    from mmtp_fw.selection import ActiveSet

COLUMNS = (
    "step",
    "temperature_K",
    "potential_energy_eV",
    "total_energy_eV",
    "pressure_GPa",
    "magnetization_muB_per_atom",
    "absolute_moment_muB_per_atom",
    "grade",
)

# A barostat that has scaled the volume by more has gone astray, and a collapsing cell takes all memory for its pairs.
_MOST_SCALED = 2.0
_MOMENTS_LOST = (MdState.MOMENTS_AT_BOUND, MdState.MOMENTS_NOT_RELAXED)
# A grade beyond so many γ_break is that of a frame that has flown apart: what was before it is worth a label.
_ABSURD = 10.0


def trajectory(
    model: Model,
    atoms: Atoms,
    settings: MdSettings,
    active_set: ActiveSet | None = None,
    should_stop: Callable[[], bool] | None = None,
    on_progress: Callable[[MdResult], None] | None = None,
) -> MdResult:
    """Run a trajectory in this process.

    Parameters
    ----------
    model : Model
        What drives the atoms.
    atoms : Atoms
        The start, n atoms with three cell vectors.
    settings : MdSettings
    active_set : ActiveSet, optional
        Without it no grade is known and nothing is saved.
    should_stop : callable, optional
        Asked at every look at the grade.
    on_progress : callable, optional
        Called with the result so far at every record.

    Returns
    -------
    MdResult
        However it ended, everything up to there.
    """
    run = _Run(model, atoms, settings, active_set)
    started = time.monotonic()
    try:
        run.go(should_stop, on_progress, started)
    except InputError as error:  # atoms on top of each other: the end of an explosion
        run.result.state, run.result.message = MdState.EXPLODED, str(error)
    except FloatingPointError as error:
        run.result.state, run.result.message = MdState.NOT_A_NUMBER, str(error)
    except Exception as error:
        told = str(error).strip() or type(error).__name__
        lost = "Lost atoms" in told or "out of range" in told
        if not lost and not isinstance(error, EngineError) and not told.startswith("ERROR"):
            raise
        run.result.state = MdState.LOST_ATOMS if lost else MdState.CRASHED
        run.result.message = told.splitlines()[0]
    finally:
        run.close()
    result = run.finish()
    result.wall_seconds = time.monotonic() - started
    return result


class _Run:
    def __init__(self, model: Model, atoms: Atoms, settings: MdSettings, active_set: ActiveSet | None) -> None:
        self.settings, self.active_set = settings, active_set
        self.result = MdResult()
        self.rows: list[list[float]] = []
        self.next_candidate = 0
        self.sane: Atoms | None = None  # the last frame above γ_select and below γ_break
        self.start_volume = float(atoms.get_volume())
        self.trained = _Trained(model.potential, atoms) if isinstance(model, PotentialModel) else None
        self.lammps = _lammps(atoms, model, settings, active_set)

    def go(
        self,
        should_stop: Callable[[], bool] | None,
        on_progress: Callable[[MdResult], None] | None,
        started: float,
    ) -> None:
        s, result = self.settings, self.result
        chunk = int(np.gcd(s.sample_interval, s.grade_interval)) if self.active_set else s.sample_interval
        self.lammps.advance(0)
        self._look(0)
        if on_progress is not None:
            on_progress(self.finish())
        while self._goes_on:
            steps = min(chunk, s.steps - result.steps_done)
            self.lammps.advance(steps)
            result.steps_done += steps
            self._look(result.steps_done)
            if self._goes_on:
                self._cut_off(should_stop, started)
            if on_progress is not None and result.steps_done % s.sample_interval == 0:
                on_progress(self.finish())
        if not result.frames or result.frames[-1].info["step"] != result.steps_done:
            self._keep(self.snapshot())

    @property
    def _goes_on(self) -> bool:
        return self.result.state is MdState.COMPLETED and self.result.steps_done < self.settings.steps

    def _cut_off(self, should_stop: Callable[[], bool] | None, started: float) -> None:
        """End a trajectory that somebody asked to stop, or whose time is over."""
        if should_stop is not None and should_stop():
            self._end(MdState.INTERRUPTED, "asked to stop")
        elif 0 < self.settings.wall_seconds < time.monotonic() - started:
            self._end(MdState.WALL_TIME, f"wall time of {self.settings.wall_seconds:g} s is over")

    def _keep(self, snapshot: Atoms) -> None:
        """Add a frame; one that is not finite is of no use to anybody."""
        numbers = (snapshot.positions, np.asarray(snapshot.cell), snapshot.get_initial_magnetic_moments())
        if all(np.all(np.isfinite(one)) for one in numbers):
            self.result.frames.append(snapshot)

    def _end(self, state: MdState, message: str) -> None:
        self.result.state, self.result.message = state, message

    def _look(self, step: int) -> None:
        """Record, grade and judge the step just made."""
        s, state = self.settings, self.lammps.state
        assert state is not None
        thermo = self.lammps.thermo()
        if state.at_bounds:
            self._end(MdState.MOMENTS_AT_BOUND, f"step {step}: a moment ran to the bound of the magnetic range")
        elif not state.converged:
            self._end(MdState.MOMENTS_NOT_RELAXED, f"step {step}: the moments found no minimum")
        if not np.isfinite(thermo["temperature_K"]):
            self._end(MdState.NOT_A_NUMBER, f"step {step}: the temperature is not a number")
        elif thermo["temperature_K"] > s.max_temperature_factor * s.temperature_K:
            self._end(MdState.EXPLODED, f"step {step}: {thermo['temperature_K']:.0f} K")
        elif s.pressure_GPa is not None and not 1 / _MOST_SCALED <= (scaled := self._scaled()) <= _MOST_SCALED:
            self._end(MdState.EXPLODED, f"step {step}: the cell has {scaled:.2g} times its first volume")
        grade = float("nan")
        outside = self._outside(step)
        if self.active_set is not None and (
            step % s.grade_interval == 0 or self.result.state in _MOMENTS_LOST or outside
        ):
            grade = self._grade(step, outside)
        if step % s.sample_interval == 0:
            moments = (float(state.moments.mean()), float(np.abs(state.moments).mean()))
            self.rows.append([float(step), *thermo.values(), *moments, grade])
            self._keep(self.snapshot())

    def _scaled(self) -> float:
        """Return the volume over that of the start."""
        return self.lammps.cell.volume() / self.start_volume

    def _outside(self, step: int) -> str:
        """Return in words where this step leaves what the potential was trained in; distances at samples only."""
        if self.trained is None or self.lammps.state is None:
            return ""
        told = self.trained.messages(self.lammps, step % self.settings.sample_interval == 0)
        if told and self.result.outside == 0 and not self.result.message:
            self.result.message = f"step {step}, first: {told}"
        self.result.outside += bool(told)
        return told

    def _grade(self, step: int, outside: str) -> float:
        s, result = self.settings, self.result
        assert self.active_set is not None
        grade, snapshot = self.lammps.grade, None
        if grade is None:
            snapshot = self.snapshot()
            grade = self.active_set.grade(snapshot)
        result.max_grade = max(result.max_grade, grade)
        self._consider(step, grade, snapshot, outside)
        if result.state is not MdState.COMPLETED:
            return grade
        if grade > s.gamma_break:
            self._end(MdState.EXTRAPOLATED, f"step {step}: grade {grade:.3g} above {s.gamma_break:g}")
        elif len(result.candidates) >= s.max_candidates:
            self._end(MdState.TOO_MANY_CANDIDATES, f"step {step}: {s.max_candidates} candidates")
        return grade

    def _consider(self, step: int, grade: float, snapshot: Atoms | None, outside: str) -> None:
        """Save a step that is worth a label; remember one that is only too near the last that was."""
        s = self.settings
        ends = self.result.state in _MOMENTS_LOST or grade > s.gamma_break
        if ends or ((grade > s.gamma_select or outside) and step >= self.next_candidate):
            snapshot = snapshot or self.snapshot()
            if outside:
                snapshot.info["outside"] = outside
            self._save(snapshot, grade)
            self.next_candidate = step + s.candidate_interval
        elif grade > s.gamma_select:
            self.sane = snapshot or self.snapshot()
            self.sane.info["grade"] = grade

    def _save(self, snapshot: Atoms, grade: float) -> None:
        """Add a candidate; instead of one that has flown apart the last one before it."""
        candidates = self.result.candidates
        snapshot.info["grade"] = grade
        if grade <= _ABSURD * self.settings.gamma_break:
            candidates.append(snapshot)
            self.sane = snapshot
            return
        before = self.sane or self._sampled()
        if before is None:  # it started like this: that it is far from all labels doesn't make it impossible
            candidates.append(snapshot)
        elif not candidates or candidates[-1] is not before:
            candidates.append(before)

    def _sampled(self) -> Atoms | None:
        """Return the last sampled frame with its grade."""
        if not self.result.frames:
            return None
        assert self.active_set is not None
        frame: Atoms = self.result.frames[-1].copy()
        frame.info["grade"] = float(self.active_set.grade(frame))
        return frame

    def snapshot(self) -> Atoms:
        """Return the configuration of the step just made."""
        atoms = self.lammps.snapshot()
        atoms.info["step"] = self.result.steps_done
        return atoms

    def finish(self) -> MdResult:
        """Bring the records into the result."""
        table = np.array(self.rows).reshape(-1, len(COLUMNS))
        self.result.last = self.result.frames[-1] if self.result.frames else None
        self.result.thermo = {name: table[:, k] for k, name in enumerate(COLUMNS)}
        self.result.moment_evaluations = self.lammps.evaluations
        return self.result

    def close(self) -> None:
        self.lammps.close()


class _Trained:
    """Looks whether a trajectory leaves the range that its potential was trained in."""

    def __init__(self, potential: Potential, atoms: Atoms) -> None:
        self.potential = potential
        self.types = type_indices(atoms, potential.species)
        self.lists = potential.lists()

    def messages(self, run: LammpsRun | PairRun, distances: bool) -> str:
        """Return in words what lies outside: moments, and distances where they are asked for; empty where nothing."""
        trained, state = self.potential.trained, run.state
        if trained is None or state is None:
            return ""
        if not distances and not trained.outside(self.types, state.moments).any():
            return ""
        system = self.potential.system(run.snapshot(), self.lists)
        return "; ".join(trained.messages(self.potential.species, system, state.moments))


def _lammps(atoms: Atoms, model: Model, settings: MdSettings, active_set: ActiveSet | None) -> LammpsRun | PairRun:
    """Return LAMMPS with its pair style for a potential, by a callback for anything else or without a compiler."""
    if isinstance(model, PotentialModel):
        try:
            return PairRun(atoms, model, settings, active_set)
        except EngineError as error:
            warnings.warn(f"MD runs through Python, slower: {error}", stacklevel=2)
    if settings.flip_interval:
        raise EngineError("flip_interval needs pair_style mmtp", "see the warning on why it can't be used here")
    return LammpsRun(atoms, model, settings)
