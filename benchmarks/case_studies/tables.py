"""The tables of the case studies' pages, as Markdown, from what is kept in docs/case-studies/data."""

from __future__ import annotations

import json
import re
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms
from ase.units import GPa

sys.path.insert(0, str(Path(__file__).parent))
from label import DATA, ROOT
from study import STUDIES, TRAINED_A, compared, errors, kept, labels_of, load, potential_path

from mmtp_fw.potential import Potential
from mmtp_fw.quantities import QUANTITIES

PAGES = ROOT / "docs" / "case-studies"
AIMS = {
    "energy_per_atom_eV": 1.0,
    "forces_eV_per_A": 50.0,
    "stress_GPa": 1.0,
    "magnetic_forces_eV_per_muB": 10.0,
}
"""In what people read; of the RMSE."""
LABELS_SMEARING_HA = 0.01


def _table(head: list[str], rows: list[list[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _errors(found: dict[str, dict[str, float]], key: str) -> str:
    """Return MAE / RMSE / maximum / R² of a quantity, bold where the RMSE is within the aim."""
    quantity = next(row for row in QUANTITIES.values() if row.key == key)
    error = found.get(key)
    if error is None:
        return "–"
    mae, rmse, largest = (f"{quantity.factor * error[name]:.{_digits(key)}f}" for name in ("mae", "rmse", "max"))
    r2 = "–" if not np.isfinite(error["r2"]) else f"{error['r2']:.4f}"
    mark = "**" if quantity.factor * error["rmse"] <= AIMS[key] else ""
    return f"{mae} / {mark}{rmse}{mark} / {largest} / {r2}"


def _digits(key: str) -> int:
    return {"stress_GPa": 2, "energy_per_atom_eV": 2}.get(key, 1)


def _verdict(row: dict[str, Any]) -> str:
    if "verdicts" not in row:
        return "–"
    found = row["verdicts"]
    words = [f"{found[name]} {name}" for name in ("inside", "extrapolated", "undetermined") if found.get(name)]
    ratio = row["energy_error_over_uncertainty"]
    return ", ".join(words) + ("" if ratio is None else f"; {ratio:.1f}")


def errors_table(case: str) -> str:
    """Return the errors on what was trained on and what was held out, an experiment below the other."""
    head = ["labels", "number", *(f"{q.title.lower()}, {q.unit}" for q in QUANTITIES.values()), "verdict; error/u"]
    parts = []
    for result in load(case).values():
        form = result["form"]
        rows = [
            [title, str(row["labels"]), *(_errors(row["errors"], key) for key in AIMS), _verdict(row)]
            for title, row in result["rows"].items()
        ]
        text = (
            f"Trained on: {result['title']} (level {form['level']}, magnetic size {form['magnetic_size']}, "
            f"radial size {form['radial_size']}, cut-off {form['r_cut']:g} Å; {result['parameters']} parameters).\n\n"
        )
        parts.append(text + _table(head, rows))
    return "\n\n".join(parts) or "No fit yet."


def recomputed(case: str, name: str) -> dict[str, dict[str, dict[str, float]]]:
    """Return the errors of an experiment's kept potential on the kept labels; cheap, without a fit."""
    experiment = STUDIES[case]()[name]
    potential = Potential.read(potential_path(case, name))
    sets = {"training": experiment.training, **experiment.held_out}
    return {title: errors(compared(potential, labels)) for title, labels in sets.items()}


def curves_table(case: str) -> str:
    """Return moments, magnetization and pressure of the free states by both."""
    rows, off = [], []
    curve = load(case).get("all", {}).get("curves", [])
    if not curve:
        return "No free calculation yet."
    species = list(curve[0]["reference"]["moments_muB"])
    alloy = len(species) > 1
    for row in curve:
        states = (row["reference"], row["mmtp"])
        moments = [[state["moments_muB"][s] for s in species] for state in states]
        means = [state["magnetization_muB_per_atom"] for state in states]
        pressures = [state["pressure_GPa"] for state in states]
        off.append([*np.subtract(moments[1], moments[0]), means[1] - means[0], pressures[1] - pressures[0]])
        notes = [row["knowledge"]] if row["knowledge"] != "inside" else []
        notes += ["moments not relaxed"] * (not row["converged"])
        notes += ["moments outside the trained range"] * row["outside"]
        shown = [" / ".join(f"{m:.3f}" for m in some) for some in moments]
        shown += [f"{mean:.3f}" for mean in means] * alloy + [f"{pressure:.2f}" for pressure in pressures]
        rows.append([f"{row['lattice_parameter_A']:.2f}", *shown, ", ".join(notes) or "inside"])
    names = " / ".join(species)
    head = ["a, Å", f"m({names}) ABINIT, μB", f"m({names}) mMTP"]
    head += ["M ABINIT, μB/atom", "M mMTP"] * alloy + ["p ABINIT, GPa", "p mMTP", "the potential says"]
    trained = TRAINED_A[case]
    inside = np.array([trained[0] <= row["lattice_parameter_A"] <= trained[1] for row in curve])
    words = [f"moment of {s}, μB" for s in species] + ["magnetization, μB/atom"] * alloy + ["pressure, GPa"]
    found = np.abs(np.array(off))[:, [k for k in range(len(off[0])) if alloy or k != 1]]
    summary = [[word, *(_mae(found[some, k], word) for some in (inside, ~inside))] for k, word in enumerate(words)]
    return (
        _table(head, rows)
        + "\n\n"
        + _table(["MAE / maximum", f"trained volumes ({inside.sum()})", f"held out ({(~inside).sum()})"], summary)
    )


def _mae(off: np.ndarray, word: str) -> str:
    digits = 2 if "GPa" in word else 4
    return f"{off.mean():.{digits}f} / {off.max():.{digits}f}" if len(off) else "–"


def stress_check(case: str) -> str:
    """Return how far ABINIT's own pressure is from −dE/dV of its own energies: what no potential can do better than."""
    free = [atoms for atoms in kept(case) if atoms.info["label_constraint"] == "none" and atoms.calc is not None]
    if len(free) < 5:
        return "Too few free calculations yet."
    volume = np.array([atoms.get_volume() / len(atoms) for atoms in free])
    energy = np.array([atoms.get_potential_energy() / len(atoms) for atoms in free])
    pressure = np.array([-np.mean(atoms.get_stress()[:3]) / GPa for atoms in free])
    middle = volume.mean()
    fitted = np.polyfit(volume - middle, energy, min(4, len(free) - 2))
    derived = -np.polyval(np.polyder(fitted), volume - middle) / GPa
    off = derived - pressure
    return (
        f"−dE/dV of a polynomial through the {len(free)} free energies differs from the printed pressure by "
        f"{off.mean():+.2f} GPa in the mean, {np.abs(off).max():.2f} GPa at most."
    )


def smearing_table(case: str) -> str:
    """Return how far moments and pressures of the free states are from a parabola in the lattice parameter."""
    path = DATA / f"{case}-smearing.jsonl"
    lines = [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
    found: dict[float, dict[float, tuple[float, float]]] = {}
    for line in lines:
        at = float(line["name"].removeprefix("free-"))
        found.setdefault(line["tsmear_Ha"], {})[at] = (line["moment_muB"], line["pressure_GPa"])
    rows = []
    for smearing, points in sorted(({LABELS_SMEARING_HA: _free(case)} | found).items()):
        if len(points) < 6:
            continue
        a = np.array(sorted(points))
        values = np.array([points[x] for x in a])
        off = [
            np.abs(values[:, k] - np.polyval(np.polyfit(a - a.mean(), values[:, k], 2), a - a.mean())) for k in (0, 1)
        ]
        shown = [" ".join(f"{x:.{digits}f}" for x in values[:, k]) for k, digits in ((0, 2), (1, 1))]
        rows.append([f"{smearing:g}", *shown, f"{off[0].max():.3f}", f"{off[1].max():.2f}"])
    head = ["smearing, Ha", "moments, μB", "pressures, GPa", "moments off a parabola, μB", "pressures off, GPa"]
    return _table(head, rows)


def _free(case: str) -> dict[float, tuple[float, float]]:
    free = [atoms for atoms in kept(case) if atoms.info["label_constraint"] == "none" and atoms.calc is not None]
    return {
        round(atoms.info["lattice_parameter_A"], 2): (
            float(np.mean(atoms.calc.results["magmoms"])),
            float(-np.mean(atoms.get_stress()[:3]) / GPa),
        )
        for atoms in free
    }


def card_table(case: str) -> str:
    """Return what the labels are."""
    card = json.loads((DATA / f"{case}.card.json").read_text())
    return _table(["", ""], [[key, value] for key, value in card.items()])


def counts_table(case: str) -> str:
    """Return numbers of labels and hours by group."""
    groups: dict[str, list[Atoms]] = {}
    for atoms in kept(case):
        groups.setdefault(f"{atoms.info['group']}, {len(atoms)} atoms", []).append(atoms)
    rows = [_counts(name, some) for name, some in groups.items()] + [_counts("all", kept(case))]
    return _table(["group", "labels", "none came", "electronic steps per label", "core hours"], rows)


def _counts(name: str, some: Sequence[Atoms]) -> list[str]:
    hours = sum(atoms.info.get("processor_s", atoms.info["wall_s"]) for atoms in some) / 3600
    labels = sum(atoms.calc is not None for atoms in some)
    steps = sum(atoms.info["scf_steps"] for atoms in some) / len(some)
    return [name, str(labels), str(len(some) - labels), f"{steps:.0f}", f"{hours:.2f}"]


def finer_table(case: str) -> str:
    """Return what finer settings change."""
    path = DATA / f"{case}-converge.json"
    if not path.exists():
        return "Not computed for this case."
    found = json.loads(path.read_text())
    head = ["ladder", "settings", *(f"{q.title.lower()}, {q.unit}" for q in QUANTITIES.values())]
    rows = []
    for ladder, rungs in found["ladders"].items():
        for rung in rungs:
            said = ", ".join(f"{key} {value:.4g}" for key, value in rung["settings"].items()) or "as in the card"
            off = [rung["differences"][q.shown_key] for q in QUANTITIES.values()]
            rows.append([ladder, said, *("–" if x is None else f"{x:.1f}" for x in off)])
    return _table(head, rows)


def forms_table(case: str) -> str:
    """Return the forms that were tried on the training set."""
    path = Path(__file__).with_name("forms.jsonl")
    lines = [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
    rows = []
    for line in lines:
        if line["case"] == case:
            form = line["form"]
            weights = ", ".join(f"{key} {value:g}" for key, value in form["weights"].items())
            sizes = [str(form[key]) for key in ("level", "magnetic_size", "radial_size", "r_cut")]
            shown = [
                " / ".join(f"{q.factor * line[m][q.key]:.1f}" for m in ("median", "rmse")) for q in QUANTITIES.values()
            ]
            rows.append([str(line["labels"]), *sizes, weights, f"{form['prior']:g}", *shown])
    head = ["labels", "level", "magnetic size", "radial size", "cut-off, Å", "weights", "prior"]
    return _table([*head, *(f"{q.title.lower()}, {q.unit}" for q in QUANTITIES.values())], rows)


def groups_of(case: str) -> dict[str, int]:
    """Return how many labels of each group there are."""
    return dict(Counter(atoms.info["group"] for atoms in labels_of(case)))


BLOCKS: dict[str, Callable[[str], str]] = {
    "card": card_table,
    "counts": counts_table,
    "errors": errors_table,
    "curves": curves_table,
    "stress": stress_check,
    "smearing": smearing_table,
    "finer": finer_table,
    "forms": forms_table,
}


def rewritten(text: str, case: str, blocks: dict[str, Callable[[str], str]] = BLOCKS) -> str:
    """Return a page with its generated blocks made anew."""
    for name, make in blocks.items():
        begin, end = f"<!-- {name} -->", f"<!-- end of {name} -->"
        if begin in text:
            made = f"{begin}\n{make(case)}\n{end}"
            text = re.sub(f"{re.escape(begin)}.*?{re.escape(end)}", lambda _, made=made: made, text, flags=re.DOTALL)
    return text
