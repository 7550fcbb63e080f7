"""The protocol: the label of one configuration, by a hard or a soft constraint, whatever the engine.

See docs/dft.md. Every decision depends only on the stages before it, so that a run that is given the `finished` stages
of an interrupted one takes the same way again and computes nothing twice.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from ase import Atoms

from mmtp_fw.dft.checks import check_request
from mmtp_fw.dft.engine import ConstraintKind, Engine
from mmtp_fw.dft.hard import HardPath
from mmtp_fw.dft.recorder import Recorder, StoppedError
from mmtp_fw.dft.registry import describe
from mmtp_fw.dft.settings import ProtocolSettings
from mmtp_fw.dft.soft import SoftLadder
from mmtp_fw.dft.stages import Outcome, Rule, Stage
from mmtp_fw.errors import EngineError, InputError, MachineError, RefusedInputError
from mmtp_fw.labelling import OutcomeStatus


def run_protocol(
    engine: Engine,
    atoms: Atoms,
    settings: ProtocolSettings | None = None,
    directory: Path | str = ".",
    finished: Sequence[Stage] = (),
    on_stage: Callable[[Stage], None] | None = None,
    should_stop: Callable[[], bool] | None = None,
    others: Sequence[Stage] = (),
    check: bool = True,
) -> Outcome:
    """Label one configuration at its target moments.

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
    check : bool
        Whether calculations are made for the check even where nothing is suspicious about the label: for a hard one a
        second point, for both a start from elsewhere. `ProtocolSettings.checks` says which labels of a campaign are
        checked so. A soft label's own ladder, which nearly suffices for the rest, is always looked at.

    Returns
    -------
    Outcome
        Accepted with a label, rejected by a rule, failed with the engine's reason, or interrupted; in
        each case with all stages.

    Raises
    ------
    InputError
        A structure, target or constraint that can't be computed, before anything is.

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
    kind = chosen_constraint(engine, settings)
    recorder = Recorder(engine, atoms, settings, Path(directory), finished, on_stage, should_stop, others)
    try:
        return HardPath(recorder, check).run() if kind is ConstraintKind.HARD else SoftLadder(recorder, check).run()
    except StoppedError as stop:
        return recorder.outcome(OutcomeStatus.INTERRUPTED, Rule.STOPPED, str(stop))
    except MachineError:
        raise
    except RefusedInputError as error:
        return recorder.outcome(OutcomeStatus.FAILED, Rule.INPUT_REFUSED, str(error))
    except EngineError as error:
        return recorder.outcome(OutcomeStatus.FAILED, Rule.ENGINE_FAILED, str(error))


def chosen_constraint(engine: Engine, settings: ProtocolSettings) -> ConstraintKind:
    """Return the kind of constraint that labels of this engine are made with.

    Raises
    ------
    InputError
        The engine doesn't know the one that was asked for.
    """
    known = describe(engine.name).constraints
    if settings.constraint == "auto":
        return ConstraintKind(known[0])
    kind = ConstraintKind(settings.constraint)
    if kind not in known:
        raise InputError(
            f"dft.protocol.constraint: the engine '{engine.name}' knows no {kind.value} constraint",
            f"auto, or {' or '.join(known)}",
        )
    return kind
