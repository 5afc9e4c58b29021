"""Lets a slice be entered without loading all of it: a public name is imported when it is first asked for (PEP 562).

    # keelway/promote/__init__.py
    if TYPE_CHECKING:
        from keelway.promote.gate import promote
        from keelway.promote.rollback import roll_back

    open_door(__name__)

The names stand once, as imports that type checkers follow; the door reads the same lines. So a command pays for what it
uses: a rollback does not load what checks contracts, trains and measures.
"""

from __future__ import annotations

import ast
import importlib
import inspect
import sys
from collections.abc import Iterator
from types import ModuleType


class _Door(ModuleType):
    """A package whose public names are imported when they are first asked for."""

    _homes: dict[str, tuple[str, str]]

    def __getattr__(self, name: str) -> object:
        home = self.__dict__.get("_homes", {}).get(name)
        if home is None:
            raise AttributeError(f"module {self.__name__!r} has no attribute {name!r}")
        module, wanted = home
        value: object = getattr(importlib.import_module(module), wanted)
        self.__dict__[name] = value
        return value

    def __setattr__(self, name: str, value: object) -> None:
        """Leave a public name alone where Python binds a submodule of the same name, such as `register.register`."""
        if not (isinstance(value, ModuleType) and name in self._homes):
            super().__setattr__(name, value)

    def __dir__(self) -> list[str]:
        return sorted({*super().__dir__(), *self._homes})


def open_door(package: str) -> None:
    """Import the names that a package's `__init__` imports under `TYPE_CHECKING` when they are first asked for.

    Args:
        package: The name of the package that is being imported.
    """
    module = sys.modules[package]
    module.__dict__["_homes"] = dict(_homes(inspect.getsource(module)))
    module.__class__ = _Door


def _homes(source: str) -> Iterator[tuple[str, tuple[str, str]]]:
    """Yield each public name with the module that it comes from, and its name there."""
    for block in ast.parse(source).body:
        if isinstance(block, ast.If) and isinstance(block.test, ast.Name) and block.test.id == "TYPE_CHECKING":
            for line in block.body:
                if isinstance(line, ast.ImportFrom) and line.module:
                    yield from ((each.asname or each.name, (line.module, each.name)) for each in line.names)
