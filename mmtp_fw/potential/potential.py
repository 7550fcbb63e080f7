"""The magnetic Moment Tensor Potential."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from ase import Atoms

from mmtp_fw.arrays import FloatArray
from mmtp_fw.errors import InputError
from mmtp_fw.files import write_whole
from mmtp_fw.potential import engine
from mmtp_fw.potential.checks import checked_moments, extrapolations
from mmtp_fw.potential.engine import Form
from mmtp_fw.potential.evaluation import Evaluation
from mmtp_fw.potential.fileio import Dialect, PotentialFile, format_potential, parse_potential, read_potential
from mmtp_fw.potential.parametric import Parametric
from mmtp_fw.potential.skin import ListCache
from mmtp_fw.potential.symmetry import fold_file
from mmtp_fw.potential.system import System, moments_of
from mmtp_fw.potential.tag import make_tag, parse_tag
from mmtp_fw.potential.templates import random_file
from mmtp_fw.potential.trained import TrainedRange

if TYPE_CHECKING:
    from mmtp_fw.potential.calculator import MmtpCalculator
    from mmtp_fw.potential.moments import RelaxedMoments


class Potential(Parametric):
    """A collinear magnetic Moment Tensor Potential (mMTP).

    The energy is E = Σ_i [s_{z_i} + Σ_α ξ_α B_α(n_i)] with radial functions
    f_μ = scaling (R_cut − r)² Σ c^{μ,z_i z_j}_{ζβγ} T_ζ(r) T_β(m_i) T_γ(m_j) (I. Novikov et al., npj Comput.
    Mater. 8, 13 (2022); A. Kotykhov et al., Sci. Rep. 13, 19728 (2023)). A symmetrized potential is
    ½[E(M) + E(−M)]: exact under time reversal.

    Make one with `read`, `loads` or `from_level`.

    Attributes
    ----------
    species : list of str
        Chemical symbols in the order of the type indices.
    r_min, r_cut : float
        Range of the radial basis, Å.
    min_moment, max_moment : float
        Range of the magnetic basis, μB.
    radial_size, magnetic_size : int
        Numbers of basis functions; magnetic_size is 0 without magnetism.
    scaling : float
    symmetrized : bool
    tables : Tables
        The contraction tables (of one half, in a symmetrized potential).
    trained : TrainedRange or None
        Moments and distances that the labels covered, which a fit records; None where nobody has.

    All but the last are fixed once it is made. An evaluation may go faster for what is kept of the last few, but its
    numbers are the same, to the last bit, whatever was asked before.

    Examples
    --------
    >>> pot = Potential.from_level(12, ["Fe", "Pd"], r_min=2.0, r_cut=5.0, radial_size=8,
    ...                            max_moment=4.0, magnetic_size=2, seed=0)
    >>> pot.n_parameters
    415
    """

    def __init__(
        self, file: PotentialFile, species: Sequence[str] | None = None, symmetrized: bool | None = None
    ) -> None:
        names, folded = parse_tag(file.tag)
        if folded:
            file = fold_file(file)
        if species is None:
            species = names or [str(i) for i in range(file.species_count)]
        if len(species) != file.species_count or len(set(species)) != len(species):
            raise InputError(
                f"{len(species)} names ({', '.join(species)}) for {file.species_count} species of the potential",
                "give one name per species, each once",
            )
        self.species = list(species)
        self.symmetrized = folded if symmetrized is None else symmetrized
        self.trained = TrainedRange.from_tag(file.tag, file.species_count)
        self.scaling = file.scaling
        self.r_min, self.r_cut = file.r_min, file.r_cut
        self.min_moment, self.max_moment = file.min_moment, file.max_moment
        self.radial_size = file.radial_coefficients.shape[3]
        self.magnetic_size = file.magnetic_size
        self.tables = file.tables
        self._tables = self.tables.doubled() if self.symmetrized else self.tables
        self._level: int | None = None
        self._xi = file.moment_coefficients.copy()
        self._constants = file.species_coefficients.copy()
        self._c = file.radial_coefficients.copy()
        if self.symmetrized and not np.isclose(self.min_moment, -self.max_moment, rtol=1e-12):
            raise InputError(
                f"a symmetrized potential needs a symmetric magnetic range, not [{self.min_moment}, {self.max_moment}]"
            )
        self._form: Form | None = None
        self._lists = ListCache(self.r_cut)

    # Making and keeping -----------------------------------------------------------------------------------

    @classmethod
    def read(cls, path: str | Path, species: Sequence[str] | None = None) -> Potential:
        """Read a `.mmtp` or `.mtp` file in any spelling.

        Parameters
        ----------
        path : str or Path
        species : sequence of str, optional
            Names where the file only numbers its species.

        Raises
        ------
        InputError
            With file, line and reason.
        """
        return cls(read_potential(path), species)

    @classmethod
    def loads(cls, text: str, species: Sequence[str] | None = None) -> Potential:
        """Make a potential from a file's text; see `read`."""
        return cls(parse_potential(text), species)

    @classmethod
    def from_level(
        cls,
        level: int,
        species: Sequence[str],
        r_min: float = 2.0,
        r_cut: float = 5.0,
        radial_size: int = 8,
        max_moment: float = 4.0,
        magnetic_size: int = 2,
        seed: int = 0,
        symmetrized: bool | None = None,
    ) -> Potential:
        """Make an untrained potential with random coefficients.

        Parameters
        ----------
        level : int
            Even, 2 to 24.
        species : sequence of str
        r_min, r_cut : float
            Å.
        radial_size : int
            Number of radial basis functions.
        max_moment : float
            The magnetic range is [−max_moment, max_moment] (μB).
        magnetic_size : int
            Number of magnetic basis functions; 0 makes a non-magnetic potential.
        seed : int
        symmetrized : bool, optional
            Exact time reversal; by default of every magnetic potential.

        Raises
        ------
        InputError
            For values that make no potential.
        """
        file = random_file(level, species, r_min, r_cut, radial_size, max_moment, magnetic_size, seed)
        potential = cls(file, species, magnetic_size > 0 if symmetrized is None else symmetrized)
        potential._level = level
        return potential

    def copy(self) -> Potential:
        """Return an independent copy."""
        other = type(self).__new__(type(self))
        other.__dict__.update(self.__dict__, species=list(self.species), _lists=self.lists())
        other.parameters = self.parameters
        return other

    def dumps(self, dialect: Dialect = "spin-mlip") -> str:
        """Return the text of a file.

        A symmetrized potential is written with doubled tables, ½E(M) and ½E(−M) side by side, so that any
        code that reads the format computes the very same numbers; the tag tells this reader to fold it back.

        Parameters
        ----------
        dialect : {"spin-mlip", "mlip3", "motep"}

        Raises
        ------
        InputError
            Unknown dialect.
        """
        form = self.form
        file = PotentialFile(
            self.scaling, len(self.species), make_tag(self.species, self.symmetrized, self.trained),
            self.r_min, self.r_cut, self.min_moment, self.max_moment, self.magnetic_size,
            form.c / self.scaling, form.tables, form.constants, form.xi,
        )  # fmt: skip
        return format_potential(file, dialect)

    def write(self, path: str | Path, dialect: Dialect = "spin-mlip") -> None:
        """Write a file, complete or not at all; see `dumps`."""
        path = Path(path)
        try:
            write_whole(path, self.dumps(dialect))
        except OSError as error:
            raise InputError(f"{path}: can't write the potential: {error}") from error

    @property
    def content_hash(self) -> str:
        """Return the blake2b digest (hex, 32 characters) of the written text."""
        return hashlib.blake2b(self.dumps().encode(), digest_size=16).hexdigest()

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Potential) and self.dumps() == other.dumps()

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        kind, names = "symmetrized " if self.symmetrized else "", "-".join(self.species)
        return f"<{kind}Potential level {self.level} of {names}, {self.n_parameters} parameters>"

    # Evaluating -------------------------------------------------------------------------------------------

    def lists(self) -> ListCache:
        """Return what keeps neighbour lists for configurations that follow each other; the caller holds it.

        The potential keeps some of its own; a walk that has these can't be slowed down by other uses meanwhile.
        """
        return ListCache(self.r_cut)

    def system(self, atoms: Atoms, lists: ListCache | None = None) -> System:
        """Return the arrays and the neighbour list of a configuration; see `System.from_atoms`."""
        return System.from_atoms(atoms, self.species, self.r_cut, self._lists if lists is None else lists)

    def evaluate(self, atoms: Atoms, moments: FloatArray | None = None, lists: ListCache | None = None) -> Evaluation:
        """Evaluate energy, forces, stress and magnetic forces.

        Parameters
        ----------
        atoms : Atoms
            n atoms.
        moments : ndarray, shape (n,), optional
            μB; by default those of `atoms` (see `moments_of`).
        lists : ListCache, optional
            From `lists`; by default the potential's own.

        Raises
        ------
        InputError
            Unknown species, NaN, coincident atoms, moments that are not collinear.
        """
        return self.evaluate_system(self.system(atoms, lists), moments_of(atoms) if moments is None else moments)

    def evaluate_system(self, system: System, moments: FloatArray) -> Evaluation:
        """Evaluate a configuration given as arrays, at moments of shape (n,); see `evaluate`."""
        moments = checked_moments(moments, len(system))
        energies, forces, virial, dm = engine.evaluate(self.form, system, moments)
        stress = virial / system.volume if system.volume > 0 else np.zeros(6)
        return Evaluation(
            float(energies.sum()),
            energies,
            forces,
            stress,
            -dm,
            moments,
            extrapolations(self, system, moments),
        )

    def energy_parameter_gradient(
        self, atoms: Atoms | System, per_site: bool = False, moments: FloatArray | None = None
    ) -> FloatArray:
        """Return ∂E/∂θ, shape (p,), or ∂E_i/∂θ of every site, shape (n, p).

        With a System the moments, shape (n,), are needed.
        """
        system = atoms if isinstance(atoms, System) else self.system(atoms)
        if moments is None:
            if isinstance(atoms, System):
                raise InputError("moments are needed with a System")
            moments = moments_of(atoms)
        moments = checked_moments(moments, len(system))
        gradient = self._gather_gradient(*engine.energy_gradient(self.form, system, moments, per_site))
        return gradient if per_site else gradient[0]

    def directional_parameter_gradient(
        self,
        system: System,
        moments: FloatArray,
        energy: float = 0.0,
        displacements: FloatArray | None = None,
        strain: FloatArray | None = None,
        moment_changes: FloatArray | None = None,
    ) -> tuple[float, FloatArray]:
        """Return S = a E + D E and ∂S/∂θ, with D the derivative along given changes.

        Parameters
        ----------
        system : System
            n atoms.
        moments : ndarray, shape (n,)
            μB.
        energy : float
            a.
        displacements : ndarray, shape (n, 3), optional
            Change of the positions.
        strain : ndarray, shape (3, 3), optional
            Change ε of all vectors, r → r + ε r.
        moment_changes : ndarray, shape (n,), optional

        Returns
        -------
        value : float
        gradient : ndarray, shape (p,)
        """
        n = len(system)
        u = np.zeros((n, 3)) if displacements is None else np.ascontiguousarray(displacements, dtype=float)
        e = np.zeros((3, 3)) if strain is None else np.ascontiguousarray(strain, dtype=float)
        h = np.zeros(n) if moment_changes is None else np.ascontiguousarray(moment_changes, dtype=float)
        value, *gradients = engine.directional_gradient(
            self.form, system, checked_moments(moments, n), float(energy), u, e, h
        )
        return value, self._gather_gradient(*gradients)

    def directional_parameter_rows(
        self, system: System, moments: FloatArray, displacements: FloatArray, strain: FloatArray, changes: FloatArray
    ) -> FloatArray:
        """Return ∂/∂θ of D E for many D, shape (rows, p); see `directional_parameter_gradient`.

        Parameters
        ----------
        system : System
            n atoms.
        moments : ndarray, shape (n,)
            μB.
        displacements : ndarray, shape (rows, n, 3)
        strain : ndarray, shape (rows, 3, 3)
        changes : ndarray, shape (rows, n)
            Of the moments.
        """
        moments = checked_moments(moments, len(system))
        rows = engine.directional_rows(self.form, system, moments, displacements, strain, changes)
        return self._gather_gradient(*rows)

    def relax_moments(self, atoms: Atoms, start: FloatArray | None = None, tolerance: float = 1e-4) -> RelaxedMoments:
        """Minimise the energy over the moments within their range, from `start`, shape (n,); see `moments`."""
        from mmtp_fw.potential.moments import relax_moments

        return relax_moments(self, atoms, start, tolerance)

    def calculator(self, relax_moments: bool = False) -> MmtpCalculator:
        """Return an ASE calculator.

        Parameters
        ----------
        relax_moments : bool
            Relax the moments at every new set of positions, from the last ones.
        """
        from mmtp_fw.potential.calculator import MmtpCalculator

        return MmtpCalculator(self, relax_moments)
