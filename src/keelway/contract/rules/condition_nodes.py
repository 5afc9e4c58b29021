"""What a condition may use: each kind of node in its syntax tree, with the Ibis value it stands for.

A node that is not listed in `NODES` is refused, and so is a listed one with a part that is not listed beside it.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import ibis.expr.types as ir
    from sqlglot.expressions import Expr

    from keelway.contract.rules.conditions import Reader

INTERVALS = ("day", "hour", "minute", "second")
A_MONDAY = date(1900, 1, 1)
"""The Monday from which the days of the week are counted."""


def double(number: float) -> ir.FloatingScalar:
    """Return a number in double precision: as a plain literal it is a decimal on Spark, which knows no infinity."""
    import ibis

    return ibis.literal(repr(number)).cast("float64")


def _literal(_: Reader, node: Expr) -> ir.Value:
    import ibis

    if node.args["is_string"]:
        return ibis.literal(node.name)
    return ibis.literal(int(node.name)) if node.name.isdigit() else double(float(node.name))


def _compared(symbol: str) -> Callable[[Reader, Expr], ir.Value]:
    def build(at: Reader, node: Expr) -> ir.Value:
        left, right = at.pair(node.this, node.expression)
        return _COMPARISONS[symbol](left, right)

    return build


_COMPARISONS: dict[str, Callable[[Any, Any], Any]] = {
    "EQ": lambda left, right: left == right,
    "NEQ": lambda left, right: left != right,
    "LT": lambda left, right: left < right,
    "LTE": lambda left, right: left <= right,
    "GT": lambda left, right: left > right,
    "GTE": lambda left, right: left >= right,
    "NullSafeEQ": lambda left, right: left.identical_to(right),
    "NullSafeNEQ": lambda left, right: ~left.identical_to(right),
}


def _is(at: Reader, node: Expr) -> ir.Value:
    if type(node.expression).__name__ != "Null":
        raise at.refused("IS NULL or IS NOT NULL", node.sql("duckdb"))
    return at.read(node.this).isnull()


def _among(at: Reader, node: Expr) -> ir.Value:
    pairs = [at.pair(node.this, item) for item in node.expressions]
    return pairs[0][0].isin([value for _, value in pairs])


def _between(at: Reader, node: Expr) -> ir.Value:
    value, low = at.pair(node.this, node.args["low"])
    return (value >= low) & (value <= at.pair(node.this, node.args["high"])[1])


def _like(at: Reader, node: Expr) -> ir.Value:
    text = at.plain(node.expression)
    if "\\" in text:
        raise at.refused("LIKE without a backslash", text)
    found = at.string(node.this).like(text)
    return ~found if node.args.get("negate") else found


def _plus(at: Reader, node: Expr) -> ir.Value:
    if type(node.expression).__name__ == "Interval":
        return at.read(node.this) + _interval(at, node.expression, at.read(node.this))
    return at.number(node.this) + at.number(node.expression)


def _minus(at: Reader, node: Expr) -> ir.Value:
    if type(node.expression).__name__ == "Interval":
        return at.read(node.this) - _interval(at, node.expression, at.read(node.this))
    value = at.read(node.this)
    if value.type().is_date():
        return _days(at, node.this, node.expression)
    return at.number(node.this) - at.number(node.expression)


def _interval(at: Reader, node: Expr, to: ir.Value) -> ir.Value:
    """Return a fixed stretch of time; months and years are not fixed."""
    import ibis

    unit = node.args["unit"].name.lower().removesuffix("s")
    count = at.plain(node.this, "a whole number of days, hours, minutes or seconds")
    fits = unit in INTERVALS if to.type().is_timestamp() else to.type().is_date() and unit == "day"
    if not fits or not count.isdigit():
        raise at.refused("a whole number of days (of hours, minutes or seconds for times)", node.sql("duckdb"))
    return ibis.interval(int(count), unit=unit)


def _days(at: Reader, later: Expr, earlier: Expr) -> ir.Value:
    end, start = at.pair(later, earlier)
    if not end.type().is_date():
        raise at.refused("two dates", f"{end.type()}")
    return end.delta(start, unit="day")


def _difference(at: Reader, node: Expr) -> ir.Value:
    if node.args["unit"].name.lower() != "day":
        raise at.refused("date_diff in days", node.sql("duckdb"))
    return _days(at, node.this, node.expression)


def _divided(at: Reader, node: Expr) -> ir.Value:
    return at.number(node.this) / at.number(node.expression).nullif(double(0.0))


def _rest(at: Reader, node: Expr) -> ir.Value:
    values = [at.read(node.this), at.read(node.expression)]
    if not all(value.type().is_integer() for value in values):
        raise at.refused("two integers around %", node.sql("duckdb"))
    return values[0] % values[1].nullif(0)


def _negated(at: Reader, node: Expr) -> ir.Value:
    import ibis

    if type(node.this).__name__ == "Literal" and not node.this.args["is_string"]:
        number = node.this.name
        return ibis.literal(-int(number)) if number.isdigit() else double(-float(number))
    return -at.number(node.this)


def _case(at: Reader, node: Expr) -> ir.Value:
    import ibis

    branches = []
    for branch in node.args["ifs"]:
        if node.this is None:
            when = at.truth(branch.this)
        else:
            left, right = at.pair(node.this, branch.this)
            when = left == right
        branches.append((when, at.read(branch.args["true"])))
    default = node.args.get("default")
    return ibis.cases(*branches, else_=None if default is None else at.read(default))


def _if(at: Reader, node: Expr) -> ir.Value:
    import ibis

    other = node.args.get("false")
    value = at.read(node.args["true"])
    return ibis.cases((at.truth(node.this), value), else_=None if other is None else at.read(other))


def _coalesce(at: Reader, node: Expr) -> ir.Value:
    import ibis

    pairs = [at.pair(node.this, other) for other in node.expressions]
    return ibis.coalesce(pairs[0][0] if pairs else at.read(node.this), *(value for _, value in pairs))


def _substring(at: Reader, node: Expr) -> ir.Value:
    start, length = (at.plain(node.args.get(name), "a position and a length") for name in ("start", "length"))
    if not (start.isdigit() and length.isdigit() and int(start) > 0):
        raise at.refused("a position from 1 and a length", node.sql("duckdb"))
    return at.string(node.this).substr(int(start) - 1, int(length))


def _cast(at: Reader, node: Expr) -> ir.Value:
    """Read `DATE '...'`, `TIMESTAMP '...'`, and the day of a time."""
    kind = node.args["to"].this.name
    if type(node.this).__name__ == "Literal" and kind in ("DATE", "TIMESTAMPNTZ", "TIMESTAMP", "TIMESTAMPTZ"):
        return at.moment(node.this.name, time=kind != "DATE")
    value = at.read(node.this)
    if kind == "DATE" and value.type().is_timestamp():
        return value.date()
    if kind == "DOUBLE":
        return at.number(node.this)
    raise at.refused("a cast of a time to DATE, or of a number to DOUBLE", node.sql("duckdb"))


def _part(name: str) -> Callable[[Reader, Expr], ir.Value]:
    def build(at: Reader, node: Expr) -> ir.Value:
        return getattr(_dated(at, node.this, name), name)()

    return build


def _dated(at: Reader, node: Expr, name: str) -> ir.Value:
    """Return an operand that is a date or a time."""
    value = at.read(node)
    if not (value.type().is_date() or value.type().is_timestamp()):
        raise at.refused(f"a date or a time in {name}()", f"{node.sql('duckdb')}, a {value.type()}")
    return value


def _hour(at: Reader, node: Expr) -> ir.Value:
    value = _dated(at, node.this, "hour")
    if value.type().is_date():
        raise at.refused("a time in hour(), as a date has no hours", f"{node.this.sql('duckdb')}, a date")
    return value.hour()


def _called(at: Reader, node: Expr) -> ir.Value:
    """Return the value of a function that the parser has no node for."""
    if node.name.lower() != "weekday":
        raise at.refused("what the documentation lists", node.sql("duckdb"))
    if len(node.expressions) != 1:
        raise at.refused("one date or time in weekday()", node.sql("duckdb"))
    return _weekday(_dated(at, node.expressions[0], "weekday"))


def _weekday(value: ir.Value) -> ir.Value:
    """Return the day of the week as ISO 8601 counts it, Monday 1 to Sunday 7.

    It is counted from a Monday: what engines call the day of the week begins where they, or on Snowflake the session
    (WEEK_START), say.
    """
    import ibis

    day = value.date() if value.type().is_timestamp() else value
    days = day.delta(ibis.literal(A_MONDAY), unit="day")
    return (days % 7 + 7) % 7 + 1  # days before that Monday are negative, and so is their rest


def _null(at: Reader, node: Expr) -> ir.Value:
    raise at.refused("IS NULL, as nothing equals NULL", node.parent.sql("duckdb") if node.parent else "NULL")


def _true(_: Reader, node: Expr) -> ir.Value:
    import ibis

    return ibis.literal(bool(node.this))


_BOTH = ("this", "expression")
SILENT = ("safe", "date_part_boundary", "_type")
"""What the parser notes about DuckDB, which changes nothing here."""
NODES: dict[str, tuple[Callable[[Reader, Expr], Any], tuple[str, ...]]] = {
    "Column": (lambda at, node: at.column(node), ("this",)),
    "Literal": (_literal, ("this", "is_string")),
    "Boolean": (_true, ("this",)),
    "Null": (_null, ()),
    "Paren": (lambda at, node: at.read(node.this), ("this",)),
    "Not": (lambda at, node: ~at.truth(node.this), ("this",)),
    "And": (lambda at, node: at.truth(node.this) & at.truth(node.expression), _BOTH),
    "Or": (lambda at, node: at.truth(node.this) | at.truth(node.expression), _BOTH),
    **{name: (_compared(name), _BOTH) for name in _COMPARISONS},
    "Is": (_is, _BOTH),
    "In": (_among, ("this", "expressions")),
    "Between": (_between, ("this", "low", "high")),
    "Like": (_like, (*_BOTH, "negate")),
    "Add": (_plus, _BOTH),
    "Sub": (_minus, _BOTH),
    "Mul": (lambda at, node: at.number(node.this) * at.number(node.expression), _BOTH),
    "Div": (_divided, _BOTH),
    "Mod": (_rest, _BOTH),
    "Neg": (_negated, ("this",)),
    "Abs": (lambda at, node: at.number(node.this).abs(), ("this",)),
    "Case": (_case, ("this", "ifs", "default")),
    "If": (_if, ("this", "true", "false")),
    "Coalesce": (_coalesce, ("this", "expressions")),
    "Nullif": (lambda at, node: at.pair(node.this, node.expression)[0].nullif(at.read(node.expression)), _BOTH),
    "Length": (lambda at, node: at.string(node.this).length(), ("this",)),
    "DPipe": (lambda at, node: at.string(node.this) + at.string(node.expression), _BOTH),
    "Substring": (_substring, ("this", "start", "length")),
    "StartsWith": (lambda at, node: at.string(node.this).startswith(at.plain(node.expression)), _BOTH),
    "EndsWith": (lambda at, node: at.string(node.this).endswith(at.plain(node.expression)), _BOTH),
    "Contains": (lambda at, node: at.string(node.this).contains(at.plain(node.expression)), _BOTH),
    "RegexpLike": (lambda at, node: at.string(node.this).re_search(at.pattern(node.expression)), _BOTH),
    "Year": (_part("year"), ("this",)),
    "Month": (_part("month"), ("this",)),
    "Day": (_part("day"), ("this",)),
    "Hour": (_hour, ("this",)),
    "Anonymous": (_called, ("this", "expressions")),
    "DateDiff": (_difference, ("this", "expression", "unit")),
    "Cast": (_cast, ("this", "to")),
}
