"""The active set: which configurations span what a potential has learnt, and how far others lie outside.

What the grade means
--------------------
Linearised at its parameters θ, the potential's energy (or each site's energy) is a row b = ∂E/∂θ. The active
set is a square matrix A of rows of largest volume, and γ = max_j |(b A⁻¹)_j| is how much of any active row
is needed to make b: γ ≤ 1 interpolates, and an error of the active rows' energies is amplified by no more
than Σ_j |(b A⁻¹)_j|.

Early sets. There are usually fewer independent rows than parameters: some directions of θ don't change any
energy at all (the gauge modes: rescaling a radial function against the coefficients ξ, or mixing radial
functions), others change none that was seen yet. Each column is therefore measured in units of its root mean
square over the training rows, and `floor` times the unit rows takes part in MaxVol: a direction that no
training row reaches by more than `floor` is held by such a stand-in. A gauge mode never shows in any row, so
it never shows in a grade. A direction that training has not seen shows as soon as a row reaches it by more
than `floor` of a typical row: the grade is then (amplitude / floor), finite and comparable, from the first
set on. Without the floor early grades are infinite and say nothing. `ActiveSet.filled` tells how much of the
set is real rows.
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from ase import Atoms

from mmtp_fw.arrays import FloatArray, Int32Array
from mmtp_fw.errors import InputError
from mmtp_fw.potential import ListCache, Potential, System, Systems
from mmtp_fw.selection.maxvol import DEFAULT_TOLERANCE, SquareSet, largest_coefficients, maxvol
from mmtp_fw.selection.rows import Mode, rows_of

DEFAULT_FLOOR = 1e-2
DEFAULT_SELECT_THRESHOLD = 1.1
_FORMAT = 1


@dataclass(frozen=True)
class GradeState:
    """The arrays that a grade needs, for kernels: γ_i = max_j |(b_i · inverse)_j|, raw rows b_i = ∂E_i/∂θ.

    Attributes
    ----------
    inverse : ndarray, shape (p, p)
        Columns' units included.
    mode : {"configuration", "site"}
        In configuration mode the row is (1/n) Σ_i b_i.
    potential_hash : str
        Of the potential at whose parameters the rows were taken.
    """

    inverse: FloatArray
    mode: Mode
    potential_hash: str


class ActiveSet:
    """Rows of largest volume from a training set, with grades and selection.

    Make one with `from_configurations` or `from_bytes`.

    Attributes
    ----------
    potential : Potential
        At whose parameters the rows were taken (a copy).
    mode : {"configuration", "site"}
    configurations : list of int
        Indices into the training set (and behind it, in order, what `add` took) that hold a row.
    """

    def __init__(
        self,
        potential: Potential,
        mode: Mode,
        square: SquareSet,
        scale: FloatArray,
        floor: float,
        row_weights: tuple[float, float],
        size: int,
    ) -> None:
        self.potential = potential.copy()
        self.mode = mode
        self._square = square
        self._scale = scale
        self._floor = floor
        self._row_weights = row_weights
        self._size = size

    @classmethod
    def from_configurations(
        cls,
        potential: Potential,
        configurations: Sequence[Atoms],
        mode: Mode = "site",
        floor: float = DEFAULT_FLOOR,
        tolerance: float = DEFAULT_TOLERANCE,
        magnetic_force_weight: float = 0.0,
        force_weight: float = 0.0,
        systems: Systems | None = None,
    ) -> ActiveSet:
        """Choose the active set of a training set.

        Parameters
        ----------
        potential : Potential
            A trained potential; after a refit make a new set.
        configurations : sequence of Atoms
            The training set, at the moments of its labels.
        mode : {"site", "configuration"}
            One row per atom, the default: sets are full early, and grades work in cells of any size; or
            one per configuration.
        floor : float
            Amplitude, in units of a typical row, below which a direction that was never seen is harmless.
        tolerance : float
            MaxVol stops when no exchange multiplies the volume by more.
        magnetic_force_weight, force_weight : float
            Where positive, rows of magnetic forces (times this, μB) and of forces (times this, Å) take part
            as well, here and in `grade` and `select`.
        systems : Systems, optional
            Where others look at the same configurations: every neighbour list is made once.

        Returns
        -------
        ActiveSet

        Raises
        ------
        InputError
            An empty training set; rows that aren't finite; what `Potential.evaluate` raises.
        """
        if len(configurations) == 0:
            raise InputError("an active set needs at least one configuration")
        if not floor > 0:
            raise InputError(f"floor {floor} must be positive")
        weights = (float(magnetic_force_weight), float(force_weight))
        listed = potential.system if systems is None else systems.serving(potential).of
        blocks = [rows_of(potential, atoms, mode, None, *weights, listed(atoms)) for atoms in configurations]
        rows = np.vstack(blocks)
        if not np.all(np.isfinite(rows)):
            raise InputError("rows of the active set aren't finite", "check the potential's parameters")
        scale = np.sqrt(np.mean(rows**2, axis=0))
        # A column that is zero throughout belongs to what was never seen: measure it like its smallest peer.
        seen = scale > 1e-12 * scale.max()
        scale[~seen] = scale[seen].min() if seen.any() else 1.0
        labels = np.repeat(np.arange(len(blocks)), [len(block) for block in blocks])
        square = maxvol(rows / scale, tolerance, floor)
        square.labels = np.where(square.labels < 0, -1, labels[square.labels])
        return cls(potential, mode, square, scale, floor, weights, len(blocks))

    # Asking -------------------------------------------------------------------------------------------------

    @property
    def configurations(self) -> list[int]:
        """Indices of the configurations that hold at least one row."""
        return sorted({int(label) for label in self._square.labels if label >= 0})

    @property
    def filled(self) -> float:
        """Fraction of the set that real rows hold; gauge modes keep it a little below one for ever."""
        return float(np.mean(self._square.labels >= 0))

    @property
    def log_volume(self) -> float:
        """Logarithm of |det A| in the columns' units."""
        return self._square.log_volume

    @property
    def sites_only(self) -> bool:
        """Whether a grade needs nothing but rows of site energies, as `GradeState` describes them."""
        return self.mode == "site" and not any(self._row_weights)

    @property
    def state(self) -> GradeState:
        """The arrays from which another kernel computes the same grades."""
        return GradeState(
            np.ascontiguousarray(self._square.inverse / self._scale[:, None]),
            self.mode,
            self.potential.content_hash,
        )

    def grades(self, atoms: Atoms, moments: FloatArray | None = None, lists: ListCache | None = None) -> FloatArray:
        """Return the grade of every row of a configuration.

        Parameters
        ----------
        atoms : Atoms
            n atoms.
        moments : ndarray, shape (n,), optional
            μB; by default those of `atoms`.
        lists : ListCache, optional
            From `Potential.lists`; by default the potential's own.

        Returns
        -------
        ndarray
            Shape (n,) in site mode, (1,) in configuration mode, without rows of forces.
        """
        if not len(atoms):
            return np.zeros(0)
        system = self.potential.system(atoms, lists)
        if not self.sites_only:
            return self._square.grades(self._rows(atoms, moments, system))
        return self._site_grades(rows_of(self.potential, atoms, self.mode, moments, system=system), system.types)

    def _site_grades(self, rows: FloatArray, types: Int32Array) -> FloatArray:
        """Return the grades of raw rows of sites: only the radial coefficients of its own species stand in a site's."""
        radial = self.potential.parameter_slices["radial"]
        size = (radial.stop - radial.start) // len(self.potential.species)
        inverse, factor = self._square.inverse, 1.0 / self._scale
        found = np.empty(len(rows))
        for kind in np.unique(types):
            mine = types == kind
            own = slice(radial.start + int(kind) * size, radial.start + (int(kind) + 1) * size)
            coefficients = (rows[mine, : radial.start] * factor[: radial.start]) @ inverse[: radial.start]
            coefficients += (rows[mine, own] * factor[own]) @ inverse[own]
            found[mine] = largest_coefficients(coefficients)
        return found

    def grade(self, atoms: Atoms, moments: FloatArray | None = None, lists: ListCache | None = None) -> float:
        """Return the extrapolation grade of a configuration with moments (n,): its rows' largest (0 without atoms)."""
        return float(np.max(self.grades(atoms, moments, lists), initial=0.0))

    def grades_of_rows(self, rows: FloatArray) -> FloatArray:
        """Return grades of raw rows b = ∂E_i/∂θ, shape (n, p) (see `GradeState`), shape (n,)."""
        return self._square.grades(np.atleast_2d(rows) / self._scale)

    # Selecting ----------------------------------------------------------------------------------------------

    def select(
        self,
        candidates: Sequence[Atoms],
        max_count: int | None = None,
        threshold: float = DEFAULT_SELECT_THRESHOLD,
    ) -> list[int]:
        """Choose the candidates that raise the volume, the one that sticks out most first.

        After each choice its rows take their places in (a copy of) the set, and all others are graded anew:
        what is nearly the same as something chosen is no longer extrapolation, so one batch holds no
        near-duplicates.

        Parameters
        ----------
        candidates : sequence of Atoms
            Of all trajectories together.
        max_count : int, optional
            Choose no more.
        threshold : float
            A candidate counts while it multiplies the volume by at least this; at least 1.

        Returns
        -------
        list of int
            Indices into `candidates`, in the order of choice.
        """
        pool = _Pool(self, candidates, max(threshold, 1.0))
        square = self._square.copy()
        chosen: list[int] = []
        while max_count is None or len(chosen) < max_count:
            best = pool.largest()
            if best is None:
                break
            chosen.append(best)
            rows = pool.take(best)
            square.absorb(rows, np.full(len(rows), self._size + best))
            pool.regrade(square)
        return chosen

    def add(self, configurations: Sequence[Atoms], tolerance: float = DEFAULT_TOLERANCE) -> int:
        """Let the rows of further configurations take part, at the same parameters; return the exchanges."""
        if len(configurations) == 0:
            return 0
        blocks = [self._rows(atoms) for atoms in configurations]
        labels = np.repeat(self._size + np.arange(len(blocks)), [len(block) for block in blocks])
        self._size += len(blocks)
        return self._square.absorb(np.vstack(blocks), labels, tolerance)

    def _rows(self, atoms: Atoms, moments: FloatArray | None = None, system: System | None = None) -> FloatArray:
        rows = rows_of(self.potential, atoms, self.mode, moments, *self._row_weights, system)
        return np.asarray(rows / self._scale)

    # Keeping ------------------------------------------------------------------------------------------------

    def to_bytes(self) -> bytes:
        """Return the set as bytes, the potential included."""
        buffer = io.BytesIO()
        np.savez_compressed(
            buffer,
            format=_FORMAT,
            potential=np.array(self.potential.dumps()),
            mode=np.array(self.mode),
            matrix=self._square.matrix,
            labels=self._square.labels,
            scale=self._scale,
            floor=self._floor,
            row_weights=np.array(self._row_weights),
            size=self._size,
        )
        return buffer.getvalue()

    @classmethod
    def from_bytes(cls, data: bytes) -> ActiveSet:
        """Read what `to_bytes` wrote.

        Raises
        ------
        InputError
            For anything else.
        """
        try:
            with np.load(io.BytesIO(data), allow_pickle=False) as file:
                content = {name: file[name] for name in file.files}
        except (ValueError, OSError, EOFError, zipfile.BadZipFile) as error:
            raise InputError(f"not an active set: {error}") from error
        if int(content.get("format", -1)) != _FORMAT:
            raise InputError("an active set of an unknown format", "write it with this version")
        return cls(
            Potential.loads(str(content["potential"])),
            str(content["mode"]),  # type: ignore[arg-type]
            SquareSet.from_matrix(content["matrix"], content["labels"]),
            content["scale"],
            float(content["floor"]),
            (float(content["row_weights"][0]), float(content["row_weights"][1])),
            int(content["size"]),
        )


