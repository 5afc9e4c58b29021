"""Calling a user's feature or label function, and saying what it did wrong so that the line can be found."""

from __future__ import annotations

import linecache
import re
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

from keelway.errors import FeatureError

_NO_ATTRIBUTE = "'Table' object has no attribute"


def called(
    function: Callable[..., Any], arguments: tuple[Any, ...], *, what: str, hidden: frozenset[str] = frozenset()
) -> Any:
    """Return the Ibis table that a user's function makes of its arguments.

    Args:
        what: The function as a person calls it, such as `Feature set 'activity'`.
        hidden: Columns that the function is not shown, because the label is made of them.

    Raises:
        FeatureError: The function raises, with the line where, or returns anything but a table.
    """
    import ibis.expr.types as ir

    try:
        result = function(*arguments)
    except Exception as error:  # a user's function may raise anything at all
        _refuse_hidden(error, hidden, what=what)
        raise FeatureError(
            f"{what} raised {type(error).__name__}",
            expected=_expected(error, arguments),
            found=str(error),
            fix=f"Mend the function{_place_of(error, function)}",
        ) from error
    if not isinstance(result, ir.Table):
        raise FeatureError(
            f"{what} returned no table",
            expected="an Ibis table, not executed",
            found=type(result).__name__,
            fix="End the function with `return`, and do not execute the table.",
        )
    return result


def _refuse_hidden(error: Exception, hidden: frozenset[str], *, what: str) -> None:
    """Explain an error that names a hidden column."""
    named = [name for name in sorted(hidden) if re.search(rf"(?<!\w){re.escape(name)}(?!\w)", str(error))]
    if named:
        raise FeatureError(
            f"{what} asks for column {named[0]!r}, which the label is made of",
            expected="columns that the label function does not read: those are hidden, so that no feature is the label",
            found=str(error),
            fix="Leave the column out; there is no need to drop it either.",
        ) from error


def _expected(error: Exception, arguments: tuple[Any, ...]) -> str:
    """Return what would have been right: one of the columns where a table was asked for another, else a table."""
    if not (isinstance(error, AttributeError) and _NO_ATTRIBUTE in str(error)):
        return "an Ibis table"
    columns = {name for each in arguments for name in getattr(each, "columns", ())}
    return f"one of the columns {', '.join(sorted(columns))}"


def _place_of(error: Exception, function: Callable[..., Any]) -> str:
    """Return the last line of the function's own file that an error passed through, as it reads there."""
    frames = traceback.extract_tb(error.__traceback__)
    code = getattr(function, "__code__", None)
    own = [frame for frame in frames if code is not None and frame.filename == code.co_filename]
    if not own:
        return "."
    last = own[-1]
    text = linecache.getline(last.filename, last.lineno or 0).strip()
    return f", {Path(last.filename).name} line {last.lineno}" + (f": {text}" if text else ".")
