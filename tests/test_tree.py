"""The shape of the tree: who may import whom, how long things may get, and what must not stand in any file."""

from __future__ import annotations

import ast
import io
import re
import subprocess
import sys
import tokenize
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).resolve().parent.parent
LONGEST_MODULE = 400
LONGEST_FUNCTION = 60

#: The oracles from the bottom up: a module imports only from rows above its own.
LAYERS = (
    ("spec", "vhost_user", "registers"),
    ("control",),
    ("trace", "rules"),
    ("register_log",),
    ("register_asking",),
    ("register_rules", "register_driver_rules", "register_transport_rules"),
    ("register_oracle",),
    ("model", "conversation"),
    ("split_rings", "announcing", "beside", "locating"),
    ("packed_rings", "split", "packed", "asking"),
    ("order_rules", "exposed"),
    ("upper_half",),
    ("exposing",),
    ("split_rules",),
    ("packed_rules", "split_driver", "packed_driver", "driver_asking"),
    ("split_driver_rules", "packed_driver_rules"),
    ("device_rules", "driver_rules"),
    ("message_rules",),
    ("frontend_rules", "ring_state_rules"),
    ("queue_oracle", "driver_oracle", "message_oracle"),
    ("poked",),
    ("oracle", "mirror"),
)
#: No clock, no randomness, no threads, no input or output in the oracles.
IMPURE = frozenset(
    "asyncio concurrent datetime http io mmap multiprocessing os random secrets select selectors shutil signal socket "
    "subprocess tempfile threading time urllib uuid".split()
)
#: Programs and their making know nothing about targets.
TARGETLESS = tuple(
    (
        "choices device_draws device_reader device_simpler draft encoding features fitting generate guided hostile "
        "mutate phases pieces program reader shapes shrink simpler strategies tweaks values wild wild_reader words"
    ).split()
)
#: May stand at the top of a module that `vqfuzz --help` imports; everything else from outside is imported late.
AT_ONCE = frozenset({"click"})


class Import(NamedTuple):
    module: str  # as written, and for `from package import module` with the module
    line: int
    late: bool  # inside a function, or for type checkers alone


