"""Write a stored pipeline so that the same content has the same bytes, whenever and wherever it was fitted.

skops names objects by their addresses in memory and its archive bears the time of writing, so two equal pipelines never
had the same digest. Here objects are numbered in the order they appear, and the archive bears no time.
"""

from __future__ import annotations

import io
import json
import zipfile
from typing import Any

SCHEMA = "schema.json"
NO_TIME = (1980, 1, 1, 0, 0, 0)
"""The earliest time that a ZIP archive can hold."""
LEVEL = 1


def archive_of(fitted: Any) -> bytes:
    """Return the skops archive of an object, as `same_bytes(skops.io.dumps(fitted))` does in a third of the time.

    `dumps` writes its schema with indents, which Python's JSON does without its C code, and the schema would have to be
    read again: boosted trees have tens of thousands of entries. So skops is asked for the schema itself.
    """
    import skops.io  # waits until another thread has imported all of it; a module inside would be had before that
    from skops.io._utils import SaveContext, get_state

    held = io.BytesIO()
    with zipfile.ZipFile(held, "w", zipfile.ZIP_STORED) as archive:
        context = SaveContext(zip_file=archive)
        schema = get_state(fitted, context)
        context.clear_memo()
        schema |= {"protocol": context.protocol, "_skops_version": skops.__version__}
        files = {name: archive.read(name) for name in archive.namelist()}
    return _written(schema, files)


def same_bytes(data: bytes) -> bytes:
    """Return the skops archive with the same content that equal pipelines share."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        files = {name: archive.read(name) for name in archive.namelist()}
    return _written(json.loads(files.pop(SCHEMA)), files)


def _written(schema: Any, files: dict[str, bytes]) -> bytes:
    """Return an archive of a schema and the files that it names."""
    names = _Numbering()
    renamed = names.renamed(schema)
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED, compresslevel=LEVEL) as archive:
        for old, new in names.files.items():
            archive.writestr(zipfile.ZipInfo(new, NO_TIME), files.pop(old), zipfile.ZIP_DEFLATED, LEVEL)
        for name in sorted(files):  # none that the schema does not name, as far as skops goes today
            archive.writestr(zipfile.ZipInfo(name, NO_TIME), files[name], zipfile.ZIP_DEFLATED, LEVEL)
        text = json.dumps(renamed, separators=(",", ":"))
        archive.writestr(zipfile.ZipInfo(SCHEMA, NO_TIME), text, zipfile.ZIP_DEFLATED, LEVEL)
    return out.getvalue()


class _Numbering:
    """Gives objects and files numbers in the order in which a schema is read."""

    def __init__(self) -> None:
        self.files: dict[str, str] = {}
        self._ids: dict[int, int] = {}
        self._next = 0

    def renamed(self, node: Any) -> Any:
        if isinstance(node, (list, tuple)):
            return [self.renamed(each) for each in node]
        if not isinstance(node, dict):
            return node
        # Whether two equal texts or numbers are one object in memory is chance: each counts as one of its own.
        plain = node.get("is_json") is True
        made: dict[str, Any] = {}
        for key, value in node.items():
            if key == "__id__" and isinstance(value, int):
                made[key] = self._fresh() if plain else self._number(value)
            elif key == "file" and isinstance(value, str):
                made[key] = self._file(value)
            else:
                made[key] = self.renamed(value)
        return made

    def _number(self, identity: int) -> int:
        if identity not in self._ids:
            self._ids[identity] = self._fresh()
        return self._ids[identity]

    def _fresh(self) -> int:
        self._next += 1
        return self._next

    def _file(self, name: str) -> str:
        if name not in self.files:
            self.files[name] = f"{len(self.files):06d}.{name.rpartition('.')[2]}"
        return self.files[name]
