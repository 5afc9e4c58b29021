"""Loading a project from its repository.

The module is imported afresh whenever its folder or any of its source files is another than last time, so two
projects of the same name, or an edited one, never see each other's functions in one process.
"""

from __future__ import annotations

import hashlib
import importlib
import linecache
import os
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

from keelway.core import Digest, digest_bytes
from keelway.errors import KeelwayError, ProjectError
from keelway.project.project import Project

_FOLDERS = ("contracts", "policies")
_SETTINGS = "keelway.toml"
_lock = threading.Lock()
_loaded: dict[Path, Digest] = {}  # folder of modules on sys.path -> digest of its sources when they were imported


def load_project(root: Path, *, module: str, source: str) -> Project:
    """Return the project that a module declares under the name `project`.

    Args:
        root: The folder that holds `keelway.toml`.
        module: The module's import name, such as `churn.project`.
        source: The folder that import names start from, relative to `root`.

    Raises:
        ProjectError: The module is not there, raises while it is imported, or declares no project.
    """
    folder = (root / source).resolve()
    if not folder.is_dir():
        raise ProjectError(
            "The project has no source folder",
            expected=str(folder),
            fix="Set `source` in keelway.toml to the folder that holds the project's package.",
        )
    with _lock:
        _make_fresh(folder)
        found = getattr(_imported(module, folder), "project", None)
    if not isinstance(found, Project):
        raise ProjectError(
            f"Module {module!r} declares no project",
            expected="an attribute `project` of class Project",
            found="nothing" if found is None else type(found).__name__,
            fix='End the module with `project = Project("...", models=[...])`.',
        )
    return found


def project_digest(root: Path, source: str) -> Digest:
    """Return the digest over names and bytes of sources, contracts, policies and `keelway.toml`."""
    total = hashlib.sha256()
    named = {os.path.relpath(path, root).replace(os.sep, "/"): path for path in _files_of(root, source)}
    for told, path in sorted(named.items()):  # sources may lie beside the project: their names begin with ../ then
        name = told.encode()
        total.update(b"%d:%s" % (len(name), name))
        total.update(hashlib.sha256(path.read_bytes()).digest())
    return Digest(f"sha256:{total.hexdigest()}")


def _files_of(root: Path, source: str) -> Iterator[Path]:
    if (root / _SETTINGS).is_file():
        yield root / _SETTINGS
    yield from _sources(root / source)
    for folder in _FOLDERS:
        for path in (root / folder).rglob("*"):
            if path.is_file() and not any(part.startswith(".") for part in path.relative_to(root).parts):
                yield path


def _sources(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*.py") if path.is_file() and "__pycache__" not in path.parts)


def _make_fresh(folder: Path) -> None:
    """Forget the modules of other project folders, and of this one where a file changed; put this one first."""
    text = "\n".join(f"{path.relative_to(folder)} {digest_bytes(path.read_bytes())}" for path in _sources(folder))
    now = digest_bytes(text.encode())
    for known in [known for known, digest in _loaded.items() if known != folder or digest != now]:
        _forget(known)
    if str(folder) in sys.path:
        sys.path.remove(str(folder))
    sys.path.insert(0, str(folder))
    _loaded[folder] = now


def _forget(folder: Path) -> None:
    known: dict[str, str] = {}
    for name, module in list(sys.modules.items()):
        if any(_lies_in(place, folder, known) for place in _places(module)):
            del sys.modules[name]
    if str(folder) in sys.path:
        sys.path.remove(str(folder))
    del _loaded[folder]
    importlib.invalidate_caches()
    linecache.checkcache()


def _places(module: ModuleType) -> list[str]:
    """Return the file of a module, or the folders of a namespace package."""
    file = getattr(module, "__file__", None)
    try:
        return [os.fspath(each) for each in ([file] if file else list(getattr(module, "__path__", [])))]
    except (OSError, TypeError, ValueError):
        return []


def _lies_in(place: str, folder: Path, known: dict[str, str]) -> bool:
    try:
        return f"{_real(place, known)}{os.sep}".startswith(f"{folder}{os.sep}")
    except (OSError, TypeError, ValueError):
        return False


def _real(place: str, known: dict[str, str]) -> str:
    """Return a path without links, as `os.path.realpath` does; each folder of thousands of files is looked at once."""
    if place not in known:
        above, name = os.path.split(place)
        plain = above.startswith(os.sep) and name not in {"", ".", ".."} and not os.path.islink(place)  # noqa: PTH114
        known[place] = f"{_real(above, known).rstrip(os.sep)}{os.sep}{name}" if plain else os.path.realpath(place)
    return known[place]


def _imported(name: str, folder: Path) -> ModuleType:
    importlib.invalidate_caches()
    keeps_bytecode = sys.dont_write_bytecode
    sys.dont_write_bytecode = True  # cached bytecode goes by whole seconds and would hide a quick edit
    try:
        module = importlib.import_module(name)
    except Exception as error:  # a user's module may raise anything at all while it is imported
        raise _failed(name, folder, error) from error
    finally:
        sys.dont_write_bytecode = keeps_bytecode
    if not any(_lies_in(place, folder, {}) for place in _places(module)):
        raise ProjectError(
            f"Module {name!r} comes from somewhere else",
            expected=f"a file below {folder}",
            found=str(getattr(module, "__file__", "no file")),
            fix="Give the project's package a name that no installed package has.",
        )
    return module


def _failed(name: str, folder: Path, error: Exception) -> ProjectError:
    if isinstance(error, ModuleNotFoundError) and error.name and f"{name}.".startswith(f"{error.name}."):
        return ProjectError(
            f"There is no module {name!r}",
            expected=str(folder / name.replace(".", "/")) + ".py",
            fix="Set `module` in keelway.toml to the module that declares the project.",
        )
    what, traceback = f"Module {name!r} cannot be imported", f"`python -c 'import {name}'` shows the whole traceback."
    if isinstance(error, KeelwayError):
        return ProjectError(
            f"{what}: {error.what}",
            expected=error.expected,
            found=error.found,
            fix=error.fix or f"Mend the declaration; {traceback}",
        )
    return ProjectError(what, found=f"{type(error).__name__}: {error}", fix=f"Mend the module; {traceback}")
