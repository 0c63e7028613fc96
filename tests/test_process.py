"""Child processes: how they start, what they said, how they end; and that none is left behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from fuzz.targets import TargetError
from fuzz.targets.process import LINES, Process, split_command

ROOT = Path(__file__).resolve().parent.parent
SCRIPT = ROOT / "tests" / "fake_backend.py"


@pytest.fixture
def processes():
    """Processes that are closed at the end whatever happens; called with a behaviour of the fake back-end."""
    made = []

    def make(behaviour, **options):
        process = Process([sys.executable, "-S", str(SCRIPT), "{socket}", behaviour], **options)
        made.append(process)
        return process

    yield make
    for process in made:
        process.close()


def python(code, **options):
    return Process([sys.executable, "-S", "-c", code, "{socket}"], **options)


def exists(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def eventually(condition, seconds=5.0):
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.005)
    return True


def test_starts_connects_and_leaves_nothing(processes):
    process = processes("good", files=[("disk.raw", 1 << 20)])
    assert not process.alive()
    assert process.status() == ""
    process.start()
    process.connect(5).close()
    folder = Path(process.path).parent
    assert (folder / "disk.raw").stat().st_size == 1 << 20
    assert process.alive()
    assert str(process.path) in process.command
    pid = process.pid
    process.close()
    assert not folder.exists()
    assert not exists(pid)
    assert not process.alive()
    process.close()


def test_waits_until_somebody_listens(processes):
    process = processes("slow")
    process.start()
    process.connect(5).close()


def test_restarts_in_the_same_folder(processes):
    process = processes("good")
    process.start()
    process.connect(5).close()
    first, path = process.pid, process.path
    process.start()
    process.connect(5).close()
    assert process.pid != first
    assert process.path == path
    assert process.starts == 2
    assert not exists(first)


def test_early_exit_is_told_with_the_last_words(processes):
    process = processes("exit-1")
    process.start()
    with pytest.raises(
        TargetError, match=r"^python.* ended before it accepted a connection: exit status 1; it said: no"
    ):
        process.connect(5)
    assert process.failed()
    assert process.words() == "no such disk: vda"


def test_never_listening_is_told_with_the_last_words(processes):
    process = processes("never-listens")
    process.start()
    assert eventually(lambda: "thinking" in process.words())
    text = "runs, but accepts no connection after 0.2 s; it said: thinking$"
    with pytest.raises(TargetError, match=text):
        process.connect(0.2)


def test_output_is_kept_without_blocking_the_child(processes):
    process = processes("chatty")
    process.start()
    process.connect(5).close()
    assert eventually(lambda: process.last_word() == "ready")
    lines = process.words().splitlines()
    assert len(lines) == LINES
    assert lines[-2] == "line 99999"


def test_output_does_not_grow_without_end():
    process = python("import sys,time\nsys.stdout.write('x' * 99 + chr(10)); sys.stdout.flush(); time.sleep(60)")
    process.start()
    assert eventually(lambda: process.words() != "")
    output = Path(process.path).parent / "output"
    with output.open("ab") as file:
        file.truncate(20 << 20)
    process.trim()
    assert output.stat().st_size == 0
    assert process.words() == ""
    process.close()


@pytest.mark.parametrize(
    ("code", "status", "failed"),
    [
        ("raise SystemExit(0)", "exit status 0", False),
        ("raise SystemExit(3)", "exit status 3", True),
        ("import os; os.kill(os.getpid(), 11)", "killed by SIGSEGV", True),
        ("import os; os.kill(os.getpid(), 37)", "killed by signal 37", True),
        ("print('a.c:3:4: runtime error: shift exponent 40 is too large')", "exit status 0", True),
    ],
)
def test_endings(code, status, failed):
    process = python(code)
    process.start()
    assert process.wait(5)
    assert process.status() == status
    assert process.failed() == failed
    assert process.obituary().startswith(status)
    process.close()


def test_sanitizer_reports_are_the_words_that_matter():
    report = "==7==ERROR: AddressSanitizer: stack-buffer-overflow on address 0x7f\\n#0 in f\\nABORTING"
    process = python(f"print('hello'); print('{report}'); raise SystemExit(1)")
    process.start()
    assert process.wait(5)
    assert process.sanitizer() == "ERROR: AddressSanitizer: stack-buffer-overflow on address 0x7f"
    assert process.obituary() == f"exit status 1; it said: {process.sanitizer()}"
    process.close()


def test_the_words_of_the_one_before_do_not_count_for_the_next():
    code = "import os,sys; first = not os.path.exists(sys.argv[1] + '.x'); open(sys.argv[1] + '.x', 'w')\n"
    process = python(code + "print('ERROR: AddressSanitizer: bad' if first else 'fine')")
    process.start()
    assert process.wait(5)
    assert process.failed()
    process.start()
    assert process.wait(5)
    assert not process.failed()
    assert process.words() == "ERROR: AddressSanitizer: bad\nfine"
    process.close()


def test_what_can_not_be_shown_is_replaced():
    process = python("import os; os.write(1, b'\\x1b[31mred\\xff\\x00'); raise SystemExit(1)")
    process.start()
    assert process.wait(5)
    assert process.last_word().isprintable()
    assert "red" in process.last_word()
    process.close()


def test_standard_input_stays_open():
    process = python("import sys; sys.stdin.read()")
    process.start()
    assert not process.wait(0.2)
    process.end()
    assert not process.alive()


def test_a_child_that_ignores_sigterm_is_killed_with_all_it_started():
    code = """
