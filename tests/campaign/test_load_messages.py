"""What the reader of a campaign file says, word for word where the words carry numbers or places."""

from __future__ import annotations

import pytest

from mmtp_fw.campaign import load_campaign, parse_campaign
from mmtp_fw.errors import InputError


def refused(text: str, source: str = "c.yaml") -> InputError:
    with pytest.raises(InputError) as caught:
        parse_campaign(text, source)
    return caught.value


def test_yaml_values_become_plain_values():
    text = """
name: plain
potential: {symmetrized: false}
md: {steps: 100, timestep_fs: 1.5}
dft:
  settings: {encut: 520, sigma: 0.1, lwave: true, nested: {list: [1, a, no]}, nothing: null}
"""
    campaign = parse_campaign(text)
    assert type(campaign.name) is str and campaign.name == "plain"
    assert campaign.potential.symmetrized is False
    assert (campaign.md.steps, campaign.md.timestep_fs) == (100, 1.5)
    found = campaign.dft.settings
    assert found == {"encut": 520, "sigma": 0.1, "lwave": True, "nested": {"list": [1, "a", "no"]}, "nothing": None}
    assert {key: type(value) for key, value in found.items()} == {
        "encut": int,
        "sigma": float,
        "lwave": bool,
        "nested": dict,
        "nothing": type(None),
    }
    assert [type(value) for value in found["nested"]["list"]] == [int, str, str]


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("name: a\nmd: {steps: 0}\n", 2),
        ("name: a\n\n\nmd:\n\n  steps: 0\n", 6),
        ("name: a\nsystem:\n  supercell:\n    - 1\n    - 0\n    - 1\n", 5),
        ("name: a\nsystem:\n  supercell:\n    - 0\n    - 1\n    - 1\n", 4),
        ("name: a\nsystem:\n  composition:\n    Fe: 0.68\n    Pd: x\n", 5),
        ("md:\n  steps: 3\n", 1),
        ("# nothing\nseed: 1\nsystem:\n  composition: {Fe: 1}\n", 3),
        ("name: a\nseed: 1\ndft:\n  engine: vasp\n  protocol:\n    aim: 2\n", 6),
    ],
)
def test_the_line_is_that_of_the_deepest_part(text, line):
    assert f"c.yaml, line {line}: " in refused(text).message


def test_the_line_of_broken_yaml():
    assert refused("name: a\nmd:\n  steps: 1: 2\n").message.startswith("c.yaml, line 3: no valid YAML: ")
    assert refused("name: a: b\n").message.startswith("c.yaml, line 1: no valid YAML: ")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("name: a\nmd: {steps: -2}\n", "md.steps: input should be greater than or equal to 1, not -2"),
        ("name: a\ndft: {engine: wasp}\n", "wasp"),
        ("seed: 1\n", "name: is missing"),
        ("name: a\nmd: {stepps: 1}\n", "md.stepps: unknown key"),
        ("name: a\npotential: {level: 7}\n", "potential: level must be even, not 7"),
        ("name: a\nmd: {steps: [1]}\n", "md.steps: input should be a valid integer"),
        (
            "name: a\ndft: {engine: elk}\n",
            "fit.stress_weight: Elk's labels have no stress; set it to 0",
        ),
        (
            "name: a\ndft: {engine: elk}\nfit: {stress_weight: 0}\n",
            "properties.reference: Elk computes no stress: there is no pressure to compare; set it to false",
        ),
        (
            "name: a\ndft: {engine: vasp, protocol: {constraint: hard}}\n",
            "dft.protocol.constraint: VASP has no hard constraint; set auto or soft",
        ),
        (
            "name: a\ndft: {engine: elk, protocol: {constraint: soft}}\nfit: {stress_weight: 0}\n"
            "properties: {reference: false}\n",
            "dft.protocol.constraint: Elk has no soft constraint; set auto or hard",
        ),
        ("name: a\nmd: 3\n", "md: input should be a valid dictionary or instance of MdSection, not 3"),
    ],
)
def test_what_was_given_is_repeated(text, told):
    error = refused(text)
    assert error.message.endswith(told) or told in error.message
    assert not error.message.endswith(("}", "]")), "sections and lists are not printed"


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("name: a\nmd: {timestep: 1}\n", "did you mean 'timestep_fs'?"),
        ("name: a\nbudget: {iterations: 1}\n", "did you mean 'max_iterations'?"),
        ("name: a\nsystem: {held: [3.6]}\n", "did you mean 'held_out_lattice_parameters_A'?"),
        ("name: a\nsystem: {out: [3.6]}\n", "did you mean 'held_out_lattice_parameters_A'?"),
        ("name: a\ndft: {protocol: {lamda_series: [3]}}\n", "did you mean 'lambda_series'?"),
        ("name: a\nworkers: {zzz: 1}\n", "known keys here: local, lease_seconds"),
        ("name: a\nmd: {timestep: 1}\nbudget: {iterations: 1}\n", "'timestep_fs'?; did you mean 'max_iterations'?"),
        ("name: a\nworkers: {zzz: 1, qqq: 2}\n", "known keys here: local, lease_seconds"),
        ("name: a\nmd: {steps: 0}\n", ""),
    ],
)
def test_hints_name_what_was_meant(text, hint):
    found = refused(text).hint
    assert found.endswith(hint) and bool(found) == bool(hint)
    assert found.count("known keys here") <= 1, "each hint once"


