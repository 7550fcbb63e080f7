"""Hard against soft constraints on ABINIT: random targets on distorted iron and iron-palladium cells.

    python benchmarks/constraint.py hard            # 120 labels, a line of JSON each, appended to constraint.jsonl
    python benchmarks/constraint.py soft            # a random 40 of them by the soft ladder
    python benchmarks/constraint.py hard --cells iron       # in two processes: iron in one, alloys in the other
    python benchmarks/constraint.py summary         # figures as JSON
    python benchmarks/constraint.py table           # the tables of docs/dft.md

What has its line is not computed again: it can be ended and started as one likes. Settings are coarse (12 Ha, 0.75
1/Å): half a minute per label of iron on one core.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms
from ase.build import bulk

from mmtp_fw.dft import Outcome, ProtocolSettings, Stage, StageName, get_engine, run_protocol
from mmtp_fw.dft.check import FARTHEST_STATES_EV

RESULTS = Path(__file__).with_name("constraint.jsonl")
SETTINGS = {"ecut_Ha": 12, "pawecutdg_Ha": 24, "kspacing_per_A": 0.75}
IRON_KINDS = ("ferromagnetic", "scaled", "antiferromagnetic", "mixed", "small")
ALLOYS = ("L1_0, 2 atoms", "L1_0, 4 atoms", "L1_2, 4 atoms")
IRON, ALLOY, SOFT = 100, 20, 40


def iron(number: int, rng: np.random.Generator) -> tuple[str, Atoms]:
    """Return a distorted cell of two iron atoms, its targets of one kind in turn (0 to 3 μB)."""
    kind = IRON_KINDS[number % len(IRON_KINDS)]
    atoms = bulk("Fe", "bcc", a=rng.uniform(2.75, 2.95), cubic=True)
    _distort(atoms, rng)
    moments = {
        "ferromagnetic": 2.25 * rng.uniform(0.9, 1.1, 2),
        "scaled": np.full(2, rng.uniform(0.3, 3.0)),
        "antiferromagnetic": [1, -1] * rng.uniform(1.0, 2.2, 2),
        "mixed": rng.choice([-1, 1], 2) * rng.uniform(0.3, 3.0, 2),
        "small": rng.uniform(-0.3, 0.3, 2),
    }[kind]
    atoms.set_initial_magnetic_moments(moments)
    return f"Fe, {kind}", atoms


def alloy(number: int, rng: np.random.Generator) -> tuple[str, Atoms]:
    """Return a distorted ordered cell of iron and palladium, ferromagnetic or with random signs on iron."""
    kind = ALLOYS[number % len(ALLOYS)]
    a = rng.uniform(3.72, 3.88)
    if kind.startswith("L1_2"):
        atoms = bulk("Fe", "fcc", a=a, cubic=True)
        atoms.symbols[0] = "Pd"
    else:
        b = a / np.sqrt(2)
        atoms = Atoms("FePd", [[0, 0, 0], [b / 2, b / 2, a / 2]], cell=[b, b, 0.97 * a], pbc=True)
        if kind.endswith("4 atoms"):
            atoms *= (1, 1, 2)
    _distort(atoms, rng)
    n = len(atoms)
    palladium = atoms.symbols == "Pd"
    moments = np.where(palladium, rng.uniform(0.0, 0.5, n), 2.6 * rng.uniform(0.5, 1.15, n))
    if number % 2:
        moments *= np.where(palladium, 1, rng.choice([-1, 1], n))
    atoms.set_initial_magnetic_moments(moments)
    return kind, atoms


def _distort(atoms: Atoms, rng: np.random.Generator) -> None:
    strain = rng.normal(0, 0.01, (3, 3))
    atoms.set_cell(np.asarray(atoms.cell) @ (np.eye(3) + 0.5 * (strain + strain.T)), scale_atoms=True)
    atoms.positions += rng.normal(0, 0.05, (len(atoms), 3))


def requests() -> list[tuple[str, Atoms]]:
    """Return all configurations, in an order whose beginning is as mixed as the whole."""
    made = [iron(k, np.random.default_rng([0, k])) for k in range(IRON)]
    made += [alloy(k, np.random.default_rng([1, k])) for k in range(ALLOY)]
    return [made[k] for k in np.random.default_rng(2).permutation(len(made))]


def finished() -> list[dict[str, Any]]:
    """Return what has been computed so far."""
    return [json.loads(line) for line in RESULTS.read_text().splitlines()] if RESULTS.exists() else []


def line(number: int, kind: str, way: str, atoms: Atoms, outcome: Outcome, seconds: float) -> dict[str, Any]:
    """Return what is kept of a label."""
    label = outcome.label
    stages = [stage for stage in outcome.stages if stage.scf_steps]
    mine, check = _split(stages)
    kept: dict[str, Any] = {
        "number": number,
        "kind": kind,
        "way": way,
        "targets_muB": atoms.get_initial_magnetic_moments().round(4).tolist(),
        "status": outcome.status.value,
        "reason": outcome.reason,
        "steps": sum(stage.scf_steps for stage in mine),
        "check_steps": sum(stage.scf_steps for stage in check),
        "wall_s": round(seconds, 1),
        "stages": [
            [
                s.name.value,
                s.kind.value,
                s.lambda_eV_per_muB2,
                s.converged,
                s.scf_steps,
                s.energy_eV,
                s.max_deviation_muB,
            ]
            for s in stages
        ],
    }
    if label is not None:
        kept |= {
            "constraint": label.constraint.value,
            "lambda_eV_per_muB2": label.lambda_eV_per_muB2,
            "energy_eV": label.energy_eV,
            "moments_muB": label.moments,
            "magnetic_forces_eV_per_muB": label.magnetic_forces,
            "forces_eV_per_A": label.forces,
            "stress_eV_per_A3": label.stress,
            "max_deviation_muB": label.max_deviation_muB,
            "limit_eV": label.extrapolation.energy_eV,
            "limit_uncertainty_eV": label.extrapolation.energy_uncertainty_eV,
            "check": None if label.check is None else label.check.model_dump(mode="json", exclude={"points"}),
        }
    return kept


def _split(stages: list[Stage]) -> tuple[list[Stage], list[Stage]]:
    """Return the calculations that made the label, and those that checked it: everything from the first check on."""
    hard = [k for k, s in enumerate(stages) if s.name is StageName.HARD and s.converged]
    checks = [k for k, s in enumerate(stages) if s.name is StageName.CHECK]
    end = min([*checks, *(k + 1 for k in hard)], default=len(stages))
    return stages[:end], stages[end:]


def compute(way: str, cells: str) -> None:
    """Compute what is missing of one way, of the cells of iron, of the alloys, or of all."""
    engine = get_engine("abinit", **SETTINGS)
    settings = ProtocolSettings(constraint=way)
    made = requests()
    numbers = list(range(len(made)))
    if way == "soft":
        numbers = sorted(np.random.default_rng(3).permutation(len(made))[:SOFT].tolist())
    done = {row["number"] for row in finished() if row["way"] == way}
    for number in sorted(numbers, key=lambda k: len(made[k][1])):  # small cells first
        if number in done:
            continue
        kind, atoms = made[number]
        if cells != "all" and (cells == "iron") != kind.startswith("Fe,"):
            continue
        begun = time.perf_counter()
        with tempfile.TemporaryDirectory(prefix="mmtp-constraint-") as directory:
            outcome = run_protocol(engine, atoms, settings, directory, check=settings.checks(number))
        row = line(number, kind, way, atoms, outcome, time.perf_counter() - begun)
        with RESULTS.open("a") as file:
            file.write(json.dumps(row) + "\n")
        print(number, kind, row["status"], row["steps"], row["check_steps"], row["reason"], flush=True)


def summary() -> dict[str, Any]:
    """Return the figures of what there is, also on the configurations that both ways have labelled."""
    rows = finished()
    figures: dict[str, Any] = {}
    by_number: dict[str, dict[int, dict[str, Any]]] = {}
    for way in ("hard", "soft"):
        mine = [row for row in rows if row["way"] == way]
        by_number[way] = {row["number"]: row for row in mine}
        if mine:
            figures[way] = _figures(mine)
    both = sorted(set(by_number["hard"]) & set(by_number["soft"]))
    if both:
        pairs = [(by_number["hard"][k], by_number["soft"][k]) for k in both]
        figures["both"] = {way: _figures([pair[k] for pair in pairs]) for k, way in enumerate(("hard", "soft"))}
        figures["soft_limit_against_hard"] = [
            {
                "number": hard["number"],
                "kind": hard["kind"],
                "label_minus_hard_meV_per_atom": _per_atom(soft["energy_eV"], hard),
                "limit_minus_hard_meV_per_atom": _per_atom(soft["limit_eV"], hard),
                "limit_uncertainty_meV_per_atom": 1e3 * soft["limit_uncertainty_eV"] / len(soft["targets_muB"]),
            }
            for hard, soft in pairs
            if hard.get("constraint") == "hard" and soft["status"] == "accepted" and one_state(soft, hard)
        ]
    return figures


def one_state(soft: dict[str, Any], hard: dict[str, Any]) -> bool:
    """Return whether two labels of one target may be the same state of the electrons."""
    return abs(_per_atom(soft["energy_eV"], hard)) <= 1e3 * FARTHEST_STATES_EV


def spurious(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return accepted labels more than 1 eV/atom from the median of their kind: no state of that solid."""
    accepted = [row for row in rows if row["status"] == "accepted"]
    energies = {id(row): row["energy_eV"] / len(row["targets_muB"]) for row in accepted}
    medians = {
        kind: np.median([energies[id(row)] for row in accepted if row["kind"] == kind])
        for kind in {row["kind"] for row in accepted}
    }
    return [row for row in accepted if abs(energies[id(row)] - medians[row["kind"]]) > FARTHEST_STATES_EV]


