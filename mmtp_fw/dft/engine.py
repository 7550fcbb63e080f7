"""What an electronic-structure engine must offer: one small interface, and nothing of the protocol.

The protocol (`mmtp_fw.dft.protocol`) knows only `Engine`, `ScfRequest` and `ScfResult`; an engine knows only how to
carry out one self-consistent calculation: without constraint, with the penalty ``λ Σ_i (m_i^sWS − m_i^constr)²``, or
with the moments held where they are wanted. Engines that run a program derive from
`mmtp_fw.dft.program_engine.ProgramEngine`; what others know of an engine is its description (`mmtp_fw.dft.registry`).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from ase import Atoms

from mmtp_fw.arrays import FloatArray

# Names of the moment definitions that engines use as keys of `ScfResult.moments`.
SMOOTHED = "sWS"
UNSMOOTHED = "WS"
FINAL = "PAW"


class ConstraintKind(StrEnum):
    """How a calculation holds the moments.

    none: not at all. soft: by the penalty λ Σ (m^sWS − m^constr)², near m^constr. hard: by a Lagrange multiplier, at
    m^constr itself.
    """

    NONE = "none"
    SOFT = "soft"
    HARD = "hard"


@dataclass(frozen=True)
class ScfRequest:
    """One self-consistent calculation that the protocol asks an engine for.

    Attributes
    ----------
    atoms : Atoms
        The structure of n atoms; its own moments mean nothing here.
    stage : str
        Name of the protocol's stage ("equilibrium", "radii", "ramp", "refine").
    start_moments : ndarray, shape (n,)
        Moments (μB) to start from where `restart` has none.
    directory : Path
        An own directory of this calculation; the engine may leave its files there.
    lambda_eV_per_muB2 : float
        Strength λ of the penalty; 0 without constraint.
    constraint : ndarray, shape (n,), optional
        m^constr (μB); None without constraint. Of the smoothed definition for the penalty, of the engine's final one
        for a hard constraint.
    hard : bool
        Hold the moments at `constraint` itself, not by the penalty.
    radii_A : dict of str to float
        Sphere radius (Å) of every species; empty for the engine's own defaults.
    restart : dict
        `ScfResult.restart` of the calculation to go on from (empty: from scratch).
    should_stop : callable, optional
        True when wall time is nearly over; an engine that notices ends with ``interrupted``.
    """

    atoms: Atoms
    stage: str
    start_moments: FloatArray
    directory: Path
    lambda_eV_per_muB2: float = 0.0
    constraint: FloatArray | None = None
    radii_A: Mapping[str, float] = field(default_factory=dict)
    restart: Mapping[str, Any] = field(default_factory=dict)
    should_stop: Callable[[], bool] | None = None
    hard: bool = False

    @property
    def kind(self) -> ConstraintKind:
        """The kind of constraint that is asked for."""
        if self.constraint is None:
            return ConstraintKind.NONE
        return ConstraintKind.HARD if self.hard else ConstraintKind.SOFT


@dataclass(frozen=True)
class ScfResult:
    """What an engine found, in eV, Å and μB.

    Attributes
    ----------
    converged : bool
        Whether self-consistency was reached; without it the numbers are only for the record.
    moments : dict of str to ndarray, shape (n,)
        Signed moments by definition ("sWS" smoothed spheres, which the penalty sees; "WS" the same
        unsmoothed; "PAW" the final table). An engine with one definition gives it under every name.
    energy_eV : float or None
        Energy without the penalty, E_DFT.
    energy_with_penalty_eV : float or None
        What the engine minimised.
    penalty_eV : float
        λ Σ (m^sWS − m^constr)² of the signed moments, as the engine itself has it.
    forces : ndarray, shape (n, 3), or None
        −∂E_DFT/∂r in eV/Å.
    stress : ndarray, shape (6,), or None
        eV/Å³, ASE sign, Voigt (xx yy zz yz xz xy).
    radii_A : dict of str to float
        Radii that were used.
    scf_steps : int
        Electronic steps taken.
    restart : dict
        What a later request needs to go on from here; JSON-able, file names relative to the directory of the whole
        configuration. Without convergence only where going on is worth while.
    interrupted : bool
        True when the engine stopped because `ScfRequest.should_stop` said so.
    message : str
        One line on how it ended.
    magnetic_forces : ndarray, shape (n,), or None
        T_i = −∂E_DFT/∂m_i in eV/μB as the engine itself gives them, of the moments `magnetic_forces_definition`; None
        where they are to be derived from the penalty.
    magnetic_forces_definition : str
        Key of `moments` that `magnetic_forces` are derivatives by.
    energy_noise_eV : float
        What self-consistency left open in the energy: its largest change in the last steps.
    """

    converged: bool
    moments: dict[str, FloatArray]
    energy_eV: float | None
    energy_with_penalty_eV: float | None
    penalty_eV: float
    forces: FloatArray | None
    stress: FloatArray | None
    radii_A: dict[str, float]
    scf_steps: int
    restart: dict[str, Any] = field(default_factory=dict)
    interrupted: bool = False
    message: str = ""
    magnetic_forces: FloatArray | None = None
    magnetic_forces_definition: str = FINAL
    energy_noise_eV: float = 0.0


@runtime_checkable
class Engine(Protocol):
    """The contract of an engine.

    Attributes
    ----------
    name : str
        As its description has it (`mmtp_fw.dft.registry`).
    final_definition : str
        Key of `ScfResult.moments` that the potential is trained on and the criteria are applied to.
    adjustable_radii : bool
        Whether the radii stage may rescale the spheres.
    """

    name: str
    final_definition: str
    adjustable_radii: bool

    def settings_document(self) -> dict[str, Any]:
        """Return everything that defines a label (JSON-able); it is hashed into the calculation's key."""
        ...

    def check(self, atoms: Atoms) -> None:
        """Raise `InputError` if this engine can't compute `atoms` with its targets (initial moments)."""
        ...

    def largest_moment(self, species: str) -> float:
        """Return the largest target (μB) that `check` lets an atom of a species have."""
        ...

    def datasets(self, atoms: Atoms) -> dict[str, str]:
        """Return a digest of every species' pseudopotential or PAW dataset on this machine; empty if there are none.

        Settings name datasets; two machines may have different files of one name, and labels from both don't fit
        together.
        """
        ...

    def scf(self, request: ScfRequest) -> ScfResult:
        """Carry out one calculation; no convergence is a result, a missing program an `EngineError`."""
        ...

    def unconstrained(self, atoms: Atoms, directory: Path | None = None) -> Atoms:
        """Return `atoms` labelled by a calculation without constraint, from its initial moments."""
        ...


def settings_hash(*documents: Mapping[str, Any]) -> str:
    """Return the blake2b hex digest (32 characters) of JSON-able documents, independent of key order.

    Parameters
    ----------
    *documents
        For a calculation's key: the engine's `settings_document()`, and the protocol's settings where
        these are meant to tell calculations apart.
    """
    text = json.dumps(documents, sort_keys=True, separators=(",", ":"))
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()
