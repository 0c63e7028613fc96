"""The runtime that targets link: built by gcc, clang and rustc, it counts into shared memory, or does nothing."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from fuzz.coverage import build
from fuzz.targets.counters import VARIABLE, PlainCounters, SharedCounters, hits_in
from fuzz.targets.process import death_signal
from tests.coverage_kit import needs_gcc

CODE = r"""
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>
int main(int count, char **words)
{
	long number = atol(words[1]), times = count > 2 ? atol(words[2]) : 0, i;

	if (number == 123456789012L)
		puts("hit");
	if ((unsigned char)number == 0x42)
		puts("byte");
	switch (number) {
	case 77: puts("77"); break;
	case 5000: puts("5000"); break;
	case 70000: puts("70000"); break;
	case 90000: puts("90000"); break;
	case 100: puts("100"); break;
	}
	for (i = 0; i < times; i++)
		if (fork() == 0)
			_exit(number == 3);
		else
			wait(NULL);
	return 0;
}
"""
RUST = """
fn main() {
    let x: u64 = std::env::args().nth(1).unwrap().parse().unwrap();
    println!("{}", if x == 123456789012 { "hit" } else { "no" });
}
"""
ROOT = Path(__file__).resolve().parent.parent
CLANG = next((name for name in ("clang", "clang-14", "clang-19") if shutil.which(name)), "")
needs_clang = pytest.mark.skipif(not CLANG, reason="clang is not installed")
BUILDS = [
    pytest.param("gcc", "", id="gcc", marks=needs_gcc),
    pytest.param("gcc", "-fPIE -pie", id="gcc-pie", marks=needs_gcc),
    pytest.param("gcc", "-fsanitize=address,undefined", id="gcc-asan", marks=needs_gcc),
    pytest.param(CLANG, "", id="clang-guards", marks=needs_clang),
    pytest.param(CLANG, "-fsanitize-coverage=inline-8bit-counters,pc-table,trace-cmp", id="clang-8bit",
                 marks=needs_clang),
]  # fmt: skip


def compiled(folder, compiler, more, source=CODE):
    """The program; *more* flags, of which those of coverage stand instead of the usual ones."""
    file, program = folder / "x.c", folder / "x"
    file.write_text(source)
    flags = more.split() if "coverage" in more else [*build.cflags(compiler).split(), *more.split()]
    command = [compiler, *flags, "-O1", "-w", str(file), build.ldflags(compiler), "-o", str(program)]
    subprocess.run(command, check=True)
    return program


class Ran:
    """*program* with *words*, counting into *counters*."""

    def __init__(self, program: Path, counters: SharedCounters, *words: str, value: str = "") -> None:
        counters.clear()
        environment = {**os.environ, VARIABLE: value or f"fd:{counters.descriptor}"}
        self.done = subprocess.run([program, *words], env=environment, pass_fds=[counters.descriptor],
                                   capture_output=True, text=True, check=True)  # fmt: skip
        self.hits = dict(counters.hits())
        self.compared = {(one.left, one.right, one.size, one.constant) for one in counters.compared()}


@pytest.fixture
def counters():
    made = SharedCounters()
    made.wanted = True
    yield made
    made.close()


@pytest.mark.parametrize(("compiler", "more"), BUILDS)
def test_each_way_of_instrumenting_counts_and_compares(compiler, more, counters, tmp_path):
    program = compiled(tmp_path, compiler, more)
    assert not counters.attached
    five = Ran(program, counters, "5")
    assert counters.attached
    assert five.hits
    assert (5, 123456789012, 8, True) in five.compared
    assert {(5, 77, 8, True), (5, 70000, 8, True)} <= five.compared  # each case of a switch
    assert Ran(program, counters, "5").hits == five.hits  # wherever it was loaded
    hit = Ran(program, counters, "123456789012")
    assert hit.done.stdout == "hit\n"
    assert set(hit.hits) - set(five.hits)
    assert not any(left == right for left, right, _, _ in hit.compared)
    assert set(Ran(program, counters, "77").hits) - set(five.hits)


@needs_gcc
def test_counts_of_forked_children_are_counted_and_stop_at_255(counters, tmp_path):
    program = compiled(tmp_path, "gcc", "")
    once, often = Ran(program, counters, "9", "1").hits, Ran(program, counters, "9", "300").hits
    assert set(once) <= set(often)
    assert max(once.values()) == 1 or max(once.values()) == 2
    assert max(often.values()) == 255


@needs_gcc
@pytest.mark.parametrize("value", ["", "fd:", "fd:9x", "fd:99", "/nonexistent", "/dev/null", "{text}"])
def test_without_a_memory_file_nothing_is_done(value, counters, tmp_path):
    program = compiled(tmp_path, "gcc", "")
    text = tmp_path / "text"
    text.write_bytes(b"no counters" * 1000)
    before = text.read_bytes()
    environment = {**os.environ, VARIABLE: value.replace("{text}", str(text))}
    if not value:
        del environment[VARIABLE]
    done = subprocess.run([program, "77"], env=environment, capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("77\n", "")
    assert text.read_bytes() == before
    assert not counters.attached


@needs_gcc
def test_the_memory_may_be_named_by_its_path(counters, tmp_path):
    program = compiled(tmp_path, "gcc", "")
    path = f"/proc/{os.getpid()}/fd/{counters.descriptor}"
    assert Ran(program, counters, "5", value=path).hits == Ran(program, counters, "5").hits


@needs_gcc
def test_comparisons_are_logged_anew_after_each_clearing(counters, tmp_path):
    loop = "#include <unistd.h>\nint main(void){long x;while(read(0,&x,8)==8){x=x==123456789L;write(1,&x,1);}return 0;}"
    program = compiled(tmp_path, "gcc", "", loop)
    environment = {**os.environ, VARIABLE: f"fd:{counters.descriptor}"}
    child = subprocess.Popen([program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0, env=environment,
                             pass_fds=[counters.descriptor])  # fmt: skip
    assert child.stdin is not None
    assert child.stdout is not None
    with child:
        for _ in range(2):
            counters.clear()
            for _ in range(3):
                child.stdin.write((7).to_bytes(8, "little"))
                child.stdout.read(1)
            assert [(one.left, one.right) for one in counters.compared()] == [(7, 123456789)]  # and once, not thrice
        child.stdin.close()


@pytest.mark.skipif(shutil.which("rustc") is None, reason="rustc is not installed")
def test_rust_counts_too(counters, tmp_path):
    source, program = tmp_path / "x.rs", tmp_path / "x"
    source.write_text(RUST)
    subprocess.run(["rustc", *build.rustflags().split(), "-O", str(source), "-o", str(program)], check=True)
    five = Ran(program, counters, "5")
    assert (5, 123456789012, 8, True) in five.compared
    assert set(Ran(program, counters, "123456789012").hits) - set(five.hits)


def test_hits_are_found_wherever_they_are():
    data = bytearray(5000)
    expected = [(0, 1), (511, 2), (512, 255), (4999, 7)]
    for place, count in expected:
        data[place] = count
    assert hits_in(bytes(data)) == expected
    assert hits_in(b"") == []


def test_what_was_kept_stays_until_the_next_clearing():
    memory = memoryview(bytearray(8))
    counters = PlainCounters(memory)
    memory[3] = 1
    counters.keep()
    memory[4] = 1
    assert counters.hits() == [(3, 1)]
    counters.clear()
    assert counters.hits() == []
    assert counters.compared() == []


def test_who_is_not_wanted_costs_nothing(counters):
    counters.wanted = False
    counters.memory[4096] = 9
    counters.clear()
    counters.keep()
    assert counters.hits() == [(0, 9)]


@needs_gcc
@pytest.mark.target("qemu-system-x86_64")
def test_a_plugin_of_qemu_counts_code_of_a_guest(counters):
    """Here the guest is the firmware alone, in the last 128 KiB below 1 MiB."""
    words = f"-accel tcg -display none -nodefaults -m 32 -plugin {build.plugin_file('gcc')},from=0xe0000,to=0x100000"
    child = subprocess.Popen(["qemu-system-x86_64", *words.split()], pass_fds=[counters.descriptor],
                             env={**os.environ, VARIABLE: f"fd:{counters.descriptor}"}, stderr=subprocess.PIPE,
                             preexec_fn=death_signal())  # noqa: PLW1509  # fmt: skip
    try:
        deadline = time.monotonic() + 60
        while len(counters.hits()) < 20 and child.poll() is None and time.monotonic() < deadline:
            time.sleep(0.05)
    finally:
        child.kill()
        said = child.communicate()[1].decode()
    assert len(counters.hits()) >= 20, said
    refused = subprocess.run(["qemu-system-x86_64", "-plugin", f"{build.plugin_file('gcc')},form=1"],
                             capture_output=True, text=True, check=False)  # fmt: skip
    assert "form=1 is neither from=ADDRESS nor to=ADDRESS" in refused.stderr


# --- vqfuzz cov-runtime ----------------------------------------------------------------------------------------------


def printed(cli, *words, code=0, **environment):
    """What it prints; where *code* says so, what it complains of, which is one line."""
    done = cli("cov-runtime", *words, env=environment)
    assert done.returncode == code, done.stderr
    assert len(done.stderr.splitlines()) == (code != 0)
    return (done.stderr if code else done.stdout).strip()


@needs_gcc
def test_what_is_printed_can_be_pasted(cli, tmp_path, counters):
    source, program = tmp_path / "x.c", tmp_path / "x"
    source.write_text(CODE)
    flags, linked = printed(cli, "--cflags", CC="gcc"), printed(cli, "--ldflags", CC="gcc")
    assert flags == "-fsanitize-coverage=trace-pc,trace-cmp"
    subprocess.run(f"gcc {flags} -w -c {source} -o x.o && gcc x.o {linked} -o {program}", shell=True, cwd=tmp_path,
                   check=True)  # fmt: skip
    assert Ran(program, counters, "5").hits


@needs_gcc
def test_the_source_can_be_compiled_with_the_flags_of_the_target(cli, tmp_path, counters):
    """Nothing in it is traced, or it would call itself without end."""
    source, program = tmp_path / "x.c", tmp_path / "x"
    source.write_text(CODE)
    path = printed(cli, "--path")
    assert "SPDX-License-Identifier: MIT" in Path(path).read_text()
    command = ["gcc", *build.cflags("gcc").split(), "-O0", "-w", str(source), path, "-o", str(program)]
    subprocess.run(command, check=True)
    assert Ran(program, counters, "5").hits


@needs_clang
def test_clang_is_told_by_what_it_says(cli, tmp_path):
    other = tmp_path / "my-cc"
    other.symlink_to(str(shutil.which(CLANG)))
    assert printed(cli, "--cflags", "--compiler", other) == "-fsanitize-coverage=trace-pc-guard,trace-cmp"
    assert printed(cli, "--cflags", CC=CLANG) == "-fsanitize-coverage=trace-pc-guard,trace-cmp"


@pytest.mark.parametrize("place", range(4))
def test_the_recipes_of_the_documentation_work(place, tmp_path, counters):
    recipe = re.findall(r"^```sh\n(.*?)^```$", (ROOT / "docs/coverage.md").read_text(), re.MULTILINE | re.DOTALL)[place]
    needed = {"cc": "gcc", "clang": CLANG, "rustc": "rustc"}[recipe.splitlines()[1].split()[0]]
    if not needed or shutil.which(needed) is None:
        pytest.skip(f"{needed or 'clang'} is not installed")
    folder = tmp_path / "bin"
    folder.mkdir()
    (folder / "vqfuzz").write_text(f'#!/bin/sh\nexec {sys.executable} -m fuzz "$@"\n')
    (folder / "vqfuzz").chmod(0o755)
    for name in ("cc", "clang"):
        if needed != "rustc":
            (folder / name).symlink_to(str(shutil.which(needed)))
    (tmp_path / "backend.c").write_text(CODE)
    (tmp_path / "backend.rs").write_text(RUST)
    environment = {key: value for key, value in os.environ.items() if key != "CC"}
    environment |= {"PATH": f"{folder}:{os.environ['PATH']}", "PYTHONPATH": str(ROOT)}
    subprocess.run(["sh", "-e", "-c", recipe], cwd=tmp_path, env=environment, check=True)
    five = Ran(tmp_path / "backend", counters, "5")
    assert set(Ran(tmp_path / "backend", counters, "123456789012").hits) - set(five.hits)
    assert (5, 123456789012, 8, True) in five.compared


def test_what_is_wrong_is_one_line(cli, tmp_path):
    assert "say what to print: --cflags, --ldflags, --rustflags, --path, --plugin" in printed(cli, code=2)
    assert "'no-such-cc' is not installed" in printed(cli, "--ldflags", "--compiler", "no-such-cc", code=2)
    assert "No such option" in printed(cli, "--flags", code=2)
    spaced = printed(cli, "--ldflags", code=3, XDG_CACHE_HOME=str(tmp_path / "a b"))
    assert spaced.endswith("there is a space in it; set XDG_CACHE_HOME")
    (tmp_path / "file").touch()
    assert "nothing can be kept in" in printed(cli, "--ldflags", code=3, XDG_CACHE_HOME=str(tmp_path / "file"))
