"""A back-end built with AddressSanitizer: what it says on its way out is the cause of a find, and its severity."""

from __future__ import annotations

import shlex
import shutil
import subprocess
from pathlib import Path

import pytest

from fuzz import encoding
from fuzz.confirm import Runner
from fuzz.targets.vhost_user.target import make
from fuzz.verdict import CONFORMS, CRASHED

#: One connection after the other; it answers GET_FEATURES alone, and believes every queue number.
SOURCE = r"""
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

static uint32_t *sizes;

static int take(int fd, void *to, size_t size) {
    size_t had = 0;
    while (had < size) {
        ssize_t got = read(fd, (char *)to + had, size - had);
        if (got <= 0) return 0;
        had += (size_t)got;
    }
    return 1;
}

__attribute__((noinline)) void keep_size(uint32_t index, uint32_t size) { sizes[index] = size; }

int main(int argc, char **argv) {
    struct sockaddr_un name = {.sun_family = AF_UNIX};
    sizes = calloc(4, sizeof *sizes);
    if (argc != 2) return 2;
    strncpy(name.sun_path, argv[1], sizeof name.sun_path - 1);
    int server = socket(AF_UNIX, SOCK_STREAM, 0);
    if (bind(server, (struct sockaddr *)&name, sizeof name) || listen(server, 4)) return 2;
    for (;;) {
        int fd = accept(server, 0, 0);
        uint32_t head[3];
        unsigned char payload[4096];
        while (take(fd, head, sizeof head) && head[2] <= sizeof payload && take(fd, payload, head[2])) {
            if (head[0] == 1) {
                struct { uint32_t head[3]; uint64_t value; } __attribute__((packed)) answer = {{1, 5, 8}, 1ull << 32};
                if (write(fd, &answer, sizeof answer) < 0) break;
            } else if (head[0] == 8) {
                uint32_t number[2];
                memcpy(number, payload, sizeof number);
                keep_size(number[0], number[1]);
            }
        }
        close(fd);
    }
}
"""
PROGRAM = "virtqueue-program 1\ndevice blk\nqueue split 1\nfeatures version_1\n"


@pytest.fixture(scope="module")
def backend(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The words of a target that runs it."""
    compiler = shutil.which("gcc")
    if compiler is None:
        pytest.skip("gcc is not there")
    folder = tmp_path_factory.mktemp("asan")
    (folder / "backend.c").write_text(SOURCE)
    command = [compiler, "-g", "-O1", "-fsanitize=address", "-o", "backend", "backend.c"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, timeout=120)
    if done.returncode:
        pytest.skip(f"gcc -fsanitize=address can't be used: {done.stderr.strip().splitlines()[-1]}")
    return f"exec[blk]:{shlex.quote(str(Path(folder, 'backend')))} {{socket}}"


def test_what_the_sanitizer_says_is_the_cause(backend: str) -> None:
    target = make(backend)
    try:
        runner = Runner(target)
        outcome = runner.run(encoding.load(PROGRAM + "say set-vring-num queue=5 value=16\n"))
        assert outcome.verdict == CRASHED, outcome.reason
        assert outcome.severity == "memory safety"
        assert "heap-buffer-overflow" in outcome.reason
        assert "AddressSanitizer: heap-buffer-overflow" in outcome.cause
        assert "keep_size" in outcome.cause
        starts = target.starts
        assert runner.run(encoding.load(PROGRAM + "say set-vring-num queue=3 value=16\n")).verdict == CONFORMS
        assert runner.run(encoding.load(PROGRAM + "say get-features size=0xffffffff\n")).verdict == CONFORMS
        assert target.starts == starts + 1  # a connection that it closes is no reason to start another
    finally:
        target.close()
