"""Secrets by reference: settings say where a secret is, never what it is."""

from __future__ import annotations

import os
from pathlib import Path

from keelway.errors import SettingsError

_LATER = ("vault", "aws-sm", "azure-kv", "databricks")


def is_reference(text: str) -> bool:
    """Say whether a text has the form of a reference to a secret that can be read.

    >>> is_reference("env:TOKEN"), is_reference("hunter2")
    (True, False)
    """
    return text.startswith(("env:", "file:"))


def resolve_secret(reference: str, *, root: Path) -> str:
    """Return the secret that a reference names, without its final line break.

    Args:
        reference: `env:NAME`, or `file:PATH` relative to the root (or absolute).
        root: The project's folder.

    Raises:
        SettingsError: It is no reference (a bare secret, say), or nothing is there.
        NotImplementedError: The scheme names a secret store that Keelway cannot read yet.
    """
    scheme, separator, place = reference.partition(":")
    if scheme in _LATER and separator:
        raise NotImplementedError(f"Secrets in {scheme}: are not read yet; use env:NAME or file:PATH.")
    if scheme == "env" and place:
        return _from_environment(place)
    if scheme == "file" and place:
        return _from_file(root / place)
    raise SettingsError(
        "A secret is given by reference, never as a value",
        expected="env:NAME or file:PATH",
        found=f"{len(reference)} characters that are not a reference",  # never the text: it may be the secret itself
        fix="Put the secret into an environment variable or a file, and name that.",
    )


def _from_environment(name: str) -> str:
    value = os.environ.get(name, "")
    if not value:
        raise SettingsError(
            "A secret is missing", expected=f"the environment variable {name}", found="nothing", fix=f"Set {name}."
        )
    return value.rstrip("\r\n")


def _from_file(path: Path) -> str:
    try:
        value = path.read_text("utf8").rstrip("\r\n")
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(
            "A secret cannot be read", expected=f"a text file at {path}", found=type(error).__name__
        ) from error
    if not value:
        raise SettingsError("A secret is empty", expected=f"a secret in {path}", found="an empty file")
    return value
