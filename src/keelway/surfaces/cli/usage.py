"""Tells a command that was written wrongly in JSON where JSON was asked for, like every other error."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import IO, Any

import click

JSON_WORD = "--json"


class JsonUsageError(click.UsageError):
    """A wrong use that is told in JSON; for a caller it is the `click.UsageError` that it came from."""

    def show(self, file: IO[Any] | None = None) -> None:
        """Print the error with what was expected and where to look it up."""
        import json

        told = {"error": "UsageError", "what": self.message, "expected": "", "found": "", "fix": ""}
        if self.ctx is not None:
            told["expected"] = self.ctx.get_usage().removeprefix("Usage: ")
            told["fix"] = f"See `{self.ctx.command_path} --help`."
        click.echo(json.dumps(told, indent=2, ensure_ascii=False), file=file, err=file is None)


def wants_json(words: Sequence[str]) -> bool:
    """Say whether a command line asks for JSON.

    >>> wants_json(["audit", "log", "--json"]), wants_json(["audit", "log", "--", "--json"])
    (True, False)
    """
    options = words[: words.index("--")] if "--" in words else words
    return JSON_WORD in options


@contextmanager
def told_in_json(wanted: bool) -> Iterator[None]:
    """Turn what click says of a wrong use into an error that is told in JSON, if that is wanted."""
    try:
        yield
    except click.UsageError as error:
        if not wanted:
            raise
        raise JsonUsageError(error.format_message().rstrip("."), error.ctx) from error
