"""Engines by their descriptions; one that another package brings does everything that ours do."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import numpy as np
import pytest
from ruamel.yaml import YAML
from small_campaign import SMALL, check_finished, labels_of

from mmtp_fw.dft import OutcomeStatus, registry, run_protocol
from mmtp_fw.dft.machine import DatasetSearch, Program, check_datasets
from mmtp_fw.dft.registry import EngineCosts, EngineDescription, describe, engine_names, get_engine
from mmtp_fw.errors import EngineError, InputError
from mmtp_fw.structures import generate

TOY = Path(__file__).with_name("toy_engine")
MMTP = "from mmtp_fw.cli import main; main()"


def install(source: Path, target: Path) -> None:
    """Put the package of a project where Python finds it, with the metadata that an installer writes."""
    project = tomllib.loads((source / "pyproject.toml").read_text())["project"]
    shutil.copytree(source / "src", target, ignore=shutil.ignore_patterns("__pycache__"))
    information = target / f"{project['name'].replace('-', '_')}-{project['version']}.dist-info"
    information.mkdir()
    (information / "METADATA").write_text(
        f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: {project['version']}\n"
    )
    groups = {"console_scripts": project["scripts"]} | project["entry-points"]
    lines = [f"[{group}]\n" + "".join(f"{a} = {b}\n" for a, b in rows.items()) for group, rows in groups.items()]
    (information / "entry_points.txt").write_text("\n".join(lines))
    (target / "bin").mkdir()
    for name, place in project["scripts"].items():
        script = target / "bin" / name
        script.write_text(f'#!/bin/sh\nexec {sys.executable} -m {place.split(":")[0]} "$@"\n')
        script.chmod(0o755)


@pytest.fixture(scope="module")
def package(tmp_path_factory) -> Path:
    """The toy engine's package, installed."""
    target = tmp_path_factory.mktemp("installed") / "site"
    install(TOY, target)
    return target


@pytest.fixture
def here(package, monkeypatch):
    """The package on this process' path and its children's, as after its installation."""
    monkeypatch.syspath_prepend(str(package))
    monkeypatch.setenv("PYTHONPATH", str(package))
    monkeypatch.setenv("PATH", f"{package / 'bin'}{os.pathsep}{os.environ['PATH']}")
    forget()
    yield package
    forget()


def forget() -> None:
    registry.engine_names.__globals__["_entries"].cache_clear()
    registry.describe.cache_clear()


