"""The labels of a campaign as a dataset for others: files, a card, and how every label came about.

Extended XYZ three times, the same numbers in the keys of three families of readers, every digit kept: ASE's and this
package's, MACE's, and those of NEP with spins. Moments are collinear; where a reader wants vectors they are along z, a
choice without meaning as there is no spin-orbit coupling.
"""

from __future__ import annotations

import csv
import hashlib
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mmtp_fw.arrays import FloatArray
from mmtp_fw.database import Database, history, queries
from mmtp_fw.dft.stages import Label
from mmtp_fw.errors import InputError
from mmtp_fw.files import write_whole
from mmtp_fw.labelling import ACCEPTED
from mmtp_fw.report.dataset_card import Told, card, readme

Columns = Mapping[str, FloatArray]
_STAGE = (
    "index", "name", "kind", "converged", "lambda_eV_per_muB2", "energy_eV", "energy_with_penalty_eV", "penalty_eV",
    "energy_noise_eV", "mae_muB", "max_deviation_muB", "scf_steps", "wall_seconds",
)  # fmt: skip
_OF_A_LABEL = (
    "configuration", "hash", "split", "origin", "grade", "constraint", "lambda_eV_per_muB2", "mae_muB",
    "max_deviation_muB", "bias_eV_per_atom", "check", "integration_residual_eV_per_atom", "which_definition",
    "scf_runs",
)  # fmt: skip


@dataclass(frozen=True)
class _Entry:
    """A label with what is known of it."""

    key: str
    label: Label
    about: Mapping[str, Any]
    stages: Sequence[Mapping[str, Any]]


def write_dataset(
    database: Database, campaign: str, directory: str | Path, told: Told, version: str | int | None = None
) -> dict[str, Any]:
    """Write the accepted labels of a campaign, or those that a version was trained on; return the card.

    Parameters
    ----------
    database : Database
    campaign : str
    directory : str or Path
        Made; it must not exist.
    told : Told
        What only people know: title, authors, licence, how to cite.
    version : str or int, optional
        A version of the potential, whose division into training and validation is kept.

    Raises
    ------
    InputError
        No such campaign or version, no accepted label, or the directory exists or can't be made.
    """
    settings = queries.campaign(database, campaign, "settings")["settings"]
    entries = _entries(database, campaign, version)
    if not entries:
        raise InputError(f"campaign '{campaign}' has no accepted label", "`mmtp status` says where it stands")
    place = _made(Path(directory))
    for name, dialect in DIALECTS.items():
        write_whole(place / name, "".join(_frame(entry, dialect) for entry in entries).encode())
    _tables(place, entries)
    labels = [entry.label for entry in entries]
    found = card(settings, labels, told, _environments(database, entries), _datasets(entries))
    write_whole(place / "card.json", (json.dumps(found, indent=2, ensure_ascii=False) + "\n").encode())
    write_whole(place / "README.md", readme(found).encode())
    sums = [f"{hashlib.sha256(file.read_bytes()).hexdigest()}  {file.name}\n" for file in sorted(place.iterdir())]
    write_whole(place / "SHA256SUMS", "".join(sums).encode())
    return found


def _made(place: Path) -> Path:
    try:
        place.mkdir(parents=True)
    except FileExistsError as error:
        raise InputError(f"{place} exists", "choose another name: datasets are never overwritten") from error
    except OSError as error:
        raise InputError(f"{place}: can't be made: {error.strerror}") from error
    return place


def _tables(place: Path, entries: Sequence[_Entry]) -> None:
    _table(place / "labels.csv", ("calculation", *_OF_A_LABEL), ([entry.key, *_row(entry)] for entry in entries))
    _table(place / "stages.csv", ("calculation", *_STAGE), (row for entry in entries for row in _stages(entry)))
    _table(place / "history.csv", _HISTORY, (row for entry in entries for row in _history(entry)))


def _datasets(entries: Iterable[_Entry]) -> dict[str, str]:
    stages = (stage for entry in entries for stage in entry.stages)
    return {species: digest for stage in stages for species, digest in (stage.get("datasets") or {}).items()}


def _entries(database: Database, campaign: str, version: str | int | None) -> list[_Entry]:
    if version is None:
        query = {"campaign": campaign, "kind": "label", "result.outcome": ACCEPTED}
        keys = {item["result"]["calculation"] for item in database.actions.find(query, {"result.calculation": 1})}
        held_out: set[str] = set()
    else:
        document = history.version(database, version)
        if document.get("campaign") != campaign:
            raise InputError(f"potential {version} is not of campaign '{campaign}'", "`mmtp status` lists its versions")
        keys, held_out = history.training(database, document)
    entries = []
    wanted = {"label": 1, "configuration": 1, "status": 1, "stages": 1}
    for calculation in database.calculations.find({"_id": {"$in": sorted(keys)}, "status": ACCEPTED}, wanted):
        about = (
            database.configurations.find_one({"_id": calculation["configuration"]}, {"number": 1, "origin": 1}) or {}
        )
        origin = about.get("origin") or {}
        facts = {
            "configuration": about.get("number"),
            "hash": calculation["configuration"],
            "split": "" if version is None else "validation" if calculation["_id"] in held_out else "training",
            "origin": f"MD run {origin['md_run']}, step {origin.get('step')}"
            if origin.get("md_run")
            else "imported"
            if "imported" in origin
            else "generated",
        }
        label = Label.model_validate(calculation["label"])
        entries.append(_Entry(calculation["_id"], label, facts, calculation["stages"]))
    return sorted(entries, key=lambda entry: (entry.about["configuration"] or 0, entry.key))


