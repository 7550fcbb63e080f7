"""The material of a campaign: one phase by short keys, or any number of named ones."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ase import Atoms
from ase.data import chemical_symbols
from pydantic import Field, field_validator, model_validator

from mmtp_fw.campaign.section import Count, Positive, Section, listed
from mmtp_fw.structures.lattices import LATTICES, lattice
from mmtp_fw.structures.magnetic_orders import ALSO_CALLED, MAGNETIC_ORDERS, magnetic_order
from mmtp_fw.structures.phases import Phase

SHORT = ("composition", "structure", "supercell", "lattice_parameters_A", "held_out_lattice_parameters_A")
"""Keys of the short form: those of the one phase of a campaign without `phases`."""

Vector = tuple[float, float, float]


class AtomsSettings(Section):
    """The atoms of a structure file, as they were read."""

    symbols: list[str] = Field(min_length=1, description="Chemical symbols of the n atoms")
    cell_A: tuple[Vector, Vector, Vector] = Field(description="Edges of the cell, rows (Å)")
    fractions: list[Vector] = Field(min_length=1, description="Positions of the n atoms in fractions of the edges")
    moments_muB: list[float] | None = Field(default=None, description="Collinear moments (μB), where the file has them")

    @model_validator(mode="after")
    def _of_one_length(self) -> AtomsSettings:
        lengths = {len(self.symbols), len(self.fractions), len(self.moments_muB or self.symbols)}
        if len(lengths) > 1:
            raise ValueError("symbols, fractions and moments_muB must be of as many atoms")
        return self

    def atoms(self) -> Atoms:
        """Return the atoms, periodic, with their moments as initial ones."""
        return Atoms(
            self.symbols, scaled_positions=self.fractions, cell=self.cell_A, pbc=True, magmoms=self.moments_muB
        )


class PhaseSettings(Section):
    """One structure: of a lattice or of a file."""

    name: str = Field(description="By which reports and queries call it: letters, digits, '_' and '.'")
    structure: str | None = Field(
        default=None,
        description="Lattice. " + listed(LATTICES),
        json_schema_extra={"anyOf": [{"enum": list(LATTICES)}, {"type": "null"}]},
    )
    file: str | None = Field(
        default=None,
        description="Instead of a lattice: a structure file (POSCAR, CIF, extended XYZ), beside the campaign's file. "
        "Its atoms are kept in the database; workers need no copy",
    )
    atoms: AtomsSettings | None = Field(
        default=None, description="The atoms of `file`: filled in when the campaign is read"
    )
    supercell: tuple[Count, Count, Count] = Field(
        default=(1, 1, 1), description="Repetitions of the conventional or of the file's cell along its edges"
    )
    compositions: list[dict[str, float]] = Field(
        default=[], description="Atomic fractions by species, of a lattice; each makes a phase of its own"
    )
    vacancies: int = Field(default=0, ge=0, description="Atoms taken out of the supercell, drawn at random")
    lattice_parameters_A: list[Positive] = Field(
        default=[],
        description="Lattice parameters (Å) of training and molecular dynamics. A file's is the length of its first "
        "edge; other values scale the whole cell. By default the file's own",
    )
    held_out_lattice_parameters_A: list[Positive] = Field(
        default=[], description="Lattice parameters (Å) never trained on, only compared"
    )
    c_over_a: Positive | None = Field(default=None, description="Axial ratio of a lattice; by default its own")
    orders: list[str] = Field(
        default=[],
        description="Magnetic orders in which molecular dynamics starts and the potential is compared with the engine. "
        "By default md.magnetic_orders, and of a file with moments: given",
        json_schema_extra={"items": {"type": "string", "enum": [*MAGNETIC_ORDERS, *ALSO_CALLED]}},
    )

    @field_validator("name")
    @classmethod
    def _word(cls, value: str) -> str:
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.]{0,31}", value):
            raise ValueError("a phase's name has 1 to 32 letters, digits, '_' or '.', a letter or digit first")
        return value

    @field_validator("orders")
    @classmethod
    def _known_orders(cls, value: list[str]) -> list[str]:
        if len({magnetic_order(name) for name in value}) < len(value):
            raise ValueError(f"one order is given twice: {', '.join(value)}")
        return value

    @model_validator(mode="after")
    def _consistent(self) -> PhaseSettings:
        own = self.file or self.atoms
        if (self.structure is None) == (own is None):
            raise ValueError("give either structure, a lattice, or file, a structure file")
        if own is not None and (self.compositions or self.c_over_a):
            raise ValueError("a file's atoms have their species and its cell its shape: no compositions, no c_over_a")
        if self.structure is not None:
            lattice(self.structure)
            if not self.compositions:
                raise ValueError("compositions: is missing; give one or several, as [{Fe: 0.75, Pd: 0.25}]")
            if not self.lattice_parameters_A:
                raise ValueError("lattice_parameters_A: is missing")
        for composition in self.compositions:
            of_one(composition)
        formulas = [tuple(sorted(composition.items())) for composition in self.compositions]
        if len(set(formulas)) < len(formulas):
            raise ValueError("one composition is given twice")
        _apart(self.lattice_parameters_A, self.held_out_lattice_parameters_A)
        return self

    @property
    def symbols(self) -> set[str]:
        """The species that it has; none where its file was not read."""
        found = {symbol for composition in self.compositions for symbol in composition}
        return found | set(self.atoms.symbols if self.atoms is not None else ())

    def phases(self, default_orders: Sequence[str]) -> Iterator[Phase]:
        """Yield the phase of every composition; a file makes one."""
        own = self.atoms.atoms() if self.atoms is not None else None
        given = ["given"] if self.atoms is not None and any(self.atoms.moments_muB or ()) else list(default_orders)
        orders = tuple(dict.fromkeys(ALSO_CALLED.get(name, name) for name in self.orders or given))
        parameters = tuple(self.lattice_parameters_A)
        if own is not None and not parameters:
            parameters = (round(float(own.cell.lengths()[0]), 6),)
        for composition in self.compositions or [{}]:
            yield Phase(
                name=self.name if len(self.compositions) < 2 else f"{self.name}-{_formula(composition)}",
                lattice_parameters_A=parameters,
                held_out_lattice_parameters_A=tuple(self.held_out_lattice_parameters_A),
                orders=orders,
                compared=orders,
                structure=self.structure,
                own=own,
                supercell=self.supercell,
                composition=composition,
                vacancies=self.vacancies,
                c_over_a=self.c_over_a,
            )


class SystemSettings(Section):
    """The material and the volumes at which it is studied."""

    species: list[str] = Field(
        default=["Fe", "Pd"],
        min_length=1,
        description="Chemical symbols, in the order of the potential's types",
    )
    composition: dict[str, float] = Field(
        default={"Fe": 0.68, "Pd": 0.32}, description="Atomic fractions by species; they add up to 1"
    )
    structure: str = Field(
        default="fcc",
        description="Lattice. " + listed(LATTICES),
        json_schema_extra={"enum": list(LATTICES)},
    )
    supercell: tuple[Count, Count, Count] = Field(
        default=(2, 2, 2), description="Repetitions of the conventional cell along its three edges"
    )
    lattice_parameters_A: list[Positive] = Field(
        default=[3.65, 3.70, 3.75, 3.80],
        description="Lattice parameters (Å) of training and molecular dynamics",
    )
    held_out_lattice_parameters_A: list[Positive] = Field(
        default=[3.60],
        description="Lattice parameters (Å) never trained on, only compared. None where a file gives those of training",
    )
    typical_moments_muB: dict[str, float] = Field(
        default={"Fe": 2.6, "Pd": 0.3},
        description="Size (μB) of each species' moment, from which starting moments are made; one of the other sign "
        "makes a ferrimagnet. Of other species than the demonstration's: those of the elements",
    )
    phases: list[PhaseSettings] = Field(
        default=[],
        description="Several structures, compositions and magnetic orders in one campaign, instead of "
        + ", ".join(SHORT),
    )

    @field_validator("structure")
    @classmethod
    def _known_lattice(cls, value: str) -> str:
        lattice(value)
        return value

    @field_validator("species")
    @classmethod
    def _unique_species(cls, value: list[str]) -> list[str]:
        if len(set(value)) != len(value):
            raise ValueError("a species is named twice")
        unknown = [symbol for symbol in value if symbol not in chemical_symbols[1:]]
        if unknown:
            raise ValueError(f"no symbol of a chemical element: {', '.join(unknown)}")
        return value

    @model_validator(mode="before")
    @classmethod
    def _phases_or_short_form(cls, data: Any) -> Any:
        if not isinstance(data, dict) or not data.get("phases"):
            return data
        empty: dict[str, Any] = {"composition": {}, "lattice_parameters_A": [], "held_out_lattice_parameters_A": []}
        stored = empty | {"structure": "fcc", "supercell": [2, 2, 2]}
        given = [name for name in SHORT if name in data and data[name] not in (stored[name], (2, 2, 2))]
        if given:
            raise ValueError(
                f"{', '.join(given)} and phases are both given: each phase has its own; leave out the former"
            )
        return data | empty

    @model_validator(mode="after")
    def _consistent(self) -> SystemSettings:
        if set(self.typical_moments_muB) != set(self.species):
            raise ValueError(f"typical_moments_muB must name exactly the species {', '.join(self.species)}")
        if self.phases:
            _of_known_species(self.species, self.phases)
            return self
        if set(self.composition) != set(self.species):
            raise ValueError(f"composition must name exactly the species {', '.join(self.species)}")
        of_one(self.composition)
        if not self.lattice_parameters_A:
            raise ValueError("lattice_parameters_A: is empty; give the lattice parameters (Å) to train at")
        _apart(self.lattice_parameters_A, self.held_out_lattice_parameters_A)
        return self

    def phases_in(self, orders: Sequence[str], compared: str | None = None) -> tuple[Phase, ...]:
        """Return the phases; those that name no orders have `orders`, the short form is compared in `compared`."""
        if self.phases:
            return tuple(phase for one in self.phases for phase in one.phases(orders))
        compared = compared or ("ferromagnetic" if "ferromagnetic" in orders else orders[0])
        return (
            Phase(
                lattice_parameters_A=tuple(self.lattice_parameters_A),
                held_out_lattice_parameters_A=tuple(self.held_out_lattice_parameters_A),
                orders=tuple(orders),
                compared=(ALSO_CALLED.get(compared, compared),),
                structure=self.structure,
                supercell=self.supercell,
                composition=self.composition,
            ),
        )


def of_one(composition: Mapping[str, float]) -> None:
    """Refuse fractions that are negative or do not add up to 1."""
    if not composition or abs(sum(composition.values()) - 1.0) > 1e-6 or min(composition.values()) < 0:
        raise ValueError("the fractions in composition must be positive and add up to 1")


def _of_known_species(species: Sequence[str], phases: Sequence[PhaseSettings]) -> None:
    used: set[str] = set()
    for phase in phases:
        other = sorted(phase.symbols - set(species))
        if other:
            raise ValueError(f"phase '{phase.name}' has {', '.join(other)}, which species does not name")
        used |= phase.symbols
    unused = sorted(set(species) - used)
    if unused and all(phase.symbols for phase in phases):
        raise ValueError(f"species names {', '.join(unused)}, which no phase has")
    names = [phase.name for phase in phases]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ValueError(f"two phases have the name {', '.join(twice)}")


def _apart(trained: Sequence[float], held_out: Sequence[float]) -> None:
    shared = set(trained) & set(held_out)
    if shared:
        raise ValueError(f"{min(shared)} is both a training and a held-out lattice parameter")
    if len({*trained, *held_out}) != len(trained) + len(held_out):
        raise ValueError("a lattice parameter is given twice")


def _formula(composition: Mapping[str, float]) -> str:
    """Return a composition in atomic per cent, as Fe68Pd32."""
    return "".join(f"{symbol}{100 * fraction:.4g}" for symbol, fraction in composition.items() if fraction > 0)
