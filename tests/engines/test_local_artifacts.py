"""Artifacts in a folder: conformance, full and unwritable disks, interrupted writes."""

from __future__ import annotations

import errno
import os
import resource
import subprocess
import sys
from pathlib import Path

import pytest

from keelway.core import ArtifactKind
from keelway.engines.local.artifacts import LocalArtifacts
from keelway.errors import SourceError, StorageError
from keelway.testing import ArtifactConformance


class TestLocalArtifacts(ArtifactConformance):
    @pytest.fixture
    def store(self, tmp_path: Path) -> LocalArtifacts:
        return LocalArtifacts(tmp_path / "artifacts")


def files_in(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


def test_an_artifact_lies_under_its_digest(tmp_path: Path) -> None:
    artifact = LocalArtifacts(tmp_path).put(b"x", kind=ArtifactKind.REPORT)
    digits = artifact.digest.removeprefix("sha256:")
    assert files_in(tmp_path) == [tmp_path / digits[:2] / digits[2:]]


def test_a_full_disk_is_said_and_leaves_nothing(tmp_path: Path) -> None:
    code = (
        "import resource, signal, sys; from pathlib import Path\n"
        "from keelway.core import ArtifactKind; from keelway.engines.local.artifacts import LocalArtifacts\n"
        "from keelway.errors import StorageError\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 16, 1 << 16))\n"
        "try: LocalArtifacts(Path(sys.argv[1])).put(b'x' * (1 << 20), kind=ArtifactKind.REPORT)\n"
        "except StorageError as error: sys.exit(0 if error.fix else 3)\n"
        "sys.exit(4)\n"
    )
    assert resource.RLIMIT_FSIZE
    subprocess.run([sys.executable, "-c", code, str(tmp_path / "a")], check=True)
    assert files_in(tmp_path / "a") == []


def test_no_space_names_the_fix(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StorageError) as caught:
        LocalArtifacts(tmp_path).put(b"x", kind=ArtifactKind.REPORT)
    assert "space" in caught.value.fix
    assert files_in(tmp_path) == []


def test_a_file_in_the_way_is_said(tmp_path: Path) -> None:
    (tmp_path / "store").write_text("in the way")
    with pytest.raises(StorageError):
        LocalArtifacts(tmp_path / "store").put(b"x", kind=ArtifactKind.REPORT)


def test_a_source_that_is_not_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(SourceError):
        LocalArtifacts(tmp_path).put_file(tmp_path / "none.csv", kind=ArtifactKind.RAW_FILE)
