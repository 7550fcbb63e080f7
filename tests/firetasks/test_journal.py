from __future__ import annotations

import stat

import numpy as np
import pytest

from mmtp_fw.firetasks.journal import Journal, journal_directory


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("MMTP_HOME", str(tmp_path))


def test_a_payload_comes_back():
    journal = Journal("database", "c/000/md/x")
    assert journal.load() is None
    journal.save({"a": np.arange(3.0)})
    assert np.array_equal(Journal("database", "c/000/md/x").load()["a"], [0.0, 1.0, 2.0])
    assert Journal("other database", "c/000/md/x").load() is None
    assert Journal("database", "c/000/md/y").load() is None
    journal.clear()
    assert journal.load() is None
    journal.clear()


def test_only_the_owner_may_read_it():
    journal = Journal("database", "key")
    journal.save(1)
    assert stat.S_IMODE(journal.path.stat().st_mode) == 0o600
    assert stat.S_IMODE(journal_directory().stat().st_mode) == 0o700


def test_whatever_a_crash_leaves_is_no_payload():
    journal = Journal("database", "key")
    journal.save({"a": list(range(100))})
    whole = journal.path.read_bytes()
    for length in range(0, len(whole), 7):
        journal.path.write_bytes(whole[:length])
        assert journal.load() is None
    journal.path.write_bytes(b"\0" * 200)
    assert journal.load() is None


def test_another_version_is_not_trusted(monkeypatch):
    journal = Journal("database", "key")
    journal.save(1)
    monkeypatch.setattr("mmtp_fw.firetasks.journal.__version__", "99")
    assert journal.load() is None
