"""Targets qemu:DEVICE as a user meets them: what is wrong with a command line, in QEMU's own words, and no QEMU that
outlives anything; then short runs on every transport."""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import sys
import time
import uuid
from pathlib import Path

import pytest

from fuzz.targets import TargetError
from fuzz.targets.qemu import machine
from fuzz.targets.qemu.target import make
from tests.qemu_kit import HERE, QEMUS, ROOT, alive

RNG = "qemu:virtio-rng-pci"
RINGS = "in_order=on,packed=on"
MARK = "A_TEST_OF_VQFUZZ"


def script(folder, text):
    """A program that somebody takes for QEMU; its folder has a space in its name."""
    folder = folder / "a b"
    folder.mkdir(exist_ok=True)
    path = folder / "qemu"
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return str(path)


#: What a QEMU says that is older than the property; with anything else it does what QEMU does.
OLD = """case "$*" in *in_order=*)
    echo "qemu-system-x86_64: -device virtio-rng-pci,in_order=on: Property 'virtio-rng-pci.in_order' not found" >&2
    exit 1;;
esac
exec qemu-system-x86_64 "$@"
"""
WITHOUT_QTEST = """echo "qemu-system-x86_64: -qtest: invalid option" >&2; exit 1"""


def left(mark):
    """Processes that were started with *mark* in their environment."""
    found = []
    for folder in Path("/proc").iterdir():
        if folder.name.isdecimal() and alive(folder.name):
            try:
                if f"{MARK}={mark}".encode() in (folder / "environ").read_bytes().split(b"\0"):
                    found.append((folder / "cmdline").read_bytes().replace(b"\0", b" ").decode())
            except OSError:
                continue
    return found


@pytest.fixture
def run(cli, tmp_path):
    """Run ``vqfuzz fuzz``: exit code, what it printed, and nothing that it started is left."""

    def fuzz(*arguments, runs=1):
        mark = uuid.uuid4().hex
        done = cli("fuzz", *arguments, "--runs", runs, "--seed", 1, env={MARK: mark})
        assert left(mark) == []
        assert not list(tmp_path.glob("vqfuzz-*/*"))
        return done

    return fuzz


def said(done, code):
    """The one line on stderr."""
    assert done.returncode == code, done.stderr + done.stdout
    assert done.stderr.count("\n") == 1, done.stderr
    assert done.stderr.startswith("vqfuzz: ")
    assert "Traceback" not in done.stderr
    return done.stderr.removeprefix("vqfuzz: ").strip()


# --- wrong command lines ----------------------------------------------------------------------------------------------


@HERE
@pytest.mark.parametrize(
    ("words", "line"),
    [
        ("qemu:virtio-nonsense-pci", "'virtio-nonsense-pci' is not a valid device model name"),
        (f"{RNG},nonsense=1", "Property 'virtio-rng-pci.nonsense' not found"),
        (f"{RNG},in_order=maybe", "Parameter 'in_order' expects 'on' or 'off'"),
        (f"{RNG},bus=nowhere", "Bus 'nowhere' not found"),
        (f"{RNG},rng=none", "Device 'none' not found"),
    ],
)
def test_what_qemu_refuses_is_told_in_its_words(monkeypatch, words, line):
    mark = uuid.uuid4().hex
    monkeypatch.setenv(MARK, mark)
    with pytest.raises(TargetError) as error:
        make(words)
    assert str(error.value).endswith(line)
    assert "\n" not in str(error.value)
    assert left(mark) == []


@HERE
def test_the_command_ends_with_that_line(run):
    assert said(run(f"{RNG},nonsense=1"), 3).endswith("Property 'virtio-rng-pci.nonsense' not found")
    assert said(run(RNG, "--in-order", "on"), 3).startswith(f"{RNG} does not offer in_order; it offers: ")


@HERE
@pytest.mark.parametrize(
    ("words", "line"),
    [
        ("qemu:", "qemu: lacks the name of a device, as in qemu:virtio-blk-pci,in_order=on"),
        (f"{RNG},packed", "'packed' is no property: write it as name=value, as in in_order=on"),
        (f"{RNG},=1", "'=1' is no property: write it as name=value, as in in_order=on"),
        ("qemu:e1000", "vqfuzz has no requests for e1000; the nearest that it has is virtio-net-pci"),
        (f"{RNG},disable-modern=on", "the device has no common configuration structure (4.1.4): is it legacy only?"),
    ],
)
def test_what_we_refuse_is_told_with_its_mend(words, line):
    with pytest.raises(TargetError) as error:
        make(words)
    assert str(error.value) == line


@HERE
def test_a_qemu_without_in_order_says_so_and_can_be_used_without_it(run, tmp_path):
    path = script(tmp_path, OLD)
    old = shlex.quote(path)
    refused = "qemu-system-x86_64: -device virtio-rng-pci,in_order=on: Property 'virtio-rng-pci.in_order' not found"
    assert (
        said(run(f"{RNG},in_order=on", "--qemu", old), 3) == f"{path} can't be used: exit status 1; it said: {refused}"
    )
    with pytest.raises(TargetError, match=r"/env can't be used: exit status 1; it said: qemu-system-x86_64: -device"):
        make(f"{RNG},in_order=on", f"env {old}")
    done = run(RNG, "--qemu", f"env {old}")
    assert done.returncode == 0
    assert f"again: vqfuzz fuzz {RNG} --seed 1 --runs 1 --qemu {shlex.quote(f'env {old}')}\n" in done.stdout


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("exit 0", "exit status 0; is it qemu-system-x86_64?"),
        ("echo what?; exit 7", "exit status 7; it said: what?; is it qemu-system-x86_64?"),
        ("kill -SEGV $$", "killed by SIGSEGV; is it qemu-system-x86_64?"),
        (WITHOUT_QTEST, "exit status 1; it said: qemu-system-x86_64: -qtest: invalid option"),
    ],
)
def test_a_program_that_is_no_qemu(tmp_path, text, line):
    program = script(tmp_path, text)
    with pytest.raises(TargetError) as error:
        make(RNG, shlex.quote(program))
    assert str(error.value) == f"{program} can't be used: {line}"


