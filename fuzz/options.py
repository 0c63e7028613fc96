"""What several commands have on the command line: how a group names the nearest command, options, their words.

Knows click. Must not know what any command does.
"""

from __future__ import annotations

from difflib import get_close_matches
from typing import Any

import click


class Commands(click.Group):
    """A group that names the nearest command when there is none of that name."""

    def resolve_command(self, ctx: click.Context, args: list[str]) -> Any:
        """The command that *args* begin with."""
        name = args[0]
        if self.get_command(ctx, name) is None and not name.startswith("-"):
            close = get_close_matches(name, list(self.commands), 1, 0.0)[0]
            listed = f"{ctx.command_path} --help lists them all"
            ctx.fail(f"no command is called {name!r}; the nearest is {close!r} ({listed})")
        return super().resolve_command(ctx, args)


qemu = click.option("--qemu", default="", metavar="COMMAND",
                    help="What starts the QEMU of qemu:DEVICE (or VQFUZZ_QEMU).  [qemu-system-x86_64]")  # fmt: skip
