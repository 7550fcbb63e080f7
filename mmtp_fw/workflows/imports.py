"""Labels that others have computed, brought into a campaign: as finished labels of a round, which cost nothing.

Every label is a configuration, a calculation and a finished action like one that the campaign computed itself, so that
fits, grades, queries, archives and provenance know no difference; its origin names file, digest and place in the file.
All keys follow from what is in the file: an import that died is repeated, and nothing is there twice.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ase import Atoms

from mmtp_fw import log
from mmtp_fw.campaign import Campaign
from mmtp_fw.campaign.form import untrained
from mmtp_fw.campaign.start_from import LabelFile, digest_of, files_of
from mmtp_fw.database import Database, atoms_codec, environment, queries, store
from mmtp_fw.database.records import ActionDocument, CalculationDocument
from mmtp_fw.dft import get_engine
from mmtp_fw.dft.finished import UNKNOWN, Finished, contradictions, label_of, read_finished
from mmtp_fw.dft.stages import Label, Rule
from mmtp_fw.errors import InputError
from mmtp_fw.fitting import DerivativeSign, Weights, check_training_set
from mmtp_fw.labelling import ACCEPTED
from mmtp_fw.loop.documents import document_of
from mmtp_fw.loop.facts import Facts, Kind
from mmtp_fw.loop.gather import gather
from mmtp_fw.loop.planner import locate
from mmtp_fw.quantities import QUANTITIES
from mmtp_fw.workflows.reopen import reopen

_LOG = log.logger(__name__)
_BATCH = 200


@dataclass
class Imported:
    """What became of the labels of a file.

    Attributes
    ----------
    file, digest : str
        As the campaign names it, and of all that is in it.
    engine : str
        What computed them; "imported" where the file does not say.
    accepted : int
    duplicates : int
        Configurations that the campaign has already, or that the file holds twice.
    without_magnetic_forces : int
        Labels taken whose file has none: the fit has no such term for them.
    apart : list of (str, str)
        Where in the file, and why it is no label of this campaign.
    """

    file: str
    digest: str
    engine: str = UNKNOWN
    accepted: int = 0
    duplicates: int = 0
    without_magnetic_forces: int = 0
    apart: list[tuple[str, str]] = field(default_factory=list)

    def document(self) -> dict[str, Any]:
        """Return plain data."""
        return {**self.__dict__, "apart": [list(one) for one in self.apart]}


@dataclass(frozen=True)
class _Candidate:
    where: str
    index: int
    found: Finished
    label: Label
    atoms: Atoms

    @property
    def configuration(self) -> str:
        bare = self.atoms.copy()
        bare.set_initial_magnetic_moments(self.label.target)
        return atoms_codec.content_hash(bare)


def import_awaited(database: Database, campaign: Campaign, folder: Path) -> list[Imported]:
    """Bring in what ``start_from.labels`` of a submitted campaign names and is not there yet.

    Parameters
    ----------
    database : Database
    campaign : Campaign
    folder : Path
        Where relative names begin.

    Raises
    ------
    InputError
        A file is missing or can't be read, is another one than when the campaign was read, or holds no label of this
        campaign.
    """
    there = {one["digest"] for one in queries.campaign(database, campaign.name, "imports.digest").get("imports", ())}
    wanted = [one for one in campaign.start_from.labels if one.digest not in there]
    return [_write(database, campaign, *found, iteration=0) for found in _judged(campaign, wanted, folder)]


def judge_start(campaign: Campaign, folder: Path) -> list[Imported]:
    """Say what ``start_from.labels`` would bring; nothing is written.

    Raises
    ------
    InputError
        See `import_awaited`.
    """
    made = []
    for result, candidates in _judged(campaign, campaign.start_from.labels, folder):
        result.accepted = len(candidates)
        made.append(result)
    return made


def _judged(
    campaign: Campaign, files: Iterable[LabelFile], folder: Path
) -> Iterator[tuple[Imported, list[_Candidate]]]:
    for one in files:
        place = f"start_from.labels: {one.file}"
        paths = files_of(one.file, folder, place)
        if digest_of(paths) != one.digest:
            raise InputError(f"{place} has changed since the campaign was read", "submit it again")
        result, candidates = judge(campaign, paths, one.file, one.digest, one.magnetic_derivatives)
        if not candidates:
            raise InputError(f"{place}: {_nothing(result)}", "docs/import.md says what is taken")
        yield result, candidates


def import_labels(
    database: Database,
    name: str,
    paths: Sequence[Path],
    file: str,
    dry_run: bool = False,
    magnetic_derivatives: DerivativeSign = "detect",
) -> Imported:
    """Bring labels into a campaign that is there; it fits them in its next round, and goes on if it had ended.

    Parameters
    ----------
    database : Database
    name : str
        The campaign's.
    paths : sequence of Path
        Files, or folders of finished runs.
    file : str
        What they are called together.
    dry_run : bool
        Write nothing.
    magnetic_derivatives : {"detect", "force", "derivative"}
        See `mmtp_fw.fitting.read_configurations`.

    Raises
    ------
    InputError
        No such campaign, a file that can't be read, or labels none of which is one of this campaign.
    """
    facts = gather(database, name)
    if facts.awaited:
        raise InputError(f"campaign '{name}' waits for {', '.join(facts.awaited)}", "`mmtp submit` its file again")
    position = locate(facts)
    iteration = 0 if position.phase is Kind.PRETRAIN else position.iteration + 1
    result, candidates = judge(facts.campaign, paths, file, digest_of(paths), magnetic_derivatives)
    if not candidates:
        raise InputError(f"{file}: {_nothing(result)}", "docs/import.md says what is taken")
    if dry_run:
        there, _ = _there(database, name, [one.configuration for one in candidates], result)
        result.accepted, result.duplicates = len(candidates) - len(there), result.duplicates + len(there)
        return result
    made = _write(database, facts.campaign, result, candidates, iteration)
    if made.accepted or facts.imported(iteration):  # or an import that died before it came to this
        reopen(database, name, why=f"labels were imported from {file}")
    return made


def judge(
    campaign: Campaign, paths: Sequence[Path], file: str, digest: str, magnetic_derivatives: DerivativeSign = "detect"
) -> tuple[Imported, list[_Candidate]]:
    """Read files and say which of their configurations are labels of a campaign; nothing is written.

    Parameters
    ----------
    campaign : Campaign
    paths : sequence of Path
    file, digest : str
        What they are called together, and the digest of all.
    magnetic_derivatives : {"detect", "force", "derivative"}
        See `mmtp_fw.fitting.read_configurations`.

    Raises
    ------
    InputError
        The only file can't be read; of several, those that can't are kept apart.
    """
    result, candidates = Imported(file, digest), []
    settings = get_engine(campaign.dft.engine, **campaign.dft.settings).settings_document()
    for path in paths:
        try:
            found = read_finished(path, campaign.system.species, magnetic_derivatives)
        except InputError as error:
            if len(paths) == 1:
                raise
            result.apart.append((str(path), error.message))
            continue
        told = contradictions(found, campaign.dft.engine, settings)
        if told:
            result.apart.append((str(path), "; ".join(told)))
            continue
        result.engine = found.engine
        candidates += list(_labels(found, result))
    return result, _fitting(campaign, _once(candidates, result), result)


def _nothing(result: Imported) -> str:
    """Return in words why nothing of a file is a label."""
    if not result.apart:
        return "every label in it is there already" if result.duplicates else "holds no label"
    where, why = result.apart[0]
    rest = f" (and {len(result.apart) - 1} others)" if len(result.apart) > 1 else ""
    return f"no label of this campaign: {where}: {why}{rest}"


def _labels(found: Finished, result: Imported) -> Iterator[_Candidate]:
    for index, atoms in enumerate(found.configurations):
        where = f"{found.file}, configuration {index}" if len(found.configurations) > 1 else str(found.file)
        try:
            yield _Candidate(where, index, found, label_of(atoms, found, where), atoms)
        except InputError as error:
            result.apart.append((where, error.message.removeprefix(f"{where}: ")))


def _once(candidates: Iterable[_Candidate], result: Imported) -> list[_Candidate]:
    kept: dict[str, _Candidate] = {}
    for one in candidates:
        if one.configuration in kept:
            result.duplicates += 1
        else:
            kept[one.configuration] = one
    return list(kept.values())


def _fitting(campaign: Campaign, candidates: list[_Candidate], result: Imported) -> list[_Candidate]:
    """Return what the campaign's fits can use: its species, its range of moments, the quantities that it weighs."""
    if not candidates:
        return []
    if not any(any(one.label.moments) for one in candidates):
        result.apart += [(one.where, "all moments are zero: not magnetic, or not read") for one in candidates]
        return []
    potential = untrained(campaign.potential, campaign.system.species)
    weights = Weights(**{name: float(getattr(campaign.fit, f"{name}_weight")) for name in QUANTITIES})
    report = check_training_set(potential, [one.label.to_atoms() for one in candidates], weights)
    wrong = {finding.index: finding.text for finding in reversed(report.fatal)}
    result.apart += [(candidates[index].where, wrong[index]) for index in sorted(wrong)]
    kept = [one for index, one in enumerate(candidates) if index not in wrong]
    result.without_magnetic_forces = sum(one.label.magnetic_forces is None for one in kept)
    return kept


