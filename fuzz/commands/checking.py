"""``vqfuzz check``: the deterministic suite, a summary by section, and the reports that pipelines read."""

from __future__ import annotations

import os
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

from fuzz import __version__, finds
from fuzz import baseline as baselines
from fuzz.check import SECONDS, Checker, Settings, opened
from fuzz.commands.fuzzing import say
from fuzz.plan import Item, selection
from fuzz.report import files, outputs, summary
from fuzz.report.text import quote
from fuzz.results import FAILED, UNDECIDED, Run
from fuzz.status import Status
from fuzz.trouble import CONFORMS, FOUND, INTERRUPTED, UNCLEAR


def command(target: str, select: tuple[str, ...], version: str, strict: bool, seconds: float | None, seed: int | None,
            everything: bool, baseline: Path | None, write_baseline: Path | None, junit: Path | None,
            sarif: Path | None, json: Path | None, html: Path | None, github: bool, listing: bool, out: Path,
            qemu: str) -> int:  # fmt: skip
    """Run everything; returns the exit code."""
    settings = Settings(1 if seed is None else seed, version, strict, SECONDS if seconds is None else seconds,
                        out=out, everything=everything, words=select, selection=selection(select))  # fmt: skip
    named = {"junit": junit, "sarif": sarif, "jsonl": json, "html": html, "write-baseline": write_baseline}
    paths = {option: path for option, path in named.items() if path is not None}
    outputs.check(paths)
    expected = baselines.load(baseline) if baseline is not None else []
    finds.check(out)
    with opened(target, qemu) as made:
        status = Status()
        checker = Checker(made, settings, status.show)
        if listing:
            return _list(checker.items())
        run = Run(target, _again(target, settings, qemu), settings.seed, version, strict, __version__,
                  datetime.now(UTC).isoformat(timespec="seconds"))  # fmt: skip
        say(f"vqfuzz {__version__} · check {target} · VIRTIO {version} · seed {settings.seed}")
        interrupted = _run(checker, run, status)
        run.describe = made.describe()
    run.notes += [f"{rule} was suspected {f'{count} times' if count > 1 else 'once'}, which is no failure "
                  f"(vqfuzz rules {rule})" for rule, count in sorted(checker.warned.items())]  # fmt: skip
    run.code = INTERRUPTED if interrupted else code_of(run)
    if baseline is not None:
        run = baselines.apply(run, expected, datetime.now(UTC).date())
    _deliver(run, paths, expected, github)
    say(f"again: {run.command}")
    return run.code


def _deliver(run: Run, paths: dict[str, Path], expected: list[baselines.Expected], github: bool) -> None:
    """The summary, then every report that was asked for. Raises EnvironmentTrouble."""
    say("")
    say(summary.render(run).rstrip("\n"))
    draft = paths.pop("write-baseline", None)
    if draft is not None:
        files.write(draft, baselines.draft(run, expected))
        say(f"{draft}: fill in the reasons, or it will not be read")
    outputs.write(run, paths)
    if github:
        _annotate(run)


def _annotate(run: Run) -> None:
    """What GitHub Actions shows beside the code, and as the summary of the step."""
    from fuzz.report import github

    sys.stdout.write(github.annotate(run))
    page = os.environ.get("GITHUB_STEP_SUMMARY", "")
    if page:
        files.append(Path(page), github.summary(run))


def _run(checker: Checker, run: Run, status: Status) -> bool:
    """All results, those that fail told as they come. Whether the user interrupted it."""
    began = time.monotonic()
    try:
        for result in checker.run():
            run.results.append(result)
            if result.status == FAILED and result.new and result.report:
                status.clear()
                say("")
                say(result.report.rstrip("\n"))
    except KeyboardInterrupt:
        return True
    finally:
        run.seconds = time.monotonic() - began
        status.clear()
    return False


def code_of(run: Run) -> int:
    """What the results are worth."""
    if run.failures():
        return FOUND
    return UNCLEAR if any(one.status == UNDECIDED for one in run.results) else CONFORMS


def _list(items: list[Item]) -> int:
    for item in items:
        say(f"{item.name}" + (f"   not offered: {item.missing}" if item.missing else ""))
    return CONFORMS


def _again(words: str, settings: Settings, qemu: str) -> str:
    """The command that repeats it."""
    parts = ["vqfuzz check", quote(words), *(quote(word) for word in settings.words)]
    parts += [f"--spec {settings.version}"] if settings.version != Settings().version else []
    parts += ["--strict"] if settings.strict else []
    parts += [f"--seed {settings.seed}"] if settings.seed != Settings().seed else []
    parts += [f"--qemu {quote(qemu)}"] if qemu else []
    return " ".join(parts)
