"""Small targets of iron, where hard constraints are hard to hold: memory of the mixing, and smearing.

    python benchmarks/small_targets.py            # 24 calculations of a minute each, appended to small_targets.jsonl
    python benchmarks/small_targets.py table      # the table of docs/dft.md

The targets are those that `constraint.py hard` did not get accepted, from a cold start, one calculation each; what has
its line is not computed again. Smearing is no setting of the engine: the input is written as the engine writes it, and
changed here.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import constraint

from mmtp_fw.dft.abinit.inputs import input_text
from mmtp_fw.dft.abinit.outputs import parse_output
from mmtp_fw.dft.abinit.settings import AbinitSettings, find_dataset
from mmtp_fw.dft.engine import ConstraintKind

RESULTS = Path(__file__).with_name("small_targets.jsonl")
NUMBERS = (48, 62, 86, 88, 93, 113)
OCCOPT = {"cold": 4, "Gaussian": 7}
WAYS = tuple((smearing, remembered) for smearing in OCCOPT for remembered in (15, 40))


def finished() -> list[dict[str, Any]]:
    return [json.loads(line) for line in RESULTS.read_text().splitlines()] if RESULTS.exists() else []


def computed(number: int, smearing: str, remembered: int) -> dict[str, Any]:
    """Return how one cold calculation ended."""
    _, atoms = constraint.requests()[number]
    settings = AbinitSettings(**constraint.SETTINGS, npulayit=remembered)
    dataset = find_dataset("Fe", settings)
    moments = atoms.get_initial_magnetic_moments()
    radii, valence = {"Fe": dataset.radius_bohr}, {"Fe": dataset.valence}
    text = input_text(atoms, settings, valence, radii, moments, ConstraintKind.HARD)
    with tempfile.TemporaryDirectory(prefix="mmtp-small-") as directory:
        place = Path(directory)
        dataset.install(place)
        (place / "run.abi").write_text(text.replace("occopt 4", f"occopt {OCCOPT[smearing]}"))
        subprocess.run(["abinit", "run.abi"], cwd=place, capture_output=True, check=False)
        output = (place / "run.abo").read_text()
    found = parse_output(output, "")
    residuals = [float(value) for value in re.findall(r"^ ETOT\s+\d+\s+\S+\s+\S+\s+\S+\s+(\S+)", output, re.MULTILINE)]
    return {
        "number": number, "smearing": smearing, "npulayit": remembered, "converged": found.converged,
        "steps": found.steps, "energy_eV": found.etotal_eV, "smallest_vres2": min(residuals),
    }  # fmt: skip


def table() -> str:
    """Return the table of docs/dft.md."""
    rows = {(row["number"], row["smearing"], row["npulayit"]): row for row in finished()}
    heads = [f"{smearing}, {remembered}" for smearing, remembered in WAYS]
    lines = ["| No. | " + " | ".join(heads) + " | cold ones apart (meV/atom) |", "|---" * (len(heads) + 2) + "|"]
    for number in NUMBERS:
        cells = []
        for smearing, remembered in WAYS:
            row = rows.get((number, smearing, remembered))
            held = (
                "–" if row is None else f"{row['steps']} steps" if row["converged"] else f"{row['smallest_vres2']:.0e}"
            )
            cells.append(held)
        energies = [row["energy_eV"] for key, row in rows.items() if key[:2] == (number, "cold")]
        apart = f"{1e3 * (max(energies) - min(energies)) / 2:.3f}" if len(energies) > 1 else "–"
        lines.append(f"| {number} | {' | '.join(cells)} | {apart} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", nargs="?", choices=("compute", "table"), default="compute")
    if parser.parse_args().what == "table":
        print(table())
        return
    done = {(row["number"], row["smearing"], row["npulayit"]) for row in finished()}
    for number in NUMBERS:
        for smearing, remembered in WAYS:
            if (number, smearing, remembered) in done:
                continue
            row = computed(number, smearing, remembered)
            with RESULTS.open("a") as file:
                file.write(json.dumps(row) + "\n")
            print(row, flush=True)


if __name__ == "__main__":
    main()