def _per_atom(energy: float, hard: dict[str, Any]) -> float:
    return 1e3 * (energy - hard["energy_eV"]) / len(hard["targets_muB"])


def _figures(rows: list[dict[str, Any]]) -> dict[str, Any]:
    accepted = [row for row in rows if row["status"] == "accepted"]
    checks = [row["check"] for row in accepted if row["check"] and row["check"]["residual_eV_per_atom"] is not None]
    return {
        "labels": len(rows),
        "kinds": dict(Counter(row["kind"] for row in rows)),
        "accepted": len(accepted),
        "spurious": [row["number"] for row in spurious(rows)],
        "by_constraint": dict(Counter(row["constraint"] for row in accepted)),
        "not_accepted": [[row["number"], row["kind"], row["reason"]] for row in rows if row["status"] != "accepted"],
        "largest_deviation_muB": max((row["max_deviation_muB"] for row in accepted), default=None),
        "steps_per_accepted_label": sum(row["steps"] for row in rows) / max(len(accepted), 1),
        "check_steps_per_accepted_label": sum(row["check_steps"] for row in rows) / max(len(accepted), 1),
        "checked": len(checks),
        "largest_residual_meV_per_atom": max((1e3 * abs(c["residual_eV_per_atom"]) for c in checks), default=None),
        "wall_s_per_label": sum(row["wall_s"] for row in rows) / len(rows),
    }


