"""Names of things: small text types, so that a version is never passed where an environment is meant."""

from __future__ import annotations

import os
import re
import time
from typing import NewType

from keelway.errors import UsageError

RunId = NewType("RunId", str)
PrincipalId = NewType("PrincipalId", str)
"""`user:NAME` for a person, `sp:NAME` for a service principal."""
Environment = NewType("Environment", str)
"""The name of an environment: `local`, `dev`, `staging`, `prod`."""
VersionName = NewType("VersionName", str)
"""A model and a number: `churn:3`."""

_VERSION_7 = bytes(0x70 | byte & 0x0F for byte in range(256))
_VARIANT = bytes(0x80 | byte & 0x3F for byte in range(256))
"""A random byte to the one that begins with the version of a UUID, and to the one that begins with the variant (binary 10)."""
_NAME = re.compile(r"[a-z][a-z0-9_-]{0,62}")
_VERSION = re.compile(r"(?P<model>[a-z][a-z0-9_-]{0,62}):(?P<number>[1-9][0-9]{0,8})")


def sortable_id() -> str:
    """Return 32 hexadecimal digits that sort by time of making (UUID version 7, RFC 9562)."""
    return sortable_ids(1)[0]


def sortable_ids(count: int) -> list[str]:
    """Return as many ids as wanted, as `sortable_id` makes one; those of one call have one time, and no order."""
    head = f"{time.time_ns() // 1_000_000:012x}"  # 48 bits of Unix time in milliseconds
    noise = bytearray(os.urandom(10 * count))
    noise[::10] = noise[::10].translate(_VERSION_7)
    noise[2::10] = noise[2::10].translate(_VARIANT)
    digits = noise.hex()
    return [head + digits[at : at + 20] for at in range(0, 20 * count, 20)]


def checked_name(name: str, *, what: str) -> str:
    """Return a name that is safe in paths, URLs and SQL.

    Raises:
        UsageError: The name holds anything but lower-case letters, digits, `_` and `-`.
    """
    if not _NAME.fullmatch(name):
        raise UsageError(
            f"This is not a name for a {what}",
            expected="a lower-case letter, then up to 62 lower-case letters, digits, '_' or '-'",
            found=repr(name),
        )
    return name


def version_name(model: str, number: int) -> VersionName:
    """Return the name of a model version.

    >>> version_name("churn", 3)
    'churn:3'
    """
    return VersionName(f"{model}:{number}")


def split_version(name: str) -> tuple[str, int]:
    """Return the model and the number of a version's name.

    Raises:
        UsageError: The text is not `MODEL:NUMBER`.
    """
    match = _VERSION.fullmatch(name)
    if match is None:
        raise UsageError("This is not a model version", expected="MODEL:NUMBER, such as churn:3", found=repr(name))
    return match["model"], int(match["number"])
