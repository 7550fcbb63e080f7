"""The label by a hard constraint: one calculation that holds the moments where they are wanted."""

from __future__ import annotations

from mmtp_fw.dft.check import HardCheck, hold, unchecked
from mmtp_fw.dft.engine import ConstraintKind
from mmtp_fw.dft.recorder import Recorder
from mmtp_fw.dft.registry import describe
from mmtp_fw.dft.soft import SoftLadder
from mmtp_fw.dft.stages import Outcome, Rule, Stage
from mmtp_fw.dft.verdict import Verdict
from mmtp_fw.labelling import StageName


class HardPath:
    """One configuration's way: cold, on from there, from a soft calculation, else the soft ladder, where there is one.

    Parameters
    ----------
    recorder : Recorder
    check : bool
        Whether to check a label about which nothing is suspicious.
    """

    def __init__(self, recorder: Recorder, check: bool) -> None:
        self.recorder = recorder
        self.settings = recorder.settings
        self.check = check

    def run(self) -> Outcome:
        """Return the outcome."""
        recorder = self.recorder
        cold = hold(recorder, StageName.HARD, recorder.target, None)
        if self._held(cold):
            return self._accept(cold, suspect=len(recorder.stages) > 1)
        if ConstraintKind.SOFT not in describe(recorder.engine.name).constraints:
            why = f"the hard constraint does not hold, and the engine has no other: {recorder.stages[-1].message}"
            return Verdict(recorder).rejected(Rule.NO_CONVERGED_STAGE, why)
        strength = self.settings.hard_from_lambda_eV_per_muB2
        soft = recorder.scf(StageName.RAMP, strength, recorder.target, {}, None)
        if not soft.converged:
            return SoftLadder(recorder, True).run()
        again = hold(recorder, StageName.HARD, recorder.target, soft)
        if self._held(again):
            return self._accept(again, suspect=True)
        return SoftLadder(recorder, True, soft).run()

    def _held(self, stage: Stage) -> bool:
        far = stage.max_deviation_muB
        return stage.converged and far is not None and far <= self.settings.hard_tolerance_muB

    def _accept(self, stage: Stage, suspect: bool) -> Outcome:
        """Check the label where that is asked for or where it did not come straight, and give the verdict."""
        checked = HardCheck(self.recorder).run(stage) if self.check or suspect else unchecked(stage)
        return Verdict(self.recorder).given(checked)
