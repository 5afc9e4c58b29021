"""Whatever delta-rs, the object store or the disk say when they fail leaves as an error of ours, with its cause."""

from __future__ import annotations

import errno
from pathlib import Path

import deltalake.exceptions
import obstore.exceptions
import pytest

from keelway.engines.delta.folders import LocalFolder, _reached
from keelway.engines.delta.log import commit_text, first_actions
from keelway.engines.delta.tables import _translated
from keelway.errors import EngineError, KeelwayError, MissingRecordError, StorageError
from keelway.testing.tables import NOW


def listed(module: object) -> list[type[Exception]]:
    found = [value for value in vars(module).values() if isinstance(value, type) and issubclass(value, Exception)]
    return sorted(found, key=lambda kind: kind.__name__)


@pytest.mark.parametrize("kind", listed(deltalake.exceptions), ids=lambda kind: kind.__name__)
def test_every_error_of_delta_is_told_in_our_words(kind: type[Exception]) -> None:
    with pytest.raises(KeelwayError) as told, _translated("orders"):
        raise kind("it failed")
    assert isinstance(told.value.__cause__, kind)
    assert "orders" in str(told.value)


def test_a_version_that_is_not_there_is_missing() -> None:
    with pytest.raises(MissingRecordError), _translated("orders", 7):
        raise deltalake.exceptions.DeltaError("no such version")


@pytest.mark.parametrize("kind", listed(obstore.exceptions), ids=lambda kind: kind.__name__)
def test_every_error_of_the_store_is_told_in_our_words(kind: type[Exception]) -> None:
    with pytest.raises(StorageError) as told, _translated("orders"), _reached("rows.parquet"):
        raise kind("it failed\nand much more")
    assert told.value.__cause__ is not None
    assert told.value.found == "it failed"


def test_a_full_disk_is_told() -> None:
    with pytest.raises(StorageError) as told, _translated("orders"):
        raise OSError(errno.ENOSPC, "No space left on device")
    assert told.value.found == "No space left on device"


def test_our_own_errors_pass() -> None:
    mine = EngineError("mine")
    with pytest.raises(EngineError) as told, _translated("orders"), _reached("rows.parquet"):
        raise mine
    assert told.value is mine


def test_a_link_into_a_folder_that_is_none_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(OSError, match="file"):
        LocalFolder(tmp_path / "file").put_new("name", b"")


def test_a_commit_is_called_what_it_is() -> None:
    def named(*changed: bool) -> str:
        actions = [{"add": {"dataChange": each}} for each in changed]
        return commit_text(actions, at=NOW).decode().split('"operation": "')[1].split('"')[0]

    assert named(True) == named(False, True) == "WRITE"
    assert named(False, False) == "OPTIMIZE"
    assert named() == "ADD COLUMN"
    assert b'"protocol"' in commit_text(first_actions("orders", {"n": "int64"}), at=NOW)
