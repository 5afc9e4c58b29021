"""What was executed: the project's code, the packages under it and the state of git, as digests.

A tree that differs from its commit is told apart from every other such tree by the digest of the difference.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from functools import lru_cache
from importlib.metadata import distributions
from pathlib import Path

from keelway.core import DIGEST_PREFIX, DIRTY, CodeState, Digest, digest_file, digest_of

GIT_TIMEOUT_S = 10
MOST_HASHED_BYTES = 64 << 20
"""A new file larger than this is data rather than code; its size stands for its bytes."""
LOCKS = (
    "uv.lock",
    "pylock.toml",
    "poetry.lock",
    "pdm.lock",
    "Pipfile.lock",
    "conda-lock.yml",
    "requirements.lock",
    "requirements.txt",
)
"""Files that pin an environment; the first that is there counts."""
METADATA = (".dist-info", ".egg-info", ".egg")
"""How the names of the places end that an installed package tells of itself in."""


def environment_digest() -> Digest:
    """Return the digest over Python's version and the names and versions of the installed packages."""
    return digest_of({"python": ".".join(map(str, sys.version_info[:3])), "packages": installed_packages()})


def installed_packages() -> dict[str, str]:
    """Return the version of every installed package, by its normalised name."""
    return dict(_installed(_import_path()))


def code_state(root: Path, project_digest: Digest) -> CodeState:
    """Return what a run under `root` executes; the commit is empty where there is no git repository."""
    commit = _commit(root)
    return CodeState(
        project_digest=project_digest,
        environment_digest=environment_digest(),
        commit=commit,
        diff_digest=_difference(root) if commit.endswith(DIRTY) else "",
        lock_digest=lock_digest(root),
    )


def lock_digest(root: Path) -> str:
    """Return the digest of the file that pins the environment, or an empty text where there is none."""
    found = next((root / name for name in LOCKS if (root / name).is_file()), None)
    return "" if found is None else digest_file(found)


def _import_path() -> tuple[tuple[str, int], ...]:
    """Return where packages tell of themselves, with when each place changed last: installing changes it."""
    changed: list[tuple[str, int]] = []
    for folder in sys.path:
        try:
            changed += _metadata_in(folder or os.curdir, Path(folder or os.curdir).stat().st_mtime_ns)
        except OSError:
            continue
    return tuple(changed)


@lru_cache(maxsize=64)
def _metadata_in(folder: str, changed: int) -> tuple[tuple[str, int], ...]:
    """Return the places of a folder that was last changed then; an archive is one place."""
    if not Path(folder).is_dir():
        return ((folder, changed),)
    with os.scandir(folder) as entries:
        return tuple(sorted((each.path, each.stat().st_mtime_ns) for each in entries if each.name.endswith(METADATA)))


@lru_cache(maxsize=1)
def _installed(_path: tuple[tuple[str, int], ...]) -> dict[str, str]:
    """Return what is installed; each package's metadata is a text that is parsed whole whenever it is asked for."""
    told = (item.metadata for item in distributions())
    return {each["Name"].lower().replace("_", "-"): each["Version"] for each in told if each["Name"]}


def _commit(root: Path) -> str:
    """Return the commit at `root`, with `+dirty` unless files are known to equal it, or an empty text.

    A folder that git ignores is in no commit, whatever repository is around it.
    """
    head = _git(root, "rev-parse", "--verify", "--quiet", "HEAD")
    if not head:
        return ""
    if _git(root, "status", "--porcelain", "--", ".") != "":
        return f"{head}{DIRTY}"
    return head if _git(root, "rev-parse", "--verify", "--quiet", "HEAD:./") else ""


def _difference(root: Path) -> str:
    """Return the digest of what differs from the commit under `root`: changed lines, and files git does not know."""
    changed = _git(root, "diff", "HEAD", "--binary", "--no-ext-diff", "--no-color", "--no-textconv", "--", ".")
    new = _git(root, "ls-files", "--others", "--exclude-standard", "-z", "--", ".")
    if changed is None or new is None:
        return ""
    total = hashlib.sha256(changed.encode("utf8", "surrogateescape"))
    for name in sorted(filter(None, new.split("\0"))):
        total.update(f"\0{name}\0{_content(root / name)}".encode("utf8", "surrogateescape"))
    return DIGEST_PREFIX + total.hexdigest()


def _content(path: Path) -> str:
    """Return what stands for the content of a new file."""
    try:
        if path.is_symlink():
            return f"link to {path.readlink()}"
        size = path.stat().st_size
        return digest_file(path) if size <= MOST_HASHED_BYTES else f"{size} bytes"
    except OSError as error:
        return f"unreadable: {error.strerror}"


def _git(root: Path, *arguments: str) -> str | None:
    """Return what git prints, or None where it fails or is not installed."""
    command = ["git", "-C", str(root), *arguments]
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, errors="surrogateescape", timeout=GIT_TIMEOUT_S, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None
