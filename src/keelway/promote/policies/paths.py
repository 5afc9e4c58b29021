"""Places in evidence: keys with dots between them, `*` for every key of an object."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from keelway.core import Evidence
from keelway.errors import UsageError

MISSING = object()
"""What stands where nothing stands."""
_LIBRARY = Path(__file__).parents[1] / "library"


def sample_evidence() -> Evidence:
    """Return a made-up document that every ready rule lets in, for tests of policies."""
    return copy.deepcopy(_shipped("evidence.sample.json"))


def evidence_schema() -> dict[str, Any]:
    """Return the JSON Schema (draft 2020-12) of evidence."""
    return copy.deepcopy(_shipped("evidence.schema.json"))


def value_at(evidence: Any, path: str) -> Any:
    """Return the value at a place, or MISSING.

    >>> value_at({"metrics": {"roc_auc": {"low": 0.7}}}, "metrics.roc_auc.low")
    0.7
    """
    for key in path.split("."):
        if not isinstance(evidence, dict) or key not in evidence:
            return MISSING
        evidence = evidence[key]
    return evidence


def places_at(evidence: Any, path: str) -> Iterator[str]:
    """Yield the places that a path with `*` means in a document; the path itself where there are none.

    >>> list(places_at({"snapshots": {"a": {"rows": 1}, "b": {}}}, "snapshots.*.rows"))
    ['snapshots.a.rows', 'snapshots.b.rows']
    """
    above, star, below = path.partition("*")
    if not star:
        yield path
        return
    found = value_at(evidence, above.rstrip(".")) if above else evidence
    keys = sorted(found) if isinstance(found, dict) else []
    for key in keys:
        yield from places_at(evidence, f"{above}{key}{below}")
    if not keys:
        yield path


def changed(evidence: Evidence, *, put: Mapping[str, Any] | None = None, remove: tuple[str, ...] = ()) -> Evidence:
    """Return a copy of evidence with values put at places, and places removed.

    Raises:
        UsageError: A place lies under a value that is no object, or what is to be removed is not there.
    """
    made = copy.deepcopy(evidence)
    for path, value in (put or {}).items():
        place = made
        *above, last = path.split(".")
        for key in above:
            if not isinstance(place.get(key), dict):
                if place.get(key) is not None:
                    raise UsageError(
                        f"Nothing can be put at {path}", expected=f"an object at {key}", found=str(place[key])
                    )
                place[key] = {}
            place = place[key]
        place[last] = value
    for path in remove:
        *above, last = path.split(".")
        place = value_at(made, ".".join(above)) if above else made
        if not isinstance(place, dict) or last not in place:
            raise UsageError(f"There is no {path} to remove", expected="a place of the evidence", found=path)
        del place[last]
    return made


def known_place(path: str) -> str:
    """Return the part of a path up to the first key that no evidence has; empty where all of it is known.

    >>> known_place("metrics.roc_auc.low"), known_place("metric.roc_auc.low"), known_place("training.row")
    ('', 'metric', 'training.row')
    """
    schema = evidence_schema()
    found: Any = schema
    keys = path.split(".")
    for number, key in enumerate(keys):
        found = _below(found, key, schema)
        if found is None:
            return ".".join(keys[: number + 1])
        if found is True:
            return ""
    return ""


def neighbours(path: str) -> list[str]:
    """Return the keys that evidence has where the last key of a path stands."""
    schema = evidence_schema()
    found: Any = schema
    for key in path.split(".")[:-1]:
        found = _below(found, key, schema)
    return sorted(_resolved(found, schema).get("properties", {})) if isinstance(found, dict) else []


def _below(node: Any, key: str, schema: dict[str, Any]) -> Any:
    """Return the schema of a key under a node: None where there is no such key, True where anything may stand."""
    node = _resolved(node, schema)
    properties, more = node.get("properties", {}), node.get("additionalProperties", False)
    if key in properties:
        return properties[key] or True
    if isinstance(more, dict):
        return more or True
    if key == "*" and properties:
        return True
    return True if more else None


def _resolved(node: Any, schema: dict[str, Any]) -> dict[str, Any]:
    """Return a node with its reference followed; of alternatives the one that is no null."""
    for alternative in node.get("anyOf", []):
        if alternative != {"type": "null"}:
            node = alternative
    if "$ref" in node:
        found: dict[str, Any] = schema["$defs"][node["$ref"].rpartition("/")[2]]
        return found
    resolved: dict[str, Any] = node
    return resolved


@cache
def _shipped(name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((_LIBRARY / name).read_text("utf8"))
    return found
