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

_NAME = re.compile(r"[a-z][a-z0-9_-]{0,62}")
_VERSION = re.compile(r"(?P<model>[a-z][a-z0-9_-]{0,62}):(?P<number>[1-9][0-9]{0,8})")


def sortable_id() -> str:
    """Return 32 hexadecimal digits that sort by time of making (UUID version 7, RFC 9562)."""
    stamp = time.time_ns() // 1_000_000
    value = (stamp << 80) | int.from_bytes(os.urandom(10))
    value = (value & ~(0xF << 76)) | (0x7 << 76)
    value = (value & ~(0x3 << 62)) | (0x2 << 62)
    return f"{value:032x}"


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
