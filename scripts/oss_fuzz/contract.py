"""What the files of a build have to be like: names, executable bits, kinds, and what stands beside each target.

Each function returns what is wrong, in words; nothing if all is well. Knows files. Must not run any of them.
"""

from __future__ import annotations

import configparser
import re
import zipfile
from pathlib import Path

MARK = b"LLVMFuzzerTestOneInput"
LONGEST_WORD = 64  # bytes; libFuzzer leaves longer ones out, without a word
LARGEST = 100 << 20  # bytes of a package: one that needs more has frozen half the machine
_NAME = re.compile(r"[A-Za-z0-9_-]+")
_X86_64 = 0x3E
#: what the builder puts there itself
_THEIRS = ("sanitizer_with_fuzzer.so", "llvm-symbolizer")
_WORD = re.compile(r'(?:[\w.-]+=)?"((?:[^"\\\x00-\x1f\x7f-\xff]|\\["\\]|\\x[0-9a-fA-F]{2})+)"')
_LICENCE = 'Licensed under the Apache License, Version 2.0 (the "License");'
#: excluded from reports of coverage, wherever these words stand in the path
UNMEASURED = ("atheris", "PyInstaller")


def found(out: Path) -> list[str]:
    """The names of the fuzz targets in *out*, found as OSS-Fuzz finds them."""
    return sorted(path.name for path in out.iterdir() if _is_executable(path) and MARK in path.read_bytes())


def folder(out: Path) -> list[str]:
    """Of the folder as a whole: everything in it that is executable counts as a target to the coverage build."""
    targets = found(out)
    strangers = [path.name for path in out.iterdir() if _is_executable(path) and path.name not in targets]
    wrong = [f"{name} is executable and no fuzz target: put helpers into bin/" for name in sorted(strangers)]
    return wrong if targets else [*wrong, "no fuzz targets found"]


def target(out: Path, name: str) -> list[str]:
    """Of the two files that make a target."""
    wrong = []
    if not _NAME.fullmatch(name):
        wrong.append(f"its name has other characters than {_NAME.pattern}")
    if not (out / name).read_bytes().startswith((b"#!/bin/sh", b"#!/bin/bash", b"\x7fELF")):
        wrong.append(f"{name} is neither a shell script nor ELF")
    package = out / f"{name}.pkg"
    if not package.is_file():
        return [*wrong, f"there is no {package.name} beside it"]
    if _is_executable(package):
        wrong.append(f"{package.name} is executable, and would be taken for a target")
    with package.open("rb") as file:
        head = file.read(20)
    if head[:4] != b"\x7fELF" or int.from_bytes(head[18:20], "little") != _X86_64:
        wrong.append(f"{package.name} is no program for x86-64")
    if package.stat().st_size > LARGEST:
        wrong.append(f"{package.name} has {package.stat().st_size >> 20} MiB, more than {LARGEST >> 20}")
    return wrong


def frozen(names: list[str], tree: Path) -> list[str]:
    """Of what is in a package, by the *names* of its modules and files; *tree*: the sources."""
    wrong = []
    if scapy := [name for name in names if re.match(r"scapy\b", name)]:
        wrong.append(f"{scapy[0]} is frozen together with atheris: scapy is GPL-2.0-only, atheris Apache-2.0")
    late = [path.relative_to(tree) for path in (tree / "oracles" / "catalogue").glob("*.toml")]
    wrong += [f"{path}, which is read late, is not frozen" for path in sorted(late) if str(path) not in names]
    if not any(name.startswith("corpus/") for name in names):
        wrong.append("nothing of corpus/ is frozen")
    return wrong


def seeds(out: Path, name: str, longest: int) -> tuple[int, list[str]]:
    """How many seeds there are, and what is wrong with them; *longest*: the bytes of an input, by its options."""
    path = out / f"{name}_seed_corpus.zip"
    try:
        with zipfile.ZipFile(path) as archive:
            inputs = {about.filename: archive.read(about) for about in archive.infolist() if not about.is_dir()}
    except (OSError, zipfile.BadZipFile) as error:
        return 0, [f"{path.name} can't be read: {error}"]
    wrong = [f"{path.name} has no inputs"] if not any(inputs.values()) else []
    wrong += [f"seed {seed} is empty" for seed, data in inputs.items() if not data]
    cut = [seed for seed, data in inputs.items() if len(data) > longest]
    if cut:
        wrong.append(f"seed {cut[0]} has more than {longest} bytes (max_len), and would be cut short")
    return len(inputs), wrong


