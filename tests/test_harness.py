"""The harnesses for libFuzzer: each runs, each finds what is planted, and ClusterFuzz can tell the finds apart."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import traceback
from pathlib import Path

import pytest

pytest.importorskip("atheris", reason="atheris is not installed")

from fuzz import encoding, finds
from fuzz.fitting import fit
from fuzz.generate import nth
from fuzz.harness import NAMES, start, texts
from fuzz.harness.lines import Lines
from fuzz.harness.programs import Programs, decode, encode
from fuzz.harness.raising import Broken, Found, harmless, identifier, report
from fuzz.harness.seeds import seeds
from fuzz.harness.serving import limits_from_json, limits_to_json
from fuzz.program import Limits
from fuzz.targets.model import Model
from fuzz.targets.model_driver import ModelDriver

ROOT = Path(__file__).resolve().parent.parent
PARSERS = ("program_text", "program_bytes", "trace", "vhost_user_messages", "report_inputs")
MODELS = ("model_split", "model_packed", "driver_split", "driver_packed")


def run(name: str, *flags: str, code: str = "", **variables: str) -> subprocess.CompletedProcess[str]:
    """The harness as a process; *code* is run before it."""
    script = f"{code}\nimport runpy\nrunpy.run_module('fuzz.harness.{name}', run_name='__main__', alter_sys=True)"
    command = [sys.executable, "-c", script] if code else [sys.executable, "-m", f"fuzz.harness.{name}"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), **variables}
    return subprocess.run([*command, *flags], capture_output=True, text=True, env=environment, check=False, timeout=100,
                          stdin=subprocess.DEVNULL)  # fmt: skip


def corpus(name: str, folder: Path, most: int = 40) -> Path:
    """Seeds of a harness in *folder*."""
    folder.mkdir()
    for label, data in list(seeds(name))[:most]:
        (folder / label.replace("/", "-")).write_bytes(data)
    return folder


# --- each of them runs ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [*MODELS, *PARSERS])
def test_some_hundred_inputs_find_nothing(name, tmp_path):
    count = 150 if name in MODELS else 400
    done = run(
        name, "-seed=1", f"-runs={count}", f"-artifact_prefix={tmp_path}/", str(corpus(name, tmp_path / "seeds"))
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert f"Done {count} runs" in done.stderr
    reached = re.findall(r"cov: (\d+)", done.stderr)
    assert int(reached[-1]) > 15  # the functions that are named there are instrumented


def test_the_entries_are_those_that_are_named():
    found = {path.stem for path in (ROOT / "fuzz/harness").glob("*.py") if "\ndef TestOneInput" in path.read_text()}
    assert found == set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_entries_can_have_lines_put_before_them(name):
    """OSS-Fuzz puts a stub before the first line, and leaves paths with the library's name out of its reports."""
    text = (ROOT / f"fuzz/harness/{name}.py").read_text()
    assert "from __future__" not in text
    compile("import sys\nprint(sys.argv)\n" + text, name, "exec")
    assert "atheris" not in name
    assert not [path for path in (ROOT / "fuzz").rglob("*atheris*") if "__pycache__" not in path.parts]


@pytest.mark.parametrize("name", NAMES)
def test_every_harness_has_seeds(name):
    given = dict(seeds(name))
    assert len(given) >= 3
    assert all(given.values())


@pytest.mark.parametrize("name", MODELS)
def test_seeds_of_models_are_programs_of_their_kind(name):
    side, layout = name.split("_")
    for _, data in seeds(name):
        program = encoding.load(data.decode())
        assert (program.layout, program.role == "device") == (layout, side == "driver")


def test_nothing_heavy_is_imported():
    code = "import sys, fuzz.harness.model_split, fuzz.harness.driver_split, fuzz.harness.trace, fuzz.harness.serving"
    done = subprocess.run([sys.executable, "-c", f"{code}; print(*sys.modules)"], capture_output=True, text=True,
                          check=True, cwd=ROOT)  # fmt: skip
    assert not {"scapy", "jinja2", "hypothesis", "atheris", "click"} & set(done.stdout.split())


def test_what_starts_itself_again_must_be_a_program(tmp_path):
    done = run("trace", "-merge=1", str(tmp_path), str(tmp_path))
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1
    assert "scripts/harness-run" in done.stderr


def test_without_the_library_one_line_says_how_to_get_it():
    done = run("trace", "-runs=1", code="import sys; sys.modules['atheris'] = None")
    assert done.returncode == 3
    assert done.stderr.splitlines() == [f"vqfuzz: {start.MISSING}"]


