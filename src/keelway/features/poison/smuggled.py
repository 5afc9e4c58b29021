"""What a feature function reaches for besides the tables it is handed: files, other tables, data it closes over.

A file is seen while the function is called and Python opens it; a table in the expression that the function returns; data
that was loaded before, among the names that the function uses.
"""

from __future__ import annotations

import inspect
import os
import sys
import sysconfig
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Any

from keelway.features.calls import called
from keelway.features.compute import Tables, _literal
from keelway.project import FeatureSet

_DATA = frozenset({("pandas", "DataFrame"), ("pandas", "Series"), ("polars", "DataFrame"), ("pyarrow", "Table"), ("numpy", "ndarray"),
                   ("ibis", "Table"), ("duckdb", "DuckDBPyRelation"), ("duckdb", "DuckDBPyConnection")})  # fmt: skip
_CODE = (".py", ".pyc", ".pyi", ".so", ".pth", ".dll", ".pyd")
_SYSTEM = ("/proc/", "/sys/", "/dev/", "/usr/share/zoneinfo/", "/etc/localtime")
_MEMORY = "/dev/shm/"  # noqa: S108 - files of anybody, which happen to lie in memory
_watching = threading.local()
_hook: list[bool] = []


def smuggled(features: FeatureSet, tables: Tables, *, as_of: datetime) -> list[str]:
    """Return in words what a feature function reads besides its arguments; nothing for an honest one.

    Raises:
        FeatureError: The function fails.
    """
    handed = [tables.visible(source, as_of) for source in features.sources]
    with _opened_files() as files:
        result = called(features.function, (*handed, _literal(as_of)), what=f"Feature set {features.name!r}")
    found = [f"opens {path}: what it reads must be a dataset, or no cut date can hold it back" for path in files]
    own = {tables.by_name[source.name].op().name for source in features.sources}
    found += [f"reads table {name!r}, which it was not handed" for name in _leaves(result) if name not in own]
    return [*found, *(f"uses {name}, which holds data from elsewhere" for name in _held(features.function))]


def _leaves(result: Any) -> list[str]:
    """Return the names of the tables that an expression rests on."""
    import ibis.expr.operations as ops

    return sorted({str(leaf.name) for leaf in result.op().find(ops.PhysicalTable)})


def _held(function: Any) -> list[str]:
    """Return the names in a function's closure and among its globals that hold data."""
    names = inspect.getclosurevars(inspect.unwrap(function))
    return sorted(name for name, value in {**names.globals, **names.nonlocals}.items() if _is_data(value))


def _is_data(value: object) -> bool:
    return any((each.__module__.partition(".")[0].lstrip("_"), each.__name__) in _DATA for each in type(value).__mro__)


@contextmanager
def _opened_files() -> Iterator[list[str]]:
    """Note the files that this thread opens inside the block, but for code."""
    if not _hook:
        sys.addaudithook(_audit)  # stays for the life of the process, and looks only while something is watched
        _hook.append(True)
    files: list[str] = []
    _watching.files = files
    try:
        yield files
    finally:
        _watching.files = None


def _audit(event: str, arguments: tuple[Any, ...]) -> None:
    files = getattr(_watching, "files", None) if event == "open" else None
    if files is None or not isinstance(arguments[0], (str, bytes)):
        return
    path = os.path.abspath(os.fsdecode(arguments[0]))  # noqa: PTH100 - a Path would open nothing either, but costs more
    is_system = path.startswith((*_SYSTEM, *_installed())) and not path.startswith(_MEMORY)
    if not path.endswith(_CODE) and not is_system and path not in files:
        files.append(path)


def _installed() -> tuple[str, ...]:
    places = (sys.prefix, sys.base_prefix, *sysconfig.get_paths().values())
    return tuple(f"{place}{os.sep}" for place in places if place not in ("", os.sep, "/usr"))
