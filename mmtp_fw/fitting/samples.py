"""Labelled configurations as the fit sees them: neighbour lists and targets, made once."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from ase import Atoms

from mmtp_fw.arrays import FloatArray
from mmtp_fw.errors import InputError
from mmtp_fw.fitting.weights import Weights
from mmtp_fw.potential import Evaluation, Potential, System, Systems, moments_of
from mmtp_fw.quantities import QUANTITIES


@dataclass(frozen=True, eq=False)
class Sample:
    """One labelled configuration of n atoms.

    Attributes
    ----------
    system : System
    moments : ndarray, shape (n,)
        μB, of the label.
    labels : dict of ndarray
        By quantity that the label holds and that its potential and cell have, as labelled.
    targets : dict of ndarray
        By quantity, what residuals are differences to (`Quantity.extensive`).
    weights : dict of float
        By quantity, of its squared residuals: all scalings applied.
    """

    system: System
    moments: FloatArray
    labels: dict[str, FloatArray]
    targets: dict[str, FloatArray]
    weights: dict[str, float]

    def __len__(self) -> int:
        return len(self.system)

    def repeated(self, times: float) -> Sample:
        """Return the same sample, counting so many times."""
        return replace(self, weights={name: times * weight for name, weight in self.weights.items()})

    @property
    def numbers(self) -> int:
        """How many different numbers of its label the loss looks at: six of the nine of a stress."""
        counted = (name for name, weight in self.weights.items() if weight > 0)
        return sum(math.prod(QUANTITIES[name].label_shapes(len(self))[0]) for name in counted)

    def residual(self, name: str, evaluation: Evaluation) -> FloatArray:
        """Return what a potential gives of a quantity less what the label says, of the shape `Quantity.shape`."""
        quantity = QUANTITIES[name]
        predicted = np.asarray(quantity.predicted(evaluation), dtype=np.float64)
        return np.asarray(quantity.extensive(predicted, self.system.volume) - self.targets[name])


def name_of(atoms: Atoms) -> str:
    """Return the name that a configuration carries; empty where it has none."""
    for key in ("name", "config_id", "identifier", "hash", "content_hash"):
        if atoms.info.get(key):
            return str(atoms.info[key])
    return ""


def called(index: int, name: str) -> str:
    """Return how messages call a configuration: number from 0, and name where it has one."""
    return f"configuration {index} ({name})" if name else f"configuration {index}"


def labels_of(atoms: Atoms) -> dict[str, FloatArray]:
    """Return what a configuration's label holds, by the names of `QUANTITIES`; nothing is computed.

    Values have one of `Quantity.label_shapes` and are in eV, Å, μB: those of the calculator's results;
    ``magnetic_forces`` are the array of that name.
    """
    results = dict(getattr(atoms.calc, "results", {}) or {}) if atoms.calc is not None else {}
    found = {name: quantity.label(results, atoms) for name, quantity in QUANTITIES.items()}
    return {name: np.array(value, dtype=np.float64) for name, value in found.items() if value is not None}


def make_sample(
    potential: Potential, atoms: Atoms, weights: Weights, index: int = 0, systems: Systems | None = None
) -> Sample:
    """Prepare a labelled configuration.

    Raises
    ------
    InputError
        Naming the configuration: no label at all, shapes that don't fit, and what `System.from_atoms` raises.
    """
    name, n = called(index, name_of(atoms)), len(atoms)
    try:
        listed = potential.system if systems is None else systems.serving(potential).of
        system, moments = listed(atoms), moments_of(atoms)
    except InputError as error:
        raise InputError(f"{name}: {error.message}", error.hint) from error
    labels = labels_of(atoms)
    if not labels:
        known = [quantity.title.lower() for quantity in QUANTITIES.values()]
        raise InputError(
            f"{name}: has no {', '.join(known[:-1])} or {known[-1]}",
            "give labelled ones; docs/files.md has the columns (in Python: attach a SinglePointCalculator)",
        )
    for key, value in labels.items():
        shapes = QUANTITIES[key].label_shapes(n)
        if value.shape not in shapes:
            raise InputError(f"{name}: {key} of shape {value.shape}, expected {shapes[0]}")
    own = _own_weight(atoms, weights, name)
    held = {
        key: value for key, value in labels.items() if QUANTITIES[key].applies(potential.magnetic, system.volume > 0)
    }
    return Sample(
        system,
        moments,
        held,
        {key: np.asarray(QUANTITIES[key].extensive(value, system.volume)) for key, value in held.items()},
        {key: own * weights.of(key, n) for key in held},
    )


def make_samples(
    potential: Potential,
    configurations: Sequence[Atoms],
    weights: Weights | None = None,
    systems: Systems | None = None,
) -> list[Sample]:
    """Prepare a training set; see `make_sample`."""
    weights = Weights() if weights is None else weights
    if len(configurations) == 0:
        raise InputError("the training set is empty", "give at least one labelled configuration")
    return [make_sample(potential, atoms, weights, index, systems) for index, atoms in enumerate(configurations)]


def _own_weight(atoms: Atoms, weights: Weights, name: str) -> float:
    """Return q_k: the configuration's own weight, less where its label misses the target moments."""
    own = atoms.info.get("weight", 1.0)
    try:
        value = float(own)
    except (TypeError, ValueError) as error:
        raise InputError(f"{name}: weight {own!r} is no number") from error
    if not (np.isfinite(value) and value >= 0):
        raise InputError(f"{name}: weight {own!r} must be finite and not negative")
    if weights.moment_deviation_muB > 0 and "label_mae_muB" in atoms.info:
        value /= 1.0 + (float(atoms.info["label_mae_muB"]) / weights.moment_deviation_muB) ** 2
    return value
