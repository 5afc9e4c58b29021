"""Writes docs/reference/cli.md from the commands themselves: `python -m keelway.surfaces.cli.reference`.

A test writes it again and compares, so the page cannot fall behind.
"""

from __future__ import annotations

from collections.abc import Iterator

import click

from keelway.surfaces.cli.main import COMMANDS, main

COMMON = ("folder", "actor", "token", "now", "as_json")
HEAD = """# The command line

Generated from the commands; do not edit. Every command also takes `--project DIR` (the project's folder), `--as PRINCIPAL`
(who acts), `--token REF` (a secret reference to the actor's token), `--now TIME` (the moment to take for the present),
`--json` (answer in JSON) and `--help`.

Exit codes: 0 done; 1 failed; 2 wrong use; 3 refused by a policy, a role or a missing approval; 4 decided and recorded, but not
effective: the place where versions answer could not be told, or a server does not answer so within `--wait`. Every error says what was
expected, what was found, and how to mend it.
"""


def render() -> str:
    """Return the page."""
    parts = [HEAD]
    context = click.Context(main, info_name="keelway")
    for group, commands in COMMANDS.items():
        parts.append(f"\n## {group}\n")
        for name in commands:
            command = main.get_command(context, name)
            assert command is not None
            parts += [_section(path, leaf, context) for path, leaf in leaves(command)]
    return "".join(parts)


def leaves(command: click.Command, path: str = "") -> Iterator[tuple[str, click.Command]]:
    """Yield a command, or those of a group, each with its words: `snapshots diff`."""
    path = f"{path} {command.name}".strip()
    if not isinstance(command, click.Group):
        yield path, command
        return
    for inner in command.commands.values():
        yield from leaves(inner, path)


def _section(path: str, command: click.Command, context: click.Context) -> str:
    own = click.Context(command, info_name=path, parent=context)
    shown = [item for item in command.params if item.name not in COMMON]
    usage = " ".join(["keelway", path, *(_usage(item, own) for item in shown)])
    lines = [f"\n### `keelway {path}`\n\n", f"{command.get_short_help_str(limit=400)}\n\n", f"    {usage}\n"]
    options = [record for item in shown if (record := item.get_help_record(own)) is not None]
    if options:
        lines.append("\n| option | meaning |\n|---|---|\n")
        lines += [f"| `{option.replace('|', chr(92) + '|')}` | {meaning} |\n" for option, meaning in options]
    return "".join(lines)


def _usage(item: click.Parameter, context: click.Context) -> str:
    if isinstance(item, click.Argument):
        return item.make_metavar(context)
    return f"[{item.opts[0]}]"


if __name__ == "__main__":
    print(render(), end="")
