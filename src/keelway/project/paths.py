"""Relative paths that a declaration may hold."""

from __future__ import annotations

from pathlib import PurePosixPath

from keelway.errors import ProjectError


def checked_relative(path: str, *, what: str) -> str:
    """Return a path that stays below the folder it is relative to.

    Raises:
        ProjectError: It is empty, absolute, or climbs out with `..`.
    """
    parts = PurePosixPath(path.replace("\\", "/"))
    if not path or "\0" in path or parts.is_absolute() or ".." in parts.parts or ":" in path:
        raise ProjectError(
            f"The {what} is not a path inside the project",
            expected="a relative path with forward slashes and without '..'",
            found=repr(path),
        )
    return path
