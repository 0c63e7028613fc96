"""``export --as python``: scripts that play the device show their find in a bare interpreter, and nothing else."""

from __future__ import annotations

import shlex
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest

from fuzz import encoding
from fuzz.report.python_script import Driver, script
from fuzz.targets.dpdk_virtio_user import VARIABLE, DpdkVirtioUser
from fuzz.targets.linux_ring import build, trees
from fuzz.targets.process import Process
from fuzz.verdict import CRASHED, Outcome
from oracles import spec
from tests.linux_kit import KICK, LATEST, TREES, needs_latest, planted

FOUND = Path(__file__).resolve().parent.parent / "corpus" / "found"
HEAD = "virtqueue-program 1\nrole device\nqueue {} 4\nfeatures version_1{}\n"
#: what is planted, and a program that shows it
PLANTED = {
    "S-AN-DRV-MUST": (KICK, "return false;", HEAD.format("split", "") + "add in:8\nkick\n"),
    "INO-SKIP-LEN": (
        "*len = vq->split.desc_state[last_used].total_in_len;",
        "*len = vq->batch_last.len;",
        HEAD.format("split", " in_order") + "add out:4 in:8\nadd in:8\nkick\nuse 2 length=3\ncall\nget 2\n",
    ),
    "S-FLAGS-KNOWN": (
        "desc[i].flags = cpu_to_virtio16(vdev, flags);",
        "desc[i].flags = cpu_to_virtio16(vdev, flags | 8);",
        HEAD.format("split", "") + "add in:8\nkick\nuse 1\nget 1\n",
    ),
    "CRASHED": (KICK, f"*(volatile int *)8 = 1; {KICK}", HEAD.format("split", "") + "add in:8\nkick\n"),
}


