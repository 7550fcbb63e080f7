"""Work checks: calculations beside a label that would show an energy or magnetic forces that are not the label's.

ΔE = −∫T·dm between any two calculations of the same atoms, whatever the engine. An energy that holds a part of the
penalty breaks it, and so do forces of the wrong sign, size or definition, moments of another step, and a jump to
another state of the electrons. It is judged only on ways that end at the label, with an error bar (`quality.work`);
before anything is rejected, the middle of the way is computed.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from mmtp_fw.arrays import FloatArray
from mmtp_fw.dft import quality
from mmtp_fw.dft.engine import SMOOTHED, ConstraintKind
from mmtp_fw.dft.moments import per_atom
from mmtp_fw.dft.quality import Judged
from mmtp_fw.dft.recorder import Recorder
from mmtp_fw.dft.stages import Check, CheckVerdict, Stage
from mmtp_fw.labelling import StageName

# λ of a soft label's second point over the label's: the penalties at about one force are then as 1 to this.
_STRENGTH_RATIOS = (3.0, 2.2)
# How much farther than a hard one it lies: its forces are known less well.
_SOFTER = 5.0 / 3.0
FARTHEST_STATES_EV = 1.0
"""Two states of one magnetic system at the same moments lie closer than this, per atom; farther apart, one of them is
no solid: a ghost state of a data set, a lost semicore. Which one, energies don't say."""


@dataclass(frozen=True)
class Checked:
    """A calculation with what its check said.

    Attributes
    ----------
    stage : Stage
        The label: of a hard constraint perhaps another calculation than was given, one that ended lower.
    check : Check
    contradiction : str or None
        Why there is no label.
    """

    stage: Stage
    check: Check
    contradiction: str | None = None


def unchecked(stage: Stage, note: str = "") -> Checked:
    """Return a label that says that nobody checked it."""
    return Checked(stage, Check(verdict=CheckVerdict.UNCHECKED, note=note))


def hold(recorder: Recorder, name: StageName, moments: FloatArray, start: Stage | None) -> Stage:
    """Return a calculation that holds these moments; once more from where it ended, if it left something to go on from.

    Parameters
    ----------
    recorder : Recorder
    name : StageName
    moments : ndarray, shape (n,)
        μB.
    start : Stage or None
        What to restart from; None for a cold start.
    """
    stage = recorder.scf(name, None, moments, {}, start, hard=True)
    if stage.converged or not stage.restart:
        return stage
    return recorder.scf(name, None, moments, {}, stage, hard=True)


class _Checks:
    """What hard and soft checks share: second points, middles, the judgement.

    Parameters
    ----------
    recorder : Recorder
    """

    def __init__(self, recorder: Recorder) -> None:
        self.recorder = recorder
        self.settings = recorder.settings
        self.before = len(recorder.stages)
        self.random = np.random.default_rng(int(recorder.identity, 16))

    def judge(self, *stages: Stage) -> Judged:
        return quality.judge(stages, self.settings)

    def steps(self, label: Stage, mean: float) -> FloatArray:
        """Return a random change of every moment, down its magnetic force so that all work adds up; μB, shape (n,)."""
        sizes = mean * self.random.uniform(0.5, 1.5, len(label.target))
        downhill = np.where(np.array(label.magnetic_forces) < 0, -1.0, 1.0)
        return np.asarray(sizes * downhill)

    def report(self, judged: Judged | None, note: str = "", other: float | None = None) -> Check:
        """Return the record of a check."""
        told = judged is not None and judged.agrees and judged.shows_penalty
        return Check(
            verdict=CheckVerdict.CONFIRMED if told else CheckVerdict.UNCHECKED,
            residual_eV_per_atom=None if judged is None else judged.residual,
            error_eV_per_atom=None if judged is None else judged.error,
            points=[] if judged is None else [stage.key for stage in judged.stages],
            other_start_eV_per_atom=other,
            scf_runs=self._runs(),
            note=note,
        )

    def noted(self, check: Check, note: str = "", other: float | None = None) -> Check:
        """Return the record with what a start from elsewhere said."""
        words = "; ".join(filter(None, (check.note, note)))
        return check.model_copy(update={"note": words, "other_start_eV_per_atom": other, "scf_runs": self._runs()})

    def _runs(self) -> int:
        return sum(stage.reused_from is None for stage in self.recorder.stages[self.before :])


