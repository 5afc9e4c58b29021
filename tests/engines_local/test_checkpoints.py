"""A folder of checkpoints keeps each under its name and replaces none."""

from __future__ import annotations

from pathlib import Path

import pytest

from keelway.engines.local.checkpoints import FolderCheckpoints
from keelway.errors import StorageError
from keelway.testing.checkpoints import NAME, TEXT, CheckpointTargetConformance, MemoryCheckpoints


class TestFolderCheckpoints(CheckpointTargetConformance):
    @pytest.fixture
    def target(self, tmp_path: Path) -> FolderCheckpoints:
        return FolderCheckpoints(tmp_path / "new" / "checkpoints")


class TestMemoryCheckpoints(CheckpointTargetConformance):
    @pytest.fixture
    def target(self) -> MemoryCheckpoints:
        return MemoryCheckpoints()


def test_a_file_is_not_writable_and_nothing_else_is_left(tmp_path: Path) -> None:
    FolderCheckpoints(tmp_path).put(NAME, TEXT)
    assert [path.name for path in tmp_path.iterdir()] == [NAME]
    assert (tmp_path / NAME).stat().st_mode & 0o222 == 0


def test_a_folder_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError):
        FolderCheckpoints(tmp_path / "file" / "checkpoints").put(NAME, TEXT)
    with pytest.raises(StorageError):
        FolderCheckpoints(tmp_path / "file").names()