def name_of(path: Path) -> str:
    """The module's dotted name."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


PACKAGES = sorted(path for package in ("oracles", "fuzz") for path in (ROOT / package).rglob("*.py"))
SCRIPTS = [*(ROOT / "scripts").glob("*.py"), *(ROOT / "scripts" / "oss_fuzz").glob("*.py")]
PYTHON = sorted([*PACKAGES, *(ROOT / "tests").rglob("*.py"), *SCRIPTS])
MODULES = {name_of(path): path for path in PACKAGES}


def named(paths: list[Path]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("path", paths, ids=lambda path: str(path.relative_to(ROOT)))


def under(folder: str) -> list[Path]:
    return [path for path in PACKAGES if path.is_relative_to(ROOT / folder)]


@cache
def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), str(path))


def is_type_checking(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING")


def walk(node: ast.AST, late: bool) -> Iterator[tuple[ast.AST, bool]]:
    """All nodes below *node*, and whether they run later than its import."""
    for child in ast.iter_child_nodes(node):
        is_function = isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
        is_later = late or is_function or is_type_checking(child)
        yield child, is_later
        yield from walk(child, is_later)


@cache
def imports(path: Path) -> tuple[Import, ...]:
    """What *path* imports; a name that is a module of ours counts as that module."""
    found = []
    for node, late in walk(tree(path), late=False):
        if isinstance(node, ast.Import):
            found += [Import(alias.name, node.lineno, late) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno}: a relative import"
            base = node.module or ""
            for alias in node.names:
                inner = f"{base}.{alias.name}"
                found.append(Import(inner if inner in MODULES else base, node.lineno, late))
    return tuple(dict.fromkeys(found))


def is_of(module: str, package: str) -> bool:
    return module == package or module.startswith(package + ".")


def complain(path: Path, wrong: list[tuple[int, str]], demand: str) -> None:
    """Fail with one line per place, and what is demanded."""
    if wrong:
        places = "\n".join(f"  {path.relative_to(ROOT)}:{line}: {what}" for line, what in wrong)
        pytest.fail(f"{demand}\n{places}", pytrace=False)


# --- who imports whom -------------------------------------------------------------------------------------------------


@named(under("oracles"))
def test_oracles_are_pure(path: Path) -> None:
    """Standard library only, without what has a state or a clock."""
    allowed = sys.stdlib_module_names - IMPURE | {"oracles"}
    wrong = [(at.line, at.module) for at in imports(path) if at.module.partition(".")[0] not in allowed]
    complain(path, wrong, "oracles import oracles and the standard library, without clock, randomness, threads")


@named(under("oracles"))
def test_oracles_import_downwards(path: Path) -> None:
    level = {f"oracles.{module}": row for row, modules in enumerate(LAYERS) for module in modules} | {"oracles": -1}
    own = name_of(path)
    assert own in level, f"{own}: say in LAYERS, in {Path(__file__).name}, where it stands"
    ours = [at for at in imports(path) if is_of(at.module, "oracles")]
    wrong = [(at.line, at.module) for at in ours if level.get(at.module, level[own]) >= level[own]]
    order = " < ".join(", ".join(row) for row in LAYERS)
    complain(path, wrong, f"oracles import only from what stands before them: {order}")


def test_programs_know_only_the_specification() -> None:
    path = ROOT / "fuzz/program.py"
    allowed = sys.stdlib_module_names | {"oracles"}
    wrong = [(at.line, at.module) for at in imports(path) if at.module.partition(".")[0] not in allowed]
    complain(path, wrong, "a program imports oracles and nothing else of ours")


@named([path for path in under("fuzz") if path.parent == ROOT / "fuzz" and path.stem in TARGETLESS])
def test_programs_are_made_without_targets(path: Path) -> None:
    wrong = [(at.line, at.module) for at in imports(path) if is_of(at.module, "fuzz.targets")]
    complain(path, wrong, "what makes, reads or changes programs never imports targets")


@named(under("fuzz/targets"))
def test_targets_know_no_programs(path: Path) -> None:
    """Of fuzz: targets, device classes, and of fuzz.program the class Limits alone."""
    wrong = []
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.ImportFrom) and node.module == "fuzz.program":
            wrong += [(node.lineno, f"fuzz.program.{alias.name}") for alias in node.names if alias.name != "Limits"]
        elif isinstance(node, ast.Import):
            wrong += [(node.lineno, alias.name) for alias in node.names if alias.name == "fuzz.program"]
    ours = [at for at in imports(path) if is_of(at.module, "fuzz") and at.module != "fuzz.program"]
    allowed = ("fuzz.targets", "fuzz.devices")
    wrong += [(at.line, at.module) for at in ours if not any(is_of(at.module, package) for package in allowed)]
    complain(path, wrong, "targets import fuzz.targets, fuzz.devices, oracles, and Limits of fuzz.program")


@named([path for path in PYTHON if name_of(path) not in ("fuzz.__main__", "fuzz.cli")])
def test_only_main_imports_the_command_line(path: Path) -> None:
    # its own parts, should it become a package, may
    wrong = [(at.line, at.module) for at in imports(path) if is_of(at.module, "fuzz.cli")]
    if not is_of(name_of(path), "fuzz.cli"):
        complain(path, wrong, "only fuzz/__main__.py imports fuzz.cli; tests run the command")


def imported_at_once(start: str) -> dict[str, list[str]]:
    """Modules of ours that importing *start* imports too, each with the way there."""
    ways = {start: [start]}
    queue = [start]
    while queue:
        module = queue.pop(0)
        above = [".".join(module.split(".")[:depth]) for depth in range(1, module.count(".") + 1)]
        needed = [at.module for at in imports(MODULES[module]) if not at.late]
        for other in [*above, *needed]:
            if other in MODULES and other not in ways:
                ways[other] = [*ways[module], other]
                queue.append(other)
    return ways


def test_command_starts_without_heavy_libraries() -> None:
    """`vqfuzz --help` must not wait for scapy, rich, jinja2, hypothesis; nor break without them."""
    assert "fuzz.__main__" in MODULES, "there is no fuzz/__main__.py"
    wrong = []
    for module, way in imported_at_once("fuzz.__main__").items():
        for at in imports(MODULES[module]):
            top = at.module.partition(".")[0]
            if not at.late and top not in sys.stdlib_module_names | {"oracles", "fuzz"} | AT_ONCE:
                wrong.append(f"  {MODULES[module].relative_to(ROOT)}:{at.line}: {at.module} ({' > '.join(way)})")
    assert not wrong, "import these inside the functions that need them:\n" + "\n".join(wrong)


# --- sizes and habits -------------------------------------------------------------------------------------------------


@named(PYTHON)
def test_modules_are_short_and_explained(path: Path) -> None:
    lines = len(path.read_text(encoding="utf-8").splitlines())
    assert lines <= LONGEST_MODULE, f"{lines} lines, at most {LONGEST_MODULE}: what are the two things that it does?"
    assert ast.get_docstring(tree(path)), "no docstring says what the module is for"


@named(PYTHON)
def test_functions_are_short(path: Path) -> None:
    wrong = []
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            first = min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)])
            length = (node.end_lineno or node.lineno) - first + 1
            if length > LONGEST_FUNCTION:
                wrong.append((first, f"{node.name} has {length} lines"))
    complain(path, wrong, f"functions have at most {LONGEST_FUNCTION} lines, decorators and docstring included")


@cache
def comments(path: Path) -> dict[int, str]:
    text = path.read_text(encoding="utf-8")
    tokens = tokenize.generate_tokens(io.StringIO(text).readline)
    return {token.start[0]: token.string for token in tokens if token.type == tokenize.COMMENT}


@named(PYTHON)
def test_silenced_checks_say_which_and_why(path: Path) -> None:
    """`# type: ignore[code]  # reason` and `# noqa: CODE - reason`."""
    good = re.compile(r"#\s*type:\s*ignore\[[\w, -]+\]\s*#\s*\w+|#\s*noqa:\s*[A-Z]+\d+(,\s*[A-Z]+\d+)*\W+\w+")
    silencing = re.compile(r"#\s*(type:\s*ignore|noqa)\b")
    wrong = [(line, text) for line, text in comments(path).items() if silencing.match(text) and not good.match(text)]
    complain(path, wrong, "a silenced check names its code and gives a reason: `# type: ignore[code]  # reason`")


@named(PYTHON)
def test_catching_everything_has_a_reason(path: Path) -> None:
    wrong = []
    for node in ast.walk(tree(path)):
        if not isinstance(node, ast.ExceptHandler):
            continue
        caught = "BaseException" if node.type is None else ast.unparse(node.type)
        is_explained = any(line in comments(path) for line in range(node.lineno, node.body[0].lineno + 1))
        is_passed_on = isinstance(node.body[-1], ast.Raise) and node.body[-1].exc is None
        if re.search(r"\b(Base)?Exception\b", caught) and not is_explained and not is_passed_on:
            wrong.append((node.lineno, f"except {caught}"))
    complain(path, wrong, "whoever catches everything says why, in a comment beside it")


# --- what must not stand in any file ----------------------------------------------------------------------------------


def committed() -> list[Path]:
    """The files of the repository, without those that git ignores; none in a copy without git."""
    command = ["git", "-C", str(ROOT), "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    try:
        listed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError):
        return []
    return sorted(path for name in listed.split("\0") if name and (path := ROOT / name).is_file())


def test_files_name_no_machine() -> None:
    """No absolute path of the machine on which a file was made, no mirror's name: they mean nothing elsewhere."""
    files = committed()
    if not files:
        pytest.skip("not a git repository")
    machine = re.compile(r"(?<![\w.~*}-])/(work|root|farm)\b|https?://deb|\bdeb\.\w+\.org")
    wrong = []
    for path in files:
        try:
            lines = path.read_text(encoding="utf-8").splitlines()
        except UnicodeDecodeError:
            continue
        found = [(number, match) for number, line in enumerate(lines, 1) if (match := machine.search(line))]
        wrong += [f"  {path.relative_to(ROOT)}:{number}: {match[0]}" for number, match in found]
    assert not wrong, "paths or hosts of one machine:\n" + "\n".join(wrong)
