"""The command ``vqfuzz``: options, their help, and exit codes. What a command does is imported when it runs."""

from __future__ import annotations

import os
import re
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from fuzz import __version__
from fuzz.trouble import INTERRUPTED, TARGET, USAGE, EnvironmentTrouble, UsageTrouble

ENGINES = ("directed", "random", "state", "hypothesis", "atheris")  # those of fuzz.engines, which is imported late
_TIME = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|min|h)?")
_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0, None: 1.0}


def _seconds(ctx: click.Context, param: click.Parameter, value: str | None) -> float | None:
    """A time on the command line, as seconds: 90, 90s, 500ms, 10m, 2h."""
    if value is None:
        return None
    match = _TIME.fullmatch(value.strip())
    if match is None or not float(match[1]):
        raise click.BadParameter(f"{value!r} is no time: write it as 90s, 10m or 2h", ctx, param)
    return float(match[1]) * _UNITS[match[2]]


class Commands(click.Group):
    """A group that names the nearest command when there is none of that name."""

    def resolve_command(self, ctx: click.Context, args: list[str]) -> Any:
        """The command that *args* begin with."""
        name = args[0]
        if self.get_command(ctx, name) is None and not name.startswith("-"):
            from difflib import get_close_matches

            close = get_close_matches(name, list(self.commands), 1, 0.0)[0]
            ctx.fail(f"no command is called {name!r}; the nearest is {close!r} (vqfuzz --help lists them all)")
        return super().resolve_command(ctx, args)


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="vqfuzz", message="%(prog)s %(version)s")
@click.option("-v", "--verbose", count=True, help="-vv: a traceback when vqfuzz itself fails.")
def vqfuzz(verbose: int) -> None:
    """Fuzz VIRTIO virtqueue implementations for out-of-order and spec-violating completions.

    A first try, which needs nothing: vqfuzz fuzz model:a05 --seed 1

    \b
    Exit codes: 0 conforms · 1 violation, crash, hang, or a device that gives up
                2 wrong usage or unreadable input · 3 target can't be used
                4 only undecided or flaky · 130 interrupted
    """


def _seed(of: str) -> Callable[[Any], Any]:
    return click.option("--seed", type=click.IntRange(0, 2**63 - 1), metavar="N", help=f"Seed of {of}; else random.")


_target = click.option("--target", "-t", metavar="TARGET", help="Another target than the one of the find.")
_qemu = click.option("--qemu", default="", metavar="COMMAND",
                     help="What starts the QEMU of qemu:DEVICE (or VQFUZZ_QEMU).  [qemu-system-x86_64]")  # fmt: skip

_spec = click.option("--spec", "version", type=click.Choice(["1.1", "1.2", "1.3", "1.4"]), default="1.4",
                     show_default=True, help="Judge by this version of VIRTIO.")  # fmt: skip
_strict = click.option("--strict", is_flag=True, help="What SHOULD be, must be.")
_everything = click.option("--all", "everything", is_flag=True,
                           help="Report deviations that are known and accepted, too.")  # fmt: skip
_out = click.option("--out", type=click.Path(path_type=Path), envvar="VQFUZZ_OUT", default=Path("vqfuzz-out"),
                    show_default=True, metavar="DIR", help="Where finds are kept (or VQFUZZ_OUT).")  # fmt: skip


@vqfuzz.command()
@click.argument("target")
@click.option("--time", "seconds", callback=_seconds, metavar="TIME", help="How long, such as 60s, 10m, 2h.  [60s]")
@click.option("--runs", type=click.IntRange(1), metavar="N", help="How many programs.")
@_seed("all programs")
@click.option("--layout", type=click.Choice(["split", "packed", "both"]), help="Layout of the virtqueues.")
@click.option("--in-order", type=click.Choice(["on", "off", "both"]), help="Negotiate VIRTIO_F_IN_ORDER.")
@click.option("--mode", type=click.Choice(["legal", "hostile", "mixed"]), default="legal", show_default=True,
              help="hostile: break the driver's rules, and judge safety and recovery alone.")  # fmt: skip
@click.option("--engine", type=click.Choice(ENGINES), default=ENGINES[0], show_default=True,
              help="Where programs come from; atheris is libFuzzer, guided by coverage of the oracle.")  # fmt: skip
@click.option("--continue", "go_on", is_flag=True, help="Don't stop at the first find.")
@click.option("--avoid", multiple=True, metavar="WHAT",
              help="Leave out programs with WHAT in them: full-ring, queue-reset, table, lever-pause, ….")  # fmt: skip
