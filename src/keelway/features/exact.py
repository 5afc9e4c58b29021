"""Summaries of floating-point numbers that do not depend on the order of rows, at the speed of ones that do.

A sum of doubles differs in its last digits with the order in which it is added up. Here a sum is the true sum of the
numbers, rounded once, so order, threads and files have no say in it. Three ways lead to that same number:

- Numbers of a column that lie within 106 bits of each other (cents up to billions do) are turned into whole multiples of
  one power of two, without loss, and added as 128-bit integers. How wide they lie is measured on the whole table first.
- All others are gathered and added by `math.fsum`.
- How many different values a column has is asked of a bit for each value where the whole table has 63 or fewer.

The way is chosen by data that may lie after a cut date; the answer is the same by each, so nothing is learnt from it.
Smallest and largest numbers and groups take 0.0 for -0.0, of which an engine returns whichever it met first.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

from keelway.features.order import adds_fractions

FRACTION_BITS = 52
"""Bits of a double behind its first one."""
WIDTH_BITS = 106
"""Two doubles hold a whole number of so many bits, so that their sum rounds it once."""
HALF = 2**53
LARGEST_POWER = 1000
"""Powers of two up to here are doubles, and so is one divided by them."""
MOST_VALUES = 63
"""As many different values as a 64-bit integer that is not negative has bits."""
WHOLE = "int64"
"""What Ibis is told of a 128-bit integer, for which it has no word; it writes no type of its own around one."""
_MACROS = {
    "keelway_whole(x, unit)": "CAST(x * unit AS HUGEINT)",
    "keelway_double(n, unit)": f"(CAST(n // {HALF} AS DOUBLE) * {HALF} + CAST(n % {HALF} AS DOUBLE)) * unit",
    "keelway_bit(x, known)": "1::BIGINT << (list_position(known, x) - 1)",
}


@dataclass(slots=True)
class Exact:
    """Rewrites queries over tables of one connection, and remembers what it measured there."""

    connection: Any
    _units: dict[Any, int | None] = field(default_factory=dict)
    _values: dict[Any, list[Any] | None] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name, meaning in _MACROS.items():
            self.connection.raw_sql(f"CREATE TEMP MACRO {name} AS ({meaning})")
        self.connection.con.create_function("keelway_fsum", _sums, ["DOUBLE[]"], "DOUBLE", type="arrow")

    def rewritten(self, query: Any) -> Any:
        """Return a query whose summaries do not depend on the order of rows; `order.is_order_free` says whether one can be."""
        return query.op().replace(self._summary).to_expr()

    def _summary(self, node: Any, changed: dict[str, Any] | None) -> Any:
        """Return the node that takes the place of another, whose parts may have been changed already."""
        import ibis.expr.operations as ops

        own = node if changed is None else node.__recreate__(changed)
        if isinstance(own, (ops.Sum, ops.Mean)) and adds_fractions(own):
            total = self._total(own)
            known = ops.Count(own.arg, where=own.where)
            return total if isinstance(own, ops.Sum) else (total.to_expr() / known.to_expr()).op()
        if (
            isinstance(own, (ops.Max, ops.Min, ops.Quantile, ops.MultiQuantile, ops.Median))
            and own.arg.dtype.is_floating()
        ):
            return own.copy(arg=_without_sign_of_zero(own.arg))
        if type(own) is ops.Aggregate and any(each.dtype.is_floating() for each in own.groups.values()):
            return own.copy(groups={name: _without_sign_of_zero(each) for name, each in own.groups.items()})
        if type(own) is ops.CountDistinct and not own.arg.dtype.is_floating():
            return self._count(own)
        return own

    def _total(self, own: Any) -> Any:
        import ibis.expr.operations as ops

        column = own.arg.to_expr().cast("float64")
        power = self._power(own.arg)
        if power is None:
            gathered = ops.ArrayCollect(column.op(), where=own.where)
            return _function("keelway_fsum", ("array<float64>",), "float64")(gathered.to_expr()).op()
        whole = _function("keelway_whole", ("float64", "float64"), WHOLE)(column, math.ldexp(1.0, power))
        added = ops.Sum(whole.op(), where=own.where).to_expr()
        return _function("keelway_double", (WHOLE, "float64"), "float64")(added, math.ldexp(1.0, -power)).op()

    def _count(self, own: Any) -> Any:
        import ibis
        import ibis.expr.operations as ops

        known = self._known(own.arg)
        if known is None:
            return own
        values = ibis.literal(known, type=f"array<{own.arg.dtype}>")
        bit = _function("keelway_bit", (str(own.arg.dtype), f"array<{own.arg.dtype}>"), "int64")(
            own.arg.to_expr(), values
        )
        set_bits = ops.BitOr(bit.op(), where=own.where).to_expr()
        return _function("bit_count", ("int64",), "int64")(set_bits).fill_null(0).op()

    def _power(self, value: Any) -> int | None:
        """Return the power of two whose multiples, as whole numbers, a column's doubles are; None where they lie too wide."""
        grounded = _grounded(value)
        if grounded is None:
            return None
        if grounded not in self._units:
            self._units[grounded] = self._measured(grounded)
        return self._units[grounded]

    def _measured(self, grounded: Any) -> int | None:
        (table,) = grounded.relations
        size = grounded.to_expr().cast("float64").abs()
        least = size.nullif(0.0).min()
        found = table.to_expr().aggregate(rows=size.count(), largest=size.max(), least=least).to_pyarrow()
        rows, largest, smallest = (found[name][0].as_py() for name in ("rows", "largest", "least"))
        if not smallest:
            return 0
        if not math.isfinite(largest):
            return None
        digits = math.frexp(largest)[1] + int(rows).bit_length()
        power = FRACTION_BITS + 1 - math.frexp(smallest)[1]
        if digits + power > WIDTH_BITS and digits <= WIDTH_BITS:  # nothing but whole numbers can be added all the same
            whole = table.to_expr().aggregate(whole=(size % 1.0 == 0).all()).to_pyarrow()["whole"][0].as_py()
            power = 0 if whole else power
        return power if digits + power <= WIDTH_BITS and abs(power) < LARGEST_POWER else None

    def _known(self, value: Any) -> list[Any] | None:
        """Return all values of a column where they are few."""
        grounded = _grounded(value)
        if grounded is None or not (grounded.dtype.is_string() or grounded.dtype.is_integer()):
            return None
        if grounded not in self._values:
            self._values[grounded] = self._listed(grounded)
        return self._values[grounded]

    def _listed(self, grounded: Any) -> list[Any] | None:
        (table,) = grounded.relations
        column = grounded.to_expr()
        about = table.to_expr().aggregate(about=column.approx_nunique()).to_pyarrow()["about"][0].as_py()
        if about > 2 * MOST_VALUES:
            return None
        found = table.to_expr().select(value=column).distinct().limit(MOST_VALUES + 2).to_pyarrow()["value"].to_pylist()
        known = sorted(value for value in found if value is not None)
        return known if len(known) <= MOST_VALUES else None


