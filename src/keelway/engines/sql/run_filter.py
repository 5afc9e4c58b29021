"""Turn a condition on runs into SQL. Whatever a user wrote is a bound value; only names of our own columns are text."""

from __future__ import annotations

import operator
from collections.abc import Callable
from string import ascii_lowercase, ascii_uppercase
from typing import Any

from sqlalchemy import ColumnElement, and_, func, not_, or_, select

from keelway.core import RUN_FIELDS, RunAll, RunAny, RunFilter, RunNot, RunTest, parse_time
from keelway.engines.sql.stamps import stamp
from keelway.engines.sql.tables import run_metrics, run_parameters, runs

_COLUMNS = {"id": "run_id", "started": "started_at", "ended": "ended_at"}
_COMPARE: dict[str, Callable[[Any, Any], Any]] = {
    "=": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}

_LOWER = str.maketrans(ascii_uppercase, ascii_lowercase)
"""What the databases do in `lower`: letters beyond ASCII stay as they are."""


def condition(tree: RunFilter) -> ColumnElement[bool]:
    """Return the SQL condition of a filter; it is true or false, never null."""
    if isinstance(tree, RunAll):
        return and_(*(condition(part) for part in tree.parts))
    if isinstance(tree, RunAny):
        return or_(*(condition(part) for part in tree.parts))
    if isinstance(tree, RunNot):
        return not_(condition(tree.part))
    return _field(tree) if tree.scope == "field" else _measured(tree)


def _measured(tree: RunTest) -> ColumnElement[bool]:
    metric = _having(run_metrics, run_metrics.c.value, tree)
    parameter = _having(run_parameters, _parameter_column(tree), tree)
    if tree.scope == "metric":
        return metric
    if tree.scope == "parameter" or not _is_number(tree.value):
        return parameter
    return or_(metric, parameter)


def _field(test: RunTest) -> ColumnElement[bool]:
    column = runs.c[_COLUMNS.get(test.name, test.name)]
    value = stamp(parse_time(str(test.value))) if RUN_FIELDS[test.name] == "time" else test.value
    return func.coalesce(_compared(column, test.operator, value), False)


def _having(table: Any, column: Any, test: RunTest) -> ColumnElement[bool]:
    value = ("true" if test.value else "false") if isinstance(test.value, bool) else test.value
    wanted = select(table.c.run).where(table.c.name == test.name, _compared(column, test.operator, value))
    return runs.c.seq.in_(wanted)


def _parameter_column(test: RunTest) -> Any:
    return run_parameters.c.number if _is_number(test.value) else run_parameters.c.text


def _compared(column: Any, sign: str, value: Any) -> Any:
    if sign == "like":
        pattern = str(value).translate(_LOWER).replace("\\", "\\\\")  # a backslash stands for itself
        return func.lower(column).like(pattern, escape="\\")
    return _COMPARE[sign](column, value)


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)
