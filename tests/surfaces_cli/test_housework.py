"""What a server does beside answering: it goes on whatever comes of it, and ends with the server. The rest is a journey."""

from __future__ import annotations

import logging
import time
from pathlib import Path

import pytest

from keelway.surfaces.cli.housework import Housework

TOLD = "keelway.surfaces.cli.housework"


def work(folder: Path, every_s: float) -> Housework:
    return Housework(["churn", "fraud"], environment="prod", every_s=every_s, options=["--project", str(folder)])


def lines(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.name == TOLD]


def test_what_fails_is_told_for_each_model_and_tried_again(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with work(tmp_path, 0.05):
        deadline = time.monotonic() + 120
        while len(lines(caplog)) < 3 and time.monotonic() < deadline:
            time.sleep(0.05)
    first, second, third, *_ = lines(caplog)
    assert first.startswith(
        "The prediction log of churn is not compacted; tried again in 0:00:00: ProjectError: There is"
    )
    assert "fraud" in second
    assert "churn" in third
    assert caplog.records[0].levelno == logging.WARNING


def test_a_process_that_cannot_start_is_told_too(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("keelway.surfaces.cli.housework.sys.executable", str(tmp_path / "nothing"))
    with work(tmp_path, 0.01):
        while not lines(caplog):
            time.sleep(0.01)
    assert "No such file" in lines(caplog)[0]


@pytest.mark.parametrize("every_s", [0.0, 3600.0], ids=["never", "not yet"])
def test_nothing_is_done_before_its_time(tmp_path: Path, caplog: pytest.LogCaptureFixture, every_s: float) -> None:
    with work(tmp_path, every_s):
        pass
    assert lines(caplog) == []
