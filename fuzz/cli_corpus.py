"""``vqfuzz corpus``: its commands and their options. What a command does is imported when it runs."""

from __future__ import annotations

from pathlib import Path

import click

from fuzz.options import Commands
from fuzz.options import qemu as qemu_of


@click.group(cls=Commands)
def corpus() -> None:
    """Care for corpora: folders of programs (.vq), and of the inputs that fuzzers keep.

    What can't be read is named and left where it is, and the exit code is 2.
    """


_counting = click.option("--target", "-t", default="", metavar="TARGET",
                         help="Edges of its code count, too; and a fuzzer's bytes mean programs for it.")  # fmt: skip
_in = click.argument("places", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="IN…")


@corpus.command()
@click.argument("out", type=click.Path(path_type=Path))
@_in
@_counting
@qemu_of
def merge(out: Path, places: tuple[Path, ...], target: str, qemu: str) -> int:
    """Add to OUT the programs in IN that bring something new, called by a hash of their text."""
    from fuzz.commands.corpora import merge as command

    return command(out, places, target, qemu)


@corpus.command("min")
@click.argument("place", type=click.Path(path_type=Path), metavar="IN")
@click.argument("out", type=click.Path(path_type=Path), required=False)
@click.option("--in-place", is_flag=True, help="Remove the others from IN.")
@_counting
@qemu_of
def minimum(place: Path, out: Path | None, in_place: bool, target: str, qemu: str) -> int:
    """Keep in OUT the fewest programs of IN that exercise all that IN does."""
    from fuzz.commands.corpora import minimise as command

    return command(place, out, in_place, target, qemu)


@corpus.command()
@_in
@click.option("--out", type=click.Path(path_type=Path), metavar="DIR", help="A file each there, not to stdout.")
@_counting
@qemu_of
def decode(places: tuple[Path, ...], out: Path | None, target: str, qemu: str) -> int:
    """Print the programs in IN as text; those of a fuzzer are bytes that choose one."""
    from fuzz.commands.corpora import decode as command

    return command(places, out, target, qemu)


@corpus.command("stats")
@_in
@_counting
@qemu_of
def statistics(places: tuple[Path, ...], target: str, qemu: str) -> int:
    """Say how many programs there are, of which kinds, what they exercise, and what of that is rare."""
    from fuzz.commands.corpora import stats as command

    return command(places, target, qemu)