@pytest.mark.parametrize("text", ["exec sleep 100", "sleep 100 & exec cat"])
def test_a_program_that_never_answers(tmp_path, monkeypatch, text):
    monkeypatch.setattr(machine, "START_SECONDS", 0.2)
    mark = uuid.uuid4().hex
    monkeypatch.setenv(MARK, mark)
    with pytest.raises(TargetError, match=r"can't be used: does not answer 'endianness' within 0.2 s"):
        make(RNG, shlex.quote(script(tmp_path, text)))
    assert left(mark) == []


def test_commands_that_name_no_program(tmp_path, monkeypatch):
    unusable = tmp_path / "no program"
    unusable.write_text("")
    for named in ("/no/such", str(unusable), str(tmp_path)):
        with pytest.raises(TargetError) as error:
            make(RNG, shlex.quote(named))
        assert str(error.value) == f"--qemu names {named!r}, which is no program"
    with pytest.raises(TargetError, match=r"^the command 'qemu \"x' can't be read: no closing quotation$"):
        make(RNG, 'qemu "x')
    monkeypatch.setenv("VQFUZZ_QEMU", "/no/such")
    with pytest.raises(TargetError, match=r"^VQFUZZ_QEMU names '/no/such', which is no program$"):
        make(RNG)
    monkeypatch.delenv("VQFUZZ_QEMU")
    monkeypatch.setenv("PATH", "/nonexistent")
    with pytest.raises(
        TargetError, match=r"not installed \(Debian: apt-get install qemu-system-x86\); or name it with"
    ):
        make(RNG)


def test_only_targets_in_qemu_take_qemu(run):
    assert said(run("model", "--qemu", "qemu-system-x86_64"), 2).startswith("--qemu names the QEMU of targets qemu:")


@HERE
def test_accelerators_are_tried_in_turn_and_named_if_none_is_there(tmp_path, monkeypatch):
    """Whether a QEMU has one, only starting it tells."""
    invalid = """case "$*" in *"-accel {0}"*) echo "qemu: -accel {0}: invalid accelerator {0}" >&2; exit 1;; esac\n"""
    none = script(tmp_path, "".join(map(invalid.format, ("tcg", "qtest", "kvm"))))
    with pytest.raises(TargetError, match=r"invalid accelerator kvm \(nor does it have tcg or qtest\)$"):
        make(RNG, shlex.quote(none))
    swapped = script(tmp_path, invalid.format("qtest") + 'exec qemu-system-x86_64 "$@"')
    monkeypatch.setattr(machine, "_ACCELERATORS", ("qtest", "tcg"))
    target = make(RNG, shlex.quote(swapped))
    assert target.describe()["accelerator"] == "tcg"
    target.restart()
    target.open().close()
    assert target.starts == 2
    target.close()


# --- our own end ------------------------------------------------------------------------------------------------------


@pytest.fixture
def started(tmp_path):
    """``vqfuzz fuzz`` in the background, with its QEMU running, and the mark of both."""
    mark = uuid.uuid4().hex
    process = subprocess.Popen(
        [sys.executable, "-m", "fuzz", "fuzz", RNG, "--time", "60s", "--seed", "1"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT), MARK: mark},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert process.stdout is not None
    assert "vqfuzz" in process.stdout.readline()  # the line that a run begins with: QEMU was asked what it offers
    assert len(left(mark)) == 2
    yield process, mark
    process.kill()
    process.communicate()


def gone(mark):
    """Whether all with *mark* end within seconds."""
    deadline = time.monotonic() + 5
    while left(mark) and time.monotonic() < deadline:
        time.sleep(0.01)
    return not left(mark)


@HERE
def test_qemu_dies_with_us_even_if_we_are_killed(started):
    process, mark = started
    process.kill()
    process.wait()
    assert gone(mark)


@HERE
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_run_that_is_interrupted_ends_cleanly(started, number, code, tmp_path):
    process, mark = started
    time.sleep(0.1)
    process.send_signal(number)
    out, err = process.communicate(timeout=20)
    assert (process.returncode, err.count("Traceback")) == (code, 0)
    assert left(mark) == []
    assert ("again: vqfuzz fuzz" in out) == (number == signal.SIGINT)
    assert not (tmp_path / "vqfuzz-out").exists()


# --- runs -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("qemu", QEMUS)
@pytest.mark.parametrize(
    ("words", "options"),
    [
        (f"{RNG},{RINGS}", ["--layout", "split", "--in-order", "off"]),
        (f"{RNG},{RINGS}", ["--layout", "packed", "--in-order", "off"]),
        (f"{RNG},{RINGS},vectors=0", ["--layout", "split", "--in-order", "on"]),
        (f"qemu:virtio-rng-device,{RINGS}", ["--in-order", "off"]),
    ],
    ids=["split", "packed", "one interrupt", "virtio-mmio"],
)
def test_runs_on_every_transport_conform(run, qemu, words, options):
    done = run(words, *options, *(["--qemu", qemu] if qemu else []), runs=40)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.splitlines()[-2].startswith("40 programs in ")
    assert "no violation" in done.stdout
