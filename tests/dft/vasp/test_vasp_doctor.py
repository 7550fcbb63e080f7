"""`mmtp doctor` on VASP's command and POTCARs."""

from __future__ import annotations

import sys

from mmtp_fw.campaign import load_campaign
from mmtp_fw.dft import get_engine
from mmtp_fw.dft.vasp.description import check_potcars
from mmtp_fw.dft.vasp.description import check_program as check_vasp


def test_what_is_missing_is_named_with_a_remedy(potcars, monkeypatch, tmp_path):
    found = check_potcars()
    assert found.ok and "PAW_PBE Fe 01Jan2000, PAW_PBE Pd 01Jan2000 (PBE_54)" in found.found
    monkeypatch.setenv("PMG_VASP_PSP_DIR", str(tmp_path))
    lacking = check_potcars()
    assert not lacking.ok and "no POTCARs of PBE_54" in lacking.found and "pmg config" in lacking.remedy

    monkeypatch.setenv("PATH", str(tmp_path))
    lacking = check_vasp()
    assert not lacking.ok and "'vasp_ncl' is not an executable" in lacking.found
    assert "MMTP_VASP_COMMAND" in lacking.remedy
    (tmp_path / "vasp_std").write_text("#!/bin/sh\n")
    (tmp_path / "vasp_std").chmod(0o755)
    assert "vasp_std can't compute non-collinear moments" in check_vasp().found
    monkeypatch.setenv("MMTP_VASP_COMMAND", f"{sys.executable} vasp_ncl")
    assert "'vasp_ncl' is not on PATH" in check_vasp().found
    (tmp_path / "vasp_std").rename(tmp_path / "vasp_ncl")
    assert check_vasp().ok


def test_the_example_campaign_is_valid(request):
    campaign = load_campaign(request.config.rootpath / "fireworks_specs" / "campaigns" / "vasp.yaml")
    engine = get_engine(campaign.dft.engine, **campaign.dft.settings)
    assert engine.settings.encut_eV == 400
