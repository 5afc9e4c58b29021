"""What a declaration knows of a user's function: its text and its parameters, without calling it."""

from __future__ import annotations

import inspect
import textwrap
from collections.abc import Callable, Sequence
from typing import Any

from keelway.errors import ProjectError
from keelway.project.dataset import Dataset

TableFunction = Callable[..., Any]
"""Takes one Ibis table for each source and then the cut date `as_of`; returns an Ibis table."""


def source_text(function: TableFunction) -> str:
    """Return the text of a function, decorator included, without the indentation it has in its file.

    Raises:
        ProjectError: There is no text, because the function was typed into a prompt or made by `exec`.
    """
    try:
        return textwrap.dedent(inspect.getsource(function))
    except (OSError, TypeError) as error:
        raise ProjectError(
            f"The text of function {_name_of(function)!r} cannot be read",
            expected="a function written in a file or a notebook cell",
            fix="Move the function into a module of the project.",
        ) from error


def check_parameters(function: TableFunction, sources: Sequence[Dataset]) -> None:
    """Check that a function takes one table for each source, in their order, and then `as_of`.

    Raises:
        ProjectError: It takes fewer or more arguments, or names its tables in another order.
    """
    if not callable(function):
        raise ProjectError("A declaration needs a function", expected="a function", found=repr(function))
    names = [source.name for source in sources]
    takes = list(inspect.signature(function).parameters)
    known = {name.replace("-", "_") for name in names}
    aligned = all(
        given == name.replace("-", "_") or given not in known for given, name in zip(takes, names, strict=False)
    )
    if len(takes) != len(names) + 1 or not aligned:
        raise ProjectError(
            f"Function {_name_of(function)!r} takes other arguments than its sources",
            expected=f"({', '.join([*names, 'as_of'])})",
            found=f"({', '.join(takes)})",
        )


def _name_of(function: TableFunction) -> str:
    return str(getattr(function, "__name__", function))
