"""A process killed before or after any of its database writes: others finish, with the same result.

Stock FireWorks recovers from 6 of 15 such points (notes of the project); here it must be every one.
"""

from __future__ import annotations

import pytest
from crashing import CAMPAIGN, KILLED, Ending, go_on, in_process, work_until_killed

import mmtp_fw.firetasks.tasks  # noqa: F401  loaded once, before the processes are forked

NEVER = 10**9


def survive(database, directory, at: int, before: bool, expected: Ending) -> list[str]:
    database.reset()
    code, _ = in_process(work_until_killed, at, before, directory)
    assert code == KILLED
    code, ending = in_process(go_on, directory)
    where = f"killed {'before' if before else 'after'} write {at}"
    assert ending is not None, f"{where}: the campaign doesn't end"
    assert ending.facts == expected.facts, where
    assert ending.planned == expected.planned, where
    assert ending.fireworks == ending.workflows == ["COMPLETED"], where
    assert ending.locked == 0, where
    assert ending.stages == ending.distinct_stages == expected.stages, f"{where}: a stage was computed twice"
    assert ending.configurations == expected.configurations, where
    return ending.mended


@pytest.fixture
def undisturbed(database, tmp_path):
    """Number of writes of a whole campaign, and how it ends."""
    code, writes = in_process(work_until_killed, NEVER, False, tmp_path)
    assert code == 0 and writes > 40
    _, expected = in_process(go_on, tmp_path)
    assert expected.mended == []
    return writes, expected


def test_an_undisturbed_campaign(undisturbed):
    _, expected = undisturbed
    kinds = [key.split("/")[2] for key, *_ in expected.facts]
    assert sorted(kinds) == ["label", "pretrain", "report"]
    assert expected.planned == [key for key, *_ in expected.facts]
    assert expected.fireworks == ["COMPLETED"]
    assert CAMPAIGN.pretraining.structures == expected.configurations


def test_some_crash_points(database, tmp_path, undisturbed):
    writes, expected = undisturbed
    for number, at in enumerate(range(1, writes, max(1, writes // 10))):
        survive(database, tmp_path, at, number % 2 == 0, expected)


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("before", [True, False])
def test_every_crash_point(database, tmp_path, undisturbed, before):
    writes, expected = undisturbed
    for at in range(1, writes + 1):
        survive(database, tmp_path, at, before, expected)
