"""What cut-off and k-mesh leave open, on an engine whose answers get better with both in a known way."""

from __future__ import annotations

from dataclasses import replace
from importlib.metadata import EntryPoint

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from pydantic import BaseModel, ConfigDict

from mmtp_fw.dft import ScfRequest, ScfResult, registry
from mmtp_fw.dft.converge import Convergence, converge
from mmtp_fw.dft.hamiltonian import HamiltonianEngine
from mmtp_fw.dft.registry import EngineCosts, EngineDescription, rungs
from mmtp_fw.errors import EngineError, InputError


class ToySettings(BaseModel):
    model_config = ConfigDict(extra="forbid")

    cut_off: float = 10.0
    spacing: float = 0.2
    converges: bool = True


class Toy(HamiltonianEngine):
    """Energy off by 1/cut-off eV, forces and magnetic forces by spacing, both to a power."""

    name = "toy"

    def __init__(self, **settings) -> None:
        super().__init__(jump_limit_scale=float("inf"))
        self.settings = ToySettings(**settings)
        self.name = "toy"

    def settings_document(self) -> dict:
        return {"engine": "toy", **self.settings.model_dump()}

    def scf(self, request: ScfRequest) -> ScfResult:
        result = super().scf(request)
        own = result.magnetic_forces
        return replace(
            result,
            converged=self.settings.converges,
            energy_eV=result.energy_eV + 1.0 / self.settings.cut_off,
            forces=result.forces + self.settings.spacing**2,
            magnetic_forces=None if own is None else own + 0.1 * self.settings.spacing**2,
        )


TOY = EngineDescription(
    name="toy", title="Toy", about="a toy", settings=ToySettings, engine=Toy, costs=EngineCosts(1.0),
    constraints=("hard",),
    ladders={
        "cut-off": lambda chosen: rungs(chosen, ["cut_off"], [2.0, 4.0]),
        "k-mesh": lambda chosen: rungs(chosen, ["spacing"], [0.5]),
    },
)  # fmt: skip


@pytest.fixture
def toy(monkeypatch):
    """The toy engine among the others, as an entry point would bring it."""
    entries = registry._entries() | {"toy": [EntryPoint("toy", f"{__name__}:TOY", registry.GROUP)]}
    monkeypatch.setattr(registry, "_entries", lambda: entries)
    registry.describe.cache_clear()
    yield
    registry.describe.cache_clear()


def iron() -> Atoms:
    atoms = bulk("Fe", "bcc", a=2.86, cubic=True)
    atoms.positions[1] += [0.05, 0, 0]
    atoms.set_initial_magnetic_moments([2.2, 1.8])
    return atoms


def test_differences_from_the_finest_of_each_ladder(toy, tmp_path):
    said = []
    found = converge("toy", {"cut_off": 10.0}, iron(), directory=tmp_path, on_rung=lambda *rung: said.append(rung))
    assert said == [
        ("cut-off", {}), ("cut-off", {"cut_off": 20.0}), ("cut-off", {"cut_off": 40.0}),
        ("k-mesh", {}), ("k-mesh", {"spacing": 0.1}),
    ]  # fmt: skip
    energy = [rung.differences.energy_meV_per_atom for rung in found.ladders["cut-off"]]
    np.testing.assert_allclose(energy, [1e3 * (1 / x - 1 / 40) / 2 for x in (10, 20, 40)], atol=1e-6)
    coarse, fine = (rung.differences for rung in found.ladders["k-mesh"])
    assert coarse.force_meV_per_A == pytest.approx(1e3 * (0.2**2 - 0.1**2))
    assert coarse.magnetic_force_meV_per_muB == pytest.approx(1e2 * (0.2**2 - 0.1**2))
    assert fine.force_meV_per_A == coarse.stress_GPa == 0.0
    together = found.left_open()
    assert together.energy_meV_per_atom == pytest.approx(energy[0])
    assert together.force_meV_per_A == coarse.force_meV_per_A
    assert Convergence.model_validate_json(found.model_dump_json()) == found


def test_a_quantity_that_labels_lack_has_no_difference(toy, tmp_path, monkeypatch):
    whole = Toy.scf
    monkeypatch.setattr(Toy, "scf", lambda self, request: replace(whole(self, request), stress=None))
    found = converge("toy", {"cut_off": 10.0}, iron(), directory=tmp_path)
    assert [rung.differences.stress_GPa for ladder in found.ladders.values() for rung in ladder] == [None] * 5
    together = found.left_open()
    assert together.stress_GPa is None and together.force_meV_per_A > 0
    assert list(together.model_dump()) == [
        "energy_meV_per_atom", "force_meV_per_A", "stress_GPa", "magnetic_force_meV_per_muB",
    ]  # fmt: skip


def test_what_is_there_is_not_made_again(toy, tmp_path, monkeypatch):
    first = converge("toy", {}, iron(), directory=tmp_path)
    monkeypatch.setattr(Toy, "scf", None)
    assert converge("toy", {}, iron(), directory=tmp_path) == first


def test_what_can_not_be_converged_is_refused(toy, tmp_path):
    with pytest.raises(InputError, match="'hamiltonian' has no cut-off or k-mesh") as refused:
        converge("hamiltonian", {}, iron(), directory=tmp_path)
    assert [name in refused.value.hint for name in ("abinit", "vasp", "toy", "hamiltonian")] == [
        True,
        True,
        True,
        False,
    ]
    with pytest.raises(EngineError, match="no label at"):
        converge("toy", {"converges": False}, iron(), directory=tmp_path)


@pytest.mark.parametrize(("engine", "cut_off"), [("abinit", "ecut_Ha"), ("vasp", "encut_eV")])
def test_engines_with_plane_waves_have_both_ladders(engine, cut_off):
    described = registry.describe(engine)
    chosen = described.settings().model_dump()
    finer = {name: ladder(chosen) for name, ladder in described.ladders.items()}
    assert [rung[cut_off] > chosen[cut_off] for rung in finer["cut-off"]] == [True, True]
    assert [rung["kspacing_per_A"] < chosen["kspacing_per_A"] for rung in finer["k-mesh"]] == [True, True]
    for changes in (*finer["cut-off"], *finer["k-mesh"]):
        described.settings(**(chosen | changes))
