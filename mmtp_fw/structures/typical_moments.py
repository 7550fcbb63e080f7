"""Sizes of moments to start from, by element."""

from __future__ import annotations

_ELEMENTS = {
    "Cr": 1.0,
    "Mn": 2.5,
    "Fe": 2.2,
    "Co": 1.7,
    "Ni": 0.6,
    "Eu": 7.0,
    "Gd": 7.0,
    "Tb": 9.0,
    "Dy": 10.0,
    "Ho": 10.0,
}
_POLARISABLE = dict.fromkeys(("V", "Cu", "Ru", "Rh", "Pd", "Ir", "Pt"), 0.3)


def typical_moment_muB(symbol: str) -> float:
    """Return a size (μB) from which moments of a species are made where nobody gives one.

    Near the saturation moments of ferromagnetic elements and the sublattice moments of the others (C. Kittel,
    *Introduction to Solid State Physics*); 0.3 for metals that neighbours polarise; 0 for all others.

    Examples
    --------
    >>> typical_moment_muB("Co"), typical_moment_muB("Pd"), typical_moment_muB("N")
    (1.7, 0.3, 0.0)
    """
    return _ELEMENTS.get(symbol, _POLARISABLE.get(symbol, 0.0))