import signal, subprocess, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
print(subprocess.Popen(["sleep", "60"]).pid, flush=True)
time.sleep(60)
"""
    process = python(code)
    process.start()
    assert eventually(lambda: process.words().strip().isdigit())
    child, grandchild = process.pid, int(process.words())
    process.end(grace=0.1)
    assert not exists(child)
    assert eventually(lambda: not exists(grandchild) or Path(f"/proc/{grandchild}/stat").read_text().split()[2] == "Z")
    process.close()


def run_python(code):
    return subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, cwd=ROOT)


STARTED = f"""
import os, sys, time
from fuzz.targets.process import Process
process = Process([sys.executable, "-S", {str(SCRIPT)!r}, "{{socket}}", "good"])
process.start(); process.connect(5).close()
print(process.pid, process.path, flush=True)
"""


def test_no_orphan_even_if_we_are_killed():
    with run_python(STARTED + "time.sleep(60)") as parent:
        assert parent.stdout is not None
        pid, path = parent.stdout.readline().split()
        assert exists(int(pid))
        parent.kill()
        parent.wait()
    assert eventually(lambda: not exists(int(pid)) or "Z" in Path(f"/proc/{pid}/stat").read_text().split()[2])
    for left in Path(path).parent.iterdir():  # a folder may stay then, which nobody can help
        left.unlink()
    Path(path).parent.rmdir()


def test_nothing_is_left_if_we_end_without_closing():
    with run_python(STARTED) as parent:
        assert parent.stdout is not None
        pid, path = parent.stdout.readline().split()
    assert not Path(path).parent.exists()
    assert eventually(lambda: not exists(int(pid)))


def test_a_forked_child_of_ours_leaves_the_process_alone(processes):
    process = processes("good")
    process.start()
    process.connect(5).close()
    child = os.fork()
    if not child:
        process.close()
        os._exit(0)
    os.waitpid(child, 0)
    assert process.alive()
    assert Path(process.path).parent.exists()


def test_a_folder_with_a_long_name_is_not_used(processes, tmp_path, monkeypatch):
    long = tmp_path / ("x" * 100)
    long.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(long))
    process = processes("good")
    process.start()
    process.connect(5).close()
    assert len(process.path) < 108


def test_a_folder_that_can_not_be_made_is_one_line(processes, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", "/nonexistent")
    with pytest.raises(TargetError, match=r"^no temporary folder can be made in /nonexistent: .*; set TMPDIR$"):
        processes("good").start()


def test_placeholders_in_words_and_environment():
    process = python("import os,sys; print(sys.argv[1:], os.environ['PLACE'])", environment={"PLACE": "{folder}/here"})
    process.start()
    assert process.wait(5)
    assert process.words() == f"['{process.path}'] {Path(process.path).parent}/here"
    process.close()


def test_commands_are_split_as_a_shell_would():
    assert split_command("a 'b c' --path={socket}") == ["a", "b c", "--path={socket}"]
    for wrong in ("", "a b", "a 'b {socket}"):
        with pytest.raises(TargetError):
            split_command(wrong)


def test_signals_at_the_terminal_are_not_the_childs(processes):
    process = processes("good")
    process.start()
    process.connect(5).close()
    assert os.getpgid(process.pid) == process.pid
    os.kill(process.pid, signal.SIGKILL)
    assert process.wait(5)
    assert process.status() == "killed by SIGKILL"
