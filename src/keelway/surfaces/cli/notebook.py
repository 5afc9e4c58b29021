"""Commands on notebooks: run and lint."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from keelway.core import short
from keelway.errors import ProjectError
from keelway.surfaces.cli.session import FAILURE_EXIT, Session, command, counted, table

if TYPE_CHECKING:
    from keelway.app.notebooks import NotebookRoom

INTERRUPTED_EXIT = 130
_file = click.Path(path_type=Path)


@click.group(name="notebook")
def notebook() -> None:
    """Execute notebooks as recorded runs, and check that they execute."""


@command(name="run")
@click.argument("source", metavar="IN.ipynb", type=_file)
@click.argument("output", metavar="[OUT.ipynb]", type=_file, required=False)
@click.option("-p", "--parameter", "given", nargs=2, multiple=True, metavar="NAME VALUE", help="Set a parameter.")
@click.option("-r", "--raw", nargs=2, multiple=True, metavar="NAME TEXT", help="Set a parameter to a text as it is.")
@click.option("--timeout", "timeout_s", default=0, help="Stop a cell after so many seconds (0: never).")
@click.option("--seed", type=int, default=None, help="Recorded, and handed to runs within (default: 0).")
@click.option("--model", default="", help="The model it is about, to be found by.")
def run(
    session: Session,
    source: Path,
    output: Path | None,
    given: tuple[tuple[str, str], ...],
    raw: tuple[tuple[str, str], ...],
    **settings: Any,
) -> None:
    """Execute the notebook IN.ipynb in a process of its own, record it as a run, and write it to OUT.ipynb.

    Values of -p are read as numbers, truths, None and JSON where they look like it; -r takes a text as it is. The
    notebook is kept as far as it came, also where a cell fails; the exit code is 1 then.
    """
    from keelway.app.notebooks import in_words
    from keelway.engines.jupyter import parameter_value

    parameters = {**{name: parameter_value(text) for name, text in given}, **dict(raw)}
    done = _room(session).run(source, output=output, parameters=parameters, **settings)

    def human() -> None:
        click.echo(f"notebook {done.run_id}: {done.name}, {done.status}")
        click.echo(f"  {done.executed} of {done.cells} cells in {done.seconds:.1f} s")
        click.echo(f"  executed notebook {short(done.result)}" + (f", {done.output}" if done.output else ""))
        if done.children:
            click.echo(f"  made {counted(len(done.children), 'run')}: {', '.join(done.children[:5])}")
        if done.failure is not None:
            click.echo(click.style(f"  {in_words(done.failure)}", fg="red"), err=True)
            click.echo(f"    {done.failure.source}", err=True)

    session.show(done, human)
    if done.status != "succeeded":
        sys.exit(INTERRUPTED_EXIT if done.status == "interrupted" else FAILURE_EXIT)


@command(name="lint")
@click.argument("paths", nargs=-1, type=_file)
@click.option("--execute/--no-execute", "execute", default=True, help="Execute each in a fresh process, or only look.")
@click.option("--strip", is_flag=True, help="Rewrite them without outputs first.")
@click.option("--timeout", "timeout_s", default=600, show_default=True, help="Stop a cell after so many seconds.")
def lint(session: Session, paths: tuple[Path, ...], execute: bool, strip: bool, timeout_s: int) -> None:
    """Check notebooks: each executes from top to bottom, parses, was executed in order, and gives nothing away.

    PATHS are files, or folders to look in (default: the project). Found are secrets, what names a person, and paths of
    one machine. A cell with the tag no-lint is not searched for these.
    """
    report = _room(session).lint(paths, run=execute, strip=strip, timeout_s=timeout_s)

    def human() -> None:
        for name in report.stripped:
            click.echo(f"stripped {name}")
        if report.findings:
            table(
                ["notebook", "cell", "line", "rule", "found"],
                [
                    [each.notebook, str(each.cell or ""), str(each.line or ""), each.rule, each.message]
                    for each in report.findings
                ],
            )
        click.echo(f"{counted(len(report.notebooks), 'notebook')}, {counted(len(report.findings), 'finding')}")

    session.show(report, human)
    if report.findings:
        sys.exit(FAILURE_EXIT)


for _command in (run, lint):
    notebook.add_command(_command)


def _room(session: Session) -> NotebookRoom:
    """Return the project's notebooks, or those of a folder without a project."""
    try:
        return session.app.runs.notebooks
    except ProjectError:
        from keelway.app.notebooks import NotebookRoom
        from keelway.app.tracking import workspace_for

        return NotebookRoom(
            workspace_for(session.folder, clock=session.clock, actor=session.actor, progress=session.progress)
        )
