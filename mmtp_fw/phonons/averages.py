"""Spectra averaged over arrangements: what one cell of a disordered crystal can't say, with its error."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from mmtp_fw.arrays import FloatArray
from mmtp_fw.errors import InputError
from mmtp_fw.phonons.calculation import Phonons
from mmtp_fw.phonons.spectrum import MEV_PER_THZ, Spectrum, grid_of, moments_of_spectrum, spectrum
from mmtp_fw.phonons.thermodynamics import Thermodynamics, thermodynamics


@dataclass(frozen=True)
class Averaged:
    """Means over k arrangements; errors are one standard deviation of the mean, None where there is one arrangement.

    Attributes
    ----------
    arrangements : int
    spectrum : Spectrum
    total_error : ndarray, shape (n,), or None
    species_error : dict of str to ndarray, shape (n,), or None
    thermodynamics, thermodynamics_error : Thermodynamics or None
        None where a mode of any arrangement is imaginary.
    moments, moments_error : dict or None
        ``mean_THz`` and ``rms_THz`` of the total spectrum (under ``total``) and of each species; None as above.
    unstable : int
        Arrangements with an imaginary mode.
    """

    arrangements: int
    spectrum: Spectrum
    total_error: FloatArray | None
    species_error: Mapping[str, FloatArray] | None
    thermodynamics: Thermodynamics | None
    thermodynamics_error: Thermodynamics | None
    moments: Mapping[str, Mapping[str, float]] | None
    moments_error: Mapping[str, Mapping[str, float]] | None
    unstable: int

    @property
    def verdict(self) -> str:
        """In words, whether the numbers are those of a stable crystal."""
        if not self.unstable:
            return "stable"
        return (
            f"unstable: {self.unstable} of {self.arrangements} arrangements have imaginary modes (drawn at negative "
            "frequencies); there is no free energy, and there are no moments of the spectrum"
        )

    def document(self) -> dict[str, Any]:
        """Return plain data."""
        spectral = {
            "frequency_THz": self.spectrum.frequency_THz.tolist(),
            "total": self.spectrum.total.tolist(),
            "species": {name: curve.tolist() for name, curve in self.spectrum.species.items()},
            "total_error": None if self.total_error is None else self.total_error.tolist(),
            "species_error": None
            if self.species_error is None
            else {name: curve.tolist() for name, curve in self.species_error.items()},
        }
        return {
            "arrangements": self.arrangements,
            "verdict": self.verdict,
            "fwhm_meV": self.spectrum.fwhm_meV,
            "spectrum": spectral,
            "moments": self.moments,
            "moments_error": self.moments_error,
            "thermodynamics": _columns(self.thermodynamics),
            "thermodynamics_error": _columns(self.thermodynamics_error),
        }


def averaged(found: Sequence[Phonons], fwhm_meV: float, temperatures_K: Sequence[float]) -> Averaged:
    """Average over arrangements of the same kind.

    Parameters
    ----------
    found : sequence of Phonons
        Of the same species.
    fwhm_meV : float
        Of the Gaussian that the spectrum is convolved with.
    temperatures_K : sequence of float

    Raises
    ------
    InputError
        No arrangement, different compositions, or what `spectrum` and `thermodynamics` refuse.
    """
    _check(found, fwhm_meV)
    lowest = min(one.modes.lowest_THz for one in found)
    grid = grid_of(lowest, max(float(one.modes.frequency_THz.max()) for one in found), fwhm_meV)
    mean, total_error, species_error = _mean_spectrum([spectrum(one.modes, grid, fwhm_meV) for one in found])
    heat, heat_error = _mean_thermodynamics([thermodynamics(one.modes, temperatures_K) for one in found])
    numbers, numbers_error = _mean_moments([moments_of_spectrum(one.modes) for one in found])
    unstable = sum(not one.modes.stable for one in found)
    return Averaged(len(found), mean, total_error, species_error, heat, heat_error, numbers, numbers_error, unstable)


def _check(found: Sequence[Phonons], fwhm_meV: float) -> None:
    if not found:
        raise InputError("there is no arrangement to average")
    if len({str(one.atoms.symbols.formula.reduce()[0].convert("hill")) for one in found}) > 1:
        raise InputError("arrangements of different compositions are not averaged")
    if not fwhm_meV > 0:
        raise InputError(f"a resolution of {fwhm_meV:g} meV", "a full width at half maximum above 0")


def _mean_spectrum(spectra: Sequence[Spectrum]) -> tuple[Spectrum, FloatArray | None, dict[str, FloatArray] | None]:
    """Return the mean on the common grid, and the errors of total and species."""
    first = spectra[0]
    total, total_error = _mean([one.total for one in spectra])
    curves = {name: _mean([one.species[name] for one in spectra]) for name in first.species}
    errors = {name: error for name, (_, error) in curves.items() if error is not None}
    means = {name: mean for name, (mean, _) in curves.items()}
    return Spectrum(first.frequency_THz, total, means, first.fwhm_meV), total_error, errors or None


def _mean(values: Sequence[FloatArray]) -> tuple[FloatArray, FloatArray | None]:
    """Return mean and its standard error; None of one value."""
    mean = np.mean(values, axis=0)
    if len(values) < 2:
        return mean, None
    return mean, np.asarray(np.std(values, axis=0, ddof=1) / np.sqrt(len(values)))


_OF_HEAT = ("free_energy_eV", "entropy_kB", "heat_capacity_kB")


def _mean_thermodynamics(
    found: Sequence[Thermodynamics | None],
) -> tuple[Thermodynamics | None, Thermodynamics | None]:
    known = [one for one in found if one is not None]
    if len(known) < len(found):
        return None, None
    kelvin = known[0].temperature_K
    means = [_mean([getattr(one, name) for one in known]) for name in _OF_HEAT]
    errors = [error for _, error in means if error is not None]
    mean = Thermodynamics(kelvin, *(value for value, _ in means))
    return mean, Thermodynamics(kelvin, *errors) if errors else None


def _mean_moments(found: Sequence[Any]) -> tuple[Any, Any]:
    if any(one is None for one in found):
        return None, None

    def over(statistic: Callable[[list[float]], float]) -> dict[str, dict[str, float]]:
        names = ("mean_THz", "rms_THz")
        rows = {
            kind: {name: statistic([getattr(one[kind], name) for one in found]) for name in names} for kind in found[0]
        }
        return {
            kind: row | {f"{name[:-4]}_meV": row[name] * MEV_PER_THZ for name in names} for kind, row in rows.items()
        }

    means = over(lambda values: float(np.mean(values)))
    if len(found) < 2:
        return means, None
    return means, over(lambda values: float(np.std(values, ddof=1) / np.sqrt(len(values))))


def _columns(values: Thermodynamics | None) -> dict[str, list[float]] | None:
    if values is None:
        return None
    return {name: getattr(values, name).tolist() for name in ("temperature_K", *_OF_HEAT)}
