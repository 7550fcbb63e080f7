"""Labelling: the staged protocol on one configuration, each stage stored the moment it ends."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from ase import Atoms
from pymongo.client_session import ClientSession

from mmtp_fw import log
from mmtp_fw.database import Claim, Database, atoms_codec, store
from mmtp_fw.database.process import owner_name
from mmtp_fw.dft import ProtocolSettings, Stage, get_engine, run_protocol
from mmtp_fw.dft.checks import check_request
from mmtp_fw.dft.engine import Engine, settings_hash
from mmtp_fw.dft.stages import Rule
from mmtp_fw.errors import EngineError, InputError
from mmtp_fw.firetasks.base import INTERRUPTED, ClaimedElsewhereError, Context, NotHereError
from mmtp_fw.firetasks.faults import trouble_in
from mmtp_fw.labelling import ACCEPTED, DECISIONS, REFUSED_INPUT, REJECTED, OutcomeStatus

_LOG = log.logger(__name__)


@dataclass(frozen=True)
class _Labelled:
    """What labelling hands from `compute` to `store`; `verdict` is None where the calculation was there."""

    calculation: str
    verdict: dict[str, Any] | None
    result: dict[str, Any]


def calculation_key(configuration: str, engine: Engine, protocol: ProtocolSettings) -> str:
    """Return the key of a calculation: equal for every campaign that wants the same label."""
    digest = settings_hash(engine.settings_document(), protocol.model_dump(mode="json"))
    return f"{configuration}/{digest}"


class LabelWork:
    """`Work` of a label action."""

    def compute(self, context: Context) -> _Labelled | None:
        """Run the protocol from the stages that are there; a verdict of any kind is a result."""
        dft = context.campaign.dft
        configuration = str(context.action.params["configuration"])
        engine = get_engine(dft.engine, **dft.settings)
        key = calculation_key(configuration, engine, dft.protocol)
        # Another campaign may want the same label, or one by another protocol, of which the first stages are the same.
        lease = context.campaign.workers.lease_seconds
        shared = f"calculation/{configuration}/{settings_hash(engine.settings_document())}"
        claim = Claim.take(context.database, shared, owner_name(), lease)
        if claim is None:
            raise ClaimedElsewhereError(key)
        with claim:
            return self._run(context, configuration, key, engine, lambda: context.should_stop() or claim.lost)

    def _run(
        self, context: Context, configuration: str, key: str, engine: Engine, should_stop: Callable[[], bool]
    ) -> _Labelled | None:
        known = context.database.calculations.find_one({"_id": key})
        if known is not None and (known["status"] == ACCEPTED or _is_verdict(known)):
            return _Labelled(key, None, _result(key, known["status"], known["reason"], 0))
        atoms = configuration_of(context.database, configuration)
        try:
            check_request(engine, atoms)
            _check_datasets(context.database, engine, atoms)
        except InputError as error:  # a structure that this engine refuses is a verdict, not a crash
            store.begin_calculation(
                context.database, key, configuration, engine.name, engine.settings_document(), owner_name()
            )
            _LOG.warning("refused by %s: %s", engine.name, error)
            verdict = {"status": REJECTED, "reason": str(error), "rule": REFUSED_INPUT, "label": None}
            return _Labelled(key, verdict, _result(key, REJECTED, str(error), 0) | {"refused": True})
        except EngineError as error:
            raise NotHereError(str(error)) from error
        stages = [Stage.model_validate(stage) for stage in (known or {}).get("stages", [])]
        store.begin_calculation(
            context.database, key, configuration, engine.name, engine.settings_document(), owner_name()
        )
        outcome = run_protocol(
            engine,
            atoms,
            context.campaign.dft.protocol,
            context.directory,
            finished=stages,
            on_stage=lambda stage: store.save_stage(context.database, key, _executed(context, stage)),
            should_stop=should_stop,
            others=_stages_of_others(context.database, key, configuration, engine),
            check=context.campaign.dft.protocol.checks(number_of(context)),
        )
        if outcome.status == OutcomeStatus.INTERRUPTED:
            return INTERRUPTED
        if outcome.rule == Rule.ENGINE_FAILED and _may_be_tried_again(context):
            raise EngineError(outcome.reason, "the finished stages are kept for the next attempt")
        _LOG.info("%s after %d SCF runs: %s", outcome.status.value, outcome.scf_runs, outcome.reason or "no objection")
        verdict = outcome.model_dump(mode="json", exclude={"stages"})
        return _Labelled(key, verdict, _result(key, outcome.status.value, outcome.reason, outcome.scf_runs))

    def store(self, context: Context, payload: _Labelled, session: ClientSession) -> Mapping[str, Any]:
        """Write the verdict into the calculation."""
        if payload.verdict is not None:
            store.finish_calculation(
                context.database,
                payload.calculation,
                payload.verdict["status"],
                payload.verdict["reason"],
                payload.verdict,
                session=session,
            )
        return payload.result


def _executed(context: Context, stage: Stage) -> dict[str, Any]:
    """Return the record of a stage with who computed it: of what others computed theirs stays, decisions have none."""
    own = stage.reused_from is None and stage.name not in DECISIONS
    update = {"execution": context.execution} if own else {}
    return stage.model_copy(update=update).model_dump(mode="json")


def _is_verdict(calculation: Mapping[str, Any]) -> bool:
    """Return whether a calculation was rejected for what the configuration is."""
    return bool(calculation["status"] == REJECTED and calculation["rule"] != REFUSED_INPUT)


def _check_datasets(database: Database, engine: Engine, atoms: Atoms) -> None:
    """Refuse to label with datasets that differ from those of the labels that are there."""
    here = engine.datasets(atoms)
    if not here:
        return
    agreed = store.agreed_datasets(database, settings_hash(engine.settings_document()), here)
    for species, digest in here.items():
        if digest != agreed[species]:
            raise EngineError(
                f"the dataset of {species} on this machine ({digest[:12]}…) is not that of the other labels of these "
                f"settings ({agreed[species][:12]}…)",
                "give this worker the same file; to begin anew with another one, name it in dft.settings",
            )


def _stages_of_others(database: Database, key: str, configuration: str, engine: Engine) -> list[Stage]:
    """Return what was computed for the same configuration and engine settings under other protocols."""
    wanted = settings_hash(engine.settings_document())
    others = {"configuration": configuration, "_id": {"$ne": key}, "engine": engine.name}
    found = database.calculations.find(others, {"engine_settings": 1, "stages": 1})
    return [
        Stage.model_validate(stage | {"reused_from": stage.get("reused_from") or other["_id"]})
        for other in found
        if settings_hash(other["engine_settings"]) == wanted
        for stage in other["stages"]
    ]


def number_of(context: Context) -> int:
    """Return the number of this label in its campaign, from 0: the same whenever it is asked."""
    key = context.action.key
    iteration = context.action.iteration
    earlier = [{"iteration": {"$lt": iteration}}, {"iteration": iteration, "_id": {"$lt": key}}]
    wanted = {"campaign": context.campaign.name, "kind": "label", "$or": earlier}
    return context.database.actions.count_documents(wanted)


def _may_be_tried_again(context: Context) -> bool:
    """Return whether a failure of the engine is no verdict yet: attempts are left, or it is the machine's."""
    action = context.database.actions.find_one({"_id": context.action.key}, {"errors": 1})
    attempts = len((action or {}).get("errors", ())) + 1
    return attempts < context.campaign.budget.max_attempts or trouble_in(context.directory) is not None


def configuration_of(database: Database, key: str) -> Any:
    """Return a stored configuration as Atoms, its targets as initial moments."""
    document = database.configurations.find_one({"_id": key})
    if document is None:
        raise InputError(f"no configuration '{key}' in this database")
    return atoms_codec.from_document(document["atoms"])


def _result(key: str, status: str, reason: str, scf_runs: int) -> dict[str, Any]:
    return {"outcome": status, "reason": reason, "scf_runs": scf_runs, "calculation": key}
