"""Where each number's range ends, and which settings fit together."""

from __future__ import annotations

import json
from typing import Any

import pytest
from pydantic import ValidationError

from mmtp_fw.campaign import Campaign

TINY = 1e-9


def made(key: str, value: Any) -> Campaign:
    """Return a campaign in which the setting of that dotted name has a value."""
    document: dict[str, Any] = {"name": "c"}
    *sections, name = key.split(".")
    inner = document
    for section in sections:
        inner = inner.setdefault(section, {})
    inner[name] = value
    return Campaign.model_validate(document)


RANGES: list[tuple[str, list[Any], list[Any]]] = [
    ("seed", [0, 2**31], [-1]),
    ("name", ["a", "9", "a.b_c-d", "x" * 64], ["", "x" * 65, "-a", ".a", "_a", "a/b", "a b", "a\n", "ä"]),
    ("system.species", [["Fe", "Pd"], ["Pd", "Fe"]], [[], ["Fe", "Fe"], ["Fe", "Pd", "Fe"], ["Fe"], ["Fe", "Ni"]]),
    ("system.composition", [{"Fe": 1.0, "Pd": 0.0}], [{"Fe": 1.1, "Pd": -0.1}, {"Fe": 0.5, "Pd": 0.4}, {"Fe": 1.0}]),
    ("system.composition", [{"Fe": 0.6800005, "Pd": 0.32}], [{"Fe": 0.680002, "Pd": 0.32}]),
    ("system.typical_moments_muB", [{"Fe": 0.0, "Pd": 0.0}, {"Fe": 3.99, "Pd": -3.99}], [{"Fe": 2.6}]),
    ("system.typical_moments_muB", [], [{"Fe": 4.0, "Pd": 0.3}, {"Fe": 0.3, "Pd": -4.0}, {"Fe": 2, "Ni": 1}]),
    ("system.structure", ["fcc", "bcc", "sc", "B2", "L1_2"], ["nonsense", ""]),
    ("system.supercell", [[1, 1, 1], [1, 2, 3]], [[0, 1, 1], [1, 0, 1], [1, 1, 0], [1, 1], [1, 1, 1, 1]]),
    ("system.lattice_parameters_A", [[3.7], [TINY]], [[], [0.0], [3.7, 3.7], [3.7, 3.6]]),
    ("system.held_out_lattice_parameters_A", [[], [3.5, 3.55]], [[0.0], [3.7], [3.5, 3.5]]),
    ("potential.level", [2, 8, 24], [0, 1, 7, 26, 25]),
    ("potential.r_min_A", [TINY, 4.99], [0.0, 5.0, 6.0]),
    ("potential.r_cut_A", [1.91, 12.0], [1.9, 1.0, 0.0]),
    ("potential.radial_size", [1, 20], [0]),
    ("potential.magnetic_size", [1, 5], [0]),
    ("potential.max_moment_muB", [2.61, 10.0], [2.6, 0.0]),
    ("pretraining.structures", [1, 200], [0, 201]),
    ("pretraining.displacement_A", [TINY, 1.0], [0.0]),
    ("pretraining.strain", [0.0, 0.3], [-TINY, 0.3 + TINY]),
    ("pretraining.moment_scale", [0.0, 1.0], [-TINY, 1.0 + TINY]),
    ("pretraining.flipped_fraction", [0.0, 1.0], [-TINY, 1.0 + TINY]),
    ("dft.engine", ["hamiltonian", "abinit", "vasp"], ["VASP", "", "siesta"]),
    ("fit.energy_weight", [0.0, 2.0], [-TINY]),
    ("fit.forces_weight", [0.0, 2.0], [-TINY]),
    ("fit.stress_weight", [0.0, 2.0], [-TINY]),
    ("fit.magnetic_forces_weight", [0.0, 2.0], [-TINY]),
    ("fit.quality_weights", [{"A": 0, "B": 0.5, "C": 0}], [{"A": 0, "B": 0, "C": 0}, {"A": 1, "B": -TINY, "C": 1}]),
    ("fit.moment_deviation_muB", [0.0, 0.1], [-TINY]),
    ("fit.max_iterations", [1], [0]),
    ("fit.validation_fraction", [0.0, 0.5 - TINY], [-TINY, 0.5]),
    ("fit.starts", [1], [0]),
    ("fit.ensemble", [1], [0]),
    ("selection.mode", ["configuration", "site"], ["atoms"]),
    ("selection.gamma_select", [TINY, 9.99], [0.0, 10.0, 11.0]),
    ("selection.gamma_break", [2.01], [2.0, 1.0]),
    ("selection.max_per_iteration", [1], [0]),
    ("md.temperatures_K", [[1.0], [300.0, 600.0]], [[], [0.0]]),
    ("md.steps", [1], [0]),
    ("md.timestep_fs", [TINY], [0.0]),
    ("md.replicas", [1], [0]),
    ("md.magnetic_orders", [["random"], ["ferromagnetic", "antiferromagnetic"]], [[], ["spiral"]]),
    ("budget.max_iterations", [1], [0]),
    ("budget.max_labels", [24], [23]),
    ("budget.max_scf_runs", [1], [0]),
    ("budget.max_failed_fraction", [0.0, 1.0], [-TINY, 1.0 + TINY]),
    ("budget.max_stalled_iterations", [1], [0]),
    ("budget.max_attempts", [1], [0]),
    ("properties.mode", ["thermal", "static"], ["phonons"]),
    ("properties.temperature_K", [TINY], [0.0]),
    ("properties.steps", [401], [400, 0]),
    ("properties.equilibration_steps", [0, 1999], [-1, 2000]),
    ("properties.replicas", [1], [0]),
    ("workers.local", [1], [0]),
    ("workers.lease_seconds", [TINY], [0.0]),
]


