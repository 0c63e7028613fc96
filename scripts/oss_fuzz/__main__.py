"""Checks the contract of OSS-Fuzz and ClusterFuzzLite, without docker: ``make oss-fuzz-check``.

    python -m scripts.oss_fuzz [--target NAME]... [--quick] [--tree FOLDER]

One line for each step. Exit status: 0 all is kept, 1 something is not, 2 wrong usage, 3 the environment lacks
something, 130 interrupted. Knows the order of steps. Must not know how any of them is done.
"""

from __future__ import annotations

import argparse
import shutil
import signal
import sys
import tempfile
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from scripts.oss_fuzz import beside, building, contract, environment, seeding, states, trying
from scripts.oss_fuzz.building import Build
from scripts.oss_fuzz.environment import Missing
from scripts.oss_fuzz.running import Ran, confinement, run

BROKEN, USAGE, LACKING, INTERRUPTED = 1, 2, 3, 130


class Report:
    """Says how each step went, at once, and counts."""

    def __init__(self) -> None:
        self.steps = 0
        self.broken = 0

    def step(self, who: str, wrong: Iterable[str], text: str, tail: str = "") -> bool:
        """Say how a step went; *tail*: the output's end, for one that failed. Returns whether it went well."""
        faults = [" ".join(fault.split()) for fault in wrong if fault]
        self.steps += 1
        self.broken += bool(faults)
        if not faults:
            print(f"ok    {who:20}  {text}", flush=True)
            return True
        more = f" (and {len(faults) - 1} more)" if len(faults) > 1 else ""
        print(f"FAIL  {who:20}  {faults[0]}{more}", flush=True)
        for line in tail.splitlines():
            print(f"      | {line}", flush=True)
        return False