def _grounded(value: Any) -> Any:
    """Return a value written in columns of a stored table; None where it is more than a function of one of its rows."""
    import ibis.expr.operations as ops

    while True:
        if len(value.relations) != 1 or value.find((ops.Subquery, ops.WindowFunction, ops.Impure), filter=ops.Value):
            return None
        (relation,) = value.relations
        if isinstance(relation, ops.DatabaseTable):
            return value
        if not isinstance(relation, (ops.Project, ops.Filter, ops.Sort, ops.DropColumns, ops.SelfReference)):
            return None
        below = {ops.Field(relation, name): column for name, column in relation.values.items()}
        value = value.replace(below, filter=ops.Value)


def _without_sign_of_zero(value: Any) -> Any:
    """Return a value in which -0.0 is 0.0, and everything else is as it was."""
    import ibis

    return (value.to_expr() + ibis.literal(0.0, type=value.dtype)).op() if value.dtype.is_floating() else value


@functools.cache
def _function(name: str, takes: tuple[str, ...], gives: str) -> Callable[..., Any]:
    """Return a function of one or two values that DuckDB has or was taught."""
    import ibis

    bodies = {1: lambda value: value, 2: lambda value, other: (value, other)}  # never called; the engine holds the body
    made: Callable[..., Any] = ibis.udf.scalar.builtin(bodies[len(takes)], name=name, signature=(takes, gives))
    return made


def _sums(lists: Any) -> Any:  # DuckDB evaluates annotations, and pyarrow is not imported before it is needed
    """Return the sum of each list of doubles, from one Arrow array to another."""
    import pyarrow as pa

    return pa.array([None if each is None else exact_sum(each) for each in lists.to_pylist()], pa.float64())


def exact_sum(numbers: Sequence[float]) -> float:
    """Return the true sum of some numbers, rounded once; NaN and opposite infinities give NaN.

    >>> exact_sum([0.1] * 10), exact_sum([1e308, 1e308, -1e308]), exact_sum([-1e308, -1e308]), exact_sum([-0.0])
    (1.0, 1e+308, -inf, 0.0)
    """
    try:
        return math.fsum(numbers) + 0.0
    except ValueError:  # infinities of both signs
        return math.nan
    except OverflowError:  # on the way, or in the end
        true = sum(map(Fraction, numbers), Fraction())
    try:
        return float(true)
    except OverflowError:
        return math.inf if true > 0 else -math.inf