def call(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", MMTP, *arguments]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=300)


def campaign_file(folder: Path, **dft) -> Path:
    path = folder / "toy.yaml"
    with path.open("w") as stream:
        YAML().dump(SMALL | {"name": "toy", "dft": {"engine": "toy"} | dft}, stream)
    return path


def test_every_engine_of_this_package_is_described():
    assert set(registry.own_engines()) <= set(engine_names())
    for name in registry.own_engines():
        described = describe(name)
        assert described.name == name and described.title and described.about
        assert described.costs.scf_seconds > 0
        assert (described.dynamics is None) == (described.costs.step_seconds_per_atom == 0)
        engine = get_engine(name)
        assert engine.name == name and engine.settings_document()["engine"] == name
        with pytest.raises(InputError, match=f"engine '{name}': dft.settings has no key 'nonsense'"):
            get_engine(name, nonsense=1)


def test_settings_documents_are_what_they_were():
    """Their digests are in the keys of labels: another digest would have everything computed again."""
    digests = {name: settings_digest(name) for name in ("hamiltonian", "vasp")}
    assert digests == {
        "hamiltonian": "e7e04bfd7896df09c395d72da1a34e6c",
        "vasp": "3d3b7d2bbb80eb91158142874362e749",
    }


def settings_digest(name: str) -> str:
    from mmtp_fw.dft import settings_hash

    return settings_hash(get_engine(name).settings_document())


def test_an_engine_that_is_not_there_is_refused_with_those_that_are(tmp_path):
    done = call("run", "--dry-run", str(campaign_file(tmp_path)), cwd=tmp_path)
    assert done.returncode == 2 and done.stderr.count("\n") == 1
    assert "line" in done.stderr and "dft.engine: unknown DFT engine 'toy'" in done.stderr
    assert all(name in done.stderr for name in registry.own_engines())


def test_another_package_brings_an_engine(here, tmp_path):
    assert "toy" in engine_names() and describe("toy").title == "Toy"
    path = campaign_file(tmp_path)
    planned = json.loads(call("run", "--dry-run", "--json", str(path), cwd=tmp_path).stdout)
    assert planned["cost"]["core_hours"][0] > planned["cost"]["scf_runs"][0] * 10, "ten hours for a calculation"
    wrong = call("run", str(campaign_file(tmp_path, settings={"cutof_A": 3.0})), cwd=tmp_path)
    assert wrong.returncode == 2 and "did you mean 'cutoff_A'" in wrong.stderr


def test_doctor_looks_at_it(here, tmp_path, monkeypatch):
    def found() -> dict[str, dict]:
        return {item["name"]: item for item in json.loads(call("doctor", "--json", cwd=tmp_path).stdout)}

    there = found()
    assert there["Toy"]["ok"] and "toy-scf 1.0" in there["Toy"]["found"]
    assert there["Toy datasets"]["ok"] and str(here / "mmtp_toy" / "data" / "Fe.json") in there["Toy datasets"]["found"]
    (tmp_path / "Fe.json").write_text((here / "mmtp_toy" / "data" / "Fe.json").read_text())
    monkeypatch.setenv("MMTP_TOY_DATA", str(tmp_path))
    monkeypatch.setenv("PATH", str(tmp_path))
    there = found()
    assert not there["Toy"]["ok"] and there["Toy"]["remedy"] == "pip install mmtp-toy"
    assert there["Toy datasets"]["found"].startswith(str(tmp_path / "Fe.json")), "the engine's own places, in its order"


def test_its_labels_are_what_its_program_says(here, tmp_path):
    from mmtp_toy.model import atoms_at_rest, moment_energy

    (atoms,) = generate({"Fe": 0.75, "Pd": 0.25}, [3.72], {"Fe": 2.6, "Pd": 0.3}, 1, supercell=(1, 1, 1))
    engine = get_engine("toy", work_directory=str(tmp_path / "work"))
    outcome = run_protocol(engine, atoms, directory=tmp_path)
    assert outcome.status == OutcomeStatus.ACCEPTED
    terms = {symbol: engine.dataset(symbol).parameters for symbol in ("Fe", "Pd")}
    symbols, cell = list(atoms.symbols), np.asarray(atoms.cell).tolist()
    energy, forces, _ = atoms_at_rest(atoms.positions.tolist(), cell, symbols, terms, engine.settings.cutoff_A)
    energy += sum(moment_energy(terms[z], m)[0] for z, m in zip(symbols, outcome.label.moments, strict=True))
    assert outcome.label.energy_eV == pytest.approx(energy, abs=1e-9)
    np.testing.assert_allclose(outcome.label.forces, forces, atol=1e-12)
    slopes = [moment_energy(terms[z], m)[1] for z, m in zip(symbols, outcome.label.moments, strict=True)]
    np.testing.assert_allclose(outcome.label.magnetic_forces, -np.array(slopes), atol=1e-6)
    inputs = len(list((tmp_path / "work").rglob("in.json")))
    for file in (tmp_path / "work").rglob("in.json"):
        file.unlink()
    again = run_protocol(get_engine("toy", work_directory=str(tmp_path / "work")), atoms, directory=tmp_path)
    assert again.label.energy_eV == outcome.label.energy_eV and inputs == outcome.scf_runs
    assert not list((tmp_path / "work").rglob("in.json")), (
        "what is finished in the folders is handed over, not computed"
    )


def test_it_makes_labels_and_a_campaign(here, database, tmp_path, monkeypatch):
    path = campaign_file(tmp_path)
    done = call("run", str(path), "--workers", "2", cwd=tmp_path)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    check_finished(database, "toy")
    outcomes = labels_of(database, "toy")
    assert list(outcomes.values()).count("accepted") >= 5 and set(outcomes.values()) <= {"accepted", "rejected"}
    for calculation in database.calculations.find():
        assert calculation["engine"] == "toy"
        assert set(calculation["stages"][0]["datasets"]) == {"Fe", "Pd"}
    sources = {document["source"] for document in database.properties.find()}
    assert sources == {"reference", "mmtp"}, "it has dynamics of its own to compare with"
    monkeypatch.delenv("PYTHONPATH")
    elsewhere = call("status", "toy", cwd=tmp_path)
    assert elsewhere.returncode == 2 and elsewhere.stderr.count("\n") == 1
    assert "campaign 'toy' of the database: dft.engine: unknown DFT engine 'toy'" in elsewhere.stderr
    actions = list(database.actions.find({"params.source": "reference"}))
    assert {action["category"] for action in actions} == {"dft"}, "where its program is"


def write_entry(target: Path, name: str, value: str) -> None:
    information = target / f"{name.replace(' ', '_')}_engine-1.dist-info"
    information.mkdir(parents=True)
    (information / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}-engine\nVersion: 1\n")
    (information / "entry_points.txt").write_text(f"[mmtp_fw.engines]\n{name} = {value}\n")


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("broken", "no_such_module:ENGINE", "'broken' of broken-engine can't be loaded: ModuleNotFoundError"),
        ("odd", "json:dumps", "json:dumps of odd-engine is no EngineDescription of an engine 'odd'"),
        ("other", "mmtp_fw.dft.abinit.description:ENGINE", "is no EngineDescription of an engine 'other'"),
        ("vasp", "mmtp_fw.dft.vasp.description:ENGINE", "2 DFT engines are called 'vasp': mmtp_fw and vasp-engine"),
    ],
)
def test_a_package_in_disorder_is_named_and_disturbs_no_other(tmp_path, monkeypatch, name, value, message):
    write_entry(tmp_path, name, value)
    monkeypatch.syspath_prepend(str(tmp_path))
    forget()
    try:
        with pytest.raises(InputError, match=message):
            describe(name)
        assert describe("hamiltonian").name == "hamiltonian"
        told = [check for check in registry.doctor() if check.name == f"engine {name}"]
        assert len(told) == 1 and not told[0].ok and told[0].remedy
        assert registry.engine_title(name) == name
    finally:
        forget()


