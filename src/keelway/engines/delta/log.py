"""The lines of a Delta commit, as the Delta protocol words them (reader version 1, writer version 2).

One commit does everything at once: it adds files, takes files away and changes the columns. Nothing in it depends on
the machine or the moment but the times it is given, so the same history gives the same log.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any

from keelway.errors import EngineError
from keelway.snapshot import ManifestFile

LOG = "_delta_log"
TYPES = {
    "string": "string",
    "int64": "long",
    "double": "double",
    "bool": "boolean",
    "date32[day]": "date",
    "timestamp[us, tz=UTC]": "timestamp",
}
"""Parquet types as pyarrow writes them, and what Delta calls them."""

_FOREVER = {"delta.logRetentionDuration": "interval 36500 days"}
_PROTOCOL = {"protocol": {"minReaderVersion": 1, "minWriterVersion": 2}}


def commit_name(version: int) -> str:
    """Return the name of a version's commit below the table's folder.

    >>> commit_name(7)
    '_delta_log/00000000000000000007.json'
    """
    return f"{LOG}/{version:020d}.json"


def commit_text(actions: Sequence[dict[str, Any]], *, at: datetime) -> bytes:
    """Return the bytes of a commit, one action a line."""
    info = {"commitInfo": {"timestamp": _millis(at), "operation": _operation(actions), "operationParameters": {}}}
    return "".join(json.dumps(line, sort_keys=True) + "\n" for line in (info, *actions)).encode()


def first_actions(table: str, columns: Mapping[str, str]) -> list[dict[str, Any]]:
    """Return what opens a table's log."""
    return [_PROTOCOL, metadata(str(uuid.uuid5(uuid.NAMESPACE_URL, f"keelway:{table}")), columns)]


def metadata(table_id: str, columns: Mapping[str, str]) -> dict[str, Any]:
    """Return the action that sets a table's columns; each may be null, so that older files can lack it.

    Raises:
        EngineError: A column has a type that snapshots do not have.
    """
    unknown = {name: kind for name, kind in columns.items() if kind not in TYPES}
    if unknown:
        found = ", ".join(f"{name} ({kind})" for name, kind in unknown.items())
        raise EngineError(
            "A column cannot be kept in a Delta table", expected=f"one of {', '.join(TYPES)}", found=found
        )
    fields = [{"name": name, "type": TYPES[kind], "nullable": True, "metadata": {}} for name, kind in columns.items()]
    return {
        "metaData": {
            "id": table_id,
            "format": {"provider": "parquet", "options": {}},
            "schemaString": json.dumps({"type": "struct", "fields": fields}),
            "partitionColumns": [],
            "configuration": _FOREVER,
        }
    }


def changes(
    held: Mapping[str, int], wanted: Sequence[ManifestFile], *, rewritten: Collection[str], at: datetime
) -> list[dict[str, Any]]:
    """Return the actions that make a table that holds files (path to size) hold exactly those wanted."""
    kept = {file.path for file in wanted}
    gone = [
        {
            "remove": {
                "path": path,
                "deletionTimestamp": _millis(at),
                "dataChange": not rewritten,
                "extendedFileMetadata": True,
                "partitionValues": {},
                "size": size,
            }
        }
        for path, size in sorted(held.items())
        if path not in kept
    ]
    return [*gone, *(_add(file, new=file.path not in rewritten, at=at) for file in wanted if file.path not in held)]


def _operation(actions: Sequence[dict[str, Any]]) -> str:
    """Return what others call a commit of these actions."""
    changed = [part["dataChange"] for action in actions for name, part in action.items() if name in ("add", "remove")]
    if not changed:
        return "ADD COLUMN"
    return "WRITE" if any(changed) else "OPTIMIZE"


def _add(file: ManifestFile, *, new: bool, at: datetime) -> dict[str, Any]:
    return {
        "add": {
            "path": file.path,
            "partitionValues": {},
            "size": file.size_bytes,
            "modificationTime": _millis(at),
            "dataChange": new,
            "stats": json.dumps({"numRecords": file.rows}),
        }
    }


def _millis(at: datetime) -> int:
    return int(at.timestamp() * 1000)
