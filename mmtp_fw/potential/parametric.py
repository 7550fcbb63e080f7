"""What makes a potential, and the parameters in it."""

from __future__ import annotations

import numpy as np

from mmtp_fw.arrays import FloatArray
from mmtp_fw.errors import InputError
from mmtp_fw.potential.engine import Form
from mmtp_fw.potential.symmetry import expand_coefficients, fold_gradients
from mmtp_fw.potential.tables import Tables, level_of

_FIXED = {"species", "symmetrized", "scaling", "r_min", "r_cut", "min_moment", "max_moment", "radial_size"}
_FIXED |= {"magnetic_size", "tables"}


class Parametric:
    """A form, fixed once it is made, with parameters, which may be changed; see `Potential`."""

    species: list[str]
    symmetrized: bool
    scaling: float
    r_min: float
    r_cut: float
    min_moment: float
    max_moment: float
    radial_size: int
    magnetic_size: int
    tables: Tables
    _tables: Tables
    _level: int | None
    _xi: FloatArray
    _constants: FloatArray
    _c: FloatArray
    _form: Form | None

    def __setattr__(self, name: str, value: object) -> None:
        if name in _FIXED and name in self.__dict__:
            raise AttributeError(f"{name} of a potential is fixed: make another potential")
        super().__setattr__(name, value)

    @property
    def level(self) -> int | None:
        """The level of the complete basis that has these tables' sizes; None for any other set."""
        if self._level is None:
            self._level = level_of(self.tables)
        return self._level

    @property
    def magnetic(self) -> bool:
        """Whether the energy depends on the moments."""
        return self.magnetic_size > 0

    @property
    def radial_count(self) -> int:
        """Number K of radial functions f_μ."""
        return int(self._c.shape[2])

    @property
    def n_parameters(self) -> int:
        """Number of parameters."""
        return len(self._xi) + len(self._constants) + self._c.size

    @property
    def parameters(self) -> FloatArray:
        """All parameters as one vector, shape (p,): ξ, species constants, c[z_i, z_j, μ, ζ, β, γ] (a copy)."""
        return np.concatenate([self._xi, self._constants, self._c.ravel()])

    @parameters.setter
    def parameters(self, values: FloatArray) -> None:
        values = np.asarray(values, dtype=np.float64)
        if values.shape != (self.n_parameters,):
            raise InputError(f"{values.shape} is not the shape ({self.n_parameters},) of the parameters")
        n, m = len(self._xi), len(self._xi) + len(self._constants)
        self._xi, self._constants = values[:n].copy(), values[n:m].copy()
        self._c = values[m:].reshape(self._c.shape).copy()
        self._form = None

    @property
    def parameter_slices(self) -> dict[str, slice]:
        """Where ξ ("moments"), species constants ("species") and c ("radial") stand in `parameters`."""
        n, m = len(self._xi), len(self._xi) + len(self._constants)
        return {"moments": slice(0, n), "species": slice(n, m), "radial": slice(m, self.n_parameters)}

    @property
    def form(self) -> Form:
        """What the kernels read: a symmetrized potential as a plain one with doubled tables."""
        if self._form is None:
            ranges = (self.r_min, self.r_cut, self.min_moment, self.max_moment)
            c, xi = self.scaling * self._c, self._xi
            if self.symmetrized:
                c, xi = expand_coefficients(c), 0.5 * np.concatenate([xi, xi])
            self._form = Form(self._tables, np.ascontiguousarray(c), xi, self._constants, ranges)
        return self._form

    def _gather_gradient(self, d_xi: FloatArray, d_constants: FloatArray, d_c: FloatArray) -> FloatArray:
        """Turn the kernels' gradients (leading axes alike) into gradients over `parameters`."""
        if self.symmetrized:
            d_xi, d_c = fold_gradients(d_xi, d_c)
        return np.concatenate([d_xi, d_constants, self.scaling * d_c.reshape(*d_xi.shape[:-1], -1)], axis=-1)