def _write(
    database: Database, campaign: Campaign, result: Imported, candidates: Sequence[_Candidate], iteration: int
) -> Imported:
    for first in range(0, len(candidates), _BATCH):
        _write_batch(database, campaign, result, candidates[first : first + _BATCH], iteration)
    record = result.document() | {"when": datetime.now(UTC), "user": environment.user(), "iteration": iteration}
    database.campaigns.update_one(
        {"_id": campaign.name, "imports.digest": {"$ne": result.digest}}, {"$push": {"imports": record}}
    )
    _LOG.info(
        "%d labels imported from %s, %d were there, %d kept apart",
        result.accepted, result.file, result.duplicates, len(result.apart), extra={"campaign": campaign.name},
    )  # fmt: skip
    return result


def _write_batch(
    database: Database, campaign: Campaign, result: Imported, candidates: Sequence[_Candidate], iteration: int
) -> None:
    """Write configurations, then calculations, then actions: one that is there makes the others true."""
    keys = {one.configuration: one for one in candidates}
    there, died = _there(database, campaign.name, list(keys), result)
    actions, calculations = [], []
    for configuration, one in keys.items():
        if configuration in there:
            result.accepted += configuration in died
            result.duplicates += configuration not in died
            continue
        origin = {"imported": result.file, "file": one.found.name, "digest": one.found.digest, "index": one.index}
        bare = one.atoms.copy()
        bare.info = {}
        bare.calc = None
        bare.set_initial_magnetic_moments(one.label.target)
        store.add_configuration(database, bare, {"campaign": campaign.name, **origin})
        calculation = _calculation(configuration, one)
        calculations.append(calculation)
        about: dict[str, Any] = {"configuration": configuration, "imported": result.digest, "file": one.found.name}
        about |= {"file_digest": one.found.digest, "index": one.index}
        actions.append(_finished(campaign, iteration, about, calculation.id))
    store.insert_new(database.calculations, calculations)
    result.accepted += len(actions) - len(store.insert_new(database.actions, actions))


