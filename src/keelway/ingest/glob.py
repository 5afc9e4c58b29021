"""Glob: which names of an object store belong to a dataset, with one meaning for every store.

`*` and `?` stay within a folder; `**` stands for any number of folders, and at the end for everything below.
A name or glob that is absolute, climbs with `..`, or is not written with `/` is refused.

>>> glob = Glob.parse("raw/**/*.csv")
>>> glob.matches("raw/dt=1997-01-01/a.csv"), glob.matches("raw/a.txt"), glob.matches("new/a.csv")
(True, False, False)
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Self

from keelway.errors import SourceError

_WILDCARDS = "*?["


@dataclass(frozen=True, slots=True)
class Glob:
    """A pattern of object names.

    Attributes:
        parts: What stands between the slashes.
        folder: The leading folders without a wildcard, which need not be searched for.
    """

    parts: tuple[str, ...]
    folder: str
    _whole: re.Pattern[str] = field(repr=False)
    _each: tuple[re.Pattern[str], ...] = field(repr=False)

    @classmethod
    def parse(cls, text: str) -> Self:
        """Return the glob that text means.

        Raises:
            SourceError: It leaves the store.
        """
        parts = name_parts(text)
        whole = re.compile(_expression(parts))
        return cls(parts, "/".join(parts[: _fixed_depth(parts)]), whole, tuple(map(_part_pattern, parts)))

    def matches(self, name: str) -> bool:
        """Say whether an object of that name is meant."""
        return self._whole.fullmatch(name) is not None

    def may_hold(self, folder: str) -> bool:
        """Say whether objects somewhere below a folder can be meant."""
        steps = folder.split("/")
        for pattern, part, step in zip(self._each, self.parts, steps, strict=False):
            if part == "**":
                return True
            if not pattern.fullmatch(step):
                return False
        return len(steps) < len(self.parts)

    def beside(self, name: str) -> Self:
        """Return the glob of the objects with a plain name, in any folder that this glob looks into."""
        folders = self.parts if self.parts[-1] == "**" else self.parts[:-1]
        return type(self).parse("/".join([*folders, name]))

    def __str__(self) -> str:
        return "/".join(self.parts)


def name_parts(name: str) -> tuple[str, ...]:
    """Return the folders and the last part of a name or glob.

    Raises:
        SourceError: It leaves the store.
    """
    path = PurePosixPath(name)
    if not name or path.is_absolute() or ".." in path.parts or "\\" in name or "\0" in name:
        raise SourceError(
            "This name leaves the object store",
            expected="a path from its root, without '..'",
            found=repr(name),
            fix="Name sources by their path below the object store's root.",
        )
    return path.parts


def folder_of(name: str) -> str:
    """Return the folder of an object, without the last slash.

    >>> folder_of("raw/a.csv"), folder_of("a.csv")
    ('raw', '')
    """
    return name.rpartition("/")[0]


def _fixed_depth(parts: Sequence[str]) -> int:
    """Return how many leading folders of a glob have no wildcard."""
    depth = 0
    for part in parts[:-1]:
        if any(character in part for character in _WILDCARDS):
            break
        depth += 1
    return depth


def _expression(parts: Sequence[str]) -> str:
    expressions = []
    for index, part in enumerate(parts):
        last = index == len(parts) - 1
        if part == "**":
            expressions.append(".*" if last else "(?:[^/]+/)*")
        else:
            expressions.append(_part_expression(part) + ("" if last else "/"))
    return "(?s:" + "".join(expressions) + ")"


def _part_expression(part: str) -> str:
    return re.escape(part).replace(r"\*", "[^/]*").replace(r"\?", "[^/]")


def _part_pattern(part: str) -> re.Pattern[str]:
    return re.compile(f"(?s:{_part_expression(part)})")
