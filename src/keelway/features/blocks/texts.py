"""Numbers made of texts."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from keelway.errors import FeatureError

if TYPE_CHECKING:
    import ibis.expr.types as ir

MAX_BUCKETS = 2**20
_DIGITS = "0123456789abcdef"
_HASH_DIGITS = 7  # 28 bits: Spark counts in 32 here, whatever is asked


def text_length(text: ir.StringValue) -> ir.IntegerValue:
    """Return how many code points a text has; null for a missing text, 0 for an empty one.

    An accent that is written as a mark of its own counts as one more, and so do the parts of a joined emoji.
    """
    result: Any = text.length().cast("int64")
    return result


def hash_bucket(text: ir.StringValue, buckets: int) -> ir.IntegerValue:
    """Return the bucket, from 0 to `buckets - 1`, that a text falls into; null for a missing text.

    The bucket is the number that the first 7 hexadecimal digits of the MD5 of the text's UTF-8 bytes write, modulo
    `buckets`. MD5 is no protection here, it only spreads; every engine has it. Of two texts, one in `buckets` shares a
    bucket by chance.

    Args:
        buckets: From 1 to 2**20.

    Raises:
        FeatureError: The number of buckets cannot be used.
    """
    if not 1 <= buckets <= MAX_BUCKETS:
        raise FeatureError("Texts cannot be hashed so", expected=f"1 to {MAX_BUCKETS} buckets", found=str(buckets))
    import ibis

    digest = _md5()(text)
    digits = ibis.literal(_DIGITS)
    places = [digits.find(digest.substr(place, 1)) for place in range(_HASH_DIGITS)]
    written = functools.reduce(lambda value, digit: value * len(_DIGITS) + digit, places)
    result: Any = (written % buckets).cast("int64")
    return result


@functools.cache
def _md5() -> Callable[[Any], Any]:
    """Return the function that DuckDB, Snowflake, Databricks and Spark all call `md5`; Ibis has none for Snowflake."""
    import ibis

    def md5(text: str) -> str:  # type: ignore[empty-body]  # the engine holds the body
        """Return 32 hexadecimal digits."""

    made: Callable[[Any], Any] = ibis.udf.scalar.builtin(md5, name="md5", signature=((str,), str))
    return made
