"""Optuna keeps the promises of studies, and its own failures speak Keelway's words."""

from __future__ import annotations

import builtins
import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from keelway.engines.optuna import OptunaStudies
from keelway.engines.optuna.workers import Workers
from keelway.errors import MissingExtraError, StorageError
from keelway.testing.tuning import StudiesSuite, less_than


class TestOptunaStudies(StudiesSuite):
    @pytest.fixture
    def studies(self, tmp_path: Path) -> OptunaStudies:
        return OptunaStudies(tmp_path / "studies.db")

    @pytest.fixture
    def again(self, tmp_path: Path) -> OptunaStudies:
        return OptunaStudies(tmp_path / "studies.db")

    def test_the_file_is_in_writeahead_mode(self, studies: OptunaStudies, tmp_path: Path) -> None:
        with studies.open(self.terms):
            pass
        connection = sqlite3.connect(tmp_path / "studies.db")
        try:
            assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
        finally:
            connection.close()

    def test_a_worker_that_died_before_it_said_who_it_was_is_dead(self, studies: OptunaStudies) -> None:
        import optuna

        with studies.open(self.terms) as study:
            study._study.ask(fixed_distributions=study._space)  # as killed between beginning and naming itself
            asked = study.ask(less_than(2))
            assert asked is not None
            assert [trial.status for trial in study.trials()] == ["stale", "running"]
        assert optuna.logging.get_verbosity() >= optuna.logging.WARNING

    def test_a_stale_trial_is_tried_again_once_however_often_giving_it_up_is_interrupted(
        self, studies: OptunaStudies
    ) -> None:
        with studies.open(self.terms) as study:
            lost = study._study.ask(fixed_distributions=study._space)
            study._study.enqueue_trial(lost.params, user_attrs={"again": lost.number})  # killed just after this
            parameters = [asked.parameters for _ in range(2) if (asked := study.ask(less_than(5))) is not None]
        assert parameters[0] == lost.params
        assert parameters[1] != lost.params

    def test_no_database_is_told(self, tmp_path: Path) -> None:
        (tmp_path / "studies.db").write_bytes(b"no database at all, only some text of sufficient length" * 20)
        with (
            pytest.raises(StorageError, match="studies") as told,
            OptunaStudies(tmp_path / "studies.db").open(self.terms),
        ):
            pass
        assert told.value.fix

    def test_a_folder_that_cannot_be_made_is_told(self, tmp_path: Path) -> None:
        (tmp_path / "file").write_text("")
        with pytest.raises(StorageError), OptunaStudies(tmp_path / "file" / "studies.db").open(self.terms):
            pass

    def test_a_missing_optuna_says_what_to_install(
        self, studies: OptunaStudies, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        real = builtins.__import__

        def without(name: str, *rest: Any, **more: Any) -> Any:
            if name == "optuna":
                raise ModuleNotFoundError("No module named 'optuna'", name="optuna")
            return real(name, *rest, **more)

        monkeypatch.setattr(builtins, "__import__", without)
        with pytest.raises(MissingExtraError) as told, studies.open(self.terms):
            pass
        assert told.value.fix == "pip install 'keelway[tuning]'"


class TestWorkers:
    def test_a_worker_lives_as_long_as_its_block(self, tmp_path: Path) -> None:
        workers = Workers(tmp_path / "studies.db")
        with workers.joined() as name:
            assert not workers.is_dead(name)
        assert workers.is_dead(name)

    def test_a_killed_worker_is_dead(self, tmp_path: Path) -> None:
        code = (
            "import pathlib, sys, time\nfrom keelway.engines.optuna.workers import Workers\n"
            "with Workers(pathlib.Path(sys.argv[1])).joined() as name:\n    print(name, flush=True)\n    time.sleep(60)"
        )
        process = subprocess.Popen(
            [sys.executable, "-c", code, str(tmp_path / "studies.db")], stdout=subprocess.PIPE, text=True
        )
        assert process.stdout is not None
        name = process.stdout.readline().strip()
        workers = Workers(tmp_path / "studies.db")
        assert not workers.is_dead(name)
        process.kill()
        process.wait()
        process.stdout.close()
        assert workers.is_dead(name)

    def test_nobody_is_dead(self, tmp_path: Path) -> None:
        assert Workers(tmp_path / "studies.db").is_dead("")
