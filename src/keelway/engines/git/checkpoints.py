"""Checkpoints as tags of a git repository, made by the git program; each tag points at a blob that is the text.

A tag is made only where there is none. With a remote, it is pushed there at once, so that whoever fetches holds a copy
that nobody can take back; the remote refuses to move a tag that it has.

    GitCheckpoints(Path("../audit.git"), folder="churn").put("000000000042-1f0c5a7be2d49c03.note", note)
    # git cat-file blob refs/tags/keelway/churn/000000000042-1f0c5a7be2d49c03.note
"""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

from keelway.errors import MissingExtraError, MissingRecordError, RecordExistsError, SettingsError, StorageError

if TYPE_CHECKING:
    from keelway.ledger import CheckpointTarget

TIMEOUT_S = 60.0
_ABSENT = "0" * 40
_UNFIT = re.compile(r"[^A-Za-z0-9._-]+")


class GitCheckpoints:
    """Checkpoints as tags.

    Args:
        repository: The folder of the repository; a bare one will do.
        folder: Part of the tags' names, so that several ledgers can share a repository.
        remote: The name of the remote that tags are pushed to, or empty.
    """

    def __init__(self, repository: Path, *, folder: str, remote: str = "") -> None:
        self._repository = Path(repository)
        self._tags = f"refs/tags/keelway/{_UNFIT.sub('-', folder).strip('.-') or 'ledger'}/"
        self._remote = remote
        if remote.startswith("-"):
            raise SettingsError("This is no remote of git", expected="its name", found=remote)

    @property
    def where(self) -> str:
        """The repository and, where there is one, the remote."""
        return f"git:{self._repository}" + (f"#{self._remote}" if self._remote else "")

    def put(self, name: str, text: str) -> None:
        """Keep a text; the same text again does nothing, but for a push that failed before."""
        blob = self._git("hash-object", "-w", "--stdin", data=text).strip()
        done = self._run("update-ref", self._tags + name, blob, _ABSENT)
        if done.returncode:
            held = self._run("rev-parse", "--verify", "--quiet", self._tags + name).stdout.strip()
            if not held:
                raise self._failed("update-ref", done.stderr)
            if held != blob:
                raise RecordExistsError(
                    f"There is another text under {name} in {self.where}", expected=blob, found=held
                )
        if self._remote:
            self._git("push", "--quiet", self._remote, f"{self._tags}{name}:{self._tags}{name}")

    def names(self) -> list[str]:
        """Return the names that hold a text, sorted."""
        listed = self._git("for-each-ref", "--format=%(refname)", self._tags)
        return sorted(line.removeprefix(self._tags) for line in listed.splitlines())

    def get(self, name: str) -> str:
        """Return a text."""
        done = self._run("cat-file", "blob", self._tags + name)
        if done.returncode == 0:
            return done.stdout
        if name not in self.names():
            raise MissingRecordError(f"Nothing is published in {self.where}", expected=name, found="nothing")
        raise self._failed("cat-file", done.stderr)

    def _git(self, *words: str, data: str = "") -> str:
        done = self._run(*words, data=data)
        if done.returncode:
            raise self._failed(words[0], done.stderr)
        return done.stdout

    def _run(self, *words: str, data: str = "") -> subprocess.CompletedProcess[str]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
        try:
            return subprocess.run(
                ["git", "-C", str(self._repository), *words],  # noqa: S607 - whichever git the machine has
                input=data,
                capture_output=True,
                check=False,
                encoding="utf-8",
                errors="replace",
                env=kept | {"GIT_TERMINAL_PROMPT": "0", "LC_ALL": "C"},
                timeout=TIMEOUT_S,
            )
        except FileNotFoundError as error:
            raise MissingExtraError(
                "Checkpoints in a repository need the program git", expected="git", found="nothing", fix="Install git."
            ) from error
        except (OSError, subprocess.TimeoutExpired) as error:
            raise StorageError(f"git in {self.where} does not answer", found=str(error)) from error

    def _failed(self, word: str, told: str) -> StorageError:
        return StorageError(
            f"git {word} failed in {self.where}",
            expected="a repository that may be written, and a remote that can be reached",
            found=told.strip()[-300:],
            fix="Run the same command there by hand; a new repository is made with `git init --bare`.",
        )


if TYPE_CHECKING:
    _: CheckpointTarget = GitCheckpoints(Path(), folder="ledger")
