"""Files are written complete or not at all."""

from __future__ import annotations

import os
import stat
import threading
from pathlib import Path

import pytest

from mmtp_fw.files import replacing, write_whole


def test_text_and_bytes_take_the_place_of_what_was_there(tmp_path):
    path = tmp_path / "file"
    path.write_text("old")
    write_whole(path, "λ")
    assert path.read_bytes() == "λ".encode()
    write_whole(path, b"\0new", durable=True)
    assert path.read_bytes() == b"\0new"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("failure", [OSError, KeyboardInterrupt])
def test_after_a_failure_the_old_file_is_whole_and_nothing_lies_beside_it(tmp_path, failure):
    path = tmp_path / "file"
    path.write_text("old")
    with pytest.raises(failure), replacing(path) as partial:
        partial.write_text("half of the new")
        assert path.read_text() == "old"
        raise failure
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_directory_that_is_missing_is_an_error_of_the_system(tmp_path):
    with pytest.raises(FileNotFoundError):
        write_whole(tmp_path / "nowhere" / "file", "text")


def test_private_files_are_private_from_the_first_byte_on(tmp_path):
    before = os.umask(0o022)
    try:
        with replacing(tmp_path / "secret", private=True) as partial:
            assert stat.S_IMODE(partial.stat().st_mode) == 0o600
            partial.write_text("password")
        write_whole(tmp_path / "open", "text")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "secret").stat().st_mode) == 0o600
    assert stat.S_IMODE((tmp_path / "open").stat().st_mode) == 0o644


def test_many_writers_at_once_leave_one_whole_file(tmp_path):
    path = tmp_path / "file"
    texts = [f"{k}" * 100_000 for k in range(8)]
    threads = [threading.Thread(target=write_whole, args=(path, text)) for text in texts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert path.read_text() in texts
    assert list(tmp_path.iterdir()) == [path]


def test_durable_files_are_on_the_disk_before_they_have_their_name(tmp_path, monkeypatch):
    path = tmp_path / "file"
    seen = []
    real = os.fsync

    def fsync(descriptor):
        seen.append((str(Path(f"/proc/self/fd/{descriptor}").readlink()), path.exists()))
        real(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)
    write_whole(path, "text")
    assert seen == []
    path.unlink()
    write_whole(path, "text", durable=True)
    (file, named), (directory, named_then) = seen
    assert file.startswith(str(tmp_path / ".file.")) and not named
    assert directory == str(tmp_path) and named_then
