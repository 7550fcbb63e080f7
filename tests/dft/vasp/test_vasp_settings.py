"""Settings of the VASP engine, and everything that is refused before VASP is started."""

from __future__ import annotations

import hashlib
import sys

import pytest
from pydantic import ValidationError

from mmtp_fw.dft.vasp.potcars import find_potcar, potcar_directory
from mmtp_fw.dft.vasp.settings import VaspSettings, program
from mmtp_fw.errors import EngineError, InputError


def test_every_key_is_described():
    assert all(field.description for field in VaspSettings.model_fields.values())


@pytest.mark.parametrize(
    "wrong",
    [
        {"encut": 400},
        {"encut_eV": 0},
        {"potcar_functional": "PBE_99"},
        {"extra_incar": {"lambda": 3}},
        {"extra_incar": {"M_CONSTR": [0, 0, 1]}},
        {"potcar_sha256": {"Fe": "abc"}},
        {"rwigs_A": {"Fe": 12}},
        {"measuring_lambda_eV_per_muB2": 0.1},
    ],
)
def test_wrong_settings_are_refused(wrong):
    with pytest.raises(ValidationError):
        VaspSettings(**wrong)


def test_a_label_depends_on_physics_only():
    plain = VaspSettings().document()
    elsewhere = VaspSettings(command="srun vasp_ncl", work_directory="$SCRATCH", wall_time_margin_s=60, poll_s=1)
    assert elsewhere.document() == plain
    assert VaspSettings(extra_incar={"ncore": 4, "KPAR": 2}).document() == plain
    for change in ({"encut_eV": 520}, {"extra_incar": {"LDAU": True}}, {"potcar_symbols": {"Fe": "Fe_pv"}}):
        assert VaspSettings(**change).document() != plain


def test_the_command_is_a_program_of_this_machine(monkeypatch):
    monkeypatch.delenv("MMTP_VASP_COMMAND", raising=False)
    assert program(VaspSettings(command=f"{sys.executable} -n 4"))[1:] == ["-n", "4"]
    for command in ("no-such-vasp", "", "'"):
        with pytest.raises(EngineError, match="MMTP_VASP_COMMAND"):
            program(VaspSettings(command=command))
    monkeypatch.setenv("MMTP_VASP_COMMAND", f"{sys.executable} vasp")
    assert program(VaspSettings(command="no-such-vasp"))[1:] == ["vasp"]


def test_potcars_are_found_plain_and_compressed(potcars):
    iron, palladium = (find_potcar(species, VaspSettings()) for species in ("Fe", "Pd"))
    assert iron.path.name == "POTCAR" and palladium.path.suffix == ".gz"
    assert iron.radius_A == 1.302 and palladium.title == "PAW_PBE Pd 01Jan2000"
    assert palladium.sha256 == hashlib.sha256(palladium.content()).hexdigest()


def test_missing_potcars_are_one_line_with_a_remedy(potcars, tmp_path, monkeypatch):
    with pytest.raises(EngineError, match=r"no POTCAR 'Fe_sv' of PBE_54 .*potcar_symbols"):
        find_potcar("Fe", VaspSettings(potcar_symbols={"Fe": "Fe_sv"}))
    with pytest.raises(EngineError, match="no POTCARs of PBE_64"):
        find_potcar("Fe", VaspSettings(potcar_functional="PBE_64"))
    with pytest.raises(EngineError, match="is no POTCAR of Fe"):
        find_potcar("Fe", VaspSettings(potcar_symbols={"Fe": "Pd"}))
    with pytest.raises(EngineError, match="don't fit together"):
        find_potcar("Fe", VaspSettings(potcar_sha256={"Fe": "0" * 64}))
    with pytest.raises(InputError, match="'X' is no element"):
        find_potcar("X", VaspSettings())
    monkeypatch.setenv("PMG_VASP_PSP_DIR", str(tmp_path / "nowhere"))
    with pytest.raises(EngineError, match=r"no directory .*pmg config"):
        potcar_directory()


def test_the_right_checksum_passes(potcars):
    digest = find_potcar("Fe", VaspSettings()).sha256
    settings = VaspSettings(potcar_sha256={"Fe": digest.upper()})
    assert find_potcar("Fe", settings).sha256 == digest


def test_every_key_is_in_the_documentation(request):
    page = (request.config.rootpath / "docs" / "vasp.md").read_text(encoding="utf-8")
    assert not [key for key in VaspSettings.model_fields if f"`{key}`" not in page]
