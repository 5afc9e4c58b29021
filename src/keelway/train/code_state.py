"""What was executed: the project's code, the packages under it and the git commit, as digests."""

from __future__ import annotations

import subprocess
import sys
from importlib.metadata import distributions
from pathlib import Path

from keelway.core import CodeState, Digest, digest_of

GIT_TIMEOUT_S = 10


def environment_digest() -> Digest:
    """Return the digest over Python's version and the names and versions of the installed packages."""
    packages = {item.name.lower().replace("_", "-"): item.version for item in distributions() if item.name}
    return digest_of({"python": ".".join(map(str, sys.version_info[:3])), "packages": packages})


def code_state(root: Path, project_digest: Digest) -> CodeState:
    """Return what a run under `root` executes; the commit is empty where there is no git repository."""
    return CodeState(project_digest, environment_digest(), _commit(root))


def _commit(root: Path) -> str:
    """Return the commit at `root`, with `+dirty` unless files are known to equal it, or an empty text."""
    head = _git(root, "rev-parse", "--verify", "--quiet", "HEAD")
    if not head:
        return ""
    return head if _git(root, "status", "--porcelain", "--", ".") == "" else f"{head}+dirty"


def _git(root: Path, *arguments: str) -> str | None:
    """Return what git prints, or None where it fails or is not installed."""
    command = ["git", "-C", str(root), *arguments]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=GIT_TIMEOUT_S, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None