class SoftCheck(_Checks):
    """The check of a soft label: by its ladder's stages, and where they don't tell by a second point of another λ."""

    def run(self, label: Stage, last: Stage, other_start: bool) -> Checked:
        """Check `label`; further calculations restart from `last`, with `other_start` one is made from scratch."""
        mismatch = quality.penalty_mismatch(label)
        if mismatch:
            why = f"the penalty is not that of the moments, by {1000 * mismatch:.1f} meV/atom: moments of another step?"
            return Checked(label, self.report(None), why)
        checked = self._by_neighbours(label, last)
        if checked.contradiction is not None or not other_start:
            return checked
        return self._against_other_start(checked)

    def _by_neighbours(self, label: Stage, last: Stage) -> Checked:
        """Judge the ways that end at a label, and make a second point where they don't tell."""
        self.label, self.last = label, last
        judged = [self.judge(*way) for way in quality.ways(self.recorder.stages, label)]
        telling = [one for one in judged if one.agrees and one.shows_penalty and one.shows_forces]
        doubtful = [one for one in judged if not one.agrees and one.stages[0].kind is not ConstraintKind.NONE]
        if telling and not doubtful:
            return Checked(label, self.report(telling[0]))
        own = self._second_point()
        if own is not None and not own.agrees:
            return self._contradicted(own)
        for one in doubtful[:1]:
            finer = self._with_middle(one)
            if not finer.agrees and finer.residual > 0 and own is not None:
                finer = self._with_middle(finer)  # its own second point believes the label: look once more
            # Lower than the work says, and right by its own second point: it was the other calculation that was higher.
            if not finer.agrees and (finer.residual > 0 or own is None):
                return self._contradicted(finer, "the label is in another state than the calculation it came from")
        note = "no second point converged" if own is None else ""
        return Checked(label, self.report(own or next(iter(telling), None), note))

    def _against_other_start(self, checked: Checked) -> Checked:
        """Make the label's calculation once more from scratch; the lower of the two is the label."""
        label = self.label
        constraint = np.array(label.constrained)
        strength, radii = label.lambda_eV_per_muB2, dict(label.radii_A or {})
        other = self.recorder.scf(StageName.CHECK, strength, constraint, radii, None)
        if not other.converged or quality.distance(other, label) > quality.LONGEST_STEP_MUB:
            return replace(checked, check=self.noted(checked.check, "no other start came near"))
        judged = self.judge(other, label)
        self.last = other
        if abs(judged.residual) > FARTHEST_STATES_EV:
            return Checked(label, self.report(None), _apart(judged.residual))
        if not judged.agrees:
            judged = self._with_middle(judged)
        if judged.agrees or judged.residual < 0:
            return replace(checked, check=self.noted(checked.check, other=-judged.residual))
        note = f"the first start ended {1000 * judged.residual:.1f} meV/atom higher"
        if not quality.inside(other, self.settings):
            return self._contradicted(judged, note)
        again = self._by_neighbours(other, other)
        return replace(again, check=self.noted(again.check, note, other=judged.residual))

    def _second_point(self) -> Judged | None:
        """Return the judgement on a way from a calculation near the label with a third of its penalty."""
        label = self.label
        steps = self.steps(label, _SOFTER * self.settings.check_step_muB)
        for ratio in _STRENGTH_RATIOS:
            strength = ratio * (label.lambda_eV_per_muB2 or 0.0)
            moved = np.array(label.achieved[SMOOTHED]) + steps * per_atom(
                list(self.recorder.atoms.symbols), label.slope or {}
            )
            second = self._scf(strength, moved - label.smoothed_force() / (2.0 * strength))
            if second.converged:
                judged = self.judge(second, label)
                return judged if judged.agrees else self._with_middle(judged)
            steps = 0.5 * steps
        return None

    def _with_middle(self, judged: Judged) -> Judged:
        """Return the judgement with the middle of the last part computed; as it was where that does not converge."""
        *way, label = judged.stages
        strength = label.lambda_eV_per_muB2 or 0.0
        moved = 0.5 * (np.array(way[-1].achieved[SMOOTHED]) + np.array(label.achieved[SMOOTHED]))
        force = 0.5 * (way[-1].smoothed_force() + label.smoothed_force())
        middle = self._scf(strength, moved - force / (2.0 * strength))
        return self.judge(*way, middle, label) if middle.converged else judged

    def _scf(self, strength: float, constraint: FloatArray) -> Stage:
        radii = dict(self.label.radii_A or {})
        stage = self.recorder.scf(StageName.CHECK, strength, constraint, radii, self.last)
        self.last = stage if stage.converged else self.last
        return stage

    def _contradicted(self, judged: Judged, why: str = "") -> Checked:
        return Checked(self.label, self.report(None), _contradiction(judged, why))


