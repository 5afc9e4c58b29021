"""What `%load_ext keelway` puts into a notebook, and `%unload_ext keelway` takes out again."""

from __future__ import annotations

from typing import Any

from keelway.surfaces.notebook.magic import run_command
from keelway.surfaces.notebook.project import open_project
from keelway.surfaces.notebook.records import KNOWN, html_of_many

MAGIC = "keelway"


def load(shell: Any) -> None:
    """Put the magic, `open_project` and, inside a project, `project` into a notebook; records are shown as tables.

    Args:
        shell: IPython's `InteractiveShell`.
    """

    def keelway(line: str) -> None:
        """Carry out a command of Keelway, as on the command line: `%keelway runs --metric auc`."""
        shell.user_ns["answer"] = run_command(line)

    shell.register_magic_function(keelway, "line", MAGIC)
    shell.user_ns["open_project"] = open_project
    here = open_project()
    if here.exists() and "project" not in shell.user_ns:
        shell.user_ns["project"] = here
    formatter = shell.display_formatter.formatters["text/html"]
    for (module, name), html in KNOWN.items():
        formatter.for_type_by_name(module, name, html)
    for kind in (list, tuple):
        if kind not in formatter.type_printers:
            formatter.for_type(kind, html_of_many)


def unload(shell: Any) -> None:
    """Take out what `load` put in; values that a user made stay."""
    shell.magics_manager.magics["line"].pop(MAGIC, None)
    formatter = shell.display_formatter.formatters["text/html"]
    for module, name in KNOWN:
        _forget(formatter, module, name)
    for kind in (list, tuple):
        if formatter.type_printers.get(kind) is html_of_many:
            formatter.pop(kind)


def _forget(formatter: Any, module: str, name: str) -> None:
    """Take a class out of a formatter, whether an object of it was shown already or not."""
    formatter.deferred_printers.pop((module, name), None)
    for kind in [kind for kind in formatter.type_printers if (kind.__module__, kind.__name__) == (module, name)]:
        formatter.pop(kind)
