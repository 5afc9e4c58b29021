"""The commit tells what ran, or says that files differed from it, or is empty."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from keelway.core import digest_bytes
from keelway.train import code_state, environment_digest
from keelway.train.code_state import _installed, installed_packages, lock_digest

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
def test_a_folder_that_git_ignores_is_in_no_commit(repository: Path) -> None:
    (repository / ".gitignore").write_text("build/\n")
    (repository / "build").mkdir()
    (repository / "build" / "project.py").write_text("x = 1\n")
    git(repository, "add", ".")
    git(repository, "commit", "--quiet", "-m", "second")
    assert code_state(repository / "build", PROJECT).commit == ""
    assert code_state(repository, PROJECT).commit == git(repository, "rev-parse", "HEAD")


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


@needs_git
def test_changes_have_a_digest_of_their_own(repository: Path) -> None:
    def differing() -> str:
        return code_state(repository, PROJECT).diff_digest

    assert differing() == ""
    (repository / "project.py").write_text("x = 2\n")
    first = differing()
    assert first == differing() != ""
    (repository / "project.py").write_text("x = 3\n")
    second = differing()
    (repository / "new.py").write_text("y = 1\n")
    third = differing()
    (repository / "new.py").write_text("y = 2\n")
    fourth = differing()
    (repository / "new.py").unlink()
    assert len({first, second, third, fourth}) == 4
    assert differing() == second
    git(repository, "checkout", "--quiet", "--", ".")
    assert differing() == ""


@needs_git
def test_strange_new_files_do_not_hide_what_differs(repository: Path) -> None:
    (repository / "link").symlink_to("nowhere")
    (repository / "n\u00e4me\n.py").write_bytes(b"\xff\x00")
    first = code_state(repository, PROJECT).diff_digest
    (repository / "link").unlink()
    (repository / "link").symlink_to("elsewhere")
    assert code_state(repository, PROJECT).diff_digest != first


def test_the_lock_is_the_first_file_that_pins_the_environment(tmp_path: Path) -> None:
    assert lock_digest(tmp_path) == ""
    (tmp_path / "requirements.txt").write_text("numpy==2\n")
    loose = lock_digest(tmp_path)
    (tmp_path / "uv.lock").write_text("version = 1\n")
    assert loose == digest_bytes(b"numpy==2\n")
    assert lock_digest(tmp_path) == digest_bytes(b"version = 1\n")


def test_what_is_installed_is_read_again_when_a_folder_of_packages_changes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = installed_packages()
    made = tmp_path / "made_up-1.2.dist-info"
    made.mkdir()
    (made / "METADATA").write_text("Metadata-Version: 2.1\nName: Made_Up\nVersion: 1.2\n")
    monkeypatch.syspath_prepend(tmp_path)
    assert installed_packages() == {**before, "made-up": "1.2"}

    made.rename(tmp_path / "made_up-1.3.dist-info")
    (tmp_path / "made_up-1.3.dist-info" / "METADATA").write_text("Metadata-Version: 2.1\nName: Made_Up\nVersion: 1.3\n")
    assert installed_packages() == {**before, "made-up": "1.3"}


def test_other_files_in_the_folders_of_packages_cost_no_second_reading(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    installed_packages()
    read = _installed.cache_info().misses
    (tmp_path / "notes.txt").write_text("written beside the project's code while it is trained")
    installed_packages()
    assert _installed.cache_info().misses == read
