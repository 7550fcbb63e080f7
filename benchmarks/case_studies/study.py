"""What is fitted in a case study, to which labels, and how its errors are taken.

Choices of the form were made by `choose.py` on labels of the training sets alone.
"""

from __future__ import annotations

import hashlib
import json
import sys
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms
from ase.units import GPa

from mmtp_fw.fitting import FitSettings, Weights, fit
from mmtp_fw.fitting.samples import make_samples
from mmtp_fw.fitting.statistics import Comparison, compare
from mmtp_fw.potential import Potential
from mmtp_fw.selection import Uncertainty

sys.path.insert(0, str(Path(__file__).parent))
import label
from label import DATA

FOLDS = 5
FEWEST = 12
"""Labels without which nothing is fitted."""
TRAINED_A = {"bcc-iron": (2.735, 2.945), "fe3pd": (3.62, 3.885)}


@cache
def kept(case: str) -> tuple[Atoms, ...]:
    """Return the labels of a case as they are now, once: `label.py` may be at work."""
    return tuple(label.kept(case))


@dataclass(frozen=True)
class Form:
    """A potential's form and how it is fitted."""

    level: int = 8
    radial_size: int = 8
    magnetic_size: int = 3
    r_min: float = 1.9
    r_cut: float = 5.0
    max_moment: float = 3.5
    weights: Mapping[str, float] = field(default_factory=dict)
    prior: float = 1e-12
    max_iterations: int = 80
    starts: int = 2
    shakes: int = 0

    def fit(self, labels: Sequence[Atoms], seed: int = 0) -> Potential:
        """Return a potential of this form, fitted to labels from random starts."""
        species = sorted({symbol for atoms in labels for symbol in atoms.symbols})
        start = Potential.from_level(
            self.level, species, self.r_min, self.r_cut, self.radial_size, self.max_moment, self.magnetic_size, seed
        )
        settings = FitSettings(
            max_iterations=self.max_iterations,
            prior=self.prior,
            starts=self.starts,
            shakes=self.shakes,
            seed=seed,
            threads=1,
        )
        return fit(start, labels, Weights(**self.weights), settings=settings).potential


@dataclass(frozen=True)
class Experiment:
    """A training set and what is held out of it.

    Attributes
    ----------
    title : str
    training : list of Atoms
    held_out : dict of str to list of Atoms
    folds : int
        Of the cross-validation; 0 for none.
    """

    title: str
    training: list[Atoms]
    held_out: dict[str, list[Atoms]]
    folds: int = FOLDS


def labels_of(case: str) -> list[Atoms]:
    """Return the hard labels of a case."""
    return [atoms for atoms in kept(case) if atoms.info["label_constraint"] == "hard" and atoms.calc is not None]


def _within(atoms: Atoms, limits: tuple[float, float]) -> bool:
    return bool(limits[0] <= atoms.info["lattice_parameter_A"] <= limits[1])


def _opposite(atoms: Atoms) -> bool:
    moments = atoms.calc.results["magmoms"]
    return bool(moments.min() < 0 < moments.max())


def _present(sets: dict[str, list[Atoms]]) -> dict[str, list[Atoms]]:
    return {name: labels for name, labels in sets.items() if labels}


def iron() -> dict[str, Experiment]:
    """Return the experiments on bcc iron."""
    labels = labels_of("bcc-iron")
    pairs = [atoms for atoms in labels if len(atoms) == 2]
    inside = [atoms for atoms in pairs if _within(atoms, TRAINED_A["bcc-iron"])]
    outside = [atoms for atoms in pairs if not _within(atoms, TRAINED_A["bcc-iron"])]
    disordered = [atoms for atoms in labels if atoms.info["group"] == "disordered"]
    layers = {f"held-out order: {n}": [a for a in labels if a.info["group"] == n] for n in ("layers 3+3", "layers 2+1")}
    low, high = TRAINED_A["bcc-iron"]
    volumes = {
        f"held-out volumes: below {low} Å": [a for a in outside if a.info["lattice_parameter_A"] < low],
        f"held-out volumes: above {high} Å": [a for a in outside if a.info["lattice_parameter_A"] > high],
    }
    alike = [atoms for atoms in inside if not _opposite(atoms)]
    turned = [atoms for atoms in inside if _opposite(atoms)]
    return {
        "all": Experiment("two and six atoms, all orders but layers", inside + disordered, _present(volumes | layers)),
        "pairs": Experiment(
            "cells of two atoms only", inside, _present({"larger cells: disordered": disordered} | layers), 0
        ),
        "one-sign": Experiment(
            "cells of two atoms, no label with opposite moments",
            alike,
            _present({"held-out order: opposite moments, two atoms": turned}),
            0,
        ),
    }