class Check:
    """The steps, one by one, on the repository *tree*, below the folder *base*, which is moved and thrown away."""

    def __init__(self, tree: Path, base: Path, targets: Sequence[str], quick: bool) -> None:
        self.tree = tree
        self.base = base
        self.targets = targets
        self.quick = quick
        self.report = Report()
        self.sound: set[str] = set()  # targets of the first build whose files are right
        self.python = environment.builder()
        self.stacks = environment.stacks()

    def run(self) -> None:
        """All of them."""
        where = "as ClusterFuzz confines them" if confinement() else "NOT confined: no namespaces can be made here"
        self.report.step("environment", [], f"{environment.versions(self.python)}; targets run {where}")
        self.files()
        if self.quick:
            self.crash_states(self.unfrozen)
        tries = {"address": self.address, "undefined": self.undefined, "coverage": self.coverage}
        for sanitizer in ("address",) if self.quick else tuple(tries):
            more = [] if self.quick or sanitizer != "address" else [states.NAME]
            built = self.build(sanitizer, [*self.targets, *more])
            if built is not None:
                tries[sanitizer](built)
                shutil.rmtree(built.out.parent)

    def files(self) -> None:
        """The files that the two services read."""
        for folder in ("oss-fuzz", ".clusterfuzzlite"):
            path = self.tree / folder
            try:
                wrong = contract.licences(path) + contract.dockerfile(path / "Dockerfile")
                about = states.yaml(self.stacks, path / "project.yaml")
                wrong += contract.project(about, is_whole=folder == "oss-fuzz")
            except OSError as error:
                wrong = [f"{error.filename}: {error.strerror}"]
            self.report.step(folder, wrong, "project.yaml, Dockerfile, build.sh")
        for path in sorted((self.tree / ".clusterfuzzlite" / "workflows").glob("*.yml")):
            about = states.yaml(self.stacks, path)
            wrong = [] if isinstance(about, dict) and "jobs" in about else ["is no workflow"]
            self.report.step(path.name, wrong, "a workflow")
        faults = []
        for name in self.targets:
            path = self.tree / "fuzz" / "harness" / f"{name}.py"
            said = contract.harness(path.read_text(encoding="utf-8")) if path.is_file() else ["is not there"]
            faults += [f"{path.relative_to(self.tree)}: {fault}" for fault in said]
        self.report.step("harnesses", faults, f"{', '.join(self.targets)}")

    def build(self, sanitizer: str, targets: Sequence[str]) -> Build | None:
        """Build the targets, and move what came out to another place; None if nothing did."""
        built = building.build(self.tree, self.base, self.python, sanitizer, targets, states.harness)
        wrong = []
        if built.ran.status:
            at = f" at {built.stopped_at}" if built.stopped_at else ""
            wrong.append(f"{building.SCRIPTS[sanitizer]}/build.sh stops{at} with exit status {built.ran.status}")
        count = "1 target" if len(targets) == 1 else f"{len(targets)} targets"
        text = f"{building.SCRIPTS[sanitizer]}/build.sh: {count} in {built.ran.seconds:.0f} s"
        if not self.report.step(f"build {sanitizer}", wrong, text, built.ran.tail()):
            return None
        elsewhere = Path(tempfile.mkdtemp(prefix="not-out-", dir=self.base))
        built.out.rename(elsewhere / "moved")
        shutil.rmtree(self.base / sanitizer)
        return built._replace(out=elsewhere / "moved")

    def address(self, built: Build) -> None:
        """The files of a build, and each target with either sanitizer where there is only this build."""
        out = built.out
        self.report.step("build's folder", contract.folder(out), f"targets found: {len(contract.found(out))}")
        for name in self.targets:
            if self.files_of(out, name):
                self.sound.add(name)
                self.try_out(out, name, "address")
                if self.quick:
                    building.preload(self.python, "undefined", out)
                    self.try_out(out, name, "undefined")
                    building.preload(self.python, "address", out)
        if not self.quick:
            self.crash_states(lambda path: trying.start(out, states.NAME, str(path)))

    def files_of(self, out: Path, name: str) -> bool:
        """The files of one target."""
        if not (out / name).is_file():
            return self.report.step(name, ["build.sh makes no such target"], "")
        wrong = contract.target(out, name)
        package = out / f"{name}.pkg"
        size = package.stat().st_size >> 20 if package.is_file() else 0
        names = trying.frozen(self.python, out, name)
        wrong += contract.frozen(names, self.tree) if names else [f"{name}.pkg can't be read by PyInstaller"]
        options, of_options = contract.options(out, name)
        seeds, of_seeds = contract.seeds(out, name, int(options.get("max_len", "0") or 0))
        words, of_words = contract.dictionary(out, name)
        wrong += of_options + of_seeds + of_words
        given = ", ".join(f"{key} {value}" for key, value in options.items())
        return self.report.step(name, wrong, f"{size} MiB, {seeds} seeds, {words} words, {given}")

    def try_out(self, out: Path, name: str, sanitizer: str) -> None:
        """Start one target, on nothing and on its seeds, and prune its corpus."""
        longest = contract.options(out, name)[0]["max_len"]
        seen = []
        for tried in (trying.empty_start(out, name), trying.seeded(out, name, longest)):
            if tried.wrong:
                self.report.step(f"{name}", [f"{sanitizer}: {tried.wrong}"], "", tried.ran.tail())
                return
            seen.append(tried.text)
        if sanitizer == "address":
            tried = trying.merged(out, name, longest)
            if tried.wrong:
                self.report.step(f"{name}", [f"{sanitizer}: {tried.wrong}"], "", tried.ran.tail())
                return
            seen.append(tried.text)
        self.report.step(name, [], f"{sanitizer}: {', '.join(seen)}")

    def crash_states(self, start: Callable[[Path], Ran]) -> None:
        """One bug for each rule; *start* runs the harness that shows it on an input."""
        filed, wrong, tail = states.states(self.stacks, self.tree, self.base, start)
        self.report.step("crash states", wrong, ", ".join(state.split()[0] for state in filed), tail)

    def unfrozen(self, path: Path) -> Ran:
        """That harness, as it stands in the sources: the names of functions are the same."""
        tree = self.base / "unfrozen"
        if not tree.is_dir():
            building.copy(self.tree, tree)
            states.harness(tree)
        return run((str(self.python), "-m", f"fuzz.harness.{states.NAME}", str(path)), {"PYTHONPATH": str(tree)}, tree)

    def undefined(self, built: Build) -> None:
        """Each target with the other sanitizer."""
        for name in self.targets:
            if name in self.sound:
                self.try_out(built.out, name, "undefined")

    def coverage(self, built: Build) -> None:
        """Each target of the coverage build."""
        for name in self.targets:
            if name in self.sound:
                tried = trying.measured(self.python, built.out, name)
                self.report.step(name, [tried.wrong], f"coverage: {tried.text}", tried.ran.tail())


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="oss-fuzz-check", description="The contract of OSS-Fuzz, without docker.")
    parser.add_argument("--target", action="append", help="only this harness (may be given again)", metavar="NAME")
    parser.add_argument("--quick", action="store_true", help="one build for both sanitizers, none for coverage")
    parser.add_argument("--tree", type=Path, default=seeding.ROOT, help="the repository to check", metavar="FOLDER")
    given = parser.parse_args()
    known = beside.names()
    for name in given.target or ():
        if name not in known:
            parser.error(f"no harness is called {name}; there are {', '.join(known)}")
    given.target = given.target or known
    return given


def main() -> int:
    """Run the check; returns the exit status."""
    given = arguments()
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))  # what was made is thrown away then
    base = Path(tempfile.mkdtemp(prefix="oss-fuzz-check-", dir="/tmp"))
    try:
        check = Check(given.tree.resolve(), base, given.target, given.quick)
        check.run()
    except Missing as error:
        print(f"oss-fuzz-check: {error}", file=sys.stderr)
        return LACKING
    except KeyboardInterrupt:
        return INTERRUPTED
    finally:
        shutil.rmtree(base, ignore_errors=True)
    report = check.report
    print(f"oss-fuzz-check: {report.steps} steps, " + (f"{report.broken} failed" if report.broken else "all is kept"))
    return BROKEN if report.broken else 0


if __name__ == "__main__":
    sys.exit(main())