def test_a_check_that_fails_by_itself_is_a_finding():
    def crash():
        raise RuntimeError("no such device")

    described = EngineDescription(
        "x", "X", "x", describe("abinit").settings, get_engine, EngineCosts(1.0), checks={"X": crash}
    )
    (found,) = described.doctor()
    assert not found.ok and found.found == "can't be checked: RuntimeError: no such device"


def test_several_programs_have_a_line_each(tmp_path, monkeypatch):
    (tmp_path / "one").write_text("#!/bin/sh\n")
    (tmp_path / "one").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    programs = (Program("one", "get one"), Program("two", "get two"))
    described = EngineDescription(
        "x", "X", "x", describe("abinit").settings, get_engine, EngineCosts(1.0), programs=programs
    )
    assert [(check.name, check.ok, check.remedy) for check in described.doctor()] == [
        ("X one", True, ""),
        ("X two", False, "get two"),
    ]


def test_missing_datasets_are_told_with_the_places_that_were_searched(tmp_path):
    def find(species, settings):
        raise EngineError(f"nothing for {species}")

    found = check_datasets("X", DatasetSearch("files", lambda: [tmp_path], find, "get them"), None)
    assert not found.ok and found.remedy == "get them"
    assert found.found == f"nothing for Fe; nothing for Pd in {tmp_path}"
