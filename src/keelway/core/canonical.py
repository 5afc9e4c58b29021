"""Canonical JSON (RFC 8785), written by msgspec where it writes the same bytes, and by the rfc8785 package elsewhere.

msgspec writes texts as the RFC asks, integers too, and numbers that are no whole ones and lie between 0.00001 and 1e15. Other
numbers are handed to it as integers, or as bytes that are written already; keys are sorted before. Whatever is unusual, such as a
key beyond ASCII or an integer beyond 2^53, is left to rfc8785, which also says what is wrong.
"""

from __future__ import annotations

from typing import Any

LARGEST_PLAIN = 1e15
SMALLEST_PLAIN = 1e-5
"""Between these two the shortest decimals of a number are written the same by RFC 8785 and by msgspec."""
LARGEST_INTEGER = 2**53 - 1
_TEXT = frozenset({str})


class _UnusualValueError(Exception):
    """A value that rfc8785 has to write, or refuse."""


def canonical_bytes(value: Any) -> bytes:
    """Return the RFC 8785 form of a plain JSON value.

    Raises:
        rfc8785.CanonicalizationError: It holds NaN, infinity, an integer beyond 2^53, or what JSON does not know.
    """
    import msgspec

    try:
        return msgspec.json.encode(_made_plain(value))
    except (_UnusualValueError, UnicodeEncodeError):
        import rfc8785

        return rfc8785.dumps(value)


def plain_number(number: float) -> Any:
    """Return a number in a form that msgspec writes as RFC 8785 does.

    Raises:
        rfc8785.CanonicalizationError: It is not finite.
    """
    if -LARGEST_PLAIN < number < LARGEST_PLAIN:
        if number.is_integer():
            return int(number)
        if not -SMALLEST_PLAIN < number < SMALLEST_PLAIN:
            return number
    import msgspec
    import rfc8785

    return msgspec.Raw(rfc8785.dumps(number))


def _made_plain(value: Any) -> Any:
    kind = value.__class__
    if kind is str or value is None or kind is bool:
        return value
    if kind is dict:
        if not (_TEXT.issuperset(map(type, value)) and "".join(value).isascii()):
            raise _UnusualValueError
        return {key: _made_plain(value[key]) for key in sorted(value)}
    if kind is list or kind is tuple:
        return [plain_number(each) if each.__class__ is float else _made_plain(each) for each in value]
    if kind is float:
        return plain_number(value)
    if kind is int and -LARGEST_INTEGER <= value <= LARGEST_INTEGER:
        return value
    raise _UnusualValueError
