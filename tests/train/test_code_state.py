"""The commit tells what ran, or says that files differed from it, or is empty."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from keelway.core import digest_bytes
from keelway.train import code_state, environment_digest

PROJECT = digest_bytes(b"project")
needs_git = pytest.mark.skipif(shutil.which("git") is None, reason="git is not installed")


def git(root: Path, *arguments: str) -> str:
    who = ["-c", "user.name=Ana", "-c", "user.email=ana@example.org", "-c", "commit.gpgsign=false"]
    done = subprocess.run(["git", "-C", str(root), *who, *arguments], check=True, capture_output=True, text=True)
    return done.stdout.strip()


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    root = tmp_path / "repository"
    root.mkdir()
    git(root, "init", "--quiet")
    (root / "project.py").write_text("x = 1\n")
    git(root, "add", ".")
    git(root, "commit", "--quiet", "-m", "first")
    return root


def test_outside_a_repository_the_commit_is_empty(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    found = code_state(tmp_path, PROJECT)
    assert (found.project_digest, found.environment_digest, found.commit) == (PROJECT, environment_digest(), "")


@needs_git
def test_a_clean_repository_gives_its_commit(repository: Path) -> None:
    assert code_state(repository, PROJECT).commit == git(repository, "rev-parse", "HEAD")


@needs_git
@pytest.mark.parametrize("file", ["project.py", "new.py"], ids=["changed", "untracked"])
def test_files_that_differ_from_the_commit_are_told(repository: Path, file: str) -> None:
    (repository / file).write_text("x = 2\n")
    assert code_state(repository, PROJECT).commit == git(repository, "rev-parse", "HEAD") + "+dirty"


@needs_git
def test_files_outside_the_project_do_not_matter(repository: Path) -> None:
    (repository / "churn").mkdir()
    (repository / "churn" / "a.py").write_text("")
    git(repository, "add", ".")
    git(repository, "commit", "--quiet", "-m", "second")
    (repository / "elsewhere.py").write_text("")
    assert not code_state(repository / "churn", PROJECT).commit.endswith("+dirty")


@needs_git
def test_a_repository_whose_state_cannot_be_told_counts_as_changed(repository: Path) -> None:
    head = git(repository, "rev-parse", "HEAD")
    (repository / ".git" / "index").write_bytes(b"no index")
    assert code_state(repository, PROJECT).commit == head + "+dirty"


def test_without_git_the_commit_is_empty(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / ".git").mkdir()
    monkeypatch.setenv("PATH", str(tmp_path))
    assert code_state(tmp_path, PROJECT).commit == ""


def test_the_environment_is_the_same_twice() -> None:
    assert environment_digest() == environment_digest()
