"""Logs say what they are about, in text or JSON, on standard error, and only where somebody wants them."""

from __future__ import annotations

import json
import logging
import subprocess
import sys
import threading

import pytest

from mmtp_fw import log
from mmtp_fw.errors import InputError
from mmtp_fw.log import LogSettings


@pytest.fixture(autouse=True)
def as_before():
    root = logging.getLogger(log.ROOT)
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers, root.level = handlers, level
    root.setLevel(level)


def test_records_say_what_they_are_about_whoever_handles_them(caplog):
    with caplog.at_level("INFO", "mmtp_fw"):
        with log.about(campaign="fe-pd", worker="host:1"):
            with log.about(action="fe-pd/000/fit"):
                log.logger("mmtp_fw.somewhere").info("inside")
            log.logger("mmtp_fw.somewhere").info("between", extra={"action": "its own"})
        log.logger("mmtp_fw.somewhere").info("outside")
    found = [(record.campaign, record.action, record.worker) for record in caplog.records]
    assert found == [("fe-pd", "fe-pd/000/fit", "host:1"), ("fe-pd", "its own", "host:1"), ("", "", "")]


def test_threads_do_not_mix_what_they_are_about(caplog):
    barrier = threading.Barrier(4)

    def work(name):
        with log.about(campaign=name):
            barrier.wait()
            log.logger("mmtp_fw.threads").warning(name)

    threads = [threading.Thread(target=work, args=(str(k),)) for k in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(record.campaign for record in caplog.records) == ["0", "1", "2", "3"]
    assert all(record.campaign == record.message for record in caplog.records)


def test_json_is_one_line_for_each_record_with_all_that_is_known(capsys):
    log.configure(LogSettings("info", as_json=True))
    with log.about(campaign="fe-pd", action="fe-pd/000/fit", worker="host:1"):
        log.logger("mmtp_fw.a").info("two\nlines of λ", extra={"damage": "LOST_RUN"})
        try:
            raise ValueError("wrong")
        except ValueError:
            logging.getLogger("mmtp_fw.not.ours").exception("failed %d times", 2)
    log.logger("mmtp_fw.a").debug("not asked for")
    out, err = capsys.readouterr()
    assert out == ""
    first, second = (json.loads(line) for line in err.splitlines())
    assert first.pop("time").endswith("+00:00")
    assert first == {
        "level": "info",
        "logger": "mmtp_fw.a",
        "message": "two\nlines of λ",
        "campaign": "fe-pd",
        "action": "fe-pd/000/fit",
        "worker": "host:1",
        "damage": "LOST_RUN",
    }
    assert second["message"] == "failed 2 times" and "ValueError: wrong" in second["traceback"]
    assert second["campaign"] == "fe-pd"


def test_text_is_one_line_with_worker_and_subject(capsys):
    log.configure(LogSettings("warning"))
    with log.about(campaign="fe-pd", worker="host:1"):
        log.logger("mmtp_fw.a").warning("two\nlines")
        log.logger("mmtp_fw.a").info("not asked for")
    (line,) = capsys.readouterr().err.splitlines()
    assert line.endswith(" warning host:1 fe-pd: two lines")


def test_the_last_configuration_holds(capsys):
    log.configure(LogSettings("debug"))
    log.configure(LogSettings("error", as_json=True))
    log.logger("mmtp_fw.a").warning("no")
    log.logger("mmtp_fw.a").error("once")
    (line,) = capsys.readouterr().err.splitlines()
    assert json.loads(line)["message"] == "once"


@pytest.mark.parametrize(
    ("text", "settings"),
    [
        ("info", LogSettings("info")),
        (" DEBUG ", LogSettings("debug")),
        ("json:error", LogSettings("error", True)),
        ("json", LogSettings("warning", True)),
    ],
)
def test_the_environment_names_level_and_form(text, settings, monkeypatch):
    monkeypatch.setenv(log.VARIABLE, text)
    assert log.from_environment() == settings
    assert LogSettings.parse(str(settings)) == settings


@pytest.mark.parametrize("text", ["loud", "json:", ":info", "xml:info", "json:json", "info:json", "json:info:debug"])
def test_what_is_not_understood_is_refused_by_name(text):
    with pytest.raises(InputError, match=f"MMTP_LOG={text}: not understood"):
        LogSettings.parse(text)


def test_options_go_before_the_environment(monkeypatch):
    monkeypatch.delenv(log.VARIABLE, raising=False)
    assert log.chosen(None, False) is None
    monkeypatch.setenv(log.VARIABLE, "json:error")
    assert log.chosen(None, False) == LogSettings("error", True)
    assert log.chosen("debug", False) == LogSettings("debug", True)
    monkeypatch.setenv(log.VARIABLE, "info")
    assert log.chosen(None, True) == LogSettings("info", True)
    with pytest.raises(InputError, match="--log-level loud"):
        log.chosen("loud", False)


LIBRARY = """
import logging, sys
{before}
from mmtp_fw import log
if {ensure}:
    log.ensure()
with log.about(action="c/000/fit"):
    log.logger("mmtp_fw.firetasks.base").error("told")
"""


@pytest.mark.parametrize(
    ("before", "ensure", "variable", "told"),
    [
        ("", False, "", ""),  # a library call
        ("", True, "", "error c/000/fit: told"),  # a task in a program that has said nothing
        ("", True, "json:info", '"message": "told"'),
        ("", True, "loud", "MMTP_LOG=loud: not understood"),
        ("logging.basicConfig(format='mine: %(message)s')", True, "json", "mine: told"),  # a program that has
        ("logging.basicConfig(format='mine: %(message)s')", False, "", "mine: told"),
    ],
)
def test_only_programs_write_and_never_to_standard_output(before, ensure, variable, told):
    done = subprocess.run(
        [sys.executable, "-c", LIBRARY.format(before=before, ensure=ensure)],
        env={log.VARIABLE: variable},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (done.returncode, done.stdout) == (0, "")
    if told:
        assert told in done.stderr
        assert done.stderr.count("told") == 1
    else:
        assert done.stderr == ""


@pytest.mark.parametrize("arguments", [["--log-level", "loud", "status"], ["status"]])
def test_the_command_refuses_in_one_line(arguments):
    environment = {log.VARIABLE: "loud"} if len(arguments) == 1 else {}
    done = subprocess.run(
        [sys.executable, "-c", "from mmtp_fw.cli import main; main()", *arguments],
        env=environment, capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert done.returncode == 2 and done.stdout == ""
    (line,) = done.stderr.splitlines()
    assert "loud" in line and "debug, info, warning, error" in line
