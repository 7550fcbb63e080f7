from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mmtp_fw.campaign import Campaign, demo_campaign_path, json_schema, load_campaign, parse_campaign
from mmtp_fw.errors import InputError


def wrong(text: str) -> InputError:
    with pytest.raises(InputError) as caught:
        parse_campaign(text, "c.yaml")
    assert caught.value.exit_code == 2
    assert "\n" not in str(caught.value)
    return caught.value


def test_the_demonstration_is_valid_and_complete():
    campaign = load_campaign(demo_campaign_path())
    assert campaign.dft.engine == "hamiltonian"
    assert len(campaign.phases[0].all_lattice_parameters_A) == 5
    assert len(campaign.system.held_out_lattice_parameters_A) == 1


@pytest.mark.parametrize(
    ("text", "message", "hint"),
    [
        ("name: a\nmd:\n  timestep: 1\n", "c.yaml, line 3: md.timestep: unknown key", "'timestep_fs'"),
        ("name: a\nselektion: {}\n", "line 2: selektion: unknown key", "'selection'"),
        ("name: a\nmd:\n  steps: -2\n", "line 3: md.steps: input should be greater", ""),
        ("name: a\nmd:\n  steps: many\n", "line 3: md.steps: input should be a valid integer", ""),
        ("seed: 1\n", "line 1: name: is missing", ""),
        ("name: a b\n", "line 1: name: a name has 1 to 64", ""),
        ("name: a\npotential:\n  level: 7\n", "line 2: potential: level must be even, not 7", ""),
        ("name: a\nsystem:\n  lattice_parameters_A: [3.7, x]\n", "line 3: system.lattice_parameters_A.1", ""),
        ("name: a\nsystem: {held_out_lattice_parameters_A: [3.7]}\n", "both a training and a held-out", ""),
        ("name: a\nsystem: {composition: {Fe: 0.5, Pd: 0.6}}\n", "add up to 1", ""),
        ("name: a\nbudget: {max_labels: 3}\n", "doesn't even cover", ""),
        ("name: a\ndft: {engine: wasp}\n", "line 2: dft.engine", ""),
        ("name: [a\n", "no valid YAML", "indent"),
        ("- 1\n- 2\n", "holds no mapping", ""),
        ("", "holds no mapping", ""),
        ("name: a\nname: b\n", "duplicate key", ""),
    ],
)
def test_errors_name_file_line_and_key(text, message, hint):
    error = wrong(text)
    assert message in error.message
    assert hint in error.hint
    assert "c.yaml" in error.message


def test_all_errors_are_told_at_once():
    error = wrong("name: a\nmd:\n  steps: 0\n  replicas: 0\nfoo: 1\n")
    for part in ("line 3: md.steps", "line 4: md.replicas", "line 5: foo"):
        assert part in error.message


def test_unreadable_files(tmp_path):
    with pytest.raises(InputError, match=r"nothing\.yaml: No such file"):
        load_campaign(tmp_path / "nothing.yaml")
    (tmp_path / "binary.yaml").write_bytes(b"\xff\xfe\x00name")
    with pytest.raises(InputError):
        load_campaign(tmp_path / "binary.yaml")


def test_settings_survive_the_database():
    campaign = parse_campaign("name: a\nmd: {temperatures_K: [300, 600]}\n")
    assert Campaign.model_validate(campaign.document()) == campaign


def test_every_key_is_described():
    schema = json_schema()

    def undescribed(node, path=()):
        for name, value in node.get("properties", {}).items():
            if "description" not in value and "$ref" not in value and path:
                yield ".".join([*path, name])
        for name, value in node.get("$defs", {}).items():
            yield from undescribed(value, (name,))

    missing = [key for key in undescribed(schema) if not key.startswith("DftSettings.protocol")]
    assert missing == []


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.text(max_size=60) | st.binary(max_size=40).map(lambda b: b.decode("latin-1")))
def test_no_text_crashes_the_reader(text):
    for candidate in (text, f"name: a\nmd: {text}", f"name: a\n{text}: 1"):
        try:
            campaign = parse_campaign(candidate)
        except InputError:
            continue
        assert isinstance(campaign, Campaign)
