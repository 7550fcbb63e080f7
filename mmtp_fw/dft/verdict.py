"""From the calculation that is to be the label to the outcome: criteria, what the check said, the label itself."""

from __future__ import annotations

import numpy as np

from mmtp_fw.dft import limit, quality
from mmtp_fw.dft.check import Checked
from mmtp_fw.dft.engine import ConstraintKind, settings_hash
from mmtp_fw.dft.moments import flipped
from mmtp_fw.dft.recorder import Recorder
from mmtp_fw.dft.stages import CheckVerdict, Label, Outcome, Rule, Stage
from mmtp_fw.labelling import OutcomeStatus, StageName


class Verdict:
    """Judges the calculations of one configuration.

    Parameters
    ----------
    recorder : Recorder
    """

    def __init__(self, recorder: Recorder) -> None:
        self.recorder = recorder
        self.settings = recorder.settings

    def inside(self, stage: Stage) -> bool:
        """Return whether a calculation converged with its deviations inside both limits."""
        return quality.inside(stage, self.settings)

    def refusal(self, best: Stage) -> Outcome | None:
        """Return the rejection of a calculation whose moments are not what was asked for, None where they are."""
        reached = _reached(best)
        wrong = flipped(best.final_moments(), self.recorder.target, self.settings.flip_threshold_muB)
        if wrong:
            return self.rejected(Rule.MOMENT_FLIPPED, f"atoms {wrong} have the wrong sign; {reached}")
        if not self.inside(best) and not self._useful(best):
            return self.rejected(Rule.MOMENTS_TOO_FAR, f"at the best λ: {reached}")
        return None

    def given(self, checked: Checked) -> Outcome:
        """Return the outcome for a calculation that was checked, and record it."""
        best = checked.stage
        if checked.contradiction is not None:
            return self.rejected(Rule.INCONSISTENT_ENERGY, checked.contradiction)
        inside = self.inside(best)
        label = self._label(checked, inside)
        rule = Rule.CRITERIA_MET if inside else Rule.SMALLEST_MAE_USEFUL
        hard = best.kind is ConstraintKind.HARD
        how = "hard constraint" if hard else f"λ = {label.lambda_eV_per_muB2:.3g} eV/μB²"
        reason = f"{how}: {_reached(best)}, {checked.check.verdict.value}"
        self.recorder.decision(StageName.ACCEPT, best=best, message=f"{rule.value}: {reason}")
        return self.recorder.outcome(OutcomeStatus.ACCEPTED, rule, reason, label)

    def rejected(self, rule: Rule, reason: str) -> Outcome:
        """Return the rejection by a rule, and record it."""
        self.recorder.decision(StageName.ACCEPT, message=f"rejected, {rule.value}: {reason}", converged=False)
        return self.recorder.outcome(OutcomeStatus.REJECTED, rule, reason)

    def _useful(self, stage: Stage) -> bool:
        limits = self.settings
        return (stage.mae_muB or 0.0) <= limits.useful_mae_limit_muB and (
            stage.max_deviation_muB or 0.0
        ) <= limits.useful_max_limit_muB

    def _label(self, checked: Checked, inside: bool) -> Label:
        recorder, atoms, best = self.recorder, self.recorder.atoms, checked.stage
        hard_limit = limit.extrapolate(recorder.stages, best)
        outcome = recorder.outcome(OutcomeStatus.ACCEPTED, Rule.CRITERIA_MET, "")
        confirmed = checked.check.verdict is CheckVerdict.CONFIRMED
        residual = checked.check.residual_eV_per_atom
        return Label.model_validate(
            {
                "symbols": list(atoms.symbols),
                "positions": atoms.positions.tolist(),
                "cell": np.asarray(atoms.cell).tolist(),
                "pbc": [bool(periodic) for periodic in atoms.pbc],
                "energy_eV": best.energy_eV,
                "forces": best.forces,
                "stress": best.stress,
                "moments": best.final_moments().tolist(),
                "magnetic_forces": best.magnetic_forces,
                "which_definition": best.which_definition,
                "target": recorder.target.tolist(),
                "constraint": best.kind,
                "lambda_eV_per_muB2": best.lambda_eV_per_muB2,
                "mae_muB": best.mae_muB,
                "max_deviation_muB": best.max_deviation_muB,
                "grade": quality.grade(inside, confirmed),
                "extrapolation": hard_limit,
                "integration_residual_eV_per_atom": None if residual is None else abs(residual),
                "check": checked.check,
                "bias_eV_per_atom": (hard_limit.energy_eV - (best.energy_eV or 0.0)) / len(atoms),
                "engine": recorder.engine.name,
                "settings_hash": settings_hash(recorder.engine.settings_document()),
                "scf_runs": outcome.scf_runs,
                "stage_key": best.key,
            }
        )


def _reached(stage: Stage) -> str:
    return f"MAE {stage.mae_muB:.3f}, largest deviation {stage.max_deviation_muB:.3f} μB"
