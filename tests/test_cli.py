"""The command as its users meet it: exit codes, one clear line for bad input, and what it prints."""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
SNAPSHOTS = Path(__file__).with_name("snapshots")
PROGRAM = "virtqueue-program 1\nqueue split 4\nfeatures version_1\nsupply in:8\nnotify\nreceive 1\n"


def normal(text: str) -> str:
    """Without what differs from run to run: times, rates, hashes, versions."""
    text = re.sub(r"\d+ min \d\d s|\d+(\.\d+)? s\b", "TIME", text)
    text = re.sub(r"\d+/s", "RATE", text)
    text = re.sub(r", program \d+\b", ", program N", text)
    text = re.sub(r"shrunk \d+ (→ \d+ steps?) \(\d+ executions?", r"shrunk N \1 (N executions", text)
    text = re.sub(r"^\d+ programs? in|\d+ buffers? used|\d+ of \d+ rules exercised", "N", text, flags=re.MULTILINE)
    text = re.sub(r"^warning .*\n", "", text, flags=re.MULTILINE)
    text = re.sub(r"(again: .* --runs) \d+", r"\1 N", text)
    text = re.sub(r"-[0-9a-f]{8}\b", "-HASH", text)
    text = re.sub(r"vqfuzz \d+\.\d+\S*", "vqfuzz VERSION", text)
    return re.sub(r"[ \t]+$", "", text, flags=re.MULTILINE)


def same_as_snapshot(name: str, text: str) -> None:
    """Compare with tests/snapshots/NAME; VQFUZZ_SNAPSHOTS=write writes it anew."""
    path = SNAPSHOTS / name
    text = normal(text)
    if os.environ.get("VQFUZZ_SNAPSHOTS") == "write":
        SNAPSHOTS.mkdir(exist_ok=True)
        path.write_text(text, encoding="utf-8")
    assert text == path.read_text(encoding="utf-8"), f"VQFUZZ_SNAPSHOTS=write pytest {Path(__file__).name} renews it"


# --- what it prints ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "arguments", "code"),
    [
        ("help.txt", ["--help"], 0),
        ("help_fuzz.txt", ["fuzz", "--help"], 0),
        ("rules_ino_order.txt", ["rules", "INO-ORDER"], 0),
        ("targets_model.txt", ["probe", "model"], 0),
        ("fuzz_a05.txt", ["fuzz", "model:a05", "--seed", "1"], 1),
        ("fuzz_a13.txt", ["fuzz", "model:a13", "--seed", "1", "--layout", "packed"], 1),
        ("fuzz_clean.txt", ["fuzz", "model", "--seed", "1", "--runs", "20"], 0),
    ],
)
def test_output_is_as_it_was(cli, name, arguments, code):
    done = cli(*arguments)
    assert done.returncode == code, done.stderr
    assert "\x1b" not in done.stdout
    same_as_snapshot(name, done.stdout)


def test_main_job_in_acceptance_form(cli, tmp_path):
    done = cli("fuzz", "model:a05", "--seed", "1")
    lines = done.stdout.splitlines()
    assert done.returncode == 1
    assert "seed 1" in lines[0]
    assert lines[-1].startswith("again: vqfuzz fuzz model:a05 --seed 1 --runs ")
    assert "INO-ORDER" in done.stdout
    assert "VIRTIO 1.4, 6.2" in done.stdout
    [folder] = (tmp_path / "vqfuzz-out").iterdir()
    meta = json.loads((folder / "find.json").read_text())
    assert meta["shrunk"]["after"] <= 4
    assert meta["runs"] == {"again": 20, "of": 20}
    assert meta["seed"] == 1
    report = (folder / "report.txt").read_text()
    assert report.strip() in done.stdout
    assert len(report.splitlines()) <= 45
    assert max(map(len, report.splitlines())) <= 100


def test_last_line_repeats_the_run(cli, tmp_path):
    first = cli("fuzz", "model:a20", "--time", "20s")
    again = first.stdout.splitlines()[-1].removeprefix("again: vqfuzz ").split()
    second = cli(*again)
    assert first.returncode == second.returncode == 1
    assert normal(first.stdout) == normal(second.stdout)


def test_without_a_seed_each_run_has_another(cli):
    seeds = {cli("fuzz", "model", "--runs", "1").stdout.splitlines()[0] for _ in range(2)}
    assert len(seeds) == 2


