"""The names of columns that a contract does not know, as they may be told and recorded.

In a file without a header the first row stands in its place, and a JSON object may have a person for a key. So where
a contract has columns that name a person, a name is told only if it looks like the name of a column.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from keelway.contract.contract import Contract
from keelway.privacy import scrub

HIDDEN_NAME = "[hidden]"
_COLUMN = re.compile(r"[^\W\d][\w .-]{0,62}")


def told_names(names: Iterable[str], contract: Contract, *, headed: bool = True) -> tuple[str, ...]:
    """Return names of unknown columns as they may be told.

    Args:
        headed: Whether the file has a header: some of its names are known.
    """
    if not contract.pii_columns:
        return tuple(names)
    return tuple(name if headed and _COLUMN.fullmatch(name) and scrub(name) == name else HIDDEN_NAME for name in names)
