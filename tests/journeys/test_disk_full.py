"""A full disk: a clear error, nothing half-written, and a retry that succeeds once there is room."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

ENOUGH = "64m"


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 64 KiB, where this user may mount one."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = shutil.which("mount")
    if mount is None or os.geteuid() != 0:
        pytest.skip("only root can mount a small file system")
    mounted = subprocess.run(
        [mount, "-t", "tmpfs", "-o", "size=64k", "tmpfs", folder], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip("this machine does not let a file system be mounted")
    yield folder
    subprocess.run(["umount", "-l", folder], check=True)


def test_an_ingest_on_a_full_disk_leaves_nothing_half_and_can_be_repeated(trained, small_disk: Path) -> None:
    before = trained.standing()
    trained.edit("keelway.toml", 'artifacts = ".keelway/artifacts"', f'artifacts = "{small_disk}"')
    trained.upload("1998-07-01T12:00:00Z")

    told = trained.at("1998-07-01T12:00:00Z").refused("ingest")

    assert told["error"] == "StorageError"
    assert told["fix"]
    assert trained.standing() == before
    assert not [path for path in small_disk.rglob("*") if path.name.startswith((".", "tmp"))], "no torn file is left"

    subprocess.run(["mount", "-o", f"remount,size={ENOUGH}", small_disk], check=True)
    shutil.copytree(trained.root / ".keelway" / "artifacts", small_disk, dirs_exist_ok=True)
    (report,) = trained.at("1998-07-01T12:00:00Z")("ingest")
    assert report["files"] > 0
    assert trained.standing() != before
