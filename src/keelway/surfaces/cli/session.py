"""What every command shares: the common options, the way answers are shown and errors are told."""

from __future__ import annotations

import contextlib
import functools
import json
import sys
from collections.abc import Callable, Iterator, Sequence
from contextvars import ContextVar
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, Protocol

import click

from keelway.core import SimulatedClock, SystemClock, parse_time, plain
from keelway.errors import KeelwayError, RefusedError, UsageError

if TYPE_CHECKING:
    from keelway.app import App

USAGE_EXIT = 2
REFUSED_EXIT = 3
FAILURE_EXIT = 1
NOT_EFFECTIVE_EXIT = 4
"""What was asked for is decided and recorded, but the place where versions answer does not follow, or not yet."""


class AnswerStage(Protocol):
    """Where answers go where there is no terminal, such as the page of a notebook."""

    def progress(self, line: str, /) -> None:
        """Show that long work moved on."""
        ...

    def table(self, headings: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
        """Show a table."""
        ...

    def answer(self, value: object) -> None:
        """Take an answer as a value, before it is shown."""
        ...


_stage: ContextVar[AnswerStage | None] = ContextVar("keelway_stage", default=None)


@contextlib.contextmanager
def staged(stage: AnswerStage) -> Iterator[None]:
    """Let commands that are called inside show their answers on a stage, and raise their errors."""
    token = _stage.set(stage)
    try:
        yield
    finally:
        _stage.reset(token)


class Session:
    """One call of the command line: where, who, when, and how to answer.

    Args:
        folder: Where to look for the project.
        actor: Who acts, or empty for the project's default.
        token: A secret reference to the actor's token, or empty.
        now: The moment to take for the present, or empty for the machine's clock.
        as_json: Whether to answer in JSON.
    """

    def __init__(self, folder: Path, *, actor: str, token: str, now: str, as_json: bool) -> None:
        self.folder = folder
        self.actor = actor
        self.token = token
        self._now = now
        self.clock = SimulatedClock(parse_time(now)) if now else SystemClock()
        self.as_json = as_json
        self._on = _stage.get()

    @functools.cached_property
    def app(self) -> App:
        """The project's use cases."""
        from keelway.app import App

        return App.open(self.folder, clock=self.clock, actor=self.actor, token=self.token, progress=self.progress)

    def options(self) -> list[str]:
        """Return the words by which another command is called for the same project, actor and moment."""
        given = {"--as": self.actor, "--token": self.token, "--now": self._now}
        return ["--project", str(self.folder), *(word for each in given.items() if each[1] for word in each)]

    def close(self) -> None:
        """Release what the command opened."""
        if "app" in self.__dict__:
            self.app.close()

    def progress(self, line: str) -> None:
        """Tell a person what is going on; machines are not disturbed."""
        if not self.as_json:
            from keelway.privacy import scrub

            if self._on is not None:
                self._on.progress(scrub(line))
            else:
                click.echo(click.style(f"  {scrub(line)}", dim=True), err=True)

    def show(self, answer: object, human: Callable[[], None]) -> None:
        """Print an answer: as JSON for machines, or by a function that prints it for people."""
        if self._on is not None:
            self._on.answer(answer)
        if self.as_json:
            click.echo(json.dumps(plain(answer), indent=2, sort_keys=True, ensure_ascii=False))
        else:
            human()


def command(**settings: Any) -> Callable[[Callable[..., None]], click.Command]:
    """Make a click command of a function that takes a `Session` first; adds the common options and error handling."""

    def decorate(function: Callable[..., None]) -> click.Command:
        @functools.wraps(function)
        def call(*, folder: Path, actor: str, token: str, now: str, as_json: bool, **arguments: Any) -> None:
            if _stage.get() is None:  # else the process is not the command's alone
                _scrub_process()
            try:
                with contextlib.closing(Session(folder, actor=actor, token=token, now=now, as_json=as_json)) as session:
                    function(session, **arguments)
            except KeelwayError as error:
                if _stage.get() is not None:
                    raise
                fail(error, as_json=as_json)
            except NotImplementedError as error:
                _not_built(error, as_json=as_json)

        made: click.Command = click.command(**settings)(_common(call))
        return made

    return decorate


def _scrub_process() -> None:
    from keelway.privacy import scrub_logs, scrub_tracebacks

    scrub_logs()
    scrub_tracebacks()


def _common(function: Callable[..., None]) -> Callable[..., None]:
    """Add the options that every command has."""
    options = [
        click.option(
            "--project",
            "folder",
            type=click.Path(path_type=Path, file_okay=False),
            default=".",
            envvar="KEELWAY_PROJECT",
            help="The project's folder (default: this one or one above).",
        ),
        click.option("--as", "actor", default="", envvar="KEELWAY_ACTOR", help="Who acts: user:NAME or sp:NAME."),
        click.option(
            "--token",
            default="",
            envvar="KEELWAY_TOKEN_REF",
            help="Secret reference to the actor's token (env:NAME, file:PATH).",
        ),
        click.option(
            "--now", default="", envvar="KEELWAY_NOW", help="Take this moment for the present (ISO 8601, UTC)."
        ),
        click.option("--json", "as_json", is_flag=True, help="Answer in JSON."),
    ]
    for option in reversed(options):
        function = option(function)
    return function


def fail(error: KeelwayError, *, as_json: bool) -> NoReturn:
    """Tell an error with what was expected, what was found and the fix, and without what names a person; then exit."""
    from keelway.privacy import scrub

    what, expected, found, fix = (scrub(text) for text in (error.what, error.expected, error.found, error.fix))
    if as_json:
        told = {"error": type(error).__name__, "what": what, "expected": expected, "found": found}
        told["fix"] = fix
        if isinstance(error, RefusedError):
            told["reasons"] = [scrub(reason) for reason in error.reasons]  # type: ignore[assignment]
        click.echo(json.dumps(told, indent=2, ensure_ascii=False), err=True)
    else:
        click.echo(click.style(f"{type(error).__name__}: {what}", fg="red"), err=True)
        reasons = [scrub(reason) for reason in error.reasons] if isinstance(error, RefusedError) else []
        told_singly = len(reasons) > 1 and found == scrub("; ".join(error.reasons))  # type: ignore[attr-defined]
        for name, texts in (("expected", [expected]), ("found", reasons if told_singly else [found]), ("fix", [fix])):
            for number, text in enumerate(each for each in texts if each):
                click.echo(f"  {'' if number else name + ':':<10}{text}", err=True)
    if isinstance(error, RefusedError):
        sys.exit(REFUSED_EXIT)
    sys.exit(USAGE_EXIT if isinstance(error, UsageError) else FAILURE_EXIT)


def _not_built(error: NotImplementedError, *, as_json: bool) -> NoReturn:
    """Tell what is not built, as plainly as a wrong use, and exit."""
    from keelway.privacy import scrub

    told = {"error": "NotImplementedError", "what": scrub(str(error)), "expected": "", "found": "", "fix": ""}
    line = json.dumps(told, ensure_ascii=False) if as_json else f"Not built yet: {told['what']}"
    click.echo(line, err=True)
    sys.exit(FAILURE_EXIT)


def counted(count: int, noun: str) -> str:
    """Return how many of something, in words.

    >>> counted(1, "finding"), counted(2, "finding")
    ('1 finding', '2 findings')
    """
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def shortened(text: str, characters: int) -> str:
    """Return a text as it is, or its beginning with a mark that there is more.

    >>> shortened("churn:2", 7), shortened("churn:20", 7)
    ('churn:2', 'churn:…')
    """
    return text if len(text) <= characters else f"{text[: characters - 1]}…"


def table(headings: list[str], rows: list[list[str]]) -> None:
    """Print rows in columns as wide as they need; plain text, so it can be piped."""
    if not rows:
        click.echo("nothing yet")
        return
    if (stage := _stage.get()) is not None:
        stage.table(headings, rows)
        return
    widths = [max(len(str(row[i])) for row in [headings, *rows]) for i in range(len(headings))]
    lines = [headings, *rows]
    for number, row in enumerate(lines):
        text = "  ".join(str(cell).ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        click.echo(click.style(text, bold=True) if number == 0 else text)
