"""A disk that fills up anywhere in an ingest: an error that says so, and the same version once there is room."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from keelway.errors import KeelwayError, StorageError
from keelway.ingest import Batch, ObjectInfo, copy_blocks
from keelway.snapshot import Snapshot
from keelway.testing.objects import MOMENT
from keelway.testing.shop import Shop

ROWS = 400


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A small file system of its own, where this user may mount one; `resize` says how small."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = shutil.which("mount")
    if mount is None or os.geteuid() != 0:
        pytest.skip("only root can mount a small file system")
    done = subprocess.run([mount, "-t", "tmpfs", "-o", "size=64m", "tmpfs", folder], capture_output=True, check=False)
    if done.returncode:
        pytest.skip("this machine does not let a file system be mounted")
    yield folder
    subprocess.run(["umount", "-l", folder], check=True)


def resize(folder: Path, size: str) -> None:
    subprocess.run(["mount", "-o", f"remount,size={size}", folder], check=True)


def used_kib(folder: Path) -> int:
    status = os.statvfs(folder)
    return (status.f_blocks - status.f_bfree) * status.f_frsize // 1024


def test_wherever_the_disk_fills_up_nothing_is_half_and_a_retry_succeeds(disk: Path) -> None:
    shop = Shop.open(disk)
    shop.upload("1997-01-01", "".join(f"{n},1997-01-01,1,2.5\n" for n in range(ROWS)))
    kept = used_kib(disk)
    failed = []
    for spare in range(8, 200, 24):
        resize(disk, f"{kept + spare}k")
        try:
            shop.ingest()
        except KeelwayError as error:
            failed.append(type(error))
        kept = used_kib(disk)
    assert StorageError in failed
    resize(disk, "64m")
    shop.ingest()
    with shop.state.snapshot() as tx:
        (snapshot,) = tx.newest(Snapshot)
        assert tx.count(Batch) == 1
    assert snapshot.rows == ROWS
    assert shop.tables.files("orders", snapshot.table_version)
    shop.state.close()


def test_a_full_disk_for_temporary_files_is_said_and_nothing_is_recorded(
    disk: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(disk))
    resize(disk, "16k")
    shop = Shop.open(tmp_path / "shop")
    shop.upload("1997-01-01", "".join(f"{n},1997-01-01,1,2.5\n" for n in range(ROWS * 10)))
    with pytest.raises(StorageError) as caught:
        shop.pull()
    assert "TMPDIR" in caught.value.fix
    assert list(disk.iterdir()) == []
    with shop.state.snapshot() as tx:
        assert tx.count(Batch) == 0
    shop.state.close()


def test_a_copy_that_does_not_fit_leaves_no_file(disk: Path) -> None:
    resize(disk, "16k")
    info = ObjectInfo("a.csv", 1 << 20, MOMENT)
    with pytest.raises(StorageError, match="cannot be copied") as caught:
        copy_blocks([b"x" * (1 << 18)] * 4, disk / "copy", info)
    assert "space" in caught.value.fix
    assert list(disk.iterdir()) == []
