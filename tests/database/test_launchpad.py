"""Which database is opened, and that passwords never show."""

from __future__ import annotations

import subprocess
import sys
import traceback
from pathlib import Path

import pytest
from fireworks import LaunchPad

from mmtp_fw.database import Database
from mmtp_fw.database.launchpad import make_launchpad, open_launchpad, read_launchpad_file
from mmtp_fw.errors import DatabaseError, InputError

ROOT = Path(__file__).parents[2]


def test_repositorys_launchpad_file_has_no_secret_and_takes_them_from_outside(monkeypatch, tmp_path):
    (tmp_path / "password").write_text("swordfish\n")
    monkeypatch.setenv("MMTP_DB_USER", "me")
    monkeypatch.setenv("MMTP_DB_PASSWORD_FILE", str(tmp_path / "password"))
    settings = read_launchpad_file(ROOT / "launchpad.yaml")
    assert (settings["username"], settings["password"]) == ("me", "swordfish")
    assert "password:" not in (ROOT / "launchpad.yaml").read_text()


def test_fireworks_own_commands_work_on_the_private_file(database):
    lpad = Path(sys.executable).with_name("lpad")
    done = subprocess.run(
        [lpad, "-l", database.launchpad_file(), "get_fws", "-d", "count"],
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0
    assert done.stdout.strip().endswith("0")


def test_password_is_in_no_representation(database):
    password = database.launchpad.password
    assert password
    for thing in (database, database.launchpad):
        assert password not in repr(thing) + str(thing)


def test_password_of_a_running_fireworks_launchpad_is_hidden_too(database):
    stock = LaunchPad.from_file(str(database.launchpad_file()))
    assert stock.password in repr(stock)  # FireWorks' own way
    with Database.from_launchpad(stock) as opened:
        assert stock.password not in repr(opened.launchpad) + str(opened.launchpad) + repr(opened)
        assert opened.launchpad.connection is stock.connection


def test_private_file_is_private_and_outside_the_repository(database):
    path = database.launchpad_file()
    assert path.stat().st_mode & 0o777 == 0o600
    assert ROOT not in path.parents


def test_unreachable_database_is_one_line(tmp_path):
    (tmp_path / "l.yaml").write_text(
        "host: 127.0.0.1\nport: 9\nname: x\nmongoclient_kwargs: {serverSelectionTimeoutMS: 300}\n"
    )
    with pytest.raises(DatabaseError, match=r"127\.0\.0\.1:9 does not answer"):
        open_launchpad(tmp_path / "l.yaml")


def test_wrong_password_is_one_line(database):
    lp = database.launchpad
    settings = {"host": lp.host, "port": lp.port, "name": lp.name, "authsource": "admin"}
    from mmtp_fw.database.launchpad import check_reachable

    wrong = "sword" + "fish"
    with pytest.raises(DatabaseError, match="refuses") as caught:
        check_reachable(make_launchpad(settings | {"username": "mmtp", "password": wrong}))
    assert wrong not in "".join(traceback.format_exception(caught.value))


@pytest.mark.parametrize("text", ["", "host: [", "- a\n"])
def test_damaged_files_are_named(tmp_path, text):
    (tmp_path / "l.yaml").write_text(text)
    with pytest.raises(InputError, match=r"l\.yaml"):
        read_launchpad_file(tmp_path / "l.yaml")


def test_missing_file_is_named(tmp_path):
    with pytest.raises(InputError, match="no such launchpad file"):
        read_launchpad_file(tmp_path / "nowhere.yaml")


def test_database_from_a_running_firework_is_the_same(database):
    again = Database.from_launchpad(database.launchpad)
    assert again.name == database.name