def test_remote_without_a_target_says_so():
    done = run("remote", "-runs=1", VQFUZZ_REMOTE="")
    assert done.returncode == 2
    assert "VQFUZZ_REMOTE" in done.stderr
    done = run("remote", "-runs=1", VQFUZZ_REMOTE="no-such-target")
    assert done.returncode == 3
    assert len(done.stderr.splitlines()) == 1


def test_remote_fuzzes_a_target_over_a_socket():
    done = run("remote", "-runs=20", "-seed=1", VQFUZZ_REMOTE="model-vhost-user")
    assert done.returncode == 0, done.stderr[-3000:]
    assert "Done 20 runs" in done.stderr


# --- each of them finds what is planted -------------------------------------------------------------------------------

FAULTS = {
    "model_split": ("model", "a05"),
    "model_packed": ("model", "a13"),
    "driver_split": ("model-driver", "a37"),
    "driver_packed": ("model-driver", "a34"),
}


def frames(said: str) -> list[str]:
    """The functions on the stack that was printed, the innermost first."""
    return re.findall(r'^ *File ".*", line \d+, in (\S+)$', said, re.M)[::-1]


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_is_found_and_told(name, tmp_path):
    words, fault = FAULTS[name]
    kind = ("fuzz.targets.model", "Model") if words == "model" else ("fuzz.targets.model_driver", "ModelDriver")
    code = f"import fuzz.registry\nfrom {kind[0]} import {kind[1]}\n"
    code += f"fuzz.registry.make = lambda words, qemu='': {kind[1]}({fault!r})"
    done = run(
        name, "-seed=1", "-runs=3000", f"-artifact_prefix={tmp_path}/", code=code, VQFUZZ_OUT=str(tmp_path / "out")
    )
    assert done.returncode != 0
    stack = frames(done.stdout)  # where the library prints it
    assert stack[1:3] == ["report", "TestOneInput"]
    assert (done.stdout + done.stderr).count("Traceback (most recent call last)") == 1
    found = next((tmp_path / "out").iterdir())
    assert stack[0] == identifier(finds.load(found).meta["rule"])
    assert {"program.vq", "minimal.vq", "minimal.vqtrace", "report.txt"} <= {path.name for path in found.iterdir()}
    artifact = next(tmp_path.glob("crash-*")).read_bytes()
    target = Model(fault) if words == "model" else ModelDriver(fault)
    assert decode(artifact, target.limits).layout == name.split("_")[1]
    assert (found / "report.txt").read_text().splitlines()[0] in done.stderr
    assert not frames(done.stderr)