@_spec
@_strict
@_everything
@_out
@_qemu
def fuzz(**options: Any) -> int:
    """Run generated programs against TARGET, and judge what it does.

    A find is saved first, then run again, shrunk and explained. The last line printed repeats the run.
    """
    from fuzz.commands.fuzzing import fuzz as command

    return command(**options)


def _file(name: str, text: str) -> Callable[[Any], Any]:
    return click.option(f"--{name}", type=click.Path(path_type=Path), metavar="FILE", help=text)


@vqfuzz.command()
@click.argument("target")
@click.argument("select", nargs=-1, metavar="[RULE|SECTION|PHASE]…")
@_spec
@_strict
@click.option("--time", "seconds", callback=_seconds, metavar="TIME", help="When the last phase ends.  [55s]")
@_seed("the last phase")
@_everything
@_file("baseline", "Accept what stands there, each with its reason; only what is new fails.")
@_file("write-baseline", "Write what fails now, for the reasons to be filled in.")
@_file("junit", "Write a JUnit report.")
@_file("sarif", "Write a SARIF report, as GitHub's code scanning takes it.")
@_file("json", "Write the results as JSON lines.")
@_file("html", "Write one self-contained page.")
@click.option("--github", is_flag=True, envvar="GITHUB_ACTIONS",
              help="Annotations and a step summary (on in GitHub Actions).")  # fmt: skip
@click.option("--list", "listing", is_flag=True, help="Only list what would be looked at.")
@_out
@_qemu
def check(**options: Any) -> int:
    """Look at every rule that TARGET can be asked about, within a minute.

    Cases from the specification, boundaries, the corpus, then a short fuzz of a fixed seed; or only the rules
    (INO-ORDER, INO-S), sections (2.7.9) or phases (conformance, boundary, corpus, fuzz) named.
    """
    from fuzz.commands.checking import command

    return command(**options)


@vqfuzz.command()
@click.argument("path", type=click.Path(path_type=Path))
@_target
@click.option("--times", type=click.IntRange(1, 100_000), default=1, metavar="N", help="Run each so often.")
@click.option("--quiet", "-q", is_flag=True, help="Only the exit code, as for git bisect run.")
@_qemu
def replay(path: Path, target: str | None, times: int, quiet: bool, qemu: str) -> int:
    """Run programs again: a file, a find's folder, or a folder of programs or finds."""
    from fuzz.commands.replaying import replay as command

    return command(path, target, qemu, times, quiet)


@vqfuzz.command()
@click.argument("path", type=click.Path(path_type=Path))
@_target
@click.option("--out", type=click.Path(path_type=Path), metavar="FILE", help="Write the program there, not to stdout.")
@_qemu
def shrink(path: Path, target: str | None, out: Path | None, qemu: str) -> int:
    """Print the smallest program that fails as the one in PATH does."""
    from fuzz.commands.replaying import shrink as command

    return command(path, target, qemu, out)


@vqfuzz.command()
@click.argument("path", type=click.Path(path_type=Path))
@_target
@_qemu
def explain(path: Path, target: str | None, qemu: str) -> int:
    """Tell what happens in a program, step by step; with a find's saved trace if its target is gone."""
    from fuzz.commands.replaying import explain as command

    return command(path, target, qemu)


@vqfuzz.command()
@click.argument("path", type=click.Path(path_type=Path))
@click.option("--as", "form", type=click.Choice(["qtest"]), required=True,
              help="qtest: a shell script that shows it on a stock QEMU, without vqfuzz.")  # fmt: skip
@_target
@click.option("--out", type=click.Path(path_type=Path), metavar="FILE", help="Write it there, not to stdout.")
@_qemu
def export(path: Path, form: str, target: str | None, out: Path | None, qemu: str) -> int:
    """Turn a find on a QEMU device into what its maintainers expect, and see that it shows it."""
    from fuzz.commands.exporting import export as command

    return command(path, target, qemu, out)


@vqfuzz.command()
@click.argument("trace", type=click.Path(path_type=Path))
@_spec
def judge(trace: Path, version: str) -> int:
    """Judge a saved trace (.vqtrace, or a find's folder), without any target."""
    from fuzz.commands.replaying import judge as command

    return command(trace, version)


@vqfuzz.command()
@click.argument("targets", nargs=-1, required=True, metavar="TARGET TARGET…")
@click.option("--time", "seconds", callback=_seconds, metavar="TIME", help="How long, such as 60s, 10m, 2h.  [60s]")
@click.option("--runs", type=click.IntRange(1), metavar="N", help="How many generated programs.")
@_seed("all programs")
@click.option("--layout", type=click.Choice(["split", "packed", "both"]), help="Layout of the virtqueues.")
@click.option("--in-order", type=click.Choice(["on", "off", "both"]), help="Negotiate VIRTIO_F_IN_ORDER.")
@click.option("--corpus", type=click.Path(path_type=Path), metavar="DIR",
              help="Run the programs of DIR; generated ones behind them only with --runs or --time.")  # fmt: skip
