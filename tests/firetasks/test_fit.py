"""Labels that can't be fitted are left out with their reason; the campaign goes on."""

from __future__ import annotations

import numpy as np
from ase.build import bulk

from mmtp_fw.firetasks.fit import usable
from mmtp_fw.potential import Potential


def test_a_label_past_the_magnetic_range_is_left_out():
    potential = Potential.from_level(4, ["Fe"], r_min=1.8, r_cut=4.0, max_moment=3.0, seed=1)
    labels = {}
    for key, moments in (("a", [2.0, 2.0]), ("b", [3.022, 2.0]), ("c", [1.0, -1.0])):
        atoms = bulk("Fe", cubic=True)
        atoms.rattle(0.01 * (1 + len(labels)), seed=len(labels))
        atoms.set_initial_magnetic_moments(moments)
        inside = atoms.copy()
        inside.set_initial_magnetic_moments(np.clip(moments, -3, 3))
        inside.calc = potential.calculator()
        inside.get_potential_energy()
        inside.calc.results["magmoms"] = np.array(moments)
        labels[key] = inside
    kept, excluded = usable(potential, labels)
    assert list(kept) == ["a", "c"]
    assert list(excluded) == ["b"] and "3.022" in excluded["b"]