class HardCheck(_Checks):
    """The check of a hard label: a second hard point near it, and the label again from another density."""

    def run(self, label: Stage) -> Checked:
        """Check `label` by its neighbourhood, and against a start from the state without constraint."""
        judged = self._second_point(label)
        if judged is not None and not judged.agrees:
            return Checked(label, self.report(None), _contradiction(judged))
        other = self._other_start()
        if other is None:
            return Checked(label, self.report(judged, "no other start converged"))
        above = ((other.energy_eV or 0.0) - (label.energy_eV or 0.0)) / len(label.target)
        if abs(above) > FARTHEST_STATES_EV:
            return Checked(label, self.report(None), _apart(above))
        if above >= -self.settings.hard_integration_tolerance_eV_per_atom:
            return Checked(label, self.report(judged, other=above))
        note = f"the first start ended {-1000 * above:.1f} meV/atom higher"
        judged = self._second_point(other)
        if judged is not None and not judged.agrees:
            return Checked(other, self.report(None), _contradiction(judged, note))
        return Checked(other, self.report(judged, note, other=-above))

    def _second_point(self, label: Stage) -> Judged | None:
        moments = np.array(label.final_moments())
        steps, last = self.steps(label, self.settings.check_step_muB), label
        for share in (1.0, 0.5, -0.5):
            second = self._scf(moments + share * steps, last)
            if not second.converged:
                continue
            judged = self.judge(second, label)
            if judged.agrees:
                return judged
            middle = self._scf(0.5 * (moments + second.final_moments()), second)
            return self.judge(second, middle, label) if middle.converged else judged
        return None

    def _other_start(self) -> Stage | None:
        """Return the label's calculation from the density of the state without constraint."""
        free = self.recorder.scf(StageName.EQUILIBRIUM, None, None, {}, None)
        if not free.converged:
            return None
        again = self._scf(self.recorder.target, free)
        far = again.max_deviation_muB
        return again if again.converged and far is not None and far <= self.settings.hard_tolerance_muB else None

    def _scf(self, moments: FloatArray, last: Stage) -> Stage:
        return hold(self.recorder, StageName.CHECK, moments, last)


def _apart(difference: float) -> str:
    return (
        f"from another density the same moments end {abs(difference):.1f} eV/atom away: no two magnetic states, one "
        "of them is spurious (a ghost state?); try other data sets, a higher cut-off or more bands"
    )


def _contradiction(judged: Judged, why: str = "") -> str:
    said = f"energy and work of the magnetic forces differ by {1000 * judged.residual:+.1f} meV/atom"
    if judged.error is not None:
        said += f" (the integral is good to {1000 * judged.error:.1f})"
    return f"{said}; {why}" if why else said