def dictionary(out: Path, name: str) -> tuple[int, list[str]]:
    """How many words there are, and what is wrong with them."""
    path = out / f"{name}.dict"
    if not path.is_file():
        return 0, [f"there is no {path.name}"]
    words, wrong = 0, []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        if not line.strip() or line.startswith("#"):
            continue
        words += 1
        match = _WORD.fullmatch(line)
        if match is None:
            wrong.append(f'{path.name}:{number}: libFuzzer can\'t read this; write name="word"')
        elif len(re.sub(r"\\x..|\\.", ".", match[1])) > LONGEST_WORD:
            wrong.append(f"{path.name}:{number}: longer than {LONGEST_WORD} bytes, and would be left out")
    return words, wrong if words else [f"{path.name} has no words"]


def options(out: Path, name: str) -> tuple[dict[str, str], list[str]]:
    """libFuzzer's options for the target, and what is wrong with them."""
    path = out / f"{name}.options"
    parser = configparser.ConfigParser()
    try:
        parser.read_string(path.read_text(encoding="utf-8"), path.name)
    except (OSError, configparser.Error) as error:
        return {}, [f"{path.name} can't be read: {str(error).splitlines()[0]}"]
    strange = set(parser.sections()) - {"libfuzzer", "asan", "ubsan", "env"}
    wrong = [f"{path.name}: ClusterFuzz reads no section [{section}]" for section in sorted(strange)]
    given = dict(parser["libfuzzer"]) if parser.has_section("libfuzzer") else {}
    if not given.get("max_len", "").isdecimal():
        wrong.append(f"{path.name} has no max_len")
    return given, wrong


def licences(folder: Path) -> list[str]:
    """Of the files in a project's folder: OSS-Fuzz takes only those with the header of the Apache licence."""
    paths = [path for path in sorted(folder.iterdir()) if path.is_file()]
    return [f"{path.name} has no Apache header" for path in paths if _LICENCE not in path.read_text(encoding="utf-8")]


def project(about: object, is_whole: bool) -> list[str]:
    """Of project.yaml, read; *is_whole*: OSS-Fuzz's, where ClusterFuzzLite wants the language alone."""
    if not isinstance(about, dict):
        return ["project.yaml is no mapping"]
    wanted: dict[str, object] = {"language": "python"}
    if is_whole:
        wanted |= {"fuzzing_engines": ["libfuzzer"], "sanitizers": ["address", "undefined"]}
    wrong = [f"project.yaml: {key} is not {value}" for key, value in wanted.items() if about.get(key) != value]
    if is_whole:
        needed = ("homepage", "main_repo", "primary_contact")
        wrong += [f"project.yaml has no {key}" for key in needed if not about.get(key)]
    return wrong


def dockerfile(path: Path) -> list[str]:
    """Of a Dockerfile: the builder's image for Python, and build.sh where it is looked for."""
    text = path.read_text(encoding="utf-8")
    wrong = []
    if not re.search(r"^FROM gcr\.io/oss-fuzz-base/base-builder-python(:v1)?$", text, re.MULTILINE):
        wrong.append("Dockerfile is not FROM gcr.io/oss-fuzz-base/base-builder-python")
    if not re.search(r"^COPY (\S+/)?build\.sh \$SRC/$", text, re.MULTILINE):
        wrong.append("Dockerfile does not COPY build.sh to $SRC/")
    return wrong


def harness(source: str) -> list[str]:
    """Of a harness: the coverage build writes lines before its own."""
    if re.search(r"^from __future__ import", source, re.MULTILINE):
        return ["«from __future__» is no longer the first line in the coverage build"]
    return []


def _is_executable(path: Path) -> bool:
    return path.name not in _THEIRS and path.is_file() and bool(path.stat().st_mode & 0o111)