def _there(
    database: Database, campaign: str, configurations: Sequence[str], result: Imported
) -> tuple[set[str], set[str]]:
    """Return those configurations that a campaign has, and of these the ones of an import of the same that died."""
    named = {"campaign": campaign, "kind": Kind.LABEL.value, "params.configuration": {"$in": list(configurations)}}
    wanted = {"params.configuration": 1, "params.imported": 1}
    found = [action["params"] for action in database.actions.find(named, wanted)]
    ended = {"_id": campaign, "imports.digest": result.digest}
    mine = () if database.campaigns.find_one(ended, {"_id": 1}) else found
    died = {one["configuration"] for one in mine if one.get("imported") == result.digest}
    return {one["configuration"] for one in found}, died


def _calculation(configuration: str, one: _Candidate) -> CalculationDocument:
    label = one.label.model_dump(mode="json")
    digest = hashlib.blake2b(json.dumps(label, sort_keys=True).encode(), digest_size=8).hexdigest()
    return CalculationDocument(
        _id=f"{configuration}/imported-{digest}",
        configuration=configuration,
        engine=one.found.engine,
        engine_settings=dict(one.found.settings),
        status=ACCEPTED,
        label=label,
        quality=store.quality_of(label),
        reason=f"imported from {one.found.name}",
        rule=Rule.IMPORTED.value,
        finished=datetime.now(UTC),
    )


def _finished(campaign: Campaign, iteration: int, params: Mapping[str, Any], calculation: str) -> ActionDocument:
    """Return the document of a label that is there."""
    action = Facts(campaign).action(iteration, Kind.LABEL, str(params["configuration"]), params)
    result = {"outcome": ACCEPTED, "reason": "", "scf_runs": 0, "calculation": calculation, "imported": True}
    return document_of(campaign.name, action).model_copy(update={"result": result, "finished": datetime.now(UTC)})
