"""What planning, mending, waiting and asking cost beside a base of many facts.

    python benchmarks/service.py                        # a tenth of the sizes below and those: minutes
    python benchmarks/service.py --rounds 1000 --configurations 100000 --versions 1000   # 10⁵ of everything: 4 GB

A campaign is played by the planner itself, with answers by rule, on an embedded database of its own. For each size
it prints a row per question: median and 95th percentile of the time, processor time of the client, documents that the
server looked at (keys of indexes are not counted), bytes that it sent, and requests; then how processor time and
documents have grown with the size.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from mmtp_fw.campaign import Campaign
from mmtp_fw.database import Database, queries, server, views
from mmtp_fw.loop.documents import document_of
from mmtp_fw.loop.facts import Action, Category, Fact, Facts, Kind
from mmtp_fw.loop.planner import walk
from mmtp_fw.loop.reconcile import reconcile
from mmtp_fw.workflows import add_workflows, advance, submit_campaign
from mmtp_fw.workflows.mend import is_our_turn, mend_all
from mmtp_fw.workflows.submit import record
from mmtp_fw.workflows.worker import run_worker

NAME, PER_ROUND, STAGES, ATOMS, LINE_SECONDS = "big", 80, 10, 32, 0.030


@dataclass
class Row:
    """What a question has cost: seconds in the median and at 95 %, CPU seconds, documents, kB, requests."""

    p50: float
    p95: float
    cpu: float
    documents: float
    kilobytes: float
    requests: float


def counters(database: Database) -> tuple[int, int, int]:
    told = database.db.command("serverStatus")
    executed, network = told["metrics"]["queryExecutor"], told["network"]
    return executed["scannedObjects"], network["bytesOut"], network["numRequests"]


def measure(database: Database, ask: Callable[[], Any], times: int = 20) -> Row:
    own = [b - a for a, b in zip(counters(database), counters(database), strict=True)]  # of asking for the counters
    walls: list[float] = []
    before, cpu = counters(database), time.process_time()
    for _ in range(times):
        begin = time.perf_counter()
        ask()
        walls.append(time.perf_counter() - begin)
    cpu = time.process_time() - cpu
    spent = [(b - a - o) / times for a, b, o in zip(before, counters(database), own, strict=True)]
    p95 = statistics.quantiles(walls, n=20)[-1] if times > 1 else walls[0]
    return Row(statistics.median(walls), p95, cpu / times, spent[0], spent[1] / 1000, spent[2])


def answer(action: Action) -> dict[str, Any]:
    k = action.iteration
    return {
        Kind.PRETRAIN: {"outcome": "done", "configurations": [f"{i:032x}" for i in range(PER_ROUND)]},
        Kind.LABEL: {"outcome": "accepted", "scf_runs": 4},
        Kind.FIT: {"outcome": "done", "potential": k + 1, "fit": {"loss": 0.1}},
        Kind.MD: {"outcome": "extrapolated", "candidates": 3, "md_steps": 1000},
        Kind.SELECT: {"outcome": "done", "configurations": [f"{k + 1:06x}{i:026x}" for i in range(PER_ROUND)]},
    }[action.kind]


def course(campaign: Campaign, rounds: int) -> Iterator[Action]:
    """Yield the actions of the first rounds of a campaign as the planner wants them."""
    facts = Facts(campaign)
    while True:
        closed, position = walk(facts)
        if closed.rounds >= rounds:
            return
        if closed.rounds > facts.closed.rounds and closed.fit is not None:
            facts = replace(facts, closed=closed, finished={closed.fit: facts.finished[closed.fit]})
            position = walk(facts)[1]
        yield from position.due
        made = {a.key: Fact.from_result(a.key, a.kind, a.iteration, answer(a)) for a in position.due}
        facts = replace(facts, finished={**facts.finished, **made})


def stored_in_parts(collection: Any, documents: Iterator[dict[str, Any]], size: int) -> int:
    part: list[dict[str, Any]] = []
    number = 0
    for document in documents:
        part.append(document)
        number += 1
        if len(part) == size:
            collection.insert_many(part, ordered=False)
            part = []
    if part:
        collection.insert_many(part, ordered=False)
    return number


def fill_actions(database: Database, rounds: int) -> int:
    """Store finished actions, and their Fireworks, which have ended."""
    sections = {"system": {"lattice_parameters_A": [3.7, 3.8], "held_out_lattice_parameters_A": [3.85]}}
    sections |= {"budget": {"max_iterations": 10**6, "max_labels": 10**7, "max_scf_runs": 10**8}}
    sections |= {"selection": {"max_per_iteration": PER_ROUND}, "properties": {"reference": False}}
    campaign = Campaign.model_validate({"name": NAME, **sections})
    submit_campaign(database, campaign)
    database.actions.delete_many({})
    database.launchpad.reset("", require_password=False, max_reset_wo_password=10**9)
    now = datetime.now(UTC)

    def finished(action: Action) -> dict[str, Any]:
        return document_of(NAME, action).to_mongo() | {"result": answer(action), "finished": now}

    actions = list(course(campaign, rounds))
    stored_in_parts(database.actions, map(finished, actions), 5000)
    ended = {"$set": {"state": "COMPLETED"}}
    for k in range(0, len(actions), 5000):
        add_workflows(database, NAME, actions[k : k + 5000])
    database.launchpad.fireworks.update_many({}, ended)
    states = {"$arrayToObject": [[[{"$toString": {"$first": "$nodes"}}, "COMPLETED"]]]}
    database.launchpad.workflows.update_many({}, [{"$set": {"state": "COMPLETED", "fw_states": states}}])
    return len(actions)


def fill_labels(database: Database, configurations: int, versions: int) -> None:
    """Store configurations and calculations with all stages, as long as real ones, and versions of potentials."""
    now, table = datetime.now(UTC), [[0.123456789 * i, -0.2, 0.3] for i in range(ATOMS)]
    about = {"created": now, "schema_version": 2, "origin": {"campaign": NAME, "action": "x"}, "formula": "Fe16Pd16"}

    def configuration(n: int) -> dict[str, Any]:
        return about | {"_id": f"{n:032x}", "number": n + 1, "n_atoms": ATOMS, "atoms": {"positions": table}}

    def calculation(n: int) -> dict[str, Any]:
        stage = {"moments_muB": table, "forces": table, "energy_eV": -1.0, "finished": now}
        key, quality = f"{n:032x}", {"grade": "ABC"[n % 3]}
        document = {"_id": f"{key}/s", "configuration": key, "engine": "hamiltonian", "status": "accepted"}
        document |= {"stages": [stage | {"index": k} for k in range(STAGES)], "quality": quality}
        return document | {"label": {"grade": "A"}, "created": now, "finished": now}

    stored_in_parts(database.configurations, map(configuration, range(configurations)), 1000)
    stored_in_parts(database.calculations, map(calculation, range(configurations)), 500)
    potential = {"campaign": NAME, "text": "x" * 20_000, "created": now, "content_hash": "x"}
    stored_in_parts(
        database.potentials,
        (potential | {"_id": n + 1, "iteration": n, "action": f"{NAME}/{n:03d}/fit"} for n in range(versions)),
        500,
    )


def idle(database: Database, seconds: float, directory: str, mends: bool) -> Row:
    """Return what a worker that finds no work costs in a minute, where it is the one that mends or another is."""
    database.meta.delete_one({"_id": "mending"})
    if not mends:
        is_our_turn(database, 86400.0)
    before, cpu, end = counters(database), time.process_time(), time.monotonic() + seconds
    run_worker(database, ["light"], directory, NAME, stop=lambda: time.monotonic() > end)
    spent = [(b - a) * 60 / seconds for a, b in zip(before, counters(database), strict=True)]
    cpu = (time.process_time() - cpu) * 60 / seconds
    return Row(60.0, 60.0, cpu, spent[0], spent[1] / 1000, spent[2])


def submitted(database: Database, count: int) -> Row:
    """Return what planning that many labels costs; over a line, every request takes a round trip more."""
    labels = [Action(f"{NAME}/999999/label/{n}", Kind.LABEL, Category.DFT, 999_999) for n in range(count)]

    def submit() -> None:
        assert len(record(database, NAME, labels)) == count
        add_workflows(database, NAME, labels)

    row = measure(database, submit, 1)
    database.actions.delete_many({"campaign": NAME, "iteration": 999_999})
    database.launchpad.fireworks.delete_many({"spec.iteration": 999_999})
    database.launchpad.workflows.delete_many({"metadata.iteration": 999_999})
    return row


def rows_of(database: Database, seconds: float, directory: str) -> dict[str, Row]:
    rows = {"first plan, nothing summed up": measure(database, lambda: advance(database, NAME), 1)}
    rows["plan after an action"] = measure(database, lambda: advance(database, NAME))
    rows["mend one campaign"] = measure(database, lambda: reconcile(database, NAME, lambda key: None, 60.0))
    rows["mend all and plan"] = measure(database, lambda: mend_all(database, 60.0))
    rows["look for work"] = measure(database, lambda: database.launchpad.run_exists(None))
    rows["idle worker, a minute"] = idle(database, seconds, directory, mends=False)
    rows["the one that mends, a minute"] = idle(database, seconds, directory, mends=True)
    rows["submit 5,000 labels"] = submitted(database, 5000)
    rows["status"] = measure(database, lambda: views.campaigns(database), 5)
    rows["find 100 by campaign"] = measure(database, lambda: queries.find_configurations(database, campaign=NAME), 5)
    rows["find 100 accepted"] = measure(database, lambda: queries.find_configurations(database, status="accepted"), 5)
    with ThreadPoolExecutor(8) as pool:
        together = lambda: list(pool.map(lambda _: advance(database, NAME), range(8)))  # noqa: E731
        rows["8 plans at once"] = measure(database, together, 5)
    return rows


def show(size: str, rows: dict[str, Row], smaller: dict[str, Row] | None) -> None:
    print(f"\n{size}")
    print(f"{'':32}{'p50 ms':>9}{'p95 ms':>9}{'CPU ms':>9}{'documents':>11}{'kB':>9}{'requests':>9}  growth")
    for name, row in rows.items():
        grown = ""
        if smaller is not None:
            old = smaller[name]
            grown = f"{row.cpu / max(old.cpu, 1e-4):6.1f} {max(row.documents, 1) / max(old.documents, 1):6.1f}"
        numbers = f"{1000 * row.p50:9.1f}{1000 * row.p95:9.1f}{1000 * row.cpu:9.1f}{row.documents:11.0f}"
        print(f"{name:32}{numbers}{row.kilobytes:9.1f}{row.requests:9.0f}  {grown}", flush=True)
    sent = rows["submit 5,000 labels"]
    print(f"5,000 labels over a line of 30 ms: {sent.p50 + sent.requests * LINE_SECONDS:.1f} s (calculated)")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=100, help=f"of {PER_ROUND} labels each")
    parser.add_argument("--configurations", type=int, default=2000, help="with a calculation of full stages each")
    parser.add_argument("--versions", type=int, default=100, help="potentials")
    parser.add_argument("--idle", type=float, default=60.0, help="seconds that an idle worker is watched")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as home:
        os.environ["MMTP_HOME"] = home
        server.start()
        try:
            smaller = None
            for part in (10, 1):
                with Database.open() as database:
                    database.reset()
                    begin = time.monotonic()
                    actions = fill_actions(database, max(1, options.rounds // part))
                    fill_labels(database, options.configurations // part, max(1, options.versions // part))
                    size = f"{actions} finished actions and Fireworks, {options.configurations // part} calculations"
                    size += f", {max(1, options.versions // part)} versions ({time.monotonic() - begin:.0f} s to make)"
                    rows = rows_of(database, options.idle, home)
                    show(size, rows, smaller)
                    smaller = rows
        finally:
            server.stop()


if __name__ == "__main__":
    main()
