"""Files that are written for people: pages, plots, cards."""

from __future__ import annotations

from pathlib import Path

from keelway.errors import StorageError


def written(path: Path, text: str) -> Path:
    """Write a text, its folder made where it is missing.

    Raises:
        StorageError: It cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, "utf8")
    except OSError as error:
        raise StorageError(f"{path} cannot be written", found=error.strerror or str(error)) from error
    return path