@pytest.mark.parametrize(("key", "good", "bad"), RANGES, ids=[key for key, _, _ in RANGES])
def test_numbers_end_where_the_manual_says(key, good, bad):
    for value in good:
        made(key, value)
    for value in bad:
        with pytest.raises(ValidationError):
            made(key, value)
            pytest.fail(f"{key} = {value!r} was accepted", pytrace=False)


def test_documents_are_plain_json():
    document = made("system.supercell", [1, 2, 3]).document()
    assert json.loads(json.dumps(document)) == document, "lists, no tuples"
    assert Campaign.model_validate(document).document() == document


def test_values_cannot_be_changed_afterwards():
    campaign = Campaign(name="c")
    with pytest.raises(ValidationError):
        campaign.seed = 3
    with pytest.raises(ValidationError):
        campaign.md.steps = 3


def test_all_lattice_parameters_ascend():
    campaign = Campaign.model_validate(
        {"name": "c", "system": {"lattice_parameters_A": [3.8, 3.7], "held_out_lattice_parameters_A": [3.75, 3.6]}}
    )
    assert campaign.phases[0].all_lattice_parameters_A == [3.6, 3.7, 3.75, 3.8]


@pytest.mark.parametrize(
    ("document", "mode"),
    [
        ({}, "thermal"),
        ({"dft": {}}, "thermal"),
        ({"dft": {"engine": "hamiltonian"}}, "thermal"),
        ({"dft": {"engine": "vasp"}}, "static"),
        ({"dft": {"engine": "vasp"}, "properties": {"steps": 500}}, "static"),
        ({"dft": {"engine": "vasp"}, "properties": {"reference": True}}, "static"),
        ({"dft": {"engine": "vasp"}, "properties": {"reference": False}}, "thermal"),
        ({"dft": {"engine": "vasp"}, "properties": {"reference": False, "mode": "static"}}, "static"),
        ({"dft": {"engine": "hamiltonian"}, "properties": {"mode": "static"}}, "static"),
    ],
)
def test_a_dft_engine_is_compared_at_rest_unless_said_otherwise(document, mode):
    campaign = Campaign.model_validate({"name": "c"} | document)
    assert campaign.properties.mode == mode
    assert campaign.properties.steps == document.get("properties", {}).get("steps", 2000), "the rest stays"


@pytest.mark.parametrize(
    "document",
    [
        {"dft": {"engine": "vasp"}, "properties": {"mode": "thermal"}},
        {"dft": {"engine": "vasp"}, "properties": ["static"]},
        {"dft": "vasp"},
        {"dft": ["vasp"], "properties": {}},
        {"dft": {"engine": "vasp"}, "properties": "static"},
    ],
)
def test_what_cannot_be_compared_or_read_is_refused(document):
    with pytest.raises(ValidationError):
        Campaign.model_validate({"name": "c"} | document)
