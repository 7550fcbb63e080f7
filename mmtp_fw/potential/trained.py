"""The range that a potential was trained in: moments by species, shortest distances by pair of species.

The range of the bases is wider and the same for all species; between the two a potential may have holes as deep as
they come. So the trained range goes with the potential, in the file's tag, and whoever leaves it is told.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import numpy as np
from ase import Atoms

from mmtp_fw.arrays import BoolArray, FloatArray, Int32Array
from mmtp_fw.errors import InputError
from mmtp_fw.potential.system import System, moments_of

MARGIN_MUB = 0.1
"""How far beyond the trained moments a moment is not yet outside (μB); the least of this and …"""
MARGIN_FRACTION = 0.1
"""… this fraction of the trained range's width, whichever is larger."""
MARGIN_DISTANCE = 0.05
"""Fraction by which a distance may undercut the shortest trained one: check_stability looks from there on."""

_TAG = re.compile(r"trained:m((?:,[^,;]+,[^,;]+)*):r((?:,[^,;]+)*)")


class _Trainable(Protocol):
    """What the range of a training set needs of a potential."""

    species: list[str]
    symmetrized: bool

    def system(self, atoms: Atoms) -> System:
        """Return the arrays of a configuration."""
        ...


@dataclass(frozen=True, eq=False)
class TrainedRange:
    """What the labels of a potential covered, for Z species.

    Attributes
    ----------
    moments : ndarray, shape (Z, 2)
        Least and greatest moment (μB) of each species; NaN for one that no label had. Of a symmetrized potential
        they are symmetric.
    distances : ndarray, shape (Z, Z)
        Shortest distance (Å) of each pair of species; infinite for one that no label had.
    """

    moments: FloatArray
    distances: FloatArray

    @classmethod
    def of(
        cls,
        potential: _Trainable,
        configurations: Sequence[Atoms],
        listed: Callable[[Atoms], System] | None = None,
    ) -> TrainedRange:
        """Return the range of a training set, at the moments of its labels.

        Parameters
        ----------
        potential : Potential
        configurations : sequence of Atoms
        listed : callable, optional
            What gives a configuration's arrays, where others look at the same ones (`Systems.of`).
        """
        count = len(potential.species)
        moments = np.full((count, 2), np.nan)
        distances = np.full((count, count), np.inf)
        for atoms in configurations:
            system, m = (listed or potential.system)(atoms), moments_of(atoms)
            for kind in np.unique(system.types):
                own = m[system.types == kind]
                moments[kind, 0] = np.fmin(moments[kind, 0], own.min())
                moments[kind, 1] = np.fmax(moments[kind, 1], own.max())
            centers = np.repeat(np.arange(len(system)), np.diff(system.first))
            lengths = np.sqrt(np.einsum("ij,ij->i", system.vectors, system.vectors))
            np.minimum.at(distances, (system.types[centers], system.types[system.neighbors]), lengths)
        if potential.symmetrized:
            most = np.abs(moments).max(axis=1)
            moments = np.stack([-most, most], axis=1)
        # The tag keeps so many digits, and a potential is the same before and after it was written.
        return cls(moments.round(4), distances.round(4))

    # Asking -------------------------------------------------------------------------------------------------

    @cached_property
    def limits(self) -> FloatArray:
        """Least and greatest moment (μB) that counts as inside, shape (Z, 2); (−∞, ∞) for a species without labels."""
        width = self.moments[:, 1] - self.moments[:, 0]
        margin = np.maximum(MARGIN_MUB, MARGIN_FRACTION * width)
        low, high = self.moments[:, 0] - margin, self.moments[:, 1] + margin
        return np.stack([np.where(np.isnan(low), -np.inf, low), np.where(np.isnan(high), np.inf, high)], axis=1)

    @cached_property
    def nearest(self) -> FloatArray:
        """Distance (Å) below which a pair is outside, shape (Z, Z); 0 for a pair that no label had."""
        return np.where(np.isfinite(self.distances), (1.0 - MARGIN_DISTANCE) * self.distances, 0.0)

    @cached_property
    def _farthest(self) -> float:
        return float(self.nearest.max(initial=0.0))

    def outside(self, types: Int32Array, moments: FloatArray) -> BoolArray:
        """Return which moments (μB), shape (n,), their species was not trained for."""
        limits = self.limits[types]
        return (moments < limits[:, 0]) | (moments > limits[:, 1])

    def messages(self, species: Sequence[str], system: System, moments: FloatArray) -> list[str]:
        """Return in words where a configuration leaves the trained range, at moments of shape (n,)."""
        found = []
        outside = self.outside(system.types, moments)
        for kind in np.unique(system.types[outside]) if outside.any() else ():
            own = moments[outside & (system.types == kind)]
            low, high = self.moments[kind]
            found.append(
                f"{len(own)} moments of {species[kind]}, {own[np.argmax(np.abs(own))]:.2f} μB, lie outside the trained "
                f"[{low:.2f}, {high:.2f}] μB"
            )
        if system.closest < self._farthest:
            from mmtp_fw.potential.lists import too_close

            i, j, distance = too_close(system.types, system.first, system.neighbors, system.vectors, self.nearest)
            if i >= 0:
                a, b = system.types[i], system.types[j]
                found.append(
                    f"a distance of {distance:.3f} Å between {species[a]} and {species[b]} lies below the shortest "
                    f"trained one, {self.distances[a, b]:.3f} Å"
                )
        return found

    # Keeping ------------------------------------------------------------------------------------------------

    def tag(self) -> str:
        """Return the range as a part of ``potential_tag``: moments of each species, distances of each ordered pair."""
        moments = "".join(f",{value:.4f}" for value in self.moments.ravel())
        return f"trained:m{moments}:r" + "".join(f",{value:.4f}" for value in self.distances.ravel())

    @classmethod
    def from_tag(cls, tag: str, species: int) -> TrainedRange | None:
        """Return what `tag` wrote; None where the tag has no range.

        Raises
        ------
        InputError
            A range of another number of species, or of something else than numbers.
        """
        part = next((one for one in tag.split(";") if one.startswith("trained:")), None)
        if part is None:
            return None
        found = _TAG.fullmatch(part)
        try:
            moments, distances = ([float(word) for word in text.split(",")[1:]] for text in found.groups())  # type: ignore[union-attr]
            return cls(np.reshape(moments, (species, 2)), np.reshape(distances, (species, species)))
        except (AttributeError, ValueError) as error:
            raise InputError(
                f"potential_tag: '{part[:60]}' is not the trained range of {species} species",
                "write the file anew from the fit, or take this part out of its tag",
            ) from error
