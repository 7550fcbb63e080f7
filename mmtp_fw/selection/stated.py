"""Errors of labels beside the uncertainties that a potential states for them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from ase import Atoms

from mmtp_fw.arrays import FloatArray
from mmtp_fw.fitting.samples import make_samples
from mmtp_fw.potential import Systems
from mmtp_fw.quantities import QUANTITIES
from mmtp_fw.selection.uncertainty import Uncertainty


def stated(
    uncertainty: Uncertainty, configurations: Sequence[Atoms], systems: Systems | None = None
) -> dict[str, tuple[FloatArray, FloatArray]]:
    """Return what a potential is off by at labels, and the uncertainties u that it states there.

    Parameters
    ----------
    uncertainty : Uncertainty
        Of a potential that has not seen these labels.
    configurations : sequence of Atoms
        Labelled.
    systems : Systems, optional
        Holds their neighbour lists already.

    Returns
    -------
    dict
        By `Quantity.key`, of each quantity that some label holds: two arrays, shape (labels that hold it,), the root
        mean squares over its components of error and of u, in the unit of the key; u is infinite where it is
        undetermined.

    Raises
    ------
    InputError
        Naming the configuration that can't be used.
    """
    found: dict[str, list[tuple[float, float]]] = {}
    potential = uncertainty.potential
    for atoms, sample in zip(configurations, make_samples(potential, configurations, systems=systems), strict=True):
        evaluation = potential.evaluate_system(sample.system, sample.moments)
        expected = uncertainty.of(atoms, sample.moments, systems=systems)
        for name, label in sample.labels.items():
            quantity, n = QUANTITIES[name], len(sample)
            off = quantity.compared(np.asarray(quantity.predicted(evaluation)), n) - quantity.compared(label, n)
            # What is asked of an evaluation is asked of its uncertainty: both have the same names and shapes.
            u = quantity.compared(np.asarray(quantity.predicted(expected)), n)  # type: ignore[arg-type]
            found.setdefault(quantity.key, []).append((_root_mean_square(off), _root_mean_square(u)))
    keys = (quantity.key for quantity in QUANTITIES.values())
    arrays = {key: np.array(found[key]) for key in keys if key in found}
    return {key: (pairs[:, 0], pairs[:, 1]) for key, pairs in arrays.items()}


def _root_mean_square(values: FloatArray) -> float:
    return float(np.sqrt(np.mean(np.square(values))))
