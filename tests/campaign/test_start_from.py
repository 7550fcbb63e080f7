"""A campaign that begins from a potential."""

from __future__ import annotations

from pathlib import Path

import pytest

from mmtp_fw.campaign import load_campaign, stored_campaign
from mmtp_fw.errors import InputError
from mmtp_fw.potential import Potential

EXAMPLE = Path(__file__).parents[2] / "docs" / "examples" / "fe-pd.mmtp"


def written(folder: Path, text: str) -> Path:
    (folder / "c.yaml").write_text(f"name: c\n{text}", encoding="utf-8")
    return folder / "c.yaml"


def test_its_form_is_the_campaigns(tmp_path):
    campaign = load_campaign(written(tmp_path, f"start_from: {{potential: {EXAMPLE}}}\n"))
    form, potential = campaign.potential, Potential.loads(EXAMPLE.read_text(encoding="utf-8"))
    assert (form.r_cut_A, form.radial_size, form.magnetic_size) == (potential.r_cut, potential.radial_size, 3)
    assert form.level == 8 and form.max_moment_muB == potential.max_moment
    kept = stored_campaign(campaign.document()).start_from.potential
    assert Potential.loads(kept.text).content_hash == potential.content_hash


@pytest.mark.parametrize(
    "text", ["pretraining: {training_set: a.cfg}", "pretraining: {files: [a.cfg]}", "potential: {start_from: a.mmtp}"]
)
def test_words_that_people_try_name_the_right_key(tmp_path, text):
    with pytest.raises(InputError) as told:
        load_campaign(written(tmp_path, text + "\n"))
    assert "start_from: {labels: [FILE], potential: FILE}" in str(told.value)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("potential: {level: 10}", "level: 10, in the file 8"),
        ("system: {species: [Fe], lattice_parameters_A: [3.7]}", "species"),
    ],
)
def test_what_contradicts_it_is_refused(tmp_path, text, words):
    with pytest.raises(InputError, match=words):
        load_campaign(written(tmp_path, f"start_from: {{potential: {EXAMPLE}}}\n{text}\n"))
    with pytest.raises(InputError, match="can't be read"):
        load_campaign(written(tmp_path, "start_from: {potential: nowhere.mmtp}\n"))
