"""The projects that Keelway can write: the churn example of the demo, and the plain one of `keelway init`.

Files are copied as they are; in the plain project `{{name}}` is replaced, in paths and in text. A folder that holds
anything is refused, so nobody's work is ever overwritten.
"""

from __future__ import annotations

import importlib.util
import shutil
import sys
import tempfile
from pathlib import Path
from types import ModuleType

from keelway.core import checked_name
from keelway.errors import ProjectError, StorageError, UsageError

PLACEHOLDER = "{{name}}"
_HERE = Path(__file__).parent
_NOT_COPIED = shutil.ignore_patterns("__pycache__", "*.pyc", ".keelway", "raw")

__all__ = ["copy_example", "example_module", "example_path", "write_project"]


def example_path() -> Path:
    """Return the folder of the churn example: in the repository, or beside this file once installed.

    Raises:
        ProjectError: The installation lacks it.
    """
    for folder in (_HERE.parents[2] / "examples" / "churn", _HERE / "churn"):
        if (folder / "keelway.toml").is_file():
            return folder
    raise ProjectError(
        "The example project is missing", expected=str(_HERE / "churn"), fix="Install the package again."
    )


def copy_example(destination: Path) -> list[str]:
    """Write the churn example to a new folder and return its files.

    Raises:
        UsageError: The folder holds something.
        StorageError: It cannot be written; nothing is left behind.
    """
    return _write(example_path(), destination, name="churn")


def write_project(destination: Path, name: str) -> list[str]:
    """Write the plain project under a name to a new folder and return its files.

    Raises:
        UsageError: The folder holds something, or the name is not one.
        StorageError: It cannot be written; nothing is left behind.
    """
    checked_name(name, what="project")
    if not name.isidentifier():
        raise UsageError(
            "This cannot be the name of a Python package", expected="letters, digits and _", found=repr(name)
        )
    return _write(_HERE / "plain", destination, name=name)


def example_module(root: Path) -> ModuleType:
    """Return the `lay_out` module of a copy of the example: its shop.

    Raises:
        ProjectError: There is none.
    """
    path = root / "lay_out.py"
    spec = importlib.util.spec_from_file_location("keelway_example_lay_out", path)
    if spec is None or spec.loader is None or not path.is_file():
        raise ProjectError("This is not a copy of the example", expected=str(path), found="nothing")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


def _write(source: Path, destination: Path, *, name: str) -> list[str]:
    """Fill a folder beside the destination, then put it in place in one move."""
    if destination.exists() and (not destination.is_dir() or any(destination.iterdir())):
        raise UsageError(
            "There is something there already", expected="a new or empty folder", found=str(destination),
            fix="Name another folder; nothing was changed.",
        )  # fmt: skip
    try:
        destination.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=destination.parent, prefix=".keelway-") as scratch:
            made = Path(scratch) / "project"
            shutil.copytree(source, made, ignore=_NOT_COPIED if source.name == "churn" else None)
            _fill_in(made, name)
            made.replace(destination)
    except OSError as error:
        raise StorageError("The project cannot be written", found=error.strerror or str(error)) from error
    return sorted(path.relative_to(destination).as_posix() for path in destination.rglob("*") if path.is_file())


def _fill_in(root: Path, name: str) -> None:
    """Replace the placeholder in text and paths, deepest paths first."""
    for path in sorted(root.rglob("*"), reverse=True):
        if path.is_file() and PLACEHOLDER in (text := path.read_text("utf8")):
            path.write_text(text.replace(PLACEHOLDER, name), "utf8")
        if PLACEHOLDER in path.name:
            path.rename(path.with_name(path.name.replace(PLACEHOLDER, name)))
    if (root / "gitignore").exists():  # packages leave dot files out
        (root / "gitignore").rename(root / ".gitignore")
