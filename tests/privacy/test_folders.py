"""Working folders and turns: what a killed process leaves is swept, what a living one holds is left alone."""

from __future__ import annotations

import os
import signal
import stat
import threading
from pathlib import Path

import pytest

from keelway.app.privacy import checkup
from keelway.errors import StorageError
from keelway.privacy import WORK, FileTurns, sweep, working_folder
from keelway.testing import people

SECRET = b"ana@example.com"


def all_bytes(folder: Path) -> bytes:
    return b"".join(path.read_bytes() for path in folder.rglob("*") if path.is_file())


def killed_in(below: Path) -> None:
    """Let a child write into a working folder and be killed there."""
    child = os.fork()
    if child == 0:
        with working_folder(below, name="pull") as folder:
            (folder / "0").write_bytes(SECRET)
            os.kill(os.getpid(), signal.SIGKILL)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL


def test_a_folder_is_its_owners_alone_and_gone_after_the_block(tmp_path: Path) -> None:
    below = tmp_path / "work"
    with working_folder(below, name="check") as folder:
        (folder / "rows").write_bytes(SECRET)
        assert folder.parent == below
        assert stat.S_IMODE(below.stat().st_mode) == stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert not folder.exists()
    assert SECRET not in all_bytes(below)


def test_what_fails_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(IsADirectoryError), working_folder(tmp_path, name="check") as folder:
        folder.joinpath("rows").write_bytes(SECRET) and folder.write_bytes(SECRET)
    assert SECRET not in all_bytes(tmp_path)


def test_without_a_place_it_lies_with_other_temporary_files(tmp_path: Path) -> None:
    with working_folder(None, name="check") as folder:
        assert folder.name.startswith("keelway-check-")
    assert not folder.exists()


def test_the_next_folder_sweeps_what_a_killed_process_left(tmp_path: Path) -> None:
    killed_in(tmp_path)
    assert SECRET in all_bytes(tmp_path)
    with working_folder(tmp_path, name="pull"):
        assert SECRET not in all_bytes(tmp_path)


def test_a_folder_in_use_is_never_swept(tmp_path: Path) -> None:
    with working_folder(tmp_path, name="pull") as mine:
        (mine / "0").write_bytes(SECRET)
        killed_in(tmp_path)
        with working_folder(tmp_path, name="check") as other:
            assert other != mine
        assert sweep(tmp_path) == 0, "the killed one went when the other was made"
        assert (mine / "0").read_bytes() == SECRET


def test_sweeping_says_how_much_there_was(tmp_path: Path) -> None:
    assert sweep(tmp_path / "absent") == 0
    killed_in(tmp_path)
    assert sweep(tmp_path) == 1
    assert sweep(tmp_path) == 0


def test_a_place_that_cannot_be_used_is_said(tmp_path: Path) -> None:
    (tmp_path / "work").write_text("in the way")
    with pytest.raises(StorageError) as told, working_folder(tmp_path / "work", name="pull"):
        pass
    assert str(tmp_path / "work") in told.value.expected


class TestIngest:
    """A whole ingest that is killed while rows of people lie open."""

    @pytest.fixture
    def killed(self, root: Path) -> Path:
        """A project whose ingest was killed between reading its files and recording a batch, and in the check."""
        people.upload(root, "1.csv", "ana,ana@example.com,2026-01-01,1\n")
        for name in ("pull", "check"):
            folder = root / WORK
            child = os.fork()
            if child == 0:
                with working_folder(folder, name=name) as own:
                    (own / "0").write_bytes((root / "raw/1.csv").read_bytes())
                    os.kill(os.getpid(), signal.SIGKILL)
            os.waitpid(child, 0)
        return root

    def test_the_next_ingest_leaves_nothing_open(self, killed: Path) -> None:
        assert SECRET in all_bytes(killed / WORK)
        with people.opened(killed) as app:
            app.data.ingest()
        assert SECRET not in all_bytes(killed / ".keelway")

    def test_an_ingest_without_anything_new_sweeps_as_well(self, root: Path) -> None:
        people.upload(root, "1.csv", "ana,ana@example.com,2026-01-01,1\n")
        with people.opened(root) as app:
            app.data.ingest()
        killed_in(root / WORK)
        with people.opened(root) as app:
            app.data.ingest()
        assert SECRET not in all_bytes(root / ".keelway")

    def test_the_doctor_sweeps_and_says_so(self, killed: Path) -> None:
        with people.opened(killed) as app:
            told = checkup(app.workspace)
        assert "folders of killed processes removed" in told
        assert SECRET not in all_bytes(killed / ".keelway")


class TestTurns:
    """Several ingests, or one erasure."""

    def test_several_use_it_at_once(self, tmp_path: Path) -> None:
        with FileTurns(tmp_path).using():
            thread = threading.Thread(target=lambda: self.take(tmp_path, alone=False))
            thread.start()
            thread.join(30)
            assert not thread.is_alive()

    @pytest.mark.parametrize(("held", "wanted"), [("using", True), ("alone", False), ("alone", True)])
    def test_who_is_alone_shares_with_nobody(self, tmp_path: Path, held: str, wanted: bool) -> None:
        order: list[str] = []

        def work() -> None:
            self.take(tmp_path, alone=wanted)
            order.append("second")

        thread = threading.Thread(target=work)
        with getattr(FileTurns(tmp_path), held)():
            thread.start()
            thread.join(0.2)
            assert thread.is_alive()
            order.append("first")
        thread.join()
        assert order == ["first", "second"]

    def test_a_killed_process_lets_the_others_go_on(self, tmp_path: Path) -> None:
        child = os.fork()
        if child == 0:
            with FileTurns(tmp_path).alone():
                os.kill(os.getpid(), signal.SIGKILL)
        os.waitpid(child, 0)
        self.take(tmp_path, alone=True)

    def test_files_that_cannot_be_locked_are_said(self, tmp_path: Path) -> None:
        (tmp_path / "keys").write_text("in the way")
        with pytest.raises(StorageError, match="cannot take turns"):
            self.take(tmp_path / "keys", alone=False)

    def take(self, folder: Path, *, alone: bool) -> None:
        turns = FileTurns(folder)
        with turns.alone() if alone else turns.using():
            pass
