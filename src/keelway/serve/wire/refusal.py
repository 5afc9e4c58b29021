r"""What a decoder's refusal means: the field, what was expected there and what was found.

Names that look like a field's but are written in other letters are shown by their code points.

>>> shown("recency_d"), shown("r\u0435cency_d")
('recency_d', 'r\\u0435cency_d')
"""

from __future__ import annotations

import json
import re
from typing import Any, NoReturn

import msgspec

from keelway.errors import BadRequestError

SHOWN = 100  # characters of a name or a value that go into a message

_PLACE = re.compile(r" - at `(?:key in )?(?P<path>[^`]*)`$")
_GOT = re.compile(r"^Expected (?P<expected>.*), got `?(?P<found>[^`]*)`?$")
_NAMED = re.compile(r"field `(?P<name>.*)`$", re.DOTALL)


def shown(text: str) -> str:
    """Return a name as it can be printed, at most 100 characters of it."""
    return text[:SHOWN].encode("unicode_escape").decode()


def decoded(decoder: msgspec.json.Decoder[Any], body: bytes | msgspec.Raw, *, at: str = "$") -> Any:
    """Return what a typed decoder reads.

    Args:
        at: Where the body stands in the request, as a JSON path.

    Raises:
        BadRequestError: The body is no JSON (400), or not of the type (422).
    """
    try:
        return decoder.decode(body)
    except msgspec.ValidationError as error:
        raise _refusal(str(error), at) from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise not_json(str(error)) from error


def not_json(found: str) -> BadRequestError:
    """Return the refusal of bytes that are no JSON."""
    return BadRequestError(
        "The body is not JSON", expected="one JSON object in UTF-8", found=shown(found) or "nothing", status=400
    )


def refused(field: str, expected: str, found: str, *, what: str = "A field has a wrong value") -> BadRequestError:
    """Return a refusal of one field."""
    return BadRequestError(what, expected=expected, found=found, field=field)


def missing(field: str, name: str) -> BadRequestError:
    """Return the refusal of a request that lacks a field."""
    return refused(f"{field}.{shown(name)}", f"field {shown(name)}", "nothing", what="A field is missing")


def unknown(field: str, name: str) -> BadRequestError:
    """Return the refusal of a field that nobody asked for."""
    return refused(f"{field}.{shown(name)}", "only the fields of the schema", shown(name), what="A field is not known")


def refuse_repeats(body: bytes, texts: int) -> None:
    """Refuse an object with a key that is given twice, which a decoder would pass over.

    All keys are known by now, so the quotes of a body can be counted; only a body with escapes, or with more quotes
    than its keys and texts have, is read again.

    Args:
        texts: How many keys and texts the decoder found.

    Raises:
        BadRequestError: A key is given twice.
    """
    if b"\\" in body or body.count(b'"') != 2 * texts:
        json.loads(body, object_pairs_hook=_unique)


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        keys = [key for key, _ in pairs]
        _twice(next(key for key in keys if keys.count(key) > 1))
    return found


def _twice(name: str) -> NoReturn:
    raise refused(shown(name), "each field once", f"{shown(name)!r} twice", what="A field is given twice")


def refuse_repeated_names(names: list[str], field: str) -> None:
    """Refuse a list of names in which one comes twice.

    Raises:
        BadRequestError: One does.
    """
    if len(set(names)) != len(names):
        name = next(name for name in names if names.count(name) > 1)
        raise refused(field, "each name once", f"{shown(name)!r} twice", what="A field is given twice")


def _refusal(message: str, at: str) -> BadRequestError:
    place = _PLACE.search(message)
    field = at + (place["path"] if place else "$")[1:]
    text = message[: place.start()] if place else message
    named = _NAMED.search(text)
    if named:
        return missing(field, named["name"]) if "missing" in text else unknown(field, named["name"])
    got = _GOT.match(text)
    expected = got["expected"] if got else text.removeprefix("Expected ")
    return refused(field, expected.replace("`", ""), shown(got["found"]) if got else "another value")
