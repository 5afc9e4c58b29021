"""Arithmetic that does not depend on the engine: division and rounding.

Constants are written as integers in all blocks: Spark takes `0.5` for a decimal, and some engines then leave doubles.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from keelway.errors import FeatureError

if TYPE_CHECKING:
    import ibis.expr.types as ir

_NO_FRACTION = 2**52
"""A double this large is a whole number already."""


def ratio(part: ir.Value | float, whole: ir.Value | float) -> ir.FloatingValue:
    """Return part divided by whole, as a number with a fraction; null where the whole is zero or either is missing."""
    result: Any = number(part) / number(whole).nullif(0)
    return result


def whole_ratio(part: ir.Value | float, whole: ir.Value | float) -> ir.FloatingValue:
    """Return how often the whole goes into the part, rounded down (-7 into 2 parts is -4, not -3).

    Null where the whole is zero or either is missing. The division is one of doubles, so integers beyond 2**53 lose
    digits first.
    """
    return _floor(ratio(part, whole))


def rounded(value: ir.Value, digits: int = 0) -> ir.FloatingValue:
    """Return a number rounded to some decimal digits, halves upwards: floor(value * 10**digits + 0.5) / 10**digits.

    So 2.5 gives 3 and -2.5 gives -2. The arithmetic is that of doubles, hence 1.005 to two digits is 1.0: the nearest
    double lies below 1.005. A number too large to have a fraction, and infinity, stay as they are.

    Args:
        digits: From 0 to 15.

    Raises:
        FeatureError: So many digits cannot be kept.
    """
    if not 0 <= digits <= 15:
        raise FeatureError("A number cannot be rounded so", expected="0 to 15 digits", found=str(digits))
    scale = 10**digits
    given = number(value)
    scaled = given * scale
    upwards = _floor((scaled * 2 + 1) / 2)  # as scaled + 0.5, to the last bit
    result: Any = (scaled.abs() < _NO_FRACTION).ifelse(upwards / scale, given)
    return result


def number(value: Any) -> Any:
    """Return a column as a double; NaN, which engines order and compare differently, is missing; true is 1."""
    import ibis

    if isinstance(value, (int, float)):
        value = ibis.literal(value)
    if value.type().is_floating():
        return value.isnan().ifelse(ibis.null("float64"), value.cast("float64"))
    if value.type().is_boolean():
        value = value.cast("int64")  # Snowflake makes no double of a truth value
    return value.cast("float64")


def _floor(value: Any) -> Any:
    """Return the largest whole number that is not above a double, where it has a fraction at all."""
    return (value.abs() < _NO_FRACTION).ifelse(value.floor().cast("float64"), value)
