"""Neighbour lists of many configurations, each made once."""

from __future__ import annotations

from ase import Atoms

from mmtp_fw.errors import InputError
from mmtp_fw.potential.model import MagneticModel
from mmtp_fw.potential.system import System


class Systems:
    """The arrays and neighbour lists of configurations that several steps of one work look at.

    Checks, fit, errors and active set of the same labels need the same lists: who goes through them makes one of
    these and hands it on. It knows configurations by their identity, so none may move meanwhile, and holds their lists
    until it goes.

    Parameters
    ----------
    potential : Potential
        Its species and cut-off; the lists serve every potential that has the same.
    """

    def __init__(self, potential: MagneticModel) -> None:
        self._potential = potential
        self._made: dict[int, tuple[Atoms, System]] = {}

    def of(self, atoms: Atoms) -> System:
        """Return the arrays of a configuration, made at the first call.

        Raises
        ------
        InputError
            What `System.from_atoms` raises.
        """
        if id(atoms) not in self._made:
            self._made[id(atoms)] = atoms, self._potential.system(atoms)
        return self._made[id(atoms)][1]

    def serving(self, potential: MagneticModel) -> Systems:
        """Return this, for a potential that it has the lists of.

        Raises
        ------
        InputError
            Other species, or another cut-off.
        """
        mine = self._potential
        if (potential.species, potential.r_cut) != (mine.species, mine.r_cut):
            raise InputError("neighbour lists of another potential: its species or its cut-off differ")
        return self