def test_continue_folds_what_is_the_same(cli, tmp_path):
    done = cli("fuzz", "model:canary", "--seed", "1", "--runs", "60", "--continue", "--layout", "split")
    assert done.returncode == 1
    assert re.search(r"also seen \d\d more times", done.stdout)
    minimal = [path.read_text() for path in (tmp_path / "vqfuzz-out").glob("*/minimal.vq")]
    rules = [json.loads(path.read_text())["rule"] for path in (tmp_path / "vqfuzz-out").glob("*/find.json")]
    assert len(set(zip(rules, minimal, strict=True))) == len(minimal) <= 4


def test_status_lines_when_not_a_terminal():
    from fuzz.status import SELDOM, Status

    class Stream:
        text = ""

        def isatty(self):
            return False

        def write(self, text):
            self.text += text

        def flush(self):
            pass

    stream = Stream()
    status = Status(stream)  # type: ignore[arg-type]  # as much of a stream as it needs
    status.show("too early")
    status._last -= SELDOM
    status.show("3 programs")
    status.show("4 programs")
    status.clear()
    assert stream.text == "3 programs\n"


def test_status_line_is_rewritten_on_a_terminal():
    import pty

    child, terminal = pty.openpty()
    command = [sys.executable, "-m", "fuzz", "fuzz", "model", "--seed", "1", "--time", "4s"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, stderr=terminal, capture_output=False, stdout=subprocess.PIPE, env=environment,
                          cwd=ROOT, timeout=60, check=False)  # fmt: skip
    os.close(terminal)
    shown = os.read(child, 65536).decode()
    os.close(child)
    assert done.returncode == 0
    assert shown.count("\r\x1b[K") >= 3
    assert "chains/s" in shown
    assert b"\x1b" not in done.stdout


def test_ctrl_c_ends_cleanly_with_what_was_found(tmp_path):
    command = [sys.executable, "-m", "fuzz", "fuzz", "model:canary", "--seed", "1", "--time", "60s", "--continue"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"}
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment,
                          cwd=tmp_path) as child:  # fmt: skip
        deadline = time.monotonic() + 30
        while not list(tmp_path.glob("vqfuzz-out/*/report.txt")) and time.monotonic() < deadline:
            time.sleep(0.02)
        time.sleep(0.2)
        child.send_signal(signal.SIGINT)
        out, err = child.communicate(timeout=30)
    assert child.returncode == 130
    assert "Traceback" not in err
    assert "interrupted" in out
    assert out.splitlines()[-1].startswith("again: vqfuzz fuzz model:canary --seed 1")
    for folder in (tmp_path / "vqfuzz-out").iterdir():
        assert not folder.name.startswith("."), "a half-written find"
        json.loads((folder / "find.json").read_text())


def test_help_is_quick():
    command = [sys.executable, "-X", "importtime", "-m", "fuzz", "--help"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, timeout=30, check=True)
    imported = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
    heavy = {"rich", "jinja2", "scapy", "hypothesis", "fuzz.generate", "fuzz.driver_side", "oracles.oracle", "asyncio"}
    assert not imported & heavy


# --- bad input: one line each, the right exit code, no traceback ------------------------------------------------------


BAD = [
    (["fuzz", "moddel"], 2, "nearest is 'model'"),
    (["fuzz", "model:a99"], 2, "no fault 'a99'"),
    (["fuzz", "qemu-storage-demon"], 2, "nearest is 'qemu-storage-daemon'"),
    (["fuzz", ""], 2, "no target is called ''"),
    (["fuzz", "vhost-user:/nowhere/socket"], 3, "nobody listens"),
    (["fuzz", "vhost-user:"], 3, "lacks the path"),
    (["fuzz", "exec:true"], 3, "{socket}"),
    (["fuzz", "exec:/nowhere/program {socket}"], 3, "/nowhere/program"),
    (["fuzz", "exec:true {socket}"], 3, "true"),
    (["fuzz", "model", "--runs", "0"], 2, "--runs"),
    (["fuzz", "model", "--runs", "many"], 2, "many"),
    (["fuzz", "model", "--seed", "-1"], 2, "--seed"),
    (["fuzz", "model", "--time", "soon"], 2, "90s, 10m"),
    (["fuzz", "model", "--time", "0"], 2, "90s, 10m"),
    (["fuzz", "model", "--layout", "square"], 2, "square"),
    (["fuzz", "model", "--out", "file.vq/finds", "--runs", "1"], 3, "--out"),
    (["fuzz"], 2, "TARGET"),
    (["fuz", "model"], 2, "nearest is 'fuzz'"),
    (["--colour"], 2, "--colour"),
    (["replay", "nowhere.vq"], 2, "nowhere.vq"),
    (["replay", "empty"], 2, "no program"),
    (["replay", "file.vq"], 2, "--target"),
    (["replay", "broken.vq", "--target", "model"], 2, "broken.vq:4:"),
    (["replay", "binary.vq", "--target", "model"], 2, "not text"),
    (["replay", "file.vq", "--target", "nothing"], 2, "nothing"),
    (["replay", "find"], 2, "find.json"),
    (["shrink", "nowhere.vq"], 2, "nowhere.vq"),
    (["explain", "empty"], 2, "empty"),
    (["judge", "nowhere.vqtrace"], 2, "nowhere.vqtrace"),
    (["judge", "file.vq"], 2, "file.vq:1: not a trace"),
    (["judge", "broken.vqtrace"], 2, "broken.vqtrace:2:"),
    (["rules", "INO-ODER"], 2, "closest is INO-ORDER"),
    (["rules", "9.9"], 2, "section 9.9"),
    (["rules", "a", "b", "c"], 2, "neither"),
    (["probe", "vhost-user:/nowhere/socket"], 3, "nobody listens"),
]