def run(path: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """The script in an interpreter that has nothing but its standard library."""
    return subprocess.run([sys.executable, "-I", "-S", str(path), *words], capture_output=True, text=True, check=False,
                          timeout=120)  # fmt: skip


@needs_latest
@pytest.mark.parametrize("name", sorted(path.stem for path in (FOUND / "linux-ring").glob("*.vq")))
def test_what_was_found_in_linux_shows_without_vqfuzz(cli, tmp_path: Path, name: str) -> None:
    if trees.version(TREES[LATEST]) != "7.3.4":
        pytest.skip(f"found in 7.3.4; here: {trees.version(TREES[LATEST])}")
    out = tmp_path / "find.py"
    source = FOUND / "linux-ring" / f"{name}.vq"
    done = cli("export", str(source), "--as", "python", "--target", f"linux-ring:{LATEST}", "--out", str(out))
    assert done.returncode == 0, done.stdout + done.stderr
    assert "the script shows it on Linux 7.3.4" in done.stderr
    text = out.read_text(encoding="utf-8")
    steps = encoding.dump(encoding.load(source.read_text())).splitlines()[4:]
    assert all(f"    # {step}\n    device." in text for step in steps)
    assert len(text.partition("\nHARNESS = {")[0].splitlines()) <= 350
    assert run(out).returncode == 2


@needs_latest
@pytest.mark.parametrize("rule", PLANTED)
def test_what_is_planted_shows_and_the_control_does_not(cli, tmp_path: Path, rule: str) -> None:
    old, new, program = PLANTED[rule]
    tree = planted(tmp_path, old, new)
    (tmp_path / "find.vq").write_text(program)
    out = tmp_path / "find.py"
    done = cli(
        "export", str(tmp_path / "find.vq"), "--as", "python", "--target", f"linux-ring:{tree}", "--out", str(out)
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "the script shows it" in done.stderr  # it was run, as here
    assert rule == "CRASHED" or rule in out.read_text(encoding="utf-8")
    control = run(out, str(TREES[LATEST]))
    assert control.returncode == 0, control.stdout + control.stderr
    assert control.stdout.splitlines()[-1].startswith("RIGHT: ")


@needs_latest
def test_what_is_found_on_another_queue_shows_there(cli, tmp_path: Path) -> None:
    if trees.version(TREES[LATEST]) != "7.3.4":
        pytest.skip(f"found in 7.3.4; here: {trees.version(TREES[LATEST])}")
    steps = "add in:4\nadd in:1 queue=1\nadd in:1 queue=1\nuse 2 queue=1\nget 1 queue=1\ncallbacks on queue=1\n"
    head = HEAD.format("packed", " in_order").replace("queue packed 4\n", "queue packed 4\n" * 2)
    (tmp_path / "find.vq").write_text(head + steps)
    out = tmp_path / "find.py"
    done = cli(
        "export", str(tmp_path / "find.vq"), "--as", "python", "--target", f"linux-ring:{LATEST}", "--out", str(out)
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "the script shows it" in done.stderr
    text = out.read_text(encoding="utf-8")
    assert "    device.add([], [4])\n" in text
    assert "    queue1.use(2)\n" in text
    control = tmp_path / "control.py"
    control.write_text(text.replace("queue1.use(2)", "queue1.use(2, singly=True)"))
    assert run(control, str(TREES[LATEST])).returncode == 0


@pytest.mark.target("dpdk-testpmd")
def test_a_driver_that_connects_is_served_without_vqfuzz(cli, tmp_path: Path) -> None:
    out = tmp_path / "find.py"
    source = FOUND / "dpdk-virtio-user" / "batch-received-packed.vq"
    done = cli("export", str(source), "--as", "python", "--target", "dpdk-virtio-user:rx", "--out", str(out))
    assert done.returncode == 0, done.stdout + done.stderr
    assert "the script shows it" in done.stderr
    control = tmp_path / "control.py"  # a used descriptor for each buffer
    control.write_text(out.read_text().replace("device.use(4)", "device.use(4, singly=True)").replace(
        "device.use(64)", "device.use(64, singly=True)"))  # fmt: skip
    assert run(control).returncode == 0


def forwarded(cli, tmp_path: Path, name: str) -> Path:
    """The script of a find on two queues, between which the driver forwards; its control was right."""
    out = tmp_path / "find.py"
    source = FOUND / "dpdk-virtio-user" / f"{name}.vq"
    done = cli("export", str(source), "--as", "python", "--target", "dpdk-virtio-user", "--out", str(out))
    if "nothing to export" in done.stderr:
        pytest.skip(f"found in 22.11.11 and 25.11.4; here: {done.stderr}")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "the script shows it" in done.stderr
    text = out.read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 370
    control = tmp_path / "control.py"
    control.write_text(text.replace("device.use(2", "device.use(2, singly=True"))
    ended = run(control)
    assert (ended.returncode, ended.stdout[:7]) == (0, "RIGHT: "), ended.stdout + ended.stderr
    return out


@pytest.mark.target("dpdk-testpmd")
@pytest.mark.parametrize("name", ["batch-lost-packed", "batch-lost-split", "skipped-place-split"])
def test_what_a_driver_forwards_shows_in_what_it_sends(cli, tmp_path: Path, name: str) -> None:
    forwarded(cli, tmp_path, name)


@pytest.mark.target("sid:dpdk-dev")
def test_the_newer_dpdk_is_served_too_and_one_that_somebody_else_starts(
    cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = Path(__file__).resolve().parent.parent / "scripts" / "sid-run"
    monkeypatch.setenv(VARIABLE, shlex.join([sys.executable, str(script), "/usr/bin/dpdk-testpmd"]))
    out = forwarded(cli, tmp_path, "batch-lost-packed")
    with tempfile.TemporaryDirectory(prefix="vqfuzz-test-") as folder:
        path = Path(folder, "socket")
        served = subprocess.Popen([sys.executable, "-I", "-S", str(out), str(path)], stdout=subprocess.PIPE, text=True)
        while not path.exists() and served.poll() is None:
            time.sleep(0.01)
        words = DpdkVirtioUser().words_for(spec.VERSION_1 | spec.IN_ORDER | spec.RING_PACKED, 16, str(path))
        testpmd = Process(words, {"RUNTIME_DIRECTORY": "{folder}"})
        try:
            testpmd.start()
            said, _ = served.communicate(timeout=60)
        finally:
            served.kill()
            testpmd.end(0.0)
            testpmd.close()
    assert (served.returncode, "WRONG: the driver handed up (buffer, length) (1, " in said) == (1, True), said


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("in_order/full-ring.vq", "model"), "is about a device: --as python is for finds on drivers"),
        (("driver/youngest-first.vq", "model-driver:a44"), "model-driver:a44 can't do without vqfuzz"),
    ],
)
def test_what_can_not_be_had_is_one_line(cli, words: tuple[str, str], said: str) -> None:
    done = cli("export", str(FOUND.parent / words[0]), "--as", "python", "--target", words[1])
    assert done.returncode == 2
    assert said in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


def test_what_breaks_rules_of_devices_becomes_no_script(cli, tmp_path: Path) -> None:
    (tmp_path / "x.vq").write_text(HEAD.format("split", "") + "add in:8\nmisuse id=9\n")
    done = cli("export", str(tmp_path / "x.vq"), "--as", "python", "--target", "linux-ring:7.3")
    assert (done.returncode, "breaks rules of devices" in done.stderr) == (2, True)


def test_every_step_becomes_a_call_and_the_script_is_python() -> None:
    steps = ("add out:16 in:512\nkick\nuse 3 length=2 reversed singly junk\nsuppress event ahead=2\nget 2 asleep\n"
             "callbacks delayed\ncall force\nreset\nqueue-reset size=4\nrestart\n")  # fmt: skip
    for layout in ("split", "packed"):
        program = encoding.load(HEAD.format(layout, " in_order") + steps)
        values = {"memory": 1, "rings": 1, "address": 1, "patience": 1, "flags": build.flags(), "kernel": []}
        driver = Driver("linux", "nothing", (("TREE", "a tree"),), values, sources={"a.c": 'x = "\\n";\n'})
        text = script(program, Outcome(CRASHED, reason="it died", reached=len(program.steps)), driver)
        compile(text, "find.py", "exec")
        assert "    device.use(3, length=2, order='reversed', singly=True, junk=True)\n" in text
        assert "    device.queue_reset(4)\n" in text