def fe3pd() -> dict[str, Experiment]:
    """Return the experiment on ordered Fe3Pd."""
    labels = labels_of("fe3pd")
    low, high = TRAINED_A["fe3pd"]
    inside = [atoms for atoms in labels if _within(atoms, TRAINED_A["fe3pd"])]
    volumes = {
        f"held-out volumes: below {low} Å": [a for a in labels if a.info["lattice_parameter_A"] < low],
        f"held-out volumes: above {high} Å": [a for a in labels if a.info["lattice_parameter_A"] > high],
    }
    return {"all": Experiment("four atoms", inside, _present(volumes))}


STUDIES: dict[str, Callable[[], dict[str, Experiment]]] = {"bcc-iron": iron, "fe3pd": fe3pd}
FORMS = {
    "bcc-iron": Form(prior=1e-2, max_iterations=60, starts=1, weights={"energy": 10.0}),
    "fe3pd": Form(
        radial_size=6,
        magnetic_size=2,
        r_cut=4.8,
        prior=1e-2,
        max_iterations=60,
        starts=1,
        weights={"energy": 10.0},
    ),
}


def digest_of(form: Form, labels: Sequence[Atoms]) -> str:
    """Return what says whether a fit is still that of these labels."""
    said = [asdict(form), [[atoms.info["name"], round(atoms.get_potential_energy(), 6)] for atoms in labels]]
    return hashlib.blake2b(json.dumps(said, sort_keys=True).encode(), digest_size=8).hexdigest()


def errors(comparisons: Mapping[str, Comparison]) -> dict[str, dict[str, float]]:
    """Return MAE, RMSE, maximum, R² and count of every quantity."""
    return {key: comparison.errors() for key, comparison in comparisons.items()}


def compared(potential: Potential, labels: Sequence[Atoms]) -> dict[str, Comparison]:
    """Return potential against labels, by quantity."""
    return compare(potential, make_samples(potential, labels, Weights()))


def cross_validated(form: Form, labels: Sequence[Atoms], folds: int) -> dict[str, Comparison]:
    """Return every label against a potential that was fitted to the other folds."""
    parts: dict[str, list[Comparison]] = {}
    for k in range(folds):
        potential = form.fit([atoms for n, atoms in enumerate(labels) if n % folds != k])
        for key, comparison in compared(potential, list(labels)[k::folds]).items():
            parts.setdefault(key, []).append(comparison)
    return {
        key: Comparison(np.concatenate([c.predicted for c in some]), np.concatenate([c.reference for c in some]))
        for key, some in parts.items()
    }


def verdicts(known: Uncertainty, potential: Potential, labels: Sequence[Atoms]) -> dict[str, Any]:
    """Return how many labels are inside, extrapolated or undetermined, and errors of energy in stated uncertainties."""
    found, ratios = Counter[str](), []
    for atoms in labels:
        moments = atoms.calc.results["magmoms"]
        said = known.of(atoms, moments)
        found[said.verdict.value] += 1
        off = potential.evaluate(atoms, moments=moments).energy - atoms.get_potential_energy()
        if np.isfinite(said.energy) and said.energy > 0:
            ratios.append(abs(off) / said.energy)
    return {"verdicts": dict(found), "energy_error_over_uncertainty": float(np.median(ratios)) if ratios else None}


