"""The Python text of a proposed feature set, broken into lines as ruff breaks them."""

from __future__ import annotations

import json
import keyword
import re
import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from keelway.features import blocks
from keelway.features.names import RESERVED

LINE_LENGTH = 88
"""As ruff breaks lines where nothing else is said."""
_STEP = "    "
TREND_D = 30


@dataclass(frozen=True, slots=True)
class FeaturePlan:
    """What is written: the dataset, the entity, and the columns by what is made of them.

    Attributes:
        has_clock: Whether the event time says the time of day, so that sessions mean something.
        one_row_each: Whether the dataset has one row an entity, so that nothing needs to be summarised.
        left_out: Columns of which nothing is made, and why.
    """

    dataset: str
    entity: str
    event_time: str
    has_clock: bool
    one_row_each: bool
    numbers: tuple[str, ...]
    truths: tuple[str, ...]
    categories: tuple[str, ...]
    texts: tuple[str, ...]
    times: tuple[str, ...]
    left_out: tuple[tuple[str, str], ...]


def source_of(plan: FeaturePlan) -> str:
    """Return the code of a plan."""
    names = _Names({plan.entity, *RESERVED})
    body = [*(_selected(plan, names) if plan.one_row_each else _summarised(plan, names))]
    variable = plan.dataset.replace("-", "_")
    texts = f"texts=[{', '.join(_text(names.given[each]) for each in plan.texts)}]"
    declared = [f"entity={_text(plan.entity)}", f"sources=[{variable}]"]
    if plan.one_row_each and plan.texts:
        declared.append(texts)
    lines = [
        "from typing import Any",
        "",
        "from keelway import feature_set",
        *_import(body),
        "",
        "",
        *_call("", "@feature_set", declared, end=""),
        *_call("", f"def {variable}_features", ["rows: Any", "as_of: Any"], end=" -> Any:"),
        *_docstring(plan),
        *body,
    ]
    return "\n".join(lines) + "\n"


class _Names:
    """Gives features names that Python takes, each once; remembers which column got which."""

    def __init__(self, taken: set[str]) -> None:
        self.given: dict[str, str] = {}
        self._taken = taken

    def of(self, column: str, suffix: str = "") -> str:
        """Return the name of a feature of a column."""
        stem = re.sub(r"\W+", "_", column, flags=re.ASCII).strip("_").lower() or "column"
        stem = f"column_{stem}" if stem[0].isdigit() else stem
        wanted = stem + suffix
        name, number = wanted, 2
        while name in self._taken or keyword.iskeyword(name):
            name, number = f"{wanted}_{number}", number + 1
        self._taken.add(name)
        self.given[column] = name
        return name


def _selected(plan: FeaturePlan, names: _Names) -> Iterator[str]:
    """Yield what is made of a table that has one row an entity: its columns as they are."""
    yield f"{_STEP}return rows.select("
    yield f"{_STEP * 2}{_text(plan.entity)},"
    for column in plan.times:
        yield from _feature(names.of(column, "_d"), "days_since", [_column(column), "as_of"])
    for column in plan.texts:
        yield from _feature(names.of(column, "_length"), "text_length", [_column(column)])
    for column in (*plan.numbers, *plan.truths, *plan.categories, *plan.texts):
        yield f"{_STEP * 2}{names.of(column)}={_column(column)},"
    yield f"{_STEP})"


def _summarised(plan: FeaturePlan, names: _Names) -> Iterator[str]:
    """Yield what is made of a table that has many rows an entity."""
    by = f"by={_text(plan.entity)}"
    beside = [_most_frequent(column, by, names) for column in plan.categories]
    if plan.has_clock:
        beside.append(("sessions", ["rows", by, f"moment={_text(plan.event_time)}"]))
    if plan.event_time:
        yield f"{_STEP}at = {_column(plan.event_time)}"
    yield f"{_STEP}{'totals =' if beside else 'return'} rows.group_by({_text(plan.entity)}).agg("
    yield f"{_STEP * 2}rows=rows.count(),"
    if plan.event_time:
        yield from _of_time(names)
    for column in plan.numbers:
        yield from _of_number(column, names, timed=bool(plan.event_time))
    yield from _of_others(plan, names)
    yield f"{_STEP})"
    if beside:
        yield f"{_STEP}return joined("
        yield f"{_STEP * 2}totals,"
        for block, arguments in beside:
            yield from _call(_STEP * 2, block, arguments)
        yield f"{_STEP * 2}{by},"
        yield f"{_STEP})"


