"""How uncertain predictions are: from what the labels observed, not from what they contained.

Linearised at its parameters θ, a potential with labels of weighted rows J and residuals r is known up to

    cov θ = (JᵀJ + prior)⁻¹,      u² = a²/w + c² bᵀ cov b + (b δθ)²

for a prediction with the row b = ∂/∂θ whose label would have the weight w. a, what no number of labels takes away, and
c are calibrated for each quantity (energy, forces, stress, magnetic forces), for weights are no inverse variances: half
of the held-out labels have a larger error than u, and half a smaller one. Without held-out labels each label is left
out in turn (by algebra, not by fits). δθ = −cov Jᵀr is how far the potential is from the minimum of these labels:
next to nothing for those it was fitted to, the error itself for a label that it never saw.

What no label shows at all has no u. It is *undetermined*: see `mmtp_fw.selection.directions`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from ase import Atoms
from scipy.linalg import qr, solve_triangular

from mmtp_fw.arrays import BoolArray, FloatArray
from mmtp_fw.errors import InputError
from mmtp_fw.fitting.samples import Sample, make_samples
from mmtp_fw.fitting.weights import Weights
from mmtp_fw.potential import Potential, System, Systems, moments_of
from mmtp_fw.potential.threads import each, thread_count
from mmtp_fw.selection.calibration import left_out, scales, typical_weights
from mmtp_fw.selection.derived import DERIVED, FEWEST_DERIVED, Entry, combinations, errors_of
from mmtp_fw.selection.directions import Open, Space, open_directions, rank_of
from mmtp_fw.selection.observations import NAMES, Rows, observed, prediction_rows, triangle_of
from mmtp_fw.selection.prediction import EXTRAPOLATED_ABOVE, Knowledge, PredictionUncertainty
from mmtp_fw.selection.response import Response

DEFAULT_PRIOR_EV = 1.0
"""Energy of a site (eV) that every direction of θ is allowed before any label."""
CALIBRATED_ON = 100
"""Most labels that the scales are calibrated on."""
SHOWN = 1e-6
"""Part of a row that shows a direction rather than rounding, which is some powers of ten below."""


class Uncertainty:
    """What a potential's labels determine, and how well.

    Make one with `from_configurations`.

    Attributes
    ----------
    potential : Potential
        A copy.
    scales : dict of str to tuple of float
        a and c of each quantity, and of what is derived: pressure, moments, magnetization.
    """

    def __init__(
        self, potential: Potential, samples: Sequence[Sample], prior_eV: float, references: Rows | None
    ) -> None:
        self.potential = potential.copy()
        self._solve(samples, prior_eV, references)
        self.scales: dict[str, tuple[float, float]] = {}
        self._weights = typical_weights(samples)

    @classmethod
    def from_configurations(
        cls,
        potential: Potential,
        configurations: Sequence[Atoms],
        weights: Weights | None = None,
        held_out: Sequence[Atoms] | None = None,
        reference_energies: Mapping[str, float] | None = None,
        prior_eV: float = DEFAULT_PRIOR_EV,
        systems: Systems | None = None,
    ) -> Uncertainty:
        """Learn what labels determine.

        Parameters
        ----------
        potential : Potential
            At its trained parameters; after a refit make a new one.
        configurations : sequence of Atoms
            The labels that it was trained on.
        weights : Weights, optional
            Of the fit.
        held_out : sequence of Atoms, optional
            Labels that it was not trained on: they calibrate the scale.
        reference_energies : mapping of str to float, optional
            Energies of single atoms (eV), the potential's species constants: what one composition leaves open, they
            fix. The potential should have been fitted with them, as labels of single atoms; how far it is off goes into
            the uncertainty.
        prior_eV : float
            Decides only how far uncertainties can grow in what labels hardly show; never on what is undetermined.
        systems : Systems, optional
            Holds the neighbour lists of the configurations already.

        Raises
        ------
        InputError
            No labels, rows that are not finite; what `make_samples` raises.
        """
        weights = Weights() if weights is None else weights
        if not prior_eV > 0:
            raise InputError(f"prior_eV = {prior_eV} must be positive")
        samples = make_samples(potential, configurations, weights, systems)
        found = cls(potential, samples, prior_eV, _references(potential, reference_energies or {}, weights))
        found._calibrate(samples, make_samples(potential, held_out, weights, systems) if held_out else None)
        return found

    # Learning -----------------------------------------------------------------------------------------------

    def _solve(self, samples: Sequence[Sample], prior_eV: float, references: Rows | None) -> None:
        """Find scale, rank, what is open, and the factor of the covariance."""
        potential, p = self.potential, self.potential.n_parameters
        triangle = triangle_of(potential, samples)
        if references is not None:
            triangle.add(references.matrix)
        r = triangle.r
        if not np.all(np.isfinite(r)):
            raise InputError("rows of the labels aren't finite", "check the potential's parameters")
        self._space = Space(potential)
        scale = np.linalg.norm(r[:, :p], axis=0)
        ratio = scale / self._space.unit
        seen = ratio > 1e-14 * ratio.max()  # a parameter that no label shows is measured like those that they do
        scale = np.where(seen, scale, self._space.unit * np.median(ratio[seen]) if seen.any() else 1.0)
        self._scale = scale
        _, values, vectors = np.linalg.svd(r[:, :p] / scale, full_matrices=True)
        self.rank = rank_of(values)
        self._basis = vectors[: self.rank].T
        null = vectors[self.rank :].T / scale[:, None]
        self.open: list[Open] = open_directions(potential, samples, null, r[:, :p], self._space)
        rows, residuals = r[:, :p] / scale @ self._basis, r[:, p]
        freedom = max(1, triangle.rows - self.rank)
        best = np.linalg.lstsq(rows, residuals, rcond=None)[0]
        self.noise = float(np.linalg.norm(residuals - rows @ best) / np.sqrt(freedom))
        generic = self._space.generic / scale
        prior = generic @ self._basis * (self.noise / (prior_eV * np.sqrt(len(generic))))
        self._factor = qr(np.vstack([rows, prior]), mode="r", check_finite=False)[0][: self.rank]
        self._plain = qr(rows, mode="r", check_finite=False)[0][: self.rank]
        half = solve_triangular(self._factor, rows.T @ residuals, trans="T", check_finite=False)
        self._step = -solve_triangular(self._factor, half, check_finite=False)

    def _calibrate(self, samples: Sequence[Sample], held_out: Sequence[Sample] | None) -> None:
        """Set a and c of each quantity by the errors of labels that are new to the potential, or as if they were."""
        asked = list(samples if held_out is None else held_out)
        asked = asked[:: max(1, -(-len(asked) // CALIBRATED_ON))]

        def work(sample: Sample) -> list[Entry]:
            return self._errors(sample, held_out is None)

        found: dict[str, list[list[float]]] = {name: [] for name in (*NAMES, *DERIVED)}
        for first in range(0, len(asked), thread_count()):
            for entries in each(work, asked[first : first + thread_count()]):
                for name, *sizes in entries:
                    found[name].append(sizes)
        everything = [sizes for name in NAMES for sizes in found[name]]
        self.scales = {name: scales(np.array(found[name] or everything)) for name in NAMES}
        for name, parts in DERIVED.items():
            enough = len(found[name]) >= FEWEST_DERIVED
            self.scales[name] = scales(np.array(found[name])) if enough else self.scales[parts]

    def _errors(self, sample: Sample, leave_out: bool) -> list[Entry]:
        """Return for each quantity of a label the mean squares of its errors, of bᵀ cov b and of b δθ."""
        rows, errors, quantity = observed(self.potential, sample)
        spread, away = self._spread(rows), self._projected(rows) @ self._step
        if leave_out:
            errors, square = left_out(spread, errors, errors + away)
        else:
            square = spread @ spread.T
        found: list[Entry] = []
        for k in np.unique(quantity):
            mine = quantity == k
            parts = (errors[mine] ** 2, np.diag(square)[mine], away[mine] ** 2)
            found.append((NAMES[int(k)], *(float(np.mean(part)) for part in parts)))  # type: ignore[arg-type]
        return found + errors_of(self.potential, sample, quantity, errors, square, away)

    # Asking -------------------------------------------------------------------------------------------------

    def undetermined(self) -> list[str]:
        """Return in words what the labels leave open; empty where they determine everything."""
        return [one.words for one in self.open]

    def of(
        self,
        atoms: Atoms,
        moments: FloatArray | None = None,
        relaxed: bool = False,
        systems: Systems | None = None,
    ) -> PredictionUncertainty:
        """Return the uncertainties of a configuration.

        Parameters
        ----------
        atoms : Atoms
            n atoms.
        moments : ndarray, shape (n,), optional
            μB; by default those of `atoms`.
        relaxed : bool
            The moments are relaxed ones: forces and stress then include what their own uncertainty adds.
        systems : Systems, optional
            Holds the configuration's neighbour list already.

        Raises
        ------
        InputError
            `relaxed` with moments that are not; what `Potential.evaluate` raises.
        """
        potential = self.potential
        system = potential.system(atoms) if systems is None else systems.serving(potential).of(atoms)
        m = moments_of(atoms) if moments is None else np.asarray(moments, dtype=np.float64)
        rows = prediction_rows(potential, system, m)
        response = Response(potential, system, m) if potential.magnetic else None
        if relaxed and potential.magnetic:
            assert response is not None
            response.check(potential.evaluate_system(system, m).magnetic_forces)
        return self._judged(system, rows, response, relaxed)

    def _judged(self, system: System, rows: Rows, response: Response | None, relaxed: bool) -> PredictionUncertainty:
        n = len(system)
        weights = self._weights_of(n)
        size, highest, reasons = self._sizes(rows, weights)
        parts = {name: size[rows.quantity == k] for k, name in enumerate(NAMES)}
        derived = self._derived(rows, response, weights, np.isinf(size))
        prefix = "relaxed_" if relaxed else ""
        parts |= {name: derived.get(prefix + name, parts[name]) for name in ("forces", "stress")}
        pressure = derived.get(prefix + "pressure", derived.get("pressure"))
        undetermined = [name for name, part in parts.items() if np.isinf(part).any()]
        undetermined += ["moments"] * bool("moments" in derived and np.isinf(derived["moments"]).any())
        there = system.volume > 0
        return PredictionUncertainty(
            _verdict(undetermined, highest),
            float(parts["energy"][0]),
            float(parts["energy"][0]) / max(1, n),
            parts["forces"].reshape(n, 3),
            parts["stress"] / system.volume if there else np.zeros(6),
            parts["magnetic_forces"] if self.potential.magnetic else np.zeros(n),
            derived.get("moments"),
            float(derived["magnetization"][0]) if "magnetization" in derived else None,
            highest,
            tuple(undetermined),
            reasons,
            float(pressure[0]) / system.volume if there and pressure is not None else None,
        )

    def _sizes(self, rows: Rows, weights: FloatArray) -> tuple[FloatArray, float, tuple[str, ...]]:
        """Return u of every row, the extrapolation, and why some of u are infinite."""
        spread = self._spread(rows.matrix)
        leverage = np.einsum("ij,ij->i", spread, spread)
        floor = 1.0 / (weights[rows.quantity] * rows.multiplicity)
        a, c = np.array([self.scales[name] for name in NAMES])[rows.quantity].T
        away = (self._projected(rows.matrix) @ self._step) ** 2
        size = np.sqrt(a**2 * floor + c**2 * leverage + away)
        hidden, reasons = self._open_rows(rows.matrix)
        needed = np.sum(self._spread(rows.matrix, self._plain) ** 2, axis=1) / floor
        shares = [needed[(rows.quantity == k) & ~hidden] for k in range(len(NAMES))]
        highest = max((float(np.sqrt(share.mean())) for share in shares if len(share)), default=0.0)
        return np.where(hidden, np.inf, size), highest, reasons

    def _derived(
        self, rows: Rows, response: Response | None, weights: FloatArray, hidden: BoolArray
    ) -> dict[str, FloatArray]:
        """Return u of pressure, of moments δm = H⁻¹ δT, and of what follows them; infinite where a part is."""
        floor = 1.0 / (weights[rows.quantity] * rows.multiplicity)
        found = {}
        for name, parts in combinations(rows.quantity, response).items():
            matrix = parts @ rows.matrix
            spread, away = self._spread(matrix), (self._projected(matrix) @ self._step) ** 2
            a, c = self.scales[name]
            size = np.sqrt(a**2 * (parts**2 @ floor) + c**2 * np.einsum("ij,ij->i", spread, spread) + away)
            found[name] = np.where((parts != 0.0) @ hidden, np.inf, size)
        return found

    def _projected(self, rows: FloatArray) -> FloatArray:
        return np.asarray(rows / self._scale @ self._basis)

    def _spread(self, rows: FloatArray, factor: FloatArray | None = None) -> FloatArray:
        """Return rows (m, rank) whose squares are bᵀ cov b; with `_plain`, in which is no prior, bᵀ (JᵀJ)⁺ b."""
        factor = self._factor if factor is None else factor
        return np.asarray(solve_triangular(factor, self._projected(rows).T, trans="T", check_finite=False).T)

    def _open_rows(self, rows: FloatArray) -> tuple[BoolArray, tuple[str, ...]]:
        """Return which rows show what the labels leave open, and the words for it."""
        scaled = rows / self._space.unit
        size = np.linalg.norm(scaled, axis=1)
        size = np.maximum(size, max(SHOWN * size.max(initial=0.0), 1e-300))  # rows that symmetry makes zero
        hit, reasons = np.zeros(len(rows), dtype=bool), []
        for one in self.open:
            part = np.linalg.norm(scaled @ one.basis, axis=1) / size > SHOWN
            if part.any():
                reasons.append(one.words)
            hit |= part
        return hit, tuple(reasons)

    def _weights_of(self, n: int) -> FloatArray:
        """Return the weights that labels like those known would have with n atoms."""
        return np.asarray([np.exp(a + b * np.log(max(n, 1))) for a, b in self._weights])


def _verdict(undetermined: Sequence[str], extrapolation: float) -> Knowledge:
    if undetermined:
        return Knowledge.UNDETERMINED
    return Knowledge.EXTRAPOLATED if extrapolation > EXTRAPOLATED_ABOVE else Knowledge.INSIDE


def _references(potential: Potential, energies: Mapping[str, float], weights: Weights) -> Rows | None:
    """Return a row, with its residual behind it, for the energy of a single atom of each species given."""
    if not energies:
        return None
    unknown = sorted(set(energies) - set(potential.species))
    if unknown:
        raise InputError(
            f"reference_energies of {', '.join(unknown)}: the potential knows {', '.join(potential.species)}"
        )
    p, start = potential.n_parameters, potential.parameter_slices["species"].start
    matrix = np.zeros((len(energies), p + 1))
    root = np.sqrt(weights.energy) or 1.0
    for row, (name, energy) in enumerate(energies.items()):
        place = start + potential.species.index(name)
        matrix[row, place] = root
        matrix[row, p] = root * (potential.parameters[place] - float(energy))
    return Rows(matrix, np.zeros(len(energies), dtype=int), np.ones(len(energies)))