def curves(case: str, potential: Potential, known: Uncertainty) -> list[dict[str, Any]]:
    """Return magnetization and pressure of the free states, by ABINIT and by the potential with relaxed moments."""
    rows = []
    free = [atoms for atoms in kept(case) if atoms.info["label_constraint"] == "none" and atoms.calc is not None]
    for atoms in sorted(free, key=lambda one: one.info["lattice_parameter_A"]):
        results = atoms.calc.results
        relaxed = potential.relax_moments(atoms, start=atoms.get_initial_magnetic_moments())
        found = potential.evaluate(atoms, moments=relaxed.moments)
        said = known.of(atoms, relaxed.moments)
        rows.append(
            {
                "lattice_parameter_A": atoms.info["lattice_parameter_A"],
                "reference": _state(results["magmoms"], results["stress"], results["energy"], atoms),
                "mmtp": _state(relaxed.moments, found.stress, found.energy, atoms),
                "converged": bool(relaxed.converged),
                "outside": bool(relaxed.outside.any()),
                "knowledge": said.verdict.value,
            }
        )
    return rows


def _state(moments: np.ndarray, stress: np.ndarray, energy: float, atoms: Atoms) -> dict[str, Any]:
    species = {s: float(np.mean(moments[atoms.symbols == s])) for s in sorted(set(atoms.symbols))}
    return {
        "magnetization_muB_per_atom": float(np.mean(moments)),
        "moments_muB": species,
        "pressure_GPa": float(-np.mean(np.asarray(stress)[:3]) / GPa),
        "energy_eV_per_atom": float(energy) / len(atoms),
    }


def load(case: str) -> dict[str, Any]:
    """Return the results that are kept of a case."""
    path = DATA / f"{case}.json"
    return json.loads(path.read_text()) if path.exists() else {}


def potential_path(case: str, name: str) -> Path:
    """Return the file of an experiment's potential."""
    return DATA / f"{case}-{name}.mmtp"


def run(case: str) -> dict[str, Any]:
    """Fit what has no fit to these labels yet, take all errors, and keep the results."""
    results, form = load(case), FORMS[case]
    for name, experiment in STUDIES[case]().items():
        if len(experiment.training) < FEWEST:
            continue
        digest = digest_of(form, experiment.training)
        if results.get(name, {}).get("digest") == digest and results[name]["of"] == _names(experiment):
            continue
        results[name] = {"digest": digest, "of": _names(experiment), **_results(case, name, experiment, form)}
        _write(case, results)
    return results


def _names(experiment: Experiment) -> dict[str, int]:
    return {name: len(labels) for name, labels in experiment.held_out.items()}


def _results(case: str, name: str, experiment: Experiment, form: Form) -> dict[str, Any]:
    print(case, name, len(experiment.training), "labels", flush=True)
    form.fit(experiment.training).write(potential_path(case, name))
    potential = Potential.read(potential_path(case, name))  # what is kept is what is judged
    known = Uncertainty.from_configurations(potential, experiment.training, Weights(**form.weights))
    rows = {"training": _row(potential, known, experiment.training)}
    if experiment.folds:
        taken = cross_validated(form, experiment.training, experiment.folds)
        rows[f"cross-validated ({experiment.folds} folds)"] = {
            "labels": len(experiment.training),
            "errors": errors(taken),
        }
    rows |= {title: _row(potential, known, labels) for title, labels in experiment.held_out.items()}
    return {
        "title": experiment.title,
        "form": asdict(form),
        "parameters": potential.n_parameters,
        "undetermined": known.undetermined(),
        "rows": rows,
        "curves": curves(case, potential, known) if name == "all" else [],
    }


def _row(potential: Potential, known: Uncertainty, labels: Sequence[Atoms]) -> dict[str, Any]:
    return {
        "labels": len(labels),
        "errors": errors(compared(potential, labels)),
        **verdicts(known, potential, labels),
    }


def _write(case: str, results: dict[str, Any]) -> None:
    (DATA / f"{case}.json").write_text(json.dumps(results, indent=1, ensure_ascii=False) + "\n")
