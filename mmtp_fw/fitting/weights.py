"""Weights of the terms of the loss."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields

from mmtp_fw.errors import InputError


@dataclass(frozen=True)
class Weights:
    """Weights of the loss and how they scale with the number N of atoms.

    The loss of K configurations is::

        Σ_k q_k [ w_e ΔE²/N^a + w_f Σ_i |Δf_i|²/N^b + w_s Σ_ab (V Δσ_ab)²/N^c + w_t Σ_i ΔT_i²/N^d ]

    with the stress term over all nine components, and q_k the configuration's own weight
    (``atoms.info["weight"]``, 1 where there is none). Units: eV, Å, μB.

    Attributes
    ----------
    energy, forces, stress, magnetic_forces : float
        w_e, w_f (Å²), w_s, w_t (μB²).
    energy_scaling, forces_scaling, stress_scaling, magnetic_forces_scaling : float
        a, b, c, d.
    moment_deviation_muB : float
        Where positive, a label that misses its target moments by MAE δ (``info["label_mae_muB"]``) is
        weighted down by 1/(1 + (δ/this)²). 0 switches it off: the label of a configuration holds for the
        moments reached.
    """

    energy: float = 1.0
    forces: float = 0.01
    stress: float = 0.001
    magnetic_forces: float = 0.1
    energy_scaling: float = 1.0
    forces_scaling: float = 0.0
    stress_scaling: float = 1.0
    magnetic_forces_scaling: float = 0.0
    moment_deviation_muB: float = 0.0

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if not math.isfinite(value) or value < 0:
                raise InputError(f"weight {field.name} = {value} must be a finite number, not negative")
        if self.energy == self.forces == self.stress == self.magnetic_forces == 0:
            raise InputError("all weights are zero", "give at least one of energy, forces, stress, magnetic_forces")

    def document(self) -> dict[str, float]:
        """Return the weights as a dict; ``Weights(**document)`` takes them back."""
        return {field.name: float(getattr(self, field.name)) for field in fields(self)}
