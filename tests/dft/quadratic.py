"""An engine whose answers are closed forms: independent atoms, a parabola in each moment."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from ase import Atoms
from ase.build import bulk

from mmtp_fw.dft import Outcome, ProtocolSettings, ScfRequest, ScfResult, Stage, StageName, run_protocol
from mmtp_fw.dft.hamiltonian import HamiltonianEngine

SMOOTHING = {"Fe": 0.8, "Pd": 0.7}
STIFFNESS = {"Fe": 2.0, "Pd": 2.2}
ENERGY = -12.0


def cell(target, symbols: str = "FeFeFePd") -> Atoms:
    """Return four atoms with target moments."""
    atoms = bulk("Fe", "fcc", a=3.7, cubic=True)
    atoms.set_chemical_symbols(symbols)
    atoms.set_initial_magnetic_moments(target)
    return atoms


class Quadratic(HamiltonianEngine):
    """E = E₀ + ½ Σ k (m − f)², with m^WS = w m and m^sWS = s w m by species.

    Parameters
    ----------
    free : array_like, shape (n,)
        Moments f (μB) without constraint.
    sphere : callable, optional
        (species, radius) -> w; the radii are fixed without it.
    fails : callable, optional
        (request, number of the calculation) -> whether it does not converge.
    change : callable, optional
        (request, result) -> the result that is told instead.
    """

    def __init__(
        self,
        free,
        sphere: Callable[[str, float], float] | None = None,
        fails: Callable[[ScfRequest, int], bool] = lambda request, number: False,
        change: Callable[[ScfRequest, ScfResult], ScfResult] = lambda request, result: result,
    ) -> None:
        super().__init__()
        self.free = np.array(free, dtype=float)
        self.adjustable_radii = sphere is not None
        self.sphere = sphere or (lambda species, radius: 1.0)
        self.fails, self.change = fails, change
        self.requests: list[ScfRequest] = []

    def check(self, atoms: Atoms) -> None:
        """Refuse nothing."""

    def scf(self, request: ScfRequest) -> ScfResult:
        """Return the minimum with its penalty."""
        number = len(self.requests)
        self.requests.append(request)
        symbols = list(request.atoms.symbols)
        k = np.array([STIFFNESS[z] for z in symbols])
        radii = dict(request.radii_A) or dict.fromkeys(sorted(set(symbols)), 1.5)
        w = np.array([self.sphere(z, radii[z]) for z in symbols])
        slope = np.array([SMOOTHING[z] for z in symbols]) * w
        strength = request.lambda_eV_per_muB2
        m, penalty = self.free, 0.0
        if request.constraint is not None:
            m = (k * self.free + 2 * strength * slope * request.constraint) / (k + 2 * strength * slope**2)
            penalty = strength * float(np.sum((slope * m - request.constraint) ** 2))
        energy = ENERGY + 0.5 * float(np.sum(k * (m - self.free) ** 2))
        result = ScfResult(
            converged=not self.fails(request, number),
            moments={"PAW": m.copy(), "WS": w * m, "sWS": slope * m},
            energy_eV=energy,
            energy_with_penalty_eV=energy + penalty,
            penalty_eV=penalty,
            forces=np.full((len(m), 3), 0.25),
            stress=np.arange(6.0),
            radii_A=radii,
            scf_steps=number + 1,
            restart={"number": number},
            message=f"calculation {number}",
        )
        return self.change(request, result)


SYMBOLS = ["Fe", "Fe", "Fe", "Pd"]
S = np.array([SMOOTHING[z] for z in SYMBOLS])
K = np.array([STIFFNESS[z] for z in SYMBOLS])
FREE = np.array([2.4, 2.4, 2.4, 0.4])
TARGET = np.array([2.0, 2.7, 2.3, 0.3])


def labelled(engine: Quadratic, atoms: Atoms, settings: ProtocolSettings | None = None, **more) -> Outcome:
    """Label without a start from elsewhere; what the ladder does not tell is checked all the same."""
    return run_protocol(engine, atoms, settings, check=False, **more)


def asked(engine: Quadratic) -> list[ScfRequest]:
    """Return what the ladder asked an engine for, without the calculations of a check."""
    return [request for request in engine.requests if request.stage != "check"]


def ladder(outcome) -> list[Stage]:
    """Return the stages without those of a check."""
    return [stage for stage in outcome.stages if stage.name is not StageName.CHECK]


def of(outcome, *names: StageName) -> list[Stage]:
    return [stage for stage in outcome.stages if stage.name in names]


def strengths(outcome) -> list[float]:
    return [stage.lambda_eV_per_muB2 for stage in of(outcome, StageName.RAMP)]


def reached(strength: float, constraint=None) -> np.ndarray:
    """Return the moments at the minimum under a penalty."""
    constraint = S * TARGET if constraint is None else constraint
    return (K * FREE + 2 * strength * S * constraint) / (K + 2 * strength * S**2)


def mae(strength: float) -> float:
    return float(np.abs(reached(strength) - TARGET).mean())


def series(*strengths: float, **changed) -> ProtocolSettings:
    """Return settings of a plain series without refinement, unless said otherwise."""
    return ProtocolSettings(**({"adaptive": False, "lambda_series": strengths, "refine_runs": 0} | changed))


def power(exponents: dict[str, float], at: float = 1.5):
    """Return spheres whose moment is the final one at a radius of `at`·1.04 and grows as a power."""
    return lambda species, radius: (radius / (1.04 * at)) ** exponents[species]
