"""Digests: every record and every byte string has one name, its SHA-256.

A record is first written as canonical JSON (RFC 8785), so the same content has the same digest on every
machine. NaN and infinity have no canonical form and are refused: a record never holds one.

>>> digest_bytes(b"")
'sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855'
>>> canonical_json({"b": 1.0, "a": [True, None]})
b'{"a":[true,null],"b":1}'
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NewType, Self, TypeVar

from keelway.core.canonical import canonical_bytes
from keelway.errors import IntegrityError, KeelwayError

Digest = NewType("Digest", str)
"""`sha256:` and 64 lower-case hexadecimal digits."""

T = TypeVar("T")
DIGEST_PREFIX = "sha256:"
DIGEST_LENGTH = len(DIGEST_PREFIX) + 64


def plain(record: object) -> Any:
    """Return a record as plain JSON values: dataclasses as objects, UTC times as RFC 3339 text."""
    import msgspec

    return msgspec.to_builtins(record)


def revive(value: Any, kind: type[T]) -> T:
    """Return the record of class `kind` that `plain` turned into `value`.

    Raises:
        IntegrityError: The stored value does not have the shape of the class.
    """
    import msgspec

    try:
        return msgspec.convert(value, kind)
    except msgspec.ValidationError as error:
        raise IntegrityError(
            f"A stored {kind.__name__} cannot be read",
            expected=f"the fields of {kind.__name__}",
            found=str(error),
            fix="The record was altered, or written by another version of Keelway: run `keelway doctor`.",
        ) from error


def canonical_json(record: object) -> bytes:
    """Return the RFC 8785 form of a record or plain value.

    Raises:
        KeelwayError: The record holds NaN, infinity or an integer beyond 2^53.
    """
    import rfc8785

    try:
        return canonical_bytes(plain(record))
    except (rfc8785.CanonicalizationError, UnicodeEncodeError) as error:  # a lone surrogate in a key
        raise KeelwayError(
            "A record cannot be written as canonical JSON",
            expected="finite numbers and integers up to 2^53",
            found=str(error),
            fix="Store an undefined figure as null, never as NaN.",
        ) from error


def parse_json(data: bytes) -> Any:
    """Return the value of a JSON document, whatever its spacing."""
    return json.loads(data)


def digest_bytes(data: bytes) -> Digest:
    """Return the digest of a byte string."""
    return Digest(DIGEST_PREFIX + hashlib.sha256(data).hexdigest())


def digest_of(record: object) -> Digest:
    """Return the digest of a record's canonical JSON."""
    return digest_bytes(canonical_json(record))


@dataclass(frozen=True, slots=True)
class WrittenRecord:
    """A record with its canonical JSON, for whoever needs the digest first and stores the record later: it is written once.

    Attributes:
        record: What was written.
        body: Its canonical JSON.
        digest: That of the body.
    """

    record: object
    body: bytes
    digest: Digest

    @classmethod
    def of(cls, record: object) -> Self:
        """Return a record, written; raises as `canonical_json`."""
        body = canonical_json(record)
        return cls(record, body, digest_bytes(body))


def digest_file(path: Path) -> Digest:
    """Return the digest of a file's bytes."""
    with path.open("rb") as stream:
        found = hashlib.file_digest(stream, "sha256")
    return Digest(DIGEST_PREFIX + found.hexdigest())


def short(digest: str) -> str:
    """Return twelve digits of a digest, for people.

    >>> short(digest_bytes(b""))
    'e3b0c44298fc'
    """
    return digest.removeprefix(DIGEST_PREFIX)[:12]


def is_digest(value: object) -> bool:
    """Say whether a value is written as a digest."""
    return (
        isinstance(value, str)
        and len(value) == DIGEST_LENGTH
        and value.startswith(DIGEST_PREFIX)
        and all(character in "0123456789abcdef" for character in value[len(DIGEST_PREFIX) :])
    )


def references(value: Any) -> Iterator[Digest]:
    """Yield every digest that a plain value names, in reading order."""
    if is_digest(value):
        yield Digest(value)
    elif isinstance(value, dict):
        for key, item in value.items():
            yield from references(key)
            yield from references(item)
    elif isinstance(value, (list, tuple)):
        for item in value:
            yield from references(item)
