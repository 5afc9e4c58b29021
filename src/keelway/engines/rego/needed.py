"""Finds out which places of the evidence a policy can read, so that the others need not be handed to Rego.

Reading a document costs rego-cpp more than judging it (1 us a byte). Whatever cannot be told from the text, such as
`input[name]` or a ready rule without a stated place, makes all of the evidence needed. What a rule gets to see of a
place it reads is never cut: values that are no objects stay as they are, and `*` keeps every key.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from keelway.engines.rego.compiled import words_reached
from keelway.engines.rego.unasked import LIBRARY, code_of, references
from keelway.promote import TOLD_PLACES, calls_in, library_aliases, reads_of, ready_rules, without_comments

if TYPE_CHECKING:
    from keelway.core import PolicySet

_GET = re.compile(r"object\.get\(\s*input\s*,\s*(\[[^\[\]]*\]|\"[^\"\n]*\")\s*,")

_Tree = dict[str, "_Tree | None"]
"""Keys that are needed, each with what is needed under it; None for all of it."""


@dataclass(frozen=True, slots=True)
class Needed:
    """The places of the evidence that a policy can read; None for all of it."""

    tree: _Tree | None

    def part(self, evidence: dict[str, Any]) -> Any:
        """Return evidence with nothing in it but what is needed."""
        return _part(evidence, self.tree)


def needed_by(policy: PolicySet) -> Needed:
    """Return what a policy can read of the evidence."""
    tree: _Tree = {}
    for path in _paths(policy):
        if not path:
            return Needed(None)
        _add(tree, path)
    return Needed(tree)


def needed_together(parts: Iterable[Needed]) -> Needed:
    """Return what any of some can read."""
    whole: _Tree | None = {}
    for part in parts:
        whole = _together(whole, part.tree)
    return Needed(whole)


def _paths(policy: PolicySet) -> Iterator[tuple[str, ...]]:
    """Yield every path that can be read; an empty one for all of the evidence."""
    rules = ready_rules(policy.files)
    library = [text for name, text in policy.files.items() if name.startswith(LIBRARY)]
    paragraphs = [paragraph for text in library for paragraph in re.split(r"\n\n+", text)]
    for name, text in policy.files.items():
        if name.startswith(LIBRARY):
            continue
        code = without_comments(text)
        yield from _own(text, code)
        for call in calls_in(code, aliases=library_aliases(code)):
            rule = rules.get(call.name)
            if rule is None:
                yield ()
                continue
            yield from (tuple(read.path.split(".")) for read in reads_of(rule, call))
            told = words_reached({rule.name}, paragraphs)
            yield from (tuple(path.split(".")) for name, path in TOLD_PLACES.items() if name in told)


def _own(text: str, code: str) -> Iterator[tuple[str, ...]]:
    """Yield the paths that a file's own code reads."""
    got = [_keys(found) for found in _GET.findall(code)]
    yield from got
    bare = 0
    for path, _ in references(code_of(text)):
        if path[0] == "input" and path[1:]:
            yield path[1:]
        elif path[0] == "input":
            bare += 1
    if bare > len(got):
        yield ()


def _keys(text: str) -> tuple[str, ...]:
    try:
        value = json.loads(text)
    except ValueError:
        return ()
    keys = value if isinstance(value, list) else [value]
    return tuple(keys) if all(isinstance(key, str) for key in keys) else ()


def _add(tree: _Tree, path: tuple[str, ...]) -> None:
    *above, last = path
    for key in above:
        below = tree.setdefault(key, {})
        if below is None:
            return
        tree = below
    tree[last] = None


def _part(value: Any, tree: _Tree | None) -> Any:
    if tree is None or not isinstance(value, dict):
        return value
    if "*" not in tree:
        return {key: _part(value[key], below) for key, below in tree.items() if key in value}
    return {key: _part(item, _below(tree, key)) for key, item in value.items()}


def _below(tree: _Tree, key: str) -> _Tree | None:
    """Return what is needed under a key, which may be asked for by name and by `*`."""
    if key in tree and "*" in tree:
        return _together(tree[key], tree["*"])
    return tree.get(key, tree.get("*"))


def _together(one: _Tree | None, other: _Tree | None) -> _Tree | None:
    """Return what is needed by the one or the other."""
    if one is None or other is None:
        return None
    both = {**other, **one}
    return {
        key: _together(one[key], other[key]) if key in one and key in other else below for key, below in both.items()
    }
