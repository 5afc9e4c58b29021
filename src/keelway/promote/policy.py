"""Reads a gate's policy files from the project, with the ready rules where a file asks for them.

A policy set holds every text that judges, so its digest changes with any of them. Files that end in `_test.rego`
are tests, not policy.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from keelway.core import ArtifactKind, PolicySet, canonical_json
from keelway.errors import SettingsError
from keelway.promote.policies import LIBRARY_PREFIX

if TYPE_CHECKING:
    from keelway.core import ArtifactStore, Digest

_LIBRARY = Path(__file__).parent / "library"
_IMPORT = "data.keelway.lib"
_SHARED = "figures.rego"
"""What every other file of the library rests on."""
_DEFINED = re.compile(r"^([A-Za-z_]\w*)(?:\([^()]*\))? (?::=|if\b)", re.MULTILINE)


def load_policy(path: str, *, root: Path) -> PolicySet:
    """Return the policy files of a folder, by name; a folder without any gives a set that refuses everything.

    Args:
        path: The folder, relative to the root.
        root: The project's folder; policies outside it are refused.

    Raises:
        SettingsError: There is no such folder inside the project, or a file is not text.
    """
    base = root.resolve()
    folder = (base / path).resolve()
    if not folder.is_relative_to(base) or not folder.is_dir():
        raise SettingsError(
            "The policy folder lies outside the project" if folder.is_dir() else "There is no such policy folder",
            expected=f"a folder inside {root}",
            found=path,
            fix="Name a folder of policy files, relative to keelway.toml.",
        )
    files = {
        file.name: _text(file, base)
        for file in sorted(folder.glob("*.rego"))
        if file.is_file() and not file.name.endswith("_test.rego")
    }
    return PolicySet(name=path, files=files | library_files(files))


def library_files(files: Mapping[str, str]) -> dict[str, str]:
    """Return the library's files that a gate's files need; those that no file names stay out of its digest."""
    if not any(_IMPORT in text for text in files.values()):
        return {}
    library = {name.removeprefix(LIBRARY_PREFIX): text for name, text in library_texts().items()}
    needed, grown = {_SHARED}, set(re.findall(r"\w+", " ".join(files.values())))
    while grown:
        named = {name for name, text in library.items() if grown & set(_DEFINED.findall(text))} - needed
        needed |= named
        grown = {word for name in named for word in re.findall(r"\w+", library[name])}
    return {f"{LIBRARY_PREFIX}{name}": library[name] for name in sorted(needed)}


def library_texts() -> dict[str, str]:
    """Return every file of the ready rules, by the name it has in a policy."""
    return {f"{LIBRARY_PREFIX}{file.name}": file.read_text("utf8") for file in sorted(_LIBRARY.glob("*.rego"))}


def store_policy(policy: PolicySet, *, artifacts: ArtifactStore) -> Digest:
    """Store a policy's files as an artifact, whose digest is the policy's digest."""
    return artifacts.put(canonical_json(policy), kind=ArtifactKind.POLICY, name=f"{policy.name}.json").digest


def _text(file: Path, base: Path) -> str:
    if not file.resolve().is_relative_to(base):
        raise SettingsError("A policy file lies outside the project", expected=f"a file in {base}", found=str(file))
    try:
        return file.read_text("utf8")
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError("A policy file cannot be read", expected="UTF-8 text", found=f"{file}: {error}") from error
