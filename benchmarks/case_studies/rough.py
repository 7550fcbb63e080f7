"""How rough E(V) of the coarse labels is: the free states of cubic bcc iron at other smearings, on the same mesh.

    python benchmarks/case_studies/rough.py 0.03        # Ha; appends to docs/case-studies/data/bcc-iron-smearing.jsonl

A mesh of few points makes moments and pressure jump where a band passes the Fermi level, which no potential follows;
a wider smearing rounds the steps.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from pathlib import Path

import numpy as np
from ase.units import GPa

from mmtp_fw.dft import ScfRequest, get_engine

sys.path.insert(0, str(Path(__file__).parent))
from asked import iron
from label import DATA, SETTINGS

RESULTS = DATA / "bcc-iron-smearing.jsonl"


def main() -> None:
    """Compute what is missing at one smearing."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("tsmear_Ha", type=float)
    smearing = parser.parse_args().tsmear_Ha
    lines = [json.loads(line) for line in RESULTS.read_text().splitlines()] if RESULTS.exists() else []
    done = {(line["tsmear_Ha"], line["name"]) for line in lines}
    for request in iron():
        if not request.free or (smearing, request.name) in done:
            continue
        engine = get_engine("abinit", **SETTINGS, kspacing_per_A=request.kspacing_per_A, tsmear_Ha=smearing)
        moments = request.atoms.get_initial_magnetic_moments()
        with tempfile.TemporaryDirectory(prefix="mmtp-rough-") as folder:
            found = engine.scf(ScfRequest(request.atoms, "equilibrium", moments, Path(folder) / "run"))
        if not found.converged or found.stress is None or found.energy_eV is None:
            print(request.name, found.message, flush=True)
            continue
        line = {
            "tsmear_Ha": smearing,
            "name": request.name,
            "energy_eV_per_atom": found.energy_eV / len(request.atoms),
            "moment_muB": float(np.mean(found.moments["PAW"])),
            "pressure_GPa": float(-np.mean(found.stress[:3]) / GPa),
        }
        with RESULTS.open("a") as file:
            file.write(json.dumps(line) + "\n")
        print(line, flush=True)


if __name__ == "__main__":
    main()
