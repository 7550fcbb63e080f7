"""The reference Hamiltonian of Fe–Pd: a fast, exactly known spin-lattice model.

It is not DFT and does not claim the accuracy of one: it plays the electrons in demonstrations and tests,
where the answer must be known exactly. Its energy is

    E = Σ_i [ ½ Σ_j A e^{−p(r/r0−1)} − √ρ_i ]                        cohesion (second-moment embedding)
      + Σ_i [ (a0 + a1 (n_i − 1)) m_i² + b m_i⁴ + c m_i⁶ ]            on-site Landau terms
      − ½ Σ_{i≠j} J e^{−k(r/r1−1)} m_i m_j                            Heisenberg exchange

with ρ_i = Σ_j X e^{−2q(r/r0−1)} and n_i = Σ_j w e^{−κ(r/r1−1)}, every sum cut off by (1 − (r/rc)²)³ and
r1 the nearest-neighbour distance of fcc with a = 3.75 Å.
n_i = 1 in the fcc lattice with a = 3.75 Å. Compression raises n and so a0 + a1 (n − 1): the moment of Fe
shrinks continuously, as in an Invar alloy, and the lattice with it. Pd has no moment of its own
(a0 > 0); the exchange with Fe induces it. E(R, m) = E(R, −m) exactly.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
from ase import Atoms
from vesin import NeighborList

from mmtp_fw.arrays import FloatArray, IntArray
from mmtp_fw.dft import hamiltonian_kernels as kernels
from mmtp_fw.dft.hamiltonian_moments import Minimum, MomentLandscape
from mmtp_fw.errors import InputError

# Nearest neighbours in fcc with a = 3.75 Å: the reference distance of density and exchange.
NEIGHBOUR_DISTANCE = 3.75 / np.sqrt(2.0)


@dataclass(frozen=True)
class SpeciesTerms:
    """Parameters of one species (energies in eV, moments in μB, lengths in Å).

    Attributes
    ----------
    repulsion, p, hopping, q, r0 : float
        A, p, √X, q and r0 of the cohesion between like atoms.
    a0, a1, b, c : float
        Landau coefficients.
    moment : float
        A typical ferromagnetic moment, where a relaxation may start.
    """

    repulsion: float
    p: float
    hopping: float
    q: float
    r0: float
    a0: float
    a1: float
    b: float
    c: float
    moment: float


@dataclass(frozen=True)
class HamiltonianParameters:
    """All parameters of the reference Hamiltonian.

    Attributes
    ----------
    species : dict of str to SpeciesTerms
    exchange : dict of str to float
        J at r1 (eV/μB²) by pair, keys like "Fe-Fe" with the species in alphabetical order.
    exchange_decay, density_decay : float
        k and κ.
    cutoff : float
        rc in Å.
    """

    species: dict[str, SpeciesTerms] = field(
        default_factory=lambda: {
            "Fe": SpeciesTerms(
                repulsion=0.3668,
                p=13.6,
                hopping=2.3204,
                q=1.4,
                r0=2.475,
                a0=-0.118,
                a1=0.14,
                b=0.0080,
                c=5e-5,
                moment=2.7,
            ),
            "Pd": SpeciesTerms(
                repulsion=0.5812,
                p=11.3,
                hopping=2.592,
                q=1.4,
                r0=2.772,
                a0=0.14,
                a1=0.05,
                b=0.3,
                c=0.0,
                moment=0.3,
            ),
        }
    )
    exchange: dict[str, float] = field(default_factory=lambda: {"Fe-Fe": 0.0017, "Fe-Pd": 0.013, "Pd-Pd": 0.002})
    exchange_decay: float = 1.5
    density_decay: float = 2.0
    cutoff: float = 4.8

    def document(self) -> dict[str, Any]:
        """Return the parameters as plain, JSON-able data."""
        return asdict(self)


@dataclass(frozen=True)
class HamiltonianResult:
    """Energy and exact derivatives at given positions and moments.

    Attributes
    ----------
    energy : float
        eV.
    energies : ndarray, shape (n,)
        Site energies, eV.
    forces : ndarray, shape (n, 3)
        −∂E/∂r, eV/Å.
    stress : ndarray, shape (6,)
        eV/Å³, ASE sign, Voigt; zero for a cell without volume.
    magnetic_forces : ndarray, shape (n,)
        −∂E/∂m, eV/μB.
    moments : ndarray, shape (n,)
        Where it was evaluated, μB.
    """

    energy: float
    energies: FloatArray
    forces: FloatArray
    stress: FloatArray
    magnetic_forces: FloatArray
    moments: FloatArray


@dataclass(frozen=True)
class Pairs:
    """A neighbour list in both directions.

    Attributes
    ----------
    first, second : ndarray of int, shape (p,)
    shifts : ndarray, shape (p, 3)
        Cell vectors to add to the second atom.
    """

    first: IntArray
    second: IntArray
    shifts: FloatArray


class ReferenceHamiltonian:
    """Energies and derivatives of the reference Hamiltonian.

    Parameters
    ----------
    parameters : HamiltonianParameters, optional
        The documented Fe–Pd set when not given.

    Examples
    --------
    >>> from ase.build import bulk
    >>> model = ReferenceHamiltonian()
    >>> iron = bulk("Fe", "fcc", a=3.75)
    >>> float(model.evaluate(iron, [2.5]).energy) == float(model.evaluate(iron, [-2.5]).energy)
    True
    """

    def __init__(self, parameters: HamiltonianParameters | None = None) -> None:
        self.parameters = parameters or HamiltonianParameters()
        self.species = list(self.parameters.species)
        self._pair_table = _pair_table(self.parameters)
        terms = self.parameters.species.values()
        self._site_table = np.array([[t.a0, t.a1, t.b, t.c] for t in terms]).T

    def types(self, atoms: Atoms) -> IntArray:
        """Return the index of every atom's species, shape (n,).

        Raises
        ------
        InputError
            A species that the model has no parameters for.
        """
        try:
            return np.array([self.species.index(symbol) for symbol in atoms.symbols], dtype=np.int64)
        except ValueError:
            unknown = sorted(set(atoms.symbols) - set(self.species))
            raise InputError(
                f"the reference Hamiltonian knows {', '.join(self.species)}, not {', '.join(unknown)}",
                "other species need a real engine: dft.engine abinit, elk or vasp, with its settings (docs/dft.md)",
            ) from None

    def pairs(self, atoms: Atoms, skin: float = 0.0) -> Pairs:
        """Return the neighbour list up to the cut-off plus `skin` (Å)."""
        reach = self.parameters.cutoff + skin
        neighbours = NeighborList(cutoff=reach, full_list=True, sorted=True, n_threads=1)
        first, second, shifts = neighbours.compute(
            points=atoms.positions, box=np.asarray(atoms.cell), periodic=atoms.pbc, quantities="ijS"
        )
        return Pairs(first.astype(np.int64), second.astype(np.int64), shifts.astype(float))

    def landscape(self, atoms: Atoms, pairs: Pairs | None = None) -> MomentLandscape:
        """Return the energy as a function of the moments at fixed atoms."""
        return self._sums(atoms, pairs).landscape

    def evaluate(
        self, atoms: Atoms, moments: FloatArray | list[float], pairs: Pairs | None = None
    ) -> HamiltonianResult:
        """Return the energy and all first derivatives.

        Parameters
        ----------
        atoms : Atoms
        moments : array_like, shape (n,)
            μB.
        pairs : Pairs, optional
            A neighbour list that is still valid.
        """
        return self._derivatives(self._sums(atoms, pairs), np.asarray(moments, dtype=float))

    def relaxed(
        self, atoms: Atoms, start: FloatArray | None = None, pairs: Pairs | None = None
    ) -> tuple[HamiltonianResult, Minimum]:
        """Return the state without constraint: moments at the local minimum of the start's basin.

        Parameters
        ----------
        atoms : Atoms
        start : ndarray, shape (n,), optional
            Moments to start from (μB); their signs choose the branch. Ferromagnetic when not given,
            or when all are zero (which is stationary for every configuration).
        pairs : Pairs, optional
        """
        if start is None or not np.any(start):
            start = self.ferromagnetic(atoms)
        sums = self._sums(atoms, pairs)
        minimum = sums.landscape.minimise(start)
        return self._derivatives(sums, minimum.moments), minimum

    def ferromagnetic(self, atoms: Atoms) -> FloatArray:
        """Return the species' typical moments, all up, shape (n,), in μB."""
        typical = np.array([terms.moment for terms in self.parameters.species.values()])
        return typical[self.types(atoms)]

    def _sums(self, atoms: Atoms, pairs: Pairs | None) -> _Sums:
        types = self.types(atoms)
        pairs = pairs or self.pairs(atoms)
        cell = np.asarray(atoms.cell)
        vectors = kernels.pair_vectors(atoms.positions, cell, pairs.first, pairs.second, pairs.shifts)
        coupling = np.empty((len(atoms), len(atoms)))
        repulsion, rho, density = kernels.site_sums(
            types, pairs.first, pairs.second, vectors, self._pair_table, self.parameters.cutoff, coupling
        )
        a0, a1, b, c = self._site_table[:, types]
        constant = float(np.sum(repulsion) - np.sum(np.sqrt(rho)))
        landscape = MomentLandscape(constant, a0 + a1 * (density - 1.0), b, c, coupling)
        return _Sums(abs(float(np.linalg.det(cell))), types, pairs, vectors, repulsion, rho, landscape)

    def _derivatives(self, sums: _Sums, moments: FloatArray) -> HamiltonianResult:
        root = np.sqrt(sums.rho)
        d_rho = np.divide(-0.5, root, out=np.zeros_like(root), where=root > 0)
        m2 = moments * moments
        d_density = self._site_table[kernels.A1, sums.types] * m2
        forces, virial = kernels.site_forces(
            sums.types,
            sums.pairs.first,
            sums.pairs.second,
            sums.vectors,
            self._pair_table,
            self.parameters.cutoff,
            d_rho,
            d_density,
            moments,
        )
        stress = virial.flat[[0, 4, 8, 5, 2, 1]] / sums.volume if sums.volume > 0 else np.zeros(6)
        landscape = sums.landscape
        onsite = m2 * (landscape.a + m2 * (landscape.b + m2 * landscape.c))
        energies = sums.repulsion - root + onsite - 0.5 * moments * (landscape.coupling @ moments)
        return HamiltonianResult(
            float(np.sum(energies)), energies, forces, stress, -landscape.gradient(moments), moments
        )


