from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading

import pytest

from mmtp_fw.firetasks.signals import graceful_stop


def test_a_signal_is_a_request_and_is_delivered_afterwards():
    received = []
    before = signal.signal(signal.SIGTERM, lambda number, frame: received.append(number))
    try:
        with graceful_stop() as stop:
            assert not stop()
            os.kill(os.getpid(), signal.SIGTERM)
            assert stop() and received == []
        assert received == [signal.SIGTERM]
    finally:
        signal.signal(signal.SIGTERM, before)


def test_without_signal_nothing_changes():
    before = signal.getsignal(signal.SIGTERM)
    with graceful_stop() as stop:
        assert signal.getsignal(signal.SIGTERM) != before
    assert not stop()
    assert signal.getsignal(signal.SIGTERM) == before


def test_a_second_signal_is_not_waited_for():
    before = signal.signal(signal.SIGTERM, lambda *_: None)
    try:
        with pytest.raises(KeyboardInterrupt), graceful_stop():
            os.kill(os.getpid(), signal.SIGTERM)
            os.kill(os.getpid(), signal.SIGTERM)
    finally:
        signal.signal(signal.SIGTERM, before)


def test_other_threads_never_stop():
    answers = []

    def work():
        with graceful_stop() as stop:
            answers.append(stop())

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert answers == [False]


def test_a_process_dies_of_the_signal_after_the_block():
    code = (
        "import os, signal\n"
        "from mmtp_fw.firetasks.signals import graceful_stop\n"
        "with graceful_stop():\n"
        "    os.kill(os.getpid(), signal.SIGTERM)\n"
        "    print('cleaned up', flush=True)\n"
        "print('not reached')\n"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert ended.stdout == "cleaned up\n"
    assert ended.returncode == -signal.SIGTERM