@pytest.mark.parametrize(("arguments", "code", "word"), BAD, ids=[" ".join(arguments) for arguments, _, _ in BAD])
def test_bad_input(tmp_path, monkeypatch, capfd, arguments, code, word):
    """In this process, for speed; the last resort of main() would show as «itself failed»."""
    from fuzz.__main__ import main

    monkeypatch.setattr(sys, "argv", ["vqfuzz", *arguments])
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("VQFUZZ_OUT", raising=False)
    Path("file.vq").write_text(PROGRAM)
    Path("broken.vq").write_text(PROGRAM.replace("supply in:8", "supply in:eight"))
    Path("binary.vq").write_bytes(b"\xff\xfe\0")
    Path("broken.vqtrace").write_text("vqtrace 1\n0 nonsense\n")
    Path("empty").mkdir()
    Path("find").mkdir()
    Path("find/program.vq").write_text(PROGRAM)
    Path("find/find.json").write_text("{")
    handler = signal.getsignal(signal.SIGTERM)
    try:
        assert main() == code
    finally:
        signal.signal(signal.SIGTERM, handler)
    out, err = capfd.readouterr()
    assert err.startswith("vqfuzz: ")
    assert err.count("\n") == 1, err
    assert word in err
    assert "Traceback" not in out + err
    assert "itself failed" not in err


def test_in_order_that_is_not_offered_names_what_is():
    from fuzz.campaign import narrow
    from fuzz.program import Limits
    from fuzz.targets import Offer, TargetError
    from oracles import spec

    class Target:
        name = "old"
        limits = Limits()

    offer = Offer(spec.VERSION_1 | spec.EVENT_IDX, 1)
    with pytest.raises(TargetError, match="does not offer in_order; it offers: event_idx version_1"):
        narrow(Target(), offer, None, "on")  # type: ignore[arg-type]  # as much of a target as it needs
    with pytest.raises(TargetError, match="no packed virtqueues"):
        narrow(Target(), offer, "packed", None)  # type: ignore[arg-type]  # see above
    limits, notes = narrow(Target(), offer, "both", "both")  # type: ignore[arg-type]  # see above
    assert limits.layouts == ("split",)
    assert limits.in_order == (False,)
    assert limits.features == spec.EVENT_IDX
    assert [note.partition(":")[0] for note in notes] == ["only split virtqueues", "only without in_order"]


def test_a_defect_of_ours_is_one_line_and_keeps_the_program(cli, tmp_path):
    hook = "import fuzz.driver_side as d\ndef run(*a, **k): raise ZeroDivisionError('ours')\nd.run = run\n"
    code = (
        hook
        + "import sys\nfrom fuzz.__main__ import main\n"
        + "sys.argv[1:] = 'fuzz model --seed 1 --runs 5'.split()\nsys.exit(main())"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path,
                          env=environment, timeout=60, check=False)  # fmt: skip
    assert done.returncode == 3
    assert "vqfuzz itself failed on this program: ZeroDivisionError: ours; please report it" in done.stdout
    assert "Traceback" not in done.stdout + done.stderr
    [folder] = (tmp_path / "vqfuzz-out").iterdir()
    assert (folder / "program.vq").read_text().startswith("virtqueue-program 1\n")
    assert "ZeroDivisionError" in json.loads((folder / "find.json").read_text())["traceback"]


def test_output_that_nobody_reads_any_more(cli):
    command = f"{shlex.quote(sys.executable)} -m fuzz rules | head -1"
    done = subprocess.run(["sh", "-c", command], capture_output=True, text=True, cwd=ROOT, timeout=30, check=True)
    assert done.stderr == ""
    assert done.stdout.startswith("rule")
