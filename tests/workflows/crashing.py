"""Processes that die at a chosen database write, and what a campaign looks like after others went on."""

from __future__ import annotations

import logging
import multiprocessing
import os
import queue
import time
from dataclasses import dataclass
from pathlib import Path

from pymongo import monitoring

from mmtp_fw.campaign import Campaign
from mmtp_fw.database import Database
from mmtp_fw.loop.gather import gather
from mmtp_fw.workflows.mend import mend
from mmtp_fw.workflows.submit import submit_campaign
from mmtp_fw.workflows.worker import run_worker

WRITES = {"insert", "update", "delete", "findAndModify", "commitTransaction"}
KILLED = 9

# Four atoms whose label no limit accepts: pretraining, label and report, without any fit.
CAMPAIGN = Campaign.model_validate(
    {
        "name": "crash",
        "pretraining": {"structures": 1},
        "system": {"supercell": [1, 1, 1]},
        "dft": {
            "protocol": {
                "mae_limit_muB": 1e-9,
                "max_limit_muB": 1e-9,
                "useful_mae_limit_muB": 1e-9,
                "refine_runs": 0,
                "lambda_series": [1.0, 2.0],
            }
        },
        "properties": {"reference": False},
        "workers": {"lease_seconds": 30},
    }
)


class Killer(monitoring.CommandListener):
    """Ends this process, as SIGKILL would, before or after its n-th database write."""

    def __init__(self, at: int, before: bool) -> None:
        self.at, self.before, self.writes = at, before, 0

    def started(self, event: monitoring.CommandStartedEvent) -> None:
        if event.command_name in WRITES:
            self.writes += 1
            if self.before and self.writes == self.at:
                os._exit(KILLED)

    def succeeded(self, event: monitoring.CommandSucceededEvent) -> None:
        if event.command_name in WRITES and not self.before and self.writes >= self.at:
            os._exit(KILLED)

    def failed(self, event: monitoring.CommandFailedEvent) -> None:
        pass


@dataclass
class Ending:
    """What there is in the end."""

    facts: list[tuple[str, str, tuple[str, ...], int]]
    planned: list[str]
    fireworks: list[str]
    workflows: list[str]
    locked: int
    stages: list[int]
    distinct_stages: list[int]
    configurations: int
    mended: list[str]


def work_until_killed(at: int, before: bool, directory: Path, answers: multiprocessing.Queue) -> None:
    """Submit and work alone, and die at a write; answer with the number of writes if it isn't reached."""
    _quiet()
    killer = Killer(at, before)
    monitoring.register(killer)
    with Database.open() as database:
        submit_campaign(database, CAMPAIGN)
        run_worker(database, directory=directory, campaign_id=CAMPAIGN.name, grace_seconds=0)
    answers.put(killer.writes)


def go_on(directory: Path, answers: multiprocessing.Queue) -> None:
    """Do what `mmtp run` does after a crash, and answer with what there is in the end."""
    _quiet()
    with Database.open() as database:
        submit_campaign(database, CAMPAIGN)
        mended = mend(database, CAMPAIGN.name, 0)[0]
        run_worker(database, directory=directory, campaign_id=CAMPAIGN.name, grace_seconds=1)
        answers.put(look(database, [item.damage.name for item in mended]))


def look(database: Database, mended: list[str]) -> Ending:
    """Collect everything that must come out the same."""
    facts = gather(database, CAMPAIGN.name)
    calculations = list(database.calculations.find())
    return Ending(
        facts=sorted((k, f.outcome, f.configurations, f.scf_runs) for k, f in facts.finished.items()),
        planned=sorted(facts.planned),
        fireworks=sorted({f["state"] for f in database.launchpad.fireworks.find()}),
        workflows=sorted({w["state"] for w in database.launchpad.workflows.find()}),
        locked=database.launchpad.workflows.count_documents({"locked": True}),
        stages=[len(c["stages"]) for c in calculations],
        distinct_stages=[len({(s["key"], s["name"]) for s in c["stages"]}) for c in calculations],
        configurations=database.configurations.count_documents({}),
        mended=mended,
    )


def in_process(target, *arguments, seconds: float = 120.0):
    """Run `target` in a forked process; return its exit code and answer."""
    context = multiprocessing.get_context("fork")
    answers = context.Queue()
    process = context.Process(target=target, args=(*arguments, answers))
    process.start()
    answer, end = None, time.monotonic() + seconds
    while answer is None and time.monotonic() < end:
        try:
            answer = answers.get(timeout=0.1)
        except queue.Empty:
            if not process.is_alive():
                break
    process.join(10)
    if process.is_alive():
        process.kill()
        process.join()
    return process.exitcode, answer


def _quiet() -> None:
    logging.disable(logging.CRITICAL)
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 1)
    os.dup2(null, 2)