#: By parser: code that breaks it.
BROKEN = {
    "program_text": "import fuzz.encoding as e\nold = e.dump\ne.dump = lambda p: old(p).replace(' held', '')",
    "program_bytes": "import fuzz.encoding as e\nold = e.dump\ne.dump = lambda p: old(p).replace('force', 'forced')",
    "trace": "import oracles.trace as t\nold = t._dump_value\n"
    "t._dump_value = lambda name, value: old(name, not value if isinstance(value, bool) else value)",
    "vhost_user_messages": "import fuzz.targets.vhost_user.frontend as f\nf._LARGEST_REPLY = None",
    "report_inputs": "import fuzz.baseline as b\nb._FIELDS = ('rule',)\nb.tomllib.TOMLDecodeError = KeyError",
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_reader_is_found(name, tmp_path):
    folder = corpus(name, tmp_path / "seeds", 400)
    done = run(name, "-seed=1", "-runs=4000", f"-artifact_prefix={tmp_path}/", str(folder), code=BROKEN[name])
    assert done.returncode != 0
    assert "Uncaught Python exception" in done.stderr or "Uncaught Python exception" in done.stdout


# --- how a find leaves ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("rule", ["INO-ORDER", "VQ-INO-001", "CRASHED", "another_when_read"])
def test_the_innermost_function_is_called_as_the_rule(rule, capsys):
    with pytest.raises(Broken) as caught:
        report(Found(rule, "one\nline", "for people"))
    stack = [frame.name for frame in traceback.extract_tb(caught.value.__traceback__)]
    assert stack[-2:] == ["report", identifier(rule)]
    assert str(caught.value) == "one line"
    assert capsys.readouterr().err == "for people\n"


def test_reports_have_nothing_that_looks_like_a_stack():
    text = 'File "x.py", line 3, in f\n==========\n==1== ERROR: libFuzzer'
    told = harmless(text)
    assert not frames(told)
    assert "====" not in told
    assert "== ERROR: " not in told


# --- inputs -----------------------------------------------------------------------------------------------------------


def test_text_is_read_and_anything_else_chooses():
    limits = ModelDriver.limits
    program = nth(1, 4, limits)
    assert decode(encoding.dump(program).encode(), limits) == fit(program, limits)
    assert decode(b"\0\1\2", limits) == encoding.from_bytes(b"\0\1\2", limits)
    for broken in (b"virtqueue-program 1\nqueue split 7\nadd in:1\n\xff", b"virtqueue-program", b""):
        assert decode(broken, limits).role == "device"


def test_what_is_too_long_loses_steps():
    program = nth(1, 4, Model.limits)
    whole = encode(program, 1 << 16)
    assert encoding.load(whole.decode()) == program
    half = encode(program, len(whole) // 2)
    assert 0 < len(half) <= len(whole) // 2
    assert encoding.load(half.decode()).queues == program.queues
    assert encode(program, 10) == b""


@pytest.mark.parametrize("words", ["model", "model-driver"])
def test_mutated_inputs_are_programs_in_as_many_bytes_as_allowed(words):
    programs = Programs(words)
    data = b"\n"
    for seed in range(60):
        data = programs.mutate(data, 2000, seed)
        assert len(data) <= 2000
        program = encoding.load(data.decode())
        assert fit(program, programs.limits) == program
        assert programs.mutate(data, 2000, seed) == programs.mutate(data, 2000, seed)
        crossed = programs.cross(data, programs.mutate(data, 900, seed), 1500, seed)
        assert len(crossed) <= 1500
        encoding.load(crossed.decode())


def test_limits_survive_json():
    for limits in (Limits(), Model.limits, ModelDriver.limits, Limits(uncut=frozenset({1}), hints=(("capacity", 9),))):
        assert limits_from_json(limits_to_json(limits)) == limits


# --- readers, in this process -----------------------------------------------------------------------------------------

READERS = {
    "program_text": texts.program_text,
    "program_bytes": texts.program_bytes,
    "trace": texts.trace_text,
    "vhost_user_messages": texts.vhost_user_messages,
    "report_inputs": texts.report_inputs,
}


@pytest.mark.parametrize("name", READERS)
def test_seeds_keep_every_property(name):
    for label, data in seeds(name):
        assert READERS[name](data) is None, label


@pytest.mark.parametrize(
    "text",
    [
        "virtqueue-program 1\nqueue packed 2\nqueue packed 2\nrole device\nadd in:1\n",  # two queues, then a role
        "virtqueue-program 1\n# nothing else\n",
        "",
        "virtqueue-program 1\nqueue split 4\nsupply out:1\x00\n",
    ],
)
def test_texts_that_once_broke_a_property(text):
    assert texts.program_text(text.encode()) is None


def test_a_target_that_counts_is_told_of_to_libfuzzer(monkeypatch):
    """What registers its counters is tested where it stands; here, that it is asked around each run."""
    said: list[str] = []

    class Registered:
        def begin(self) -> None:
            said.append("begin")

        def replay(self) -> None:
            said.append("replay")

    monkeypatch.setattr(
        "fuzz.harness.programs.register", lambda target: Registered() if target.name == "model" else None
    )
    programs = Programs("model")
    assert programs.counted()
    assert programs.look(b"x") is None
    assert said == ["begin", "replay"]
    assert not Programs("model-driver").counted()


@pytest.mark.parametrize("name", ["program_text", "trace", "report_inputs"])
def test_lines_are_changed_within_their_size_and_come_back_the_same(name):
    lines = Lines(name)
    data = next(data for _, data in seeds(name))
    made = set()
    for seed in range(200):
        other = lines.mutate(data, 3000, seed)
        assert len(other) <= 3000
        assert other == lines.mutate(data, 3000, seed)
        assert len(lines.cross(data, other, 100, seed)) <= 100
        made.add(other)
    assert len(made) > 150
    assert lines.mutate(b"", 10, 1) is not None
    lines.bytewise = lambda data, most: b"by bytes"
    assert 50 < sum(lines.mutate(data, 100, seed) == b"by bytes" for seed in range(200)) < 150


def test_states_are_counters_of_libfuzzer():
    """Nothing but the entry is instrumented, and still there is something to be reached."""
    code = (
        "import atheris\nfrom fuzz.harness import start\nbank = start.Bank(64)\n"
        "def TestOneInput(data):\n    bank.reach([data[0] % 16 if data else 16])\n"
        "start.start(TestOneInput, ())\n"
    )
    command = [sys.executable, "-c", code, "-runs=2000", "-seed=1"]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT, timeout=60)
    assert int(re.findall(r"cov: (\d+)", done.stderr)[-1]) > 10