def test_the_text_has_a_name_of_its_own():
    with pytest.raises(InputError, match=r"^campaign, line 2: nonsense: unknown key"):
        parse_campaign("name: a\nnonsense: 1\n")


def test_files_name_themselves(tmp_path):
    path = tmp_path / "a.yaml"
    path.write_text("name: fine\n", encoding="utf-8")
    assert load_campaign(str(path)).name == "fine"
    path.write_text("name: no good\n", encoding="utf-8")
    with pytest.raises(InputError, match=r"a\.yaml, line 1: name: "):
        load_campaign(path)
    with pytest.raises(InputError, match="Is a directory"):
        load_campaign(tmp_path)
    path.write_bytes(b"name: \xff\xfe")
    with pytest.raises(InputError, match=r"a\.yaml: .*codec can't decode"):
        load_campaign(path)


def test_an_engine_without_stress_is_taken_where_nothing_needs_one():
    text = "name: a\ndft: {engine: elk}\nfit: {stress_weight: 0}\nproperties: {reference: false}\n"
    assert parse_campaign(text).fit.stress_weight == 0


def test_no_material_has_the_volumes_of_the_demonstration():
    system = "species: [Fe], structure: bcc, lattice_parameters_A: [2.87], typical_moments_muB: {Fe: 2.2}"
    iron = parse_campaign(f"name: a\nsystem: {{{system}}}\n")
    assert iron.system.held_out_lattice_parameters_A == []
    assert iron.system.composition == {"Fe": 1.0}
    assert parse_campaign("name: a\nsystem: {lattice_parameters_A: [3.7]}\n").system.held_out_lattice_parameters_A == []
    given = parse_campaign("name: a\nsystem: {lattice_parameters_A: [3.7], held_out_lattice_parameters_A: [3.8]}\n")
    assert given.system.held_out_lattice_parameters_A == [3.8]
    assert parse_campaign("name: a\nsystem: {supercell: [2, 2, 2]}\n").system.held_out_lattice_parameters_A == [3.6]
    for text in ("{species: [Pd], typical_moments_muB: {Pd: 0.3}}", "{structure: bcc}"):
        found = refused(f"name: a\nsystem: {text}\n")
        assert "c.yaml, line 2: system.lattice_parameters_A: is missing" in found.message
        assert "lattice_parameters_A: [" in found.hint


def test_the_radial_range_begins_below_the_distances_of_the_material():
    rock_salt = "species: [Cr, N], composition: {Cr: 0.5, N: 0.5}, structure: B1, typical_moments_muB: {Cr: 2.9, N: 0}"
    system = f"system: {{{rock_salt}, lattice_parameters_A: [4.15], held_out_lattice_parameters_A: [4.05]}}\n"
    assert parse_campaign(f"name: a\n{system}").potential.r_min_A == 1.51, "three quarters of half of 4.05"
    assert parse_campaign(f"name: a\n{system}potential: {{level: 6, r_min_A: 1.7}}\n").potential.r_min_A == 1.7
    assert parse_campaign("name: a\nsystem: {lattice_parameters_A: [3.7]}\n").potential.r_min_A == 1.9


def test_unknown_keys_are_told_before_what_they_may_have_meant():
    found = refused("name: a\nsystem:\n  species: [Pd]\n  typical_moments_muB: {Pd: 0.3}\n  structure_file: POSCAR\n")
    assert found.message == "c.yaml, line 5: system.structure_file: unknown key"
