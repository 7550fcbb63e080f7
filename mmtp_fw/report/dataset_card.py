"""The card of a dataset: what a reader must know before using it, as data and as a page."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import mmtp_fw
from mmtp_fw.database.records import SCHEMA_VERSION
from mmtp_fw.dft import registry
from mmtp_fw.dft.stages import Label

NOT_STATED = "not stated"
_DEFINITIONS = {
    "PAW": "the engine's final moment of an atom, inside its PAW sphere",
    "WS": "spin density integrated in a sphere around the atom",
    "sWS": "the same with a weight that goes smoothly to zero at the sphere's surface: what a penalty acts on",
}
_CONSTRAINTS = {
    "hard": "moments held at their targets by Lagrange multipliers; energies are those of the constrained state",
    "soft": "a penalty λ Σ (m_sWS − m_constr)² holds moments near their targets; energies are without the penalty",
    "none": "no constraint",
}
_SIGN = (
    "−∂E/∂m of the moment that the label states, at fixed positions and all other moments; positive: E falls as m grows"
)

_SOURCE = (
    "the engine's own where it gives them, else those of the penalty, 2λ (m_sWS − m_constr), times d m_sWS/d m of the "
    "species, measured in the same calculation"
)


@dataclass(frozen=True)
class Told:
    """What only people know of a dataset; None is told as such.

    Attributes
    ----------
    title, licence, cite : str or None
        The licence by its SPDX name; how the dataset is to be cited, with its DOI.
    authors : tuple of str
    """

    title: str | None = None
    authors: tuple[str, ...] = ()
    licence: str | None = None
    cite: str | None = None


def card(
    settings: Mapping[str, Any],
    labels: Sequence[Label],
    told: Told,
    environments: Sequence[Mapping[str, Any]],
    datasets: Mapping[str, str],
) -> dict[str, Any]:
    """Return the card of a campaign's labels as JSON takes it.

    Parameters
    ----------
    settings : mapping
        The campaign's.
    labels : sequence of Label
    told : Told
    environments : sequence of mapping
        Those that the labels were computed in.
    datasets : mapping of str to str
        Digest of every species' pseudopotential or PAW dataset.
    """
    commits = sorted({one["commit"] for one in environments if one.get("commit")})
    definitions = sorted({label.which_definition for label in labels})
    return {
        "title": told.title or f"Labels of the campaign {settings['name']}",
        "authors": list(told.authors) or NOT_STATED,
        "licence": told.licence or NOT_STATED,
        "cite": told.cite or NOT_STATED,
        "written": datetime.now(UTC).date().isoformat(),
        "campaign": settings["name"],
        "system": _system(settings, labels),
        "engine": _engine(settings, environments, datasets),
        "moments": {
            "kind": "collinear, signed, μB",
            "definition": {name: _DEFINITIONS.get(name, name) for name in definitions},
            "values": "those that were reached, never the targets",
            "vectors": "where a file has vectors, moments and magnetic forces are along z, a choice without meaning",
        },
        "magnetic_forces": {"unit": "eV/μB", "sign": _SIGN, "source": _SOURCE},
        "constraint": {
            kind: {"labels": number, "meaning": _CONSTRAINTS.get(kind, kind)}
            for kind, number in _counts(label.constraint.value for label in labels).items()
        },
        "quality": _quality(settings, labels),
        "units": {"energy": "eV", "forces": "eV/Å", "stress": "eV/Å³, positive under tension", "virial": "eV, −V σ"},
        "files": _FILES,
        "software": {"mmtp_fw": mmtp_fw.__version__, "schema": SCHEMA_VERSION, "commits": commits or NOT_STATED},
    }


def _system(settings: Mapping[str, Any], labels: Sequence[Label]) -> dict[str, Any]:
    return {
        "species": sorted({symbol for label in labels for symbol in label.symbols}),
        "composition": settings["system"]["composition"],
        "structure": settings["system"]["structure"],
        "labels": len(labels),
        "imported": len([label for label in labels if label.extrapolation is None]),
        "atoms": sum(len(label.symbols) for label in labels),
        "atoms_per_cell": sorted({len(label.symbols) for label in labels}),
    }


def _engine(
    settings: Mapping[str, Any], environments: Sequence[Mapping[str, Any]], datasets: Mapping[str, str]
) -> dict[str, Any]:
    engine = registry.describe(settings["dft"]["engine"])
    chosen = engine.settings.model_validate(settings["dft"]["settings"])
    skipped: frozenset[str] = getattr(chosen, "not_of_a_label", frozenset())
    programs = sorted({f"{k} {v}" for one in environments for k, v in one["programs"].items()})
    return {
        "name": engine.name,
        "about": engine.about,
        "functional": engine.functional(settings["dft"]["settings"]),
        "programs": programs or NOT_STATED,
        "datasets": dict(sorted(datasets.items())),
        "settings": {
            name: {"value": value, "meaning": engine.settings.model_fields[name].description or ""}
            for name, value in chosen.model_dump(mode="json", exclude=set(skipped)).items()
        },
    }


def _quality(settings: Mapping[str, Any], labels: Sequence[Label]) -> dict[str, Any]:
    return {
        "grades": _counts(label.grade.value for label in labels),
        "largest_mae_muB": max(label.mae_muB for label in labels),
        "largest_deviation_muB": max(label.max_deviation_muB for label in labels),
        "limits": {k: v for k, v in settings["dft"]["protocol"].items() if k.endswith("_muB")},
    }


def _counts(values: Iterable[str]) -> dict[str, int]:
    return dict(sorted(Counter(values).items()))


_FILES = {
    "dataset.xyz": "extended XYZ as ASE and mmtp_fw read it: magmoms, magnetic_forces, targets as initial_magmoms",
    "mace.xyz": "the same in the keys of MACE: REF_energy, REF_forces, REF_stress, REF_magmom, REF_magforces",
    "nep_spin.xyz": "the same in those of NEP: force, virial, spin and mforce; magnetic_moment and magnetic_force",
    "labels.csv": "a row for every label: λ, deviation, grade, check, origin",
    "stages.csv": "a row for every calculation on the way to a label: λ, energies with and without penalty",
    "history.csv": "a row for every atom of every calculation: target, moments by definition, magnetic force",
    "card.json": "this page as data",
    "SHA256SUMS": "checksums of all files",
}


def readme(found: Mapping[str, Any]) -> str:
    """Return the card as a page in Markdown."""
    return "\n".join(_page(found)) + "\n"


def _page(found: Mapping[str, Any]) -> Iterator[str]:
    system, engine = found["system"], found["engine"]
    authors = found["authors"] if isinstance(found["authors"], str) else ", ".join(found["authors"])
    yield f"# {found['title']}\n"
    yield f"Authors: {authors}. Licence: {found['licence']}. To be cited as: {found['cite']}.\n"
    cells = ", ".join(map(str, system["atoms_per_cell"]))
    yield (
        f"{system['labels']} labels of {', '.join(system['species'])} ({system['structure']}, {system['atoms']} atoms "
        f"in cells of {cells}), computed with {engine['about']}; functional: {engine['functional']}.\n"
    )
    yield "Energies, forces and stress are the engine's own.\n"
    if system["imported"]:
        yield (
            f"{system['imported']} of the labels were imported: what computed them is what their files say or, where "
            "they say nothing, what the campaign's owner says. `labels.csv` marks them.\n"
        )
    yield "## Moments and magnetic forces\n"
    yield from (f"- Moment {name}: {meaning}." for name, meaning in found["moments"]["definition"].items())
    yield f"- Moments are {found['moments']['kind']}; {found['moments']['values']}; {found['moments']['vectors']}."
    magnetic = found["magnetic_forces"]
    yield f"- Magnetic forces ({magnetic['unit']}): {magnetic['sign']}; {magnetic['source']}."
    yield from (f"- {item['labels']} labels {kind}: {item['meaning']}." for kind, item in found["constraint"].items())
    grades = ", ".join(f"{number} of quality {grade}" for grade, number in found["quality"]["grades"].items())
    yield (
        f"- {grades}; moments are off their targets by {found['quality']['largest_deviation_muB']:.3g} μB at most. "
        "Labels of a soft constraint carry their λ.\n"
    )
    yield "## Settings of the engine\n\n| Setting | Value | Meaning |\n|---|---|---|"
    yield from (f"| `{name}` | {item['value']} | {item['meaning']} |" for name, item in engine["settings"].items())
    yield from (f"| dataset of {species} | `{digest}` | digest |" for species, digest in engine["datasets"].items())
    yield "\n## Units\n"
    yield from (f"- {name}: {unit}" for name, unit in found["units"].items())
    yield "\n## Files\n\n| | |\n|---|---|"
    yield from (f"| `{name}` | {about} |" for name, about in found["files"].items())
    software = f"mmtp_fw {found['software']['mmtp_fw']}"
    yield f"\nWritten {found['written']} by {software} from the campaign {found['campaign']}."