def _environments(database: Database, entries: Iterable[_Entry]) -> list[dict[str, Any]]:
    keys = {(s.get("execution") or {}).get("environment") for entry in entries for s in entry.stages}
    return list(database.environments.find({"_id": {"$in": sorted(key for key in keys if key)}}).sort("_id", 1))


# Extended XYZ -----------------------------------------------------------------------------------------------


def _along_z(values: Sequence[float]) -> FloatArray:
    """Return collinear values as vectors, shape (n, 3)."""
    vectors = np.zeros((len(values), 3))
    vectors[:, 2] = values
    return vectors


def _ase(label: Label) -> tuple[Columns, dict[str, Any]]:
    columns = {
        "forces": np.array(label.forces),
        "magmoms": np.array(label.moments),
        "initial_magmoms": np.array(label.target),
    }
    if label.magnetic_forces is not None:
        columns["magnetic_forces"] = np.array(label.magnetic_forces)
    return columns, {"energy": label.energy_eV} | ({} if label.stress is None else {"stress": _nine(label.stress)})


def _mace(label: Label) -> tuple[Columns, dict[str, Any]]:
    columns = {
        "REF_forces": np.array(label.forces),
        "REF_magmom": _along_z(label.moments),
    }
    if label.magnetic_forces is not None:
        columns["REF_magforces"] = _along_z(label.magnetic_forces)
    stress = {} if label.stress is None else {"REF_stress": _nine(label.stress)}
    return columns, {"REF_energy": label.energy_eV} | stress


def _nep(label: Label) -> tuple[Columns, dict[str, Any]]:
    """Return the keys of GPUMD (force, spin, mforce) and of NEP-SPIN (magnetic_moment, magnetic_force); W = −V σ."""
    columns = {
        "force": np.array(label.forces),
        "spin": _along_z(label.moments),
        "magnetic_moment": _along_z(label.moments),
    }
    if label.magnetic_forces is not None:
        columns |= {"mforce": _along_z(label.magnetic_forces), "magnetic_force": _along_z(label.magnetic_forces)}
    volume = abs(float(np.linalg.det(np.array(label.cell))))
    virial = {} if label.stress is None else {"virial": [-volume * value for value in _nine(label.stress)]}
    return columns, {"energy": label.energy_eV} | virial


DIALECTS: Mapping[str, Callable[[Label], tuple[Columns, dict[str, Any]]]] = {
    "dataset.xyz": _ase,
    "mace.xyz": _mace,
    "nep_spin.xyz": _nep,
}
"""The files, and what makes columns and comment of a label for each."""


def _nine(stress: Sequence[float]) -> list[float]:
    """Return the tensor, row by row, of ASE's six components."""
    return [stress[k] for k in (0, 5, 4, 5, 1, 3, 4, 3, 2)]


def _frame(entry: _Entry, dialect: Callable[[Label], tuple[Columns, dict[str, Any]]]) -> str:
    label = entry.label
    columns, values = dialect(label)
    arrays = [np.array(label.positions), *(column.reshape(len(label.symbols), -1) for column in columns.values())]
    widths = "".join(f":{name}:R:{array.shape[1]}" for name, array in zip(columns, arrays[1:], strict=True))
    comment = {
        "Lattice": [x for row in label.cell for x in row],
        "Properties": f"species:S:1:pos:R:3{widths}",
        "pbc": " ".join("T" if periodic else "F" for periodic in label.pbc),
        **values,
        "label_key": entry.key,
        **{
            f"label_{name}": value
            for name, value in zip(_OF_A_LABEL, _row(entry), strict=True)
            if value not in (None, "")
        },
    }
    lines = [str(len(label.symbols)), " ".join(f"{name}={_quoted(value)}" for name, value in comment.items())]
    table = np.hstack(arrays)
    lines += [f"{symbol} {' '.join(map(repr, row))}" for symbol, row in zip(label.symbols, table.tolist(), strict=True)]
    return "\n".join(lines) + "\n"


def _quoted(value: Any) -> str:
    if isinstance(value, list):
        value = " ".join(repr(float(item)) for item in value)
    if isinstance(value, float):
        return repr(value)
    text = str(value)
    return f'"{text}"' if " " in text or not text else text


# Tables -----------------------------------------------------------------------------------------------------


def _row(entry: _Entry) -> list[Any]:
    label = entry.label
    known = dict(entry.about) | {
        "grade": label.grade.value,
        "constraint": label.constraint.value,
        "check": None if label.check is None else label.check.verdict.value,
    }
    return [known[name] if name in known else getattr(label, name) for name in _OF_A_LABEL]


def _stages(entry: _Entry) -> list[list[Any]]:
    return [[entry.key, *(stage.get(name) for name in _STAGE)] for stage in entry.stages]


_HISTORY = (
    "calculation", "stage", "name", "lambda_eV_per_muB2", "atom", "species", "target_muB", "constrained_muB", "PAW_muB",
    "WS_muB", "sWS_muB", "magnetic_force_eV_per_muB",
)  # fmt: skip


def _history(entry: _Entry) -> Iterable[list[Any]]:
    """Yield a row for every atom of every calculation: what was wanted, what came out, and the torque on it."""
    for stage in entry.stages:
        achieved = stage.get("achieved") or {}
        if not achieved:
            continue
        per_atom = [stage["target"], stage.get("constrained")]
        per_atom += [achieved.get(name) for name in ("PAW", "WS", "sWS")]
        per_atom += [stage.get("magnetic_forces")]
        for atom, species in enumerate(entry.label.symbols):
            values = [None if column is None else column[atom] for column in per_atom]
            yield [entry.key, stage["index"], stage["name"], stage["lambda_eV_per_muB2"], atom, species, *values]


def _table(path: Path, columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    with path.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(columns)
        writer.writerows(rows)
