"""The program ``toy-scf``: reads in.json, writes out.json."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from mmtp_toy.model import atoms_at_rest, moment_at_rest, moment_energy


def main() -> None:
    if sys.argv[1:] == ["--version"]:
        print("toy-scf 1.0")
        return
    asked = json.loads(Path("in.json").read_text())
    species, parameters = asked["species"], asked["parameters"]
    energy, forces, virial = atoms_at_rest(asked["positions"], asked["cell"], species, parameters, asked["cutoff"])
    targets = asked["constraint"] or [None] * len(species)
    moments = [
        moment_at_rest(parameters[z], start, target, asked["strength"])
        for z, start, target in zip(species, asked["start"], targets, strict=True)
    ]
    energy += sum(moment_energy(parameters[z], m)[0] for z, m in zip(species, moments, strict=True))
    found = {"energy": energy, "forces": forces, "virial": virial, "moments": moments}
    Path("out.json").write_text(json.dumps(found))


if __name__ == "__main__":
    main()