@dataclass(frozen=True)
class _Sums:
    """What one pass over the pairs yields for given atoms."""

    volume: float
    types: IntArray
    pairs: Pairs
    vectors: FloatArray
    repulsion: FloatArray
    rho: FloatArray
    landscape: MomentLandscape


def _pair_table(parameters: HamiltonianParameters) -> FloatArray:
    """Return the (10, S, S) table of the kernels; unlike pairs take geometric and arithmetic means.

    The Landau density counts all neighbours alike, whatever their species.
    """
    names = list(parameters.species)
    terms = list(parameters.species.values())
    weight = 1.0 / _fcc_density(parameters)
    table = np.empty((10, len(names), len(names)))
    for i, one in enumerate(terms):
        for j, two in enumerate(terms):
            table[:, i, j] = (
                np.sqrt(one.repulsion * two.repulsion),
                0.5 * (one.p + two.p),
                one.hopping * two.hopping,
                one.q + two.q,
                0.5 * (one.r0 + two.r0),
                weight,
                parameters.density_decay,
                parameters.exchange["-".join(sorted((names[i], names[j])))],
                parameters.exchange_decay,
                NEIGHBOUR_DISTANCE,
            )
    return table


def _fcc_density(parameters: HamiltonianParameters) -> float:
    """Return Σ_j e^{−κ(r/r1−1)} fc(r) in fcc with a = 3.75 Å, which defines n = 1."""
    rc = parameters.cutoff
    total = 0.0
    for count, ratio in ((12, 1.0), (6, 2**0.5), (24, 3**0.5), (12, 2.0)):
        r = ratio * NEIGHBOUR_DISTANCE
        if r < rc:
            total += count * np.exp(-parameters.density_decay * (ratio - 1.0)) * (1 - (r / rc) ** 2) ** 3
    return total