def table() -> str:
    """Return the figures as the tables of docs/dft.md."""
    rows = finished()
    ways = {way: [row for row in rows if row["way"] == way] for way in ("hard", "soft")}
    both = {row["number"] for row in ways["hard"]} & {row["number"] for row in ways["soft"]}
    lines = [
        "| cells | hard: labels | accepted | of them spurious | held by the constraint | electronic steps per label "
        "| of its check "
        "| soft: labels | accepted | electronic steps per label | of its check |",
        "|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    for kind in sorted({row["kind"] for row in rows}):
        lines.append(_line(kind, *([row for row in ways[way] if row["kind"] == kind] for way in ("hard", "soft"))))
    lines.append(_line("all", ways["hard"], ways["soft"]))
    lines.append(_line("those of both", *([row for row in ways[way] if row["number"] in both] for way in ways)))
    lines += [
        "",
        "| cells | No. | soft: λ (eV/μB²) | largest deviation (μB) | label − hard (meV/atom) | limit − hard (meV/atom) "
        "| stated uncertainty of the limit |",
        "|---|---|---|---|---|---|---|",
    ]
    hard = {row["number"]: row for row in ways["hard"] if row.get("constraint") == "hard"}
    for soft in sorted(ways["soft"], key=lambda row: (row["kind"], row["number"])):
        if soft["number"] in hard and soft["status"] == "accepted" and one_state(soft, hard[soft["number"]]):
            lines.append(_limit(soft, hard[soft["number"]]))
    apart = [
        str(soft["number"])
        for soft in ways["soft"]
        if soft["number"] in hard and soft["status"] == "accepted" and not one_state(soft, hard[soft["number"]])
    ]
    return "\n".join([*lines, "", *_words(ways["hard"], apart)])


def _words(hard: list[dict[str, Any]], apart_from_hard: list[str]) -> list[str]:
    """Return what the tables come to, and what the checks' second points say of starts, in words."""
    limits = summary()["soft_limit_against_hard"]
    apart = np.array([row["limit_minus_hard_meV_per_atom"] for row in limits])
    stated = np.array([row["limit_uncertainty_meV_per_atom"] for row in limits])
    pairs = np.array([steps for row in hard if (steps := _cold_and_restarted(row)) is not None])
    cold, restarted = np.median(pairs, axis=0)
    return [
        f"- The soft limit is off the hard energy by {np.sqrt(np.mean(apart**2)):.4f} meV/atom (root mean square over "
        f"{len(limits)}), within its stated uncertainty in {100 * np.mean(np.abs(apart) <= stated):.0f} % of them.",
        f"- A check's second point, at the label's positions and 0.03 μB away, takes {restarted:g} steps from the "
        f"label's density where the label took {cold:g} from none (medians of {len(pairs)}).",
        f"- Spurious: hard labels Nos {', '.join(str(row['number']) for row in spurious(hard)) or '–'}; soft labels "
        f"more than {FARTHEST_STATES_EV:g} eV/atom from the hard label of their target, in no table: Nos "
        f"{', '.join(apart_from_hard) or '–'}.",
    ]


def _cold_and_restarted(row: dict[str, Any]) -> tuple[int, int] | None:
    """Return the steps of a label that came from a cold start, and of the second point beside it."""
    first, second = (*row["stages"], None, None)[:2]
    if row["status"] != "accepted" or second is None or second[0] != "check" or not (first[3] and second[3]):
        return None
    return first[4], second[4]


def _line(kind: str, hard: list[dict[str, Any]], soft: list[dict[str, Any]]) -> str:
    cells = [kind]
    for rows, held in ((hard, True), (soft, False)):
        accepted = sum(row["status"] == "accepted" for row in rows)
        cells += [str(len(rows)), str(accepted)]
        if held:
            cells += [str(len(spurious(rows))), str(sum(row.get("constraint") == "hard" for row in rows))]
        steps = f"{sum(row['steps'] for row in rows) / accepted:.0f}" if accepted else "–"
        checked = [row["check_steps"] for row in rows if row["check_steps"]]
        cells += [steps, f"{np.mean(checked):.0f} ({len(checked)} checked)" if checked else "–"]
    return f"| {' | '.join(cells)} |"


def _limit(soft: dict[str, Any], hard: dict[str, Any]) -> str:
    atoms = len(soft["targets_muB"])
    cells = [
        soft["kind"],
        str(soft["number"]),
        f"{soft['lambda_eV_per_muB2']:.2g}" if soft["lambda_eV_per_muB2"] else "hard",
        f"{soft['max_deviation_muB']:.4f}",
        f"{_per_atom(soft['energy_eV'], hard):+.3f}",
        f"{_per_atom(soft['limit_eV'], hard):+.3f}",
        f"{1e3 * soft['limit_uncertainty_eV'] / atoms:.3f}",
    ]
    return f"| {' | '.join(cells)} |"


def main() -> None:
    """Compute one way, or print the figures as JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("hard", "soft", "summary", "table"))
    parser.add_argument("--cells", choices=("all", "iron", "alloys"), default="all")
    options = parser.parse_args()
    if options.what == "summary":
        print(json.dumps(summary(), indent=2, ensure_ascii=False))
    elif options.what == "table":
        print(table())
    else:
        compute(options.what, options.cells)


if __name__ == "__main__":
    main()
