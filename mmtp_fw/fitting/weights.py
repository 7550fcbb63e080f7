"""Weights of the terms of the loss."""

from __future__ import annotations

import math

from mmtp_fw.errors import InputError
from mmtp_fw.quantities import QUANTITIES

DEVIATION = "moment_deviation_muB"


class Weights:
    """Weights of the loss and how they scale with the number N of atoms.

    The loss of K configurations is::

        Σ_k q_k [ w_e ΔE²/N^a + w_f Σ_i |Δf_i|²/N^b + w_s Σ_ab (V Δσ_ab)²/N^c + w_t Σ_i ΔT_i²/N^d ]

    with the stress term over all nine components, and q_k the configuration's own weight
    (``atoms.info["weight"]``, 1 where there is none). Units: eV, Å, μB. Each term is one of
    `mmtp_fw.quantities.QUANTITIES`, where its default stands; weights can't be changed once they are made.

    Parameters
    ----------
    energy, forces, stress, magnetic_forces : float
        w_e, w_f (Å²), w_s, w_t (μB²); all others by name only.
    energy_scaling, forces_scaling, stress_scaling, magnetic_forces_scaling : float
        a, b, c, d.
    moment_deviation_muB : float
        Where positive, a label that misses its target moments by MAE δ (``info["label_mae_muB"]``) is
        weighted down by 1/(1 + (δ/this)²). 0, the default, switches it off: the label of a configuration holds for
        the moments reached.

    Examples
    --------
    >>> Weights(forces=0.02).forces, Weights().energy_scaling
    (0.02, 1.0)
    """

    __slots__ = ("_values",)
    _values: dict[str, float]

    def __init__(self, *values: float, **named: float) -> None:
        defaults = self.defaults()
        given = dict(zip(defaults, values, strict=False)) | named
        unknown = sorted(set(given) - set(defaults))
        if unknown or len(values) > len(defaults):
            raise InputError(f"no such weight: {', '.join(unknown) or len(values)}", f"one of {', '.join(defaults)}")
        self._values = {name: float(given.get(name, default)) for name, default in defaults.items()}
        for name, value in self._values.items():
            if not math.isfinite(value) or value < 0:
                raise InputError(f"weight {name} = {value} must be a finite number, not negative")
        if not any(self._values[name] for name in QUANTITIES):
            raise InputError("all weights are zero", f"give at least one of {', '.join(QUANTITIES)}")

    @staticmethod
    def defaults() -> dict[str, float]:
        """Return all names with their defaults, in the order in which they may be given."""
        weights = {name: quantity.weight for name, quantity in QUANTITIES.items()}
        scalings = {f"{name}_scaling": quantity.scaling for name, quantity in QUANTITIES.items()}
        return weights | scalings | {DEVIATION: 0.0}

    def __getattr__(self, name: str) -> float:
        if name.startswith("_") or name not in self._values:
            raise AttributeError(f"no such weight: {name}")
        return float(self._values[name])

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Weights) and self._values == other._values

    def __hash__(self) -> int:
        return hash(tuple(self._values.items()))

    def __repr__(self) -> str:
        return f"Weights({', '.join(f'{name}={value:g}' for name, value in self._values.items())})"

    def of(self, name: str, n: int) -> float:
        """Return the weight of a quantity in a configuration of n atoms."""
        return self._values[name] / float(n ** self._values[f"{name}_scaling"])

    def document(self) -> dict[str, float]:
        """Return the weights as a dict; ``Weights(**document)`` takes them back."""
        return dict(self._values)