def _of_time(names: _Names) -> Iterator[str]:
    yield from _feature(names.of("recency_d"), "recency", ["at", "as_of"])
    yield from _feature(names.of("tenure_d"), "tenure", ["at", "as_of"])
    yield from _feature(names.of("gap_d"), "mean_gap", ["at"])
    yield from _call(_STEP * 2, "**over_windows", ['"rows"', "window_count", "at", "as_of=as_of"])
    yield from _feature(names.of("rows", f"_trend_{TREND_D}d"), "trend", ["at", "as_of", f"days={TREND_D}"])


def _of_number(column: str, names: _Names, *, timed: bool) -> Iterator[str]:
    yield from _feature(names.of(column, "_total"), "total", [_column(column)])
    yield from _feature(names.of(column, "_mean"), "mean_of", [_column(column)])
    if timed:
        sums = _text(names.of(column, "_sum"))
        yield from _call(_STEP * 2, "**over_windows", [sums, "window_sum", _column(column), "at", "as_of=as_of"])
        given = ["at", "as_of", f"days={TREND_D}", f"value={_column(column)}"]
        yield from _feature(names.of(column, f"_trend_{TREND_D}d"), "trend", given)


def _of_others(plan: FeaturePlan, names: _Names) -> Iterator[str]:
    for columns, block, suffix in (
        (plan.truths, "share_where", "_share"),
        (plan.categories, "distinct_count", "_distinct"),
    ):
        for column in columns:
            yield from _feature(names.of(column, suffix), block, [_column(column)])
    for column in plan.times:
        yield from _feature(names.of(column, "_recency_d"), "recency", [_column(column), "as_of"])
    for column in plan.texts:
        yield from _feature(names.of(column, "_length"), "mean_of", [f"text_length({_column(column)})"])


def _most_frequent(column: str, by: str, names: _Names) -> tuple[str, list[str]]:
    return "most_frequent", ["rows", _text(column), by, f"name={_text(names.of(column, '_mode'))}"]


def _feature(name: str, block: str, arguments: Sequence[str]) -> Iterator[str]:
    return _call(_STEP * 2, f"{name}={block}", arguments)


def _call(indent: str, function: str, arguments: Sequence[str], *, end: str = ",") -> Iterator[str]:
    """Yield a call on one line; where it is too long its arguments on one line, or else on one each."""
    whole = f"{indent}{function}({', '.join(arguments)}){end}"
    inside = f"{indent}{_STEP}{', '.join(arguments)}"
    if len(whole) <= LINE_LENGTH:
        yield whole
        return
    yield f"{indent}{function}("
    if len(inside) <= LINE_LENGTH:
        yield inside
    else:
        yield from (f"{indent}{_STEP}{argument}," for argument in arguments)
    yield f"{indent}){end}"


def _import(body: Sequence[str]) -> Iterator[str]:
    """Yield the import of the blocks that the code names."""
    words = {word for line in body for word in re.findall(r"\w+(?=\()|(?<=, )window_\w+|^\s+window_\w+", line)}
    used = sorted({word.strip() for word in words} & {*blocks.__all__})
    line = f"from keelway.features.blocks import {', '.join(used)}"
    if not used:
        return
    if len(line) <= LINE_LENGTH:
        yield line
    else:
        yield "from keelway.features.blocks import ("
        yield from (f"{_STEP}{name}," for name in used)
        yield ")"


def _docstring(plan: FeaturePlan) -> Iterator[str]:
    yield f'{_STEP}"""Features of each {plan.entity}, proposed from the contract of {plan.dataset}.'
    yield ""
    if plan.left_out:
        left = "Left out: " + ", ".join(f"{name} ({why})" for name, why in plan.left_out) + "."
        yield from textwrap.wrap(
            left, LINE_LENGTH, initial_indent=_STEP, subsequent_indent=_STEP, break_on_hyphens=False
        )
    else:
        yield f"{_STEP}Every column of the contract is used."
    yield f'{_STEP}"""'


def _column(name: str) -> str:
    return f"rows[{_text(name)}]"


def _text(value: str) -> str:
    """Return a text as Python and ruff write it, in double quotes unless it holds some."""
    return repr(value) if '"' in value and "'" not in value else json.dumps(value, ensure_ascii=False)
