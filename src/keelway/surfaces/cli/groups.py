"""A group of commands, one of which is meant where none is named: `keelway snapshots` is `keelway snapshots list`."""

from __future__ import annotations

import click


class DefaultGroup(click.Group):
    """A group with a default command; the first word after the group is a command only if the group has it."""

    default = "list"

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Put the default command in front where no command of the group stands there."""
        if not args or (args[0] not in self.commands and args[0] not in ctx.help_option_names):
            args = [self.default, *args]
        return super().parse_args(ctx, args)
