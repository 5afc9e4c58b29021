"""Checkpoints are tags of a repository: made once, never moved, pushed where there is a remote."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from keelway.engines.git import GitCheckpoints
from keelway.errors import RecordExistsError, SettingsError, StorageError
from keelway.testing.checkpoints import NAME, TEXT, CheckpointTargetConformance


def git(folder: Path, *words: str) -> str:
    return subprocess.run(["git", "-C", str(folder), *words], check=True, capture_output=True, text=True).stdout


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    (tmp_path / "audit.git").mkdir()
    git(tmp_path / "audit.git", "init", "--quiet", "--bare")
    return tmp_path / "audit.git"


class TestGitCheckpoints(CheckpointTargetConformance):
    @pytest.fixture
    def target(self, repository: Path) -> GitCheckpoints:
        return GitCheckpoints(repository, folder="keelway.example/churn")


def test_git_itself_reads_a_checkpoint(repository: Path) -> None:
    GitCheckpoints(repository, folder="a shop/ü~").put(NAME, TEXT)
    (tag,) = git(repository, "tag", "--list").split()
    assert tag.startswith("keelway/a-shop/")
    assert git(repository, "cat-file", "blob", f"refs/tags/{tag}") == TEXT


def test_ledgers_share_a_repository(repository: Path) -> None:
    one, two = (GitCheckpoints(repository, folder=name) for name in ("one", "two"))
    one.put(NAME, TEXT)
    assert two.names() == []


def test_a_tag_is_pushed_and_the_remote_refuses_another_one(repository: Path, tmp_path: Path) -> None:
    (tmp_path / "here").mkdir()
    git(tmp_path / "here", "init", "--quiet")
    git(tmp_path / "here", "remote", "add", "vault", str(repository))
    here = GitCheckpoints(tmp_path / "here", folder="churn", remote="vault")
    here.put(NAME, TEXT)
    far = GitCheckpoints(repository, folder="churn")
    assert far.get(NAME) == TEXT
    git(tmp_path / "here", "tag", "-d", f"keelway/churn/{NAME}")
    with pytest.raises(StorageError, match="git push failed"):
        here.put(NAME, TEXT + "x")
    assert far.get(NAME) == TEXT
    with pytest.raises(RecordExistsError):
        far.put(NAME, TEXT + "x")


def test_what_is_no_repository_is_told(tmp_path: Path) -> None:
    target = GitCheckpoints(tmp_path / "absent", folder="churn")
    with pytest.raises(StorageError) as caught:
        target.put(NAME, TEXT)
    assert "git init --bare" in caught.value.fix
    with pytest.raises(SettingsError):
        GitCheckpoints(tmp_path, folder="churn", remote="--upload-pack=x")
