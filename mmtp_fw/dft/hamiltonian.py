"""The reference Hamiltonian as an engine of the protocol.

It answers as a DFT program does, so that every stage has real work:

- **Three definitions of the moment.** The Hamiltonian's own moment m_i is the "PAW" one. A sphere of
  radius R around an atom of species z sees m_i^WS = w_z(R) (m_i + τ Σ_j t(r_ij) m_j), with
  w_z(R) = 1 + 0.25 tanh(4 (R − R_z)) and a small spill τ of the neighbours, and the smoothed moment is
  m_i^sWS = σ_z w_z(R) m_i. At the default radii w differs from 1, so radii must be rescaled; σ differs
  between the species, so targets must be mapped; the spill leaves a rest for the refinement.
- **A hard constraint** takes the Hamiltonian's own moments to where they are wanted, the exact answer.
- **The penalty** λ Σ (m_i^sWS − m_i^constr)² is minimised together with the energy, downhill from the
  moments of the calculation that was restarted: a wrong start ends in a wrong basin, as in DFT.
- **Self-consistency can fail.** Switching a constraint on changes the field on an atom from what it was
  to 2λ (m^sWS − m^constr) at the starting moments. Beyond a limit between 0.8 and 5 eV/μB, fixed for each
  structure by a hash of it, the calculation ends without convergence after `MAX_STEPS` steps, its
  moments half-way. Smaller jumps converge in a number of steps that grows with their logarithm.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms
from ase.calculators.singlepoint import SinglePointCalculator

from mmtp_fw.arrays import FloatArray
from mmtp_fw.dft.engine import FINAL, SMOOTHED, UNSMOOTHED, ScfRequest, ScfResult
from mmtp_fw.dft.hamiltonian_description import ENGINE
from mmtp_fw.dft.hamiltonian_model import HamiltonianParameters, HamiltonianResult, ReferenceHamiltonian
from mmtp_fw.dft.hamiltonian_moments import Penalty
from mmtp_fw.dft.registry import checked_settings
from mmtp_fw.errors import InputError

MAX_STEPS = 60
_SMALLEST_LIMIT, _LARGEST_LIMIT = 0.8, 5.0
_SPILL, _SPILL_RANGE = 0.006, 3.4
# The energy of a cell as its minimiser and the sums leave it.
_NOISE_EV = 1e-9


@dataclass(frozen=True)
class SphereTerms:
    """How spheres see the moment of one species.

    Attributes
    ----------
    natural_radius : float
        R_z in Å, where an isolated sphere holds the whole moment (w = 1).
    default_radius : float
        What a calculation starts with, as a pseudopotential's RWIGS, in Å.
    smoothing : float
        σ: smoothed over unsmoothed moment.
    largest_moment : float
        Targets beyond it are refused, in μB.
    """

    natural_radius: float
    default_radius: float
    smoothing: float
    largest_moment: float


SPHERES = {
    "Fe": SphereTerms(natural_radius=1.36, default_radius=1.30, smoothing=0.74, largest_moment=4.5),
    "Pd": SphereTerms(natural_radius=1.38, default_radius=1.43, smoothing=0.68, largest_moment=2.0),
}


class HamiltonianEngine:
    """Engine on the reference Hamiltonian (which is not DFT).

    Parameters
    ----------
    jump_limit_scale : float
        Scales the field jump that self-consistency survives; infinite for an engine that never fails.

    Examples
    --------
    >>> from ase.build import bulk
    >>> iron = bulk("Fe", "fcc", a=3.75)
    >>> iron.set_initial_magnetic_moments([2.5])
    >>> labelled = HamiltonianEngine().unconstrained(iron)
    >>> bool(2.3 < labelled.get_magnetic_moments()[0] < 3.0)
    True
    """

    name = ENGINE.name
    final_definition = FINAL
    adjustable_radii = True

    def __init__(self, jump_limit_scale: float = 1.0) -> None:
        checked_settings(ENGINE, {"jump_limit_scale": jump_limit_scale})
        self.jump_limit_scale = float(jump_limit_scale)
        self.model = ReferenceHamiltonian(HamiltonianParameters())

    def settings_document(self) -> dict[str, Any]:
        """Return what defines a label: the parameters of the Hamiltonian and of its spheres."""
        scale = self.jump_limit_scale
        return {
            "engine": self.name,
            "version": 1,
            "parameters": self.model.parameters.document(),
            "spheres": {z: [t.natural_radius, t.default_radius, t.smoothing] for z, t in SPHERES.items()},
            "jump_limit_scale": scale if np.isfinite(scale) else "infinite",
        }

    def check(self, atoms: Atoms) -> None:
        """Raise `InputError` for an unknown species, or a target that the species can't carry."""
        self.model.types(atoms)
        for index, (symbol, target) in enumerate(zip(atoms.symbols, atoms.get_initial_magnetic_moments(), strict=True)):
            limit = self.largest_moment(symbol)
            if abs(target) > limit:
                raise InputError(
                    f"atom {index} ({symbol}): target moment {target:.2f} μB is impossible",
                    f"{symbol} carries at most {limit} μB",
                )

    def largest_moment(self, species: str) -> float:
        """Return what an atom of a species can carry (μB)."""
        return SPHERES[species].largest_moment

    def datasets(self, atoms: Atoms) -> dict[str, str]:
        """Return nothing: a Hamiltonian has no datasets."""
        return {}

    def scf(self, request: ScfRequest) -> ScfResult:
        """Minimise E, or E + λ Σ (m^sWS − m^constr)², downhill from the restarted moments."""
        atoms = request.atoms
        radii = {z: float(request.radii_A.get(z, SPHERES[z].default_radius)) for z in set(atoms.symbols)}
        start = np.asarray(request.restart.get("moments", request.start_moments), dtype=float)
        field = np.asarray(request.restart.get("field", np.zeros(len(atoms))), dtype=float)
        if not np.any(start):
            start = self.model.ferromagnetic(atoms)
        if request.hard and request.constraint is not None:
            return self._held(atoms, radii, start, field, np.asarray(request.constraint, dtype=float))
        penalty = None
        if request.constraint is not None:
            slopes = self._smoothed_slopes(atoms, radii)
            penalty = Penalty(request.lambda_eV_per_muB2, slopes, np.asarray(request.constraint, dtype=float))
        jump = _field_jump(start, field, penalty)
        limit = self.jump_limit_scale * _jump_limit(atoms)
        pairs = self.model.pairs(atoms)
        landscape = self.model.landscape(atoms, pairs)
        minimum = landscape.minimise(start, penalty)
        if jump > limit or not minimum.converged:
            half_way = self.model.evaluate(atoms, 0.5 * (start + minimum.moments), pairs)
            message = f"no convergence: field jump of {jump:.2f} eV/μB, limit {limit:.2f}"
            return self._result(atoms, radii, half_way, penalty, MAX_STEPS, message, converged=False)
        state = self.model.evaluate(atoms, minimum.moments, pairs)
        return self._result(atoms, radii, state, penalty, _steps(jump), "converged", converged=True)

    def _held(
        self, atoms: Atoms, radii: dict[str, float], start: FloatArray, field: FloatArray, moments: FloatArray
    ) -> ScfResult:
        """Return the answer under a hard constraint: the Hamiltonian at just these moments."""
        state = self.model.evaluate(atoms, moments)
        wanted = state.magnetic_forces / self._smoothed_slopes(atoms, radii)
        jump = float(np.max(np.abs(wanted - field)))
        limit = self.jump_limit_scale * _jump_limit(atoms)
        if jump > limit:
            half_way = self.model.evaluate(atoms, 0.5 * (start + moments))
            message = f"no convergence: field jump of {jump:.2f} eV/μB, limit {limit:.2f}"
            return self._result(atoms, radii, half_way, None, MAX_STEPS, message, converged=False)
        result = self._result(atoms, radii, state, None, _steps(jump), "converged", converged=True)
        restart = {"moments": moments.tolist(), "field": wanted.tolist()}
        return replace(result, restart=restart, magnetic_forces=state.magnetic_forces)

    def unconstrained(self, atoms: Atoms, directory: Path | None = None) -> Atoms:
        """Return `atoms` labelled without constraint, its moments relaxed from the initial ones."""
        return self.relaxed(atoms)

    def relaxed(self, atoms: Atoms) -> Atoms:
        """Return `atoms` labelled at the moments that minimise E in the basin of its initial ones.

        Parameters
        ----------
        atoms : Atoms
            Its initial moments choose the branch; ferromagnetic where all are zero.
        """
        self.model.types(atoms)
        state, _ = self.model.relaxed(atoms, atoms.get_initial_magnetic_moments())
        labelled: Atoms = atoms.copy()
        labelled.set_array("magnetic_forces", state.magnetic_forces)
        labelled.calc = SinglePointCalculator(
            labelled, energy=state.energy, forces=state.forces, stress=state.stress, magmoms=state.moments
        )
        return labelled

    def _result(
        self,
        atoms: Atoms,
        radii: dict[str, float],
        state: HamiltonianResult,
        penalty: Penalty | None,
        steps: int,
        message: str,
        converged: bool,
    ) -> ScfResult:
        smoothed = self._smoothed_slopes(atoms, radii) * state.moments
        value, field = 0.0, np.zeros(len(atoms))
        if penalty is not None:
            value = penalty.strength * float(np.sum((smoothed - penalty.constraint) ** 2))
            field = 2 * penalty.strength * (smoothed - penalty.constraint)
        return ScfResult(
            converged=converged,
            moments={
                FINAL: state.moments,
                UNSMOOTHED: self._sphere_moments(atoms, radii, state.moments),
                SMOOTHED: smoothed,
            },
            energy_eV=state.energy,
            energy_with_penalty_eV=state.energy + value,
            penalty_eV=value,
            forces=state.forces,
            stress=state.stress,
            radii_A=radii,
            scf_steps=steps,
            energy_noise_eV=_NOISE_EV,
            restart={"moments": state.moments.tolist(), "field": field.tolist()} if converged else {},
            message=message,
        )

    def _smoothed_slopes(self, atoms: Atoms, radii: dict[str, float]) -> FloatArray:
        """Return d m^sWS / d m of every atom."""
        slope = {z: SPHERES[z].smoothing * _sphere_weight(z, radius) for z, radius in radii.items()}
        return np.array([slope[symbol] for symbol in atoms.symbols])

    def _sphere_moments(self, atoms: Atoms, radii: dict[str, float], moments: FloatArray) -> FloatArray:
        """Return m^WS: the own moment and the spill of the neighbours'."""
        pairs = self.model.pairs(atoms)
        shift = pairs.shifts @ np.asarray(atoms.cell)
        r = np.linalg.norm(atoms.positions[pairs.second] - atoms.positions[pairs.first] + shift, axis=1)
        spill = np.where(r < _SPILL_RANGE, (1 - np.minimum(r / _SPILL_RANGE, 1) ** 2) ** 2, 0.0)
        neighbours = np.zeros(len(atoms))
        np.add.at(neighbours, pairs.first, _SPILL * spill * moments[pairs.second])
        weight = np.array([_sphere_weight(symbol, radii[symbol]) for symbol in atoms.symbols])
        return weight * (moments + neighbours)


