"""What is done about failures of VASP, each by a small custodian handler: symptom and cure in its docstring.

A cure may change how the answer is found (`CHANGEABLE_INCAR`), never what it means: ENCUT, k-points, EDIFF,
the functional, λ and the targets stay. Each is tried a limited number of times; what it changed is part of
the stage's record. What no handler mends is for the protocol: not converged, it takes a smaller step in λ.
"""

from __future__ import annotations

import time
from typing import Any, ClassVar

from custodian.custodian import ErrorHandler

from mmtp_fw.dft.vasp.run import Correction, Symptom, VaspRun


class VaspHandler(ErrorHandler):
    """A handler of one symptom of one run.

    Parameters
    ----------
    run : VaspRun
    """

    symptom: ClassVar[Symptom]
    is_monitor = False
    is_terminating = False
    raise_on_max = False
    max_num_corrections: int | None = 1

    def __init__(self, run: VaspRun) -> None:
        self.run = run

    def check(self, directory: str = "./") -> bool:
        """Return whether the run that has ended shows the symptom."""
        return self.run.symptom() == self.symptom

    def correct(self, directory: str = "./") -> dict[str, Any]:
        """Apply the cure and keep a record of it."""
        correction = Correction(type(self).__name__, self.symptom.value, tuple(self.cure()))
        self.run.corrections.append(correction)
        return {"errors": [correction.symptom], "actions": list(correction.changes)}

    def cure(self) -> list[str]:
        """Change the inputs; return the changes in words."""
        raise NotImplementedError

    def as_dict(self) -> dict[str, Any]:
        """Return what custodian.json keeps of it."""
        return {"handler": type(self).__name__}


class StopHandler(VaspHandler):
    """Symptom: the protocol wants to stop (wall time is nearly over, the worker was told to end).

    Cure: STOPCAR with ``LABORT = .TRUE.``, so that VASP ends after its electronic step and writes WAVECAR,
    from which a later launch goes on. When it has not ended after `stop_grace_s`, it is ended by signals.
    """

    symptom = Symptom.STOPPED
    is_monitor = True
    is_terminating = True
    raises_runtime_error = False
    max_num_corrections = None

    def check(self, directory: str = "./") -> bool:
        """Ask VASP to stop where that is wanted; return whether it was, or must be, ended for it."""
        run = self.run
        if not run.running:
            return run.symptom() == Symptom.STOPPED
        if run.should_stop():
            run.request_stop()
        return run.stopping is not None and time.monotonic() - run.stopping > run.stop_grace_s

    def correct(self, directory: str = "./") -> dict[str, Any]:
        """Tell custodian that there is nothing to rerun."""
        return {"errors": [self.symptom.value], "actions": None}


class FrozenHandler(VaspHandler):
    """Symptom: VASP runs, but has written nothing for `frozen_after_s`: an MPI process hangs, a disk is away.

    Cure: it is ended, and run once more from where the stage began.
    """

    symptom = Symptom.FROZEN
    is_monitor = True
    is_terminating = True

    def check(self, directory: str = "./") -> bool:
        """Return whether the running program has been silent for too long."""
        run = self.run
        if not run.running or run.stopping is not None or run.silence() <= run.frozen_after_s:
            return False
        run.call_frozen()
        return True

    def cure(self) -> list[str]:
        """Run again."""
        return self.run.start_again()


class ZbrentHandler(VaspHandler):
    """Symptom: ``ZBRENT: fatal error in bracketing``, from the line minimisation of ALGO = All or Damped.

    Cure: ALGO = Normal, whose diagonalisation needs no line minimisation, from where the stage began.
    """

    symptom = Symptom.ZBRENT

    def cure(self) -> list[str]:
        """Change ALGO."""
        return self.run.start_again(ALGO="Normal")


class EdddavHandler(VaspHandler):
    """Symptom: ``Error EDDDAV: Call to ZHEGV failed``, from orbitals or a density that make no sense.

    Cure: without them, from MAGMOM, and with ALGO = All, which minimises instead of diagonalising.
    """

    symptom = Symptom.EDDDAV

    def cure(self) -> list[str]:
        """Change ALGO and leave the orbitals."""
        return self.run.start_afresh(ALGO="All")


class CutOffHandler(VaspHandler):
    """Symptom: OUTCAR has no timing at its end: VASP was killed, or crashed, or its disk was full.

    Cure: once more from where the stage began, since its own WAVECAR may be half written.
    """

    symptom = Symptom.CUT_OFF

    def cure(self) -> list[str]:
        """Run again."""
        return self.run.start_again()


class NotFiniteHandler(VaspHandler):
    """Symptom: NaN or stars for energy, forces or moments, after a restart from a density gone wrong.

    Cure: once more from MAGMOM and atomic charges.
    """

    symptom = Symptom.NOT_FINITE

    def cure(self) -> list[str]:
        """Leave orbitals and density."""
        return self.run.start_afresh()


class NotConvergedHandler(VaspHandler):
    """Symptom: EDIFF was not reached in NELM electronic steps: the density sloshes under the constraint.

    Cure: AMIX and AMIX_MAG halved, linear mixing, from where the stage began. If that does not help, the
    answer is 'not converged', and the protocol comes back with a smaller step in λ.
    """

    symptom = Symptom.NOT_CONVERGED

    def __init__(self, run: VaspRun, retries: int = 1) -> None:
        super().__init__(run)
        self.max_num_corrections = retries

    def cure(self) -> list[str]:
        """Mix more slowly."""
        incar = self.run.incar()
        slower = {tag: round(0.5 * float(incar[tag]), 6) for tag in ("AMIX", "AMIX_MAG")}
        return self.run.start_again(**slower, BMIX=1e-4, BMIX_MAG=1e-4)


class FlippedHandler(VaspHandler):
    """Symptom: converged, but a constrained moment has the other sign than its target.

    Cure: once more from MAGMOM, which has the signs of the targets; the orbitals of the stage before are
    in the other basin. If it flips again the protocol rejects the label.
    """

    symptom = Symptom.FLIPPED

    def cure(self) -> list[str]:
        """Leave orbitals and density."""
        return self.run.start_afresh()


def handlers_for(run: VaspRun, mixing_retries: int) -> list[VaspHandler]:
    """Return all handlers of a run."""
    return [
        StopHandler(run),
        FrozenHandler(run),
        ZbrentHandler(run),
        EdddavHandler(run),
        CutOffHandler(run),
        NotFiniteHandler(run),
        NotConvergedHandler(run, mixing_retries),
        FlippedHandler(run),
    ]
