"""A campaign written down by hand, document by document, so that every number of its reports can be counted."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from ase import Atoms
from ase.build import bulk
from small_campaign import small

from mmtp_fw.campaign import Campaign
from mmtp_fw.database import ActionDocument, CampaignDocument, Claim, Database, store
from mmtp_fw.firetasks.base import Context
from mmtp_fw.loop.facts import Facts, Kind
from mmtp_fw.potential import Potential
from mmtp_fw.structures import generate

BEGIN = datetime(2026, 3, 1, 12, 0, 0, tzinfo=UTC)


class Recorded:
    """Writes the documents of one campaign; times are seconds after `BEGIN`."""

    def __init__(self, database: Database, campaign: Campaign | None = None) -> None:
        self.database = database
        self.campaign = campaign or small("c")
        self.name = self.campaign.name
        document = CampaignDocument(_id=self.name, name=self.name, settings=self.campaign.document(), created=BEGIN)
        database.campaigns.insert_one(document.to_mongo())

    def action(
        self,
        kind: Kind,
        iteration: int,
        subject: str = "",
        result: dict[str, Any] | None = None,
        params: dict[str, Any] | None = None,
        begun: float = 0.0,
        ended: float | None = None,
        **fields: Any,
    ) -> str:
        """Record an action; return its key."""
        key = "/".join(part for part in (self.name, f"{iteration:03d}", kind.value, subject) if part)
        document = ActionDocument(
            _id=key, campaign=self.name, kind=kind.value, category="light", iteration=iteration, params=params or {},
            result=result, created=BEGIN + timedelta(seconds=begun),
            finished=None if ended is None else BEGIN + timedelta(seconds=ended), **fields,
        )  # fmt: skip
        self.database.actions.insert_one(document.to_mongo())
        return key

    def configuration(self, stretch: float, **origin: Any) -> str:
        """Store a cell of Fe3Pd that differs from others by its size; return its hash."""
        atoms = bulk("Fe", "fcc", 3.7 + stretch, cubic=True)
        atoms.symbols[0] = "Pd"
        atoms.set_initial_magnetic_moments([0.3, 2.6, 2.5, -2.4])
        return store.add_configuration(self.database, atoms, {"campaign": self.name, **origin})

    def label(
        self,
        iteration: int,
        configuration: str,
        result: dict[str, Any] | None = None,
        calculation: dict[str, Any] | None = None,
        **fields: Any,
    ) -> str:
        """Record a label, and its calculation (fields of the document) where there is one."""
        if calculation is not None and result is not None:
            key = f"{configuration}/settings"
            store.begin_calculation(self.database, key, configuration, "hamiltonian", {}, "here:1")
            for stage in calculation.get("stages", ()):
                store.save_stage(self.database, key, stage)
            verdict = {"rule": calculation.get("rule"), "label": calculation.get("label")}
            store.finish_calculation(
                self.database, key, result["outcome"], calculation.get("reason", result.get("reason", "")), verdict
            )
            result = result | {"calculation": key}
        return self.action(Kind.LABEL, iteration, configuration, result, {"configuration": configuration}, **fields)

    def fit(self, iteration: int, subject: str = "", loss: float = 1.0, **fields: Any) -> int:
        """Record a fit and its potential; return the version."""
        potential = Potential.from_level(2, ["Fe", "Pd"], r_cut=4.0, radial_size=3, magnetic_size=1, seed=iteration)
        role = fields.pop("role", "version")
        key = "/".join(part for part in (self.name, f"{iteration:03d}", "fit", subject) if part)
        version = store.save_potential(
            self.database, potential.dumps(), potential.content_hash, campaign=self.name, iteration=iteration,
            action=key, role=role, species=["Fe", "Pd"], **({"level": 2, "n_parameters": 9} | fields),
        )  # fmt: skip
        result = {"outcome": "done", "potential": version, "fit": {"loss": loss}}
        self.action(Kind.FIT, iteration, subject, result, {"role": role, "parent": None})
        return version

    def md(self, iteration: int, subject: str, outcome: str, steps: int, candidates: int, **fields: Any) -> str:
        """Record a trajectory."""
        params = {"lattice_parameter_A": 3.72, "temperature_K": 300.0, "magnetic_order": "ferromagnetic"}
        result = {"outcome": outcome, "md_steps": steps, "candidates": candidates}
        key = self.action(Kind.MD, iteration, subject, result, params)
        cells = [bulk("Fe", "fcc", 3.7 + 0.01 * k + 0.1 * iteration, cubic=True) for k in range(candidates)]
        store.save_md_run(
            self.database, key, {"step": [0.0]}, cells, campaign=self.name, iteration=iteration, potential=1,
            params=params, state=outcome, steps=steps,
            **({"max_grade": None, "message": "", "wall_seconds": 1.0} | fields),
        )  # fmt: skip
        return key

    def property(self, iteration: int, source: str, a: float, result: dict[str, Any], **values: Any) -> str:
        """Record an average, in the planner's result and in its own document."""
        potential = 1 if source == "mmtp" else None
        params = {"source": source, "lattice_parameter_A": a, "potential": potential}
        key = self.action(Kind.PROPERTY, iteration, f"{source}-a{a:g}", result, params)
        store.save_property(
            self.database, key, campaign=self.name, iteration=iteration, source=source, potential=potential,
            params=params, values={**result, **values},
        )  # fmt: skip
        return key


def averages(magnetization: float, pressure: float, **more: Any) -> dict[str, Any]:
    """Return the result of an average."""
    return {"outcome": "done", "magnetization_muB_per_atom": magnetization, "pressure_GPa": pressure} | more


def stage(index: int, name: str, **fields: Any) -> dict[str, Any]:
    """Return a stage as a calculation holds it."""
    plain = {"name": name, "index": index, "converged": True, "wall_seconds": 0.0, "reused_from": None}
    return plain | {"mae_muB": None, "achieved": {}, "which_definition": "PAW"} | fields


def context(
    recorded: Recorded, tmp_path, kind: Kind, iteration=0, subject="", params=None, after=(), stop=False
) -> Context:
    action = Facts(recorded.campaign).action(iteration, kind, subject, params or {}, tuple(after))
    directory = tmp_path / action.key.replace("/", "-")
    directory.mkdir(exist_ok=True)
    return Context(recorded.database, recorded.campaign, action, directory, lambda: stop)


def stored(work, at: Context, payload) -> dict:
    """Store a payload in a claim's transaction."""
    result: dict = {}
    with Claim.take(at.database, at.action.key, "here:1", 60) as claim:
        claim.commit(lambda session: result.update(work.store(at, payload, session)))
    return result


def cell(a: float, seed: int = 0) -> Atoms:
    made = generate({"Fe": 0.75, "Pd": 0.25}, [a], {"Fe": 2.6, "Pd": 0.3}, 1, supercell=(1, 1, 1), seed=seed)[0]
    made.info = {"step": 0}
    return made


def save(recorded: Recorded, potential: Potential, **fields) -> int:
    fields = {"campaign": recorded.name, "iteration": 0, "species": list(potential.species)} | fields
    return store.save_potential(recorded.database, potential.dumps(), potential.content_hash, **fields)
