"""Labelled configurations as the fit sees them: neighbour lists and targets, made once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from ase import Atoms
from ase.stress import voigt_6_to_full_3x3_stress

from mmtp_fw.errors import InputError
from mmtp_fw.fitting.weights import Weights
from mmtp_fw.potential import Potential, System, moments_of


@dataclass(frozen=True, eq=False)
class Sample:
    """One labelled configuration of n atoms.

    Attributes
    ----------
    system : System
    moments : ndarray, shape (n,)
        μB, of the label.
    energy : float or None
        eV.
    forces : ndarray, shape (n, 3), or None
        eV/Å.
    virial : ndarray, shape (3, 3), or None
        V·σ = ∂E/∂ε, eV.
    magnetic_forces : ndarray, shape (n,), or None
        eV/μB.
    weights : tuple of four floats
        Of ΔE², |Δf|², (VΔσ)², ΔT²: all scalings applied, 0 where the label lacks the quantity.
    """

    system: System
    moments: np.ndarray
    energy: float | None
    forces: np.ndarray | None
    virial: np.ndarray | None
    magnetic_forces: np.ndarray | None
    weights: tuple[float, float, float, float]

    def __len__(self) -> int:
        return len(self.system)


def name_of(atoms: Atoms, index: int) -> str:
    """Return how messages call a configuration: number from 0, and name where it has one."""
    for key in ("name", "config_id", "identifier", "hash", "content_hash"):
        if atoms.info.get(key):
            return f"configuration {index} ({atoms.info[key]})"
    return f"configuration {index}"


def labels_of(atoms: Atoms) -> dict[str, np.ndarray | float]:
    """Return what a configuration's label holds of energy, forces, stress, magnetic_forces.

    Values are those of the calculator's results, in eV, Å, μB; ``magnetic_forces`` are the array of that
    name. Nothing is computed.
    """
    results = dict(getattr(atoms.calc, "results", {}) or {}) if atoms.calc is not None else {}
    found: dict[str, np.ndarray | float] = {}
    energy = results.get("energy", results.get("free_energy"))
    if energy is not None:
        found["energy"] = float(energy)
    for key in ("forces", "stress"):
        if results.get(key) is not None:
            found[key] = np.array(results[key], dtype=np.float64)
    magnetic = atoms.arrays.get("magnetic_forces", results.get("magnetic_forces"))
    if magnetic is not None:
        found["magnetic_forces"] = np.array(magnetic, dtype=np.float64)
    return found


def make_sample(potential: Potential, atoms: Atoms, weights: Weights, index: int = 0) -> Sample:
    """Prepare a labelled configuration.

    Raises
    ------
    InputError
        Naming the configuration: no label at all, shapes that don't fit, and what `System.from_atoms` raises.
    """
    try:
        system, moments = potential.system(atoms), moments_of(atoms)
    except InputError as error:
        raise InputError(f"{name_of(atoms, index)}: {error.message}", error.hint) from error
    labels, n = labels_of(atoms), len(atoms)
    if not labels:
        raise InputError(
            f"{name_of(atoms, index)}: has no energy, forces, stress or magnetic forces",
            "attach a SinglePointCalculator",
        )
    for key, shape in (("forces", (n, 3)), ("magnetic_forces", (n,))):
        if key in labels and np.shape(labels[key]) != shape:
            raise InputError(f"{name_of(atoms, index)}: {key} of shape {np.shape(labels[key])}, expected {shape}")
    virial = None
    if "stress" in labels and system.volume > 0:
        stress = np.asarray(labels["stress"])
        if stress.shape not in ((6,), (3, 3)):
            raise InputError(f"{name_of(atoms, index)}: stress of shape {stress.shape}, expected (6,)")
        virial = system.volume * (voigt_6_to_full_3x3_stress(stress) if stress.shape == (6,) else stress)
    magnetic = labels.get("magnetic_forces") if potential.magnetic else None
    own = _own_weight(atoms, weights, index)
    present = (labels.get("energy"), labels.get("forces"), virial, magnetic)
    terms = (
        weights.energy / n**weights.energy_scaling,
        weights.forces / n**weights.forces_scaling,
        weights.stress / n**weights.stress_scaling,
        weights.magnetic_forces / n**weights.magnetic_forces_scaling,
    )
    scaled = [0.0 if value is None else own * term for value, term in zip(present, terms, strict=True)]
    return Sample(
        system, moments, labels.get("energy"), labels.get("forces"), virial, magnetic,  # type: ignore[arg-type]
        (scaled[0], scaled[1], scaled[2], scaled[3]),
    )  # fmt: skip


def make_samples(potential: Potential, configurations: Sequence[Atoms], weights: Weights | None = None) -> list[Sample]:
    """Prepare a training set; see `make_sample`."""
    weights = Weights() if weights is None else weights
    if len(configurations) == 0:
        raise InputError("the training set is empty", "give at least one labelled configuration")
    return [make_sample(potential, atoms, weights, index) for index, atoms in enumerate(configurations)]


def _own_weight(atoms: Atoms, weights: Weights, index: int) -> float:
    """Return q_k: the configuration's own weight, less where its label misses the target moments."""
    own = atoms.info.get("weight", 1.0)
    try:
        value = float(own)
    except (TypeError, ValueError) as error:
        raise InputError(f"{name_of(atoms, index)}: weight {own!r} is no number") from error
    if not (np.isfinite(value) and value >= 0):
        raise InputError(f"{name_of(atoms, index)}: weight {own!r} must be finite and not negative")
    if weights.moment_deviation_muB > 0 and "label_mae_muB" in atoms.info:
        value /= 1.0 + (float(atoms.info["label_mae_muB"]) / weights.moment_deviation_muB) ** 2
    return value