@click.option("--html", type=click.Path(path_type=Path), metavar="FILE", help="Write the result as one page, too.")
@click.option("--json", "json_file", type=click.Path(path_type=Path), metavar="FILE", help="Write it as JSON, too.")
@click.option("--qemu", multiple=True, metavar="COMMAND",
              help="What starts the QEMU of qemu:DEVICE: once for all, or once for each in their order.")  # fmt: skip
def diff(**options: Any) -> int:
    """Run the same programs on several targets, and show where they part.

    Prints who keeps which rule, and the first program on which their verdicts differ, shrunk as long as they differ
    in the same way. Exit code 1: there is one.
    """
    from fuzz.commands.diffing import diff as command

    return command(**options)


@vqfuzz.command()
@click.argument("run", type=click.Path(path_type=Path))
@click.option("--out", type=click.Path(path_type=Path), default=Path("vqfuzz.html"), show_default=True, metavar="FILE",
              help="The page.")  # fmt: skip
def report(run: Path, out: Path) -> int:
    """Make one HTML page of RUN: a find's folder, a folder of finds, or a file of events (.jsonl)."""
    from fuzz.commands.reporting import report as command

    return command(run, out)


@vqfuzz.command()
@click.argument("target")
@_qemu
def probe(target: str, qemu: str) -> int:
    """Show what TARGET offers: features, queues, configuration space."""
    from fuzz.commands.listing import probe as command

    return command(target, qemu)


@vqfuzz.command()
def targets() -> int:
    """List the targets, and whether they can be used here."""
    from fuzz.commands.listing import targets as command

    return command()


@vqfuzz.command()
@click.argument("which", nargs=-1, metavar="[ID|SECTION]")
def rules(which: tuple[str, ...]) -> int:
    """List the rules, or explain those of an ID (INO-ORDER, INO-S) or a section (2.7.9, or 1.1 2.6.9)."""
    from fuzz.commands.listing import rules as command

    return command(" ".join(which))


@vqfuzz.command()
@_seed("all searches")
@click.option("--quick", is_flag=True, help="Fewer programs, and no drop-one table.")
def selftest(seed: int | None, quick: bool) -> int:
    """Find every planted fault of the model, and accuse the clean model of nothing."""
    from fuzz.selftest import selftest as command

    return command(1 if seed is None else seed, quick)


# --- errors -----------------------------------------------------------------------------------------------------------


def _terminated(number: int, frame: object) -> None:
    raise SystemExit(128 + number)


def main(arguments: list[str]) -> int:
    """Run ``vqfuzz`` with *arguments*; returns the exit code. Whatever is wrong is one line on stderr."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")  # a terminal that knows no «→» must not end us
    signal.signal(signal.SIGTERM, _terminated)  # so that what we started is ended, too
    try:
        code = vqfuzz.main(arguments, prog_name="vqfuzz", standalone_mode=False)
        sys.stdout.flush()
        return code if isinstance(code, int) else 0
    except click.ClickException as error:
        name = error.ctx.command_path if isinstance(error, click.UsageError) and error.ctx else "vqfuzz"
        hint = "" if "--help" in error.format_message() else f" ({name} --help)"
        return _fail(error.format_message().rstrip(".") + hint, USAGE)
    except (click.Abort, KeyboardInterrupt):
        return INTERRUPTED
    except UsageTrouble as error:
        return _fail(str(error), USAGE)
    except EnvironmentTrouble as error:
        return _fail(str(error), TARGET)
    except BrokenPipeError:  # whoever read our output has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return TARGET
    except Exception as error:  # the last resort: one line, and the traceback for those who ask
        from fuzz.targets import TargetBroken, TargetDied, TargetError, TargetHung

        if isinstance(error, (TargetError, TargetDied, TargetHung, TargetBroken)):
            return _fail(str(error), TARGET)
        if "-vv" in arguments:
            raise
        line = f"{type(error).__name__}: {error}"
        return _fail(f"vqfuzz itself failed, please report it: {line} (vqfuzz -vv … shows where)", TARGET)


def _fail(message: str, code: int) -> int:
    sys.stdout.flush()
    print(f"vqfuzz: {' '.join(message.split())}", file=sys.stderr)
    return code
