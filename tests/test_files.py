"""Reports as files: whole or not at all, links kept, pipes written to."""

from __future__ import annotations

import os
import threading

import pytest

from fuzz.report.files import writable, write
from fuzz.trouble import EnvironmentTrouble


def test_files_are_written_whole_or_not_at_all(tmp_path, monkeypatch):
    file = tmp_path / "page.html"
    file.write_text("before")
    link = tmp_path / "link.html"
    link.symlink_to(file)
    write(link, "after \ud800")
    assert link.is_symlink()
    assert file.read_text() == "after ?"

    def refuse(*arguments: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.replace", refuse)
    with pytest.raises(EnvironmentTrouble, match="no space left"):
        write(file, "never")
    assert file.read_text() == "after ?"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["link.html", "page.html"]


def test_a_pipe_is_written_to_and_stays_one(tmp_path):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    read: list[str] = []
    reader = threading.Thread(target=lambda: read.append(pipe.read_text()))
    reader.start()
    write(pipe, "page")
    reader.join(10)
    assert read == ["page"]
    assert pipe.is_fifo()


def test_looking_leaves_nothing(tmp_path):
    writable(tmp_path / "page.html")
    assert not list(tmp_path.iterdir())
    with pytest.raises(EnvironmentTrouble, match="it is a folder"):
        writable(tmp_path)
