"""Whether a function is still the one it was: its own text, and the text and values of all it uses of the project.

Names are followed from the function through the modules of the project. What is installed (libraries, Keelway itself) stands for
itself by name; their versions are another matter. A value that cannot be told, such as an object of a class of
the project, makes the whole answer None: nobody can say then that nothing changed. Names that are only
looked up while the function runs (`getattr`, `globals()`) are not seen.
"""

from __future__ import annotations

import dis
import functools
import importlib
import inspect
import os
import sys
import sysconfig
from collections.abc import Iterator
from datetime import date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from types import BuiltinFunctionType, CodeType, FunctionType, ModuleType
from typing import Any

from keelway.core import Digest, canonical_json, digest_file, digest_of
from keelway.project import Dataset, FeatureSet, Label

_PLAIN = (type(None), bool, int, float, complex, str, bytes, date, datetime, timedelta, Decimal, Path)


class _UntoldError(Exception):
    """A value cannot be told."""


def code_of(function: Any) -> Digest | None:
    """Return the digest of a function and of everything of the project that it uses; None where that cannot be told."""
    try:
        return digest_of(_told(function, set()))
    except (_UntoldError, RecursionError):
        return None


def _told(value: Any, seen: set[int]) -> Any:
    """Return a value as JSON can hold it; what was told before is told by name."""
    if isinstance(value, _PLAIN):
        return [type(value).__name__, repr(value)]
    if isinstance(value, (tuple, list, set, frozenset, dict)):
        return [type(value).__name__, _told_items(value, seen)]
    if isinstance(value, (FeatureSet, Label)):
        return ["declared", value.definition(), _told(value.function, seen)]
    if isinstance(value, functools.partial):
        return ["partial", _told(value.func, seen), _told(value.args, seen), _told(value.keywords, seen)]
    return ["dataset", value.definition()] if isinstance(value, Dataset) else _told_code(value, seen)


def _told_items(values: Any, seen: set[int]) -> list[Any]:
    if isinstance(values, dict):
        return [[_told(key, seen), _told(each, seen)] for key, each in values.items()]
    told = [_told(each, seen) for each in values]
    return sorted(told, key=canonical_json) if isinstance(values, (set, frozenset)) else told


def _told_code(value: Any, seen: set[int]) -> Any:
    if type(value).__module__ == "ibis.common.deferred":
        return ["deferred", repr(value)]
    if isinstance(value, ModuleType):
        return _told_module(value, seen)
    if isinstance(value, FunctionType):
        return _told_function(value, seen)
    if isinstance(value, (type, BuiltinFunctionType)) and _is_installed(
        sys.modules.get(value.__module__ or "builtins")
    ):
        return ["installed", value.__module__, value.__qualname__]
    raise _UntoldError


def _told_function(function: FunctionType, seen: set[int]) -> Any:
    if _is_installed(sys.modules.get(function.__module__)):
        return ["installed", function.__module__, function.__qualname__]
    if id(function) in seen:
        return ["seen", function.__module__, function.__qualname__]
    seen.add(id(function))
    try:
        text = inspect.getsource(function.__code__)
    except (OSError, TypeError) as error:
        raise _UntoldError from error
    used = {name: function.__globals__[name] for name in _globals_of(function.__code__) if name in function.__globals__}
    cells = zip(function.__code__.co_freevars, function.__closure__ or (), strict=True)
    try:
        used |= {name: cell.cell_contents for name, cell in cells}
    except ValueError as error:  # a cell that is not filled yet
        raise _UntoldError from error
    used |= {f"import {name}": importlib.import_module(name) for name in _imports_of(function.__code__)}
    told = {name: _told(value, seen) for name, value in sorted(used.items())}
    return ["function", text, told, _told(function.__defaults__, seen), _told(function.__kwdefaults__, seen)]


def _told_module(module: ModuleType, seen: set[int]) -> Any:
    if _is_installed(module):
        return ["installed", module.__name__]
    if id(module) in seen:
        return ["seen", module.__name__]
    seen.add(id(module))
    held = {name: value for name, value in vars(module).items() if not name.startswith("__")}
    told = {name: _told(value, seen) for name, value in sorted(held.items())}
    return ["module", module.__name__, digest_file(Path(str(module.__file__))), told]


def _globals_of(code: CodeType) -> Iterator[str]:
    """Yield the global names that some code and the code inside it look up."""
    for each in _codes(code):
        for step in dis.get_instructions(each):
            if step.opname in ("LOAD_GLOBAL", "LOAD_NAME"):
                yield step.argval


def _imports_of(code: CodeType) -> Iterator[str]:
    """Yield the modules that some code and the code inside it import."""
    for each in _codes(code):
        steps = list(dis.get_instructions(each))
        for number, step in enumerate(steps):
            if step.opname == "IMPORT_NAME":
                if steps[number - 2].argval != 0:  # relative: by whom it is called decides what it means
                    raise _UntoldError
                yield step.argval


def _codes(code: CodeType) -> Iterator[CodeType]:
    yield code
    for each in code.co_consts:
        if isinstance(each, CodeType):
            yield from _codes(each)


def _is_installed(module: ModuleType | None) -> bool:
    """Say whether a module is a library; the project's own modules lie elsewhere."""
    if module is None:
        return False
    file = getattr(module, "__file__", None)
    if module.__name__.partition(".")[0] in ("keelway", *sys.builtin_module_names):
        return True
    return file is not None and file.startswith(_libraries())


@functools.cache
def _libraries() -> tuple[str, ...]:
    places = (sys.prefix, sys.base_prefix, *sysconfig.get_paths().values())
    return tuple(f"{place}{os.sep}" for place in places if place not in ("", os.sep, "/usr"))