def _steps(jump: float) -> int:
    """Return the electronic steps that a sudden change of field (eV/μB) costs."""
    return min(MAX_STEPS - 1, 8 + int(np.ceil(6 * np.log1p(jump / 0.1))))


def _sphere_weight(species: str, radius: float) -> float:
    """Return w_z(R)."""
    return 1.0 + 0.25 * float(np.tanh(4.0 * (radius - SPHERES[species].natural_radius)))


def _field_jump(start: FloatArray, field: FloatArray, penalty: Penalty | None) -> float:
    """Return the largest sudden change (eV/μB) of the constraining field on an atom."""
    new = np.zeros_like(start)
    if penalty is not None:
        new = 2 * penalty.strength * (penalty.slopes * start - penalty.constraint)
    return float(np.max(np.abs(new - field)))


def _jump_limit(atoms: Atoms) -> float:
    """Return the field jump (eV/μB) that this structure survives, between 0.8 and 5, from its hash."""
    # Adding zero turns -0.0 into 0.0, which has other bytes.
    numbers = (np.round(atoms.get_scaled_positions(), 6) + 0.0, np.round(np.asarray(atoms.cell), 6) + 0.0)
    content = b"".join(array.tobytes() for array in (atoms.numbers, *numbers))
    digest = hashlib.blake2b(content, digest_size=8).digest()
    fraction = int.from_bytes(digest, "big") / 2**64
    return _SMALLEST_LIMIT + (_LARGEST_LIMIT - _SMALLEST_LIMIT) * fraction