class _Pool:
    """The candidates' rows that may still raise the volume."""

    def __init__(self, active: ActiveSet, candidates: Sequence[Atoms], threshold: float) -> None:
        self._threshold = threshold
        self._rows: dict[int, FloatArray] = {}
        self._grade: dict[int, float] = {}
        for index, atoms in enumerate(candidates):
            rows = active._rows(atoms)
            grades = active._square.grades(rows)
            if np.max(grades, initial=0.0) > threshold:
                # Rows far inside can stick out later, but they are not what a configuration is chosen for.
                self._rows[index] = rows[grades > 0.5]
                self._grade[index] = float(grades.max())

    def largest(self) -> int | None:
        """Return the index of the candidate with the largest grade; None when all are inside."""
        if not self._grade:
            return None
        return max(self._grade, key=lambda index: (self._grade[index], -index))

    def take(self, index: int) -> FloatArray:
        """Remove a candidate and return its rows."""
        del self._grade[index]
        return self._rows.pop(index)

    def regrade(self, square: SquareSet) -> None:
        """Grade what is left against a new set; what is inside it leaves for good."""
        if not self._rows:
            return
        indices = list(self._rows)
        grades = square.grades(np.vstack([self._rows[i] for i in indices]))
        ends = np.cumsum([len(self._rows[i]) for i in indices])
        for index, part in zip(indices, np.split(grades, ends[:-1]), strict=True):
            self._grade[index] = float(part.max())
            if self._grade[index] <= self._threshold:
                del self._grade[index], self._rows[index]
