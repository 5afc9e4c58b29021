"""A server looks after its prediction log: in a process that gives way, that ends with it, and that may fail as it likes."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

NEXT_HOUR = "1998-01-02T01:00:00Z"
RELEASE = ("--as", "sp:release", "--token", "file:.keelway/secrets/sp-release.token")
EVERY_S = 3


def eventually(holds: Callable[[], Any], within_s: float = 90.0) -> Any:
    deadline = time.monotonic() + within_s
    while not (found := holds()) and time.monotonic() < deadline:
        time.sleep(0.02)
    return found


def helpers_of(pid: int) -> set[int]:
    """Return the processes that do housework for a server, whichever of its threads started them."""
    return {each for each in processes() if parent_of(each) == pid and b"housework" in words_of(each)}


def processes() -> list[int]:
    return [int(path.name) for path in Path("/proc").iterdir() if path.name.isdigit()]


def words_of(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""


def stat_of(pid: int) -> list[str]:
    """Return the state of a process, its parent and so on; none where there is no such process."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return []


def parent_of(pid: int) -> int:
    return int((stat_of(pid) or ["", "0"])[1])


def runs(pid: int) -> bool:
    return (stat_of(pid) or ["Z"])[0] != "Z"


@pytest.fixture(scope="module")
def answered(live_project: Path, tmp_path_factory: Any, desk_of: Any) -> tuple[Path, list[str]]:
    """A project of which 100 predictions were sealed an hour ago, in several segments; and their ids."""
    root = tmp_path_factory.mktemp("answered") / "churn"
    shutil.copytree(live_project, root)
    desk = desk_of(root)
    server = desk.serve(*RELEASE)
    rows = desk.rows(50)
    ids = []
    for _ in range(2):
        status, data = server.ask("/predict", json.dumps({"instances": rows}))
        assert status == 200, data
        ids += [each["prediction_id"] for each in json.loads(data)["predictions"]]
        time.sleep(1.5)
    assert server.stop() == 0
    settings = root / "keelway.toml"
    settings.write_text(f"{settings.read_text()}\n[serving]\ncompact_every_h = {EVERY_S / 3600}\n")
    return root, ids


@pytest.fixture
def served(answered: tuple[Path, list[str]], tmp_path: Path, desk_of: Any) -> Iterator[Any]:
    """A copy of it, an hour later."""
    shutil.copytree(answered[0], tmp_path / "churn")
    desk = desk_of(tmp_path / "churn").at(NEXT_HOUR)
    yield desk
    for server in desk.started:
        server.process.kill()
        server.process.communicate()


def compactions(desk: Any) -> int:
    ((found,),) = desk.sql("SELECT count(*) FROM records WHERE kind = 'SegmentCompaction'")
    return int(found)


def stopped(server: Any) -> tuple[int, str]:
    """End a server and return its exit code and what it told."""
    server.process.send_signal(signal.SIGTERM)
    _, told = server.process.communicate(timeout=60)
    return server.process.returncode, told


@pytest.mark.parametrize("workers", [1, 2])
def test_a_server_compacts_what_was_sealed_an_hour_ago_and_ends_well(
    served: Any, answered: tuple[Path, list[str]], workers: int
) -> None:
    desk = served
    server = desk.serve("--workers", str(workers), *RELEASE)
    (helper,) = eventually(lambda: helpers_of(server.process.pid))
    assert eventually(lambda: compactions(desk))
    assert eventually(lambda: not runs(helper))
    for each in answered[1][::33]:
        desk("prove", f"prediction:{each}", "--out", str(desk.root / "p.json"))
    assert "100 predictions moved" not in str(desk("log", "compact", "churn"))
    code, told = stopped(server)
    assert code == 0
    assert "The prediction log was looked after: churn in prod: 100 predictions moved from" in told
    assert "sp:release" in str(desk("audit", "--action", "compact")["decisions"])


def test_the_helper_gives_way_and_a_server_that_is_killed_takes_it_along(served: Any) -> None:
    server = served.serve(*RELEASE)
    (helper,) = eventually(lambda: helpers_of(server.process.pid))
    assert eventually(lambda: not runs(helper) or os.getpriority(os.PRIO_PROCESS, helper) == 10)
    os.kill(helper, signal.SIGSTOP)  # it is at work for as long as this test wants
    server.process.kill()
    server.process.communicate()
    with contextlib.suppress(
        ProcessLookupError
    ):  # the system may end a stopped one by itself when nobody is left to wake it
        os.kill(helper, signal.SIGCONT)
    assert eventually(lambda: not runs(helper))


def test_a_server_that_ends_does_not_wait_for_its_helper(served: Any) -> None:
    server = served.serve(*RELEASE)
    (helper,) = eventually(lambda: helpers_of(server.process.pid))
    os.kill(helper, signal.SIGSTOP)
    code, told = stopped(server)
    assert code == 0
    assert not runs(helper)
    assert "is not compacted" not in told, "it was ended, and did not fail"


def test_what_fails_is_told_tried_again_and_ends_no_server(served: Any) -> None:
    desk = served
    body = json.dumps(desk.rows(1)[0])
    server = desk.serve(*RELEASE)
    away = desk.root / ".keelway" / "artifacts"
    away.rename(away.with_name("elsewhere"))
    first = eventually(lambda: helpers_of(server.process.pid))
    assert eventually(lambda: helpers_of(server.process.pid) - first), "again, at the next turn"
    assert server.ask("/predict", body)[0] == 200
    assert compactions(desk) == 0
    away.with_name("elsewhere").rename(away)
    code, told = stopped(server)
    assert code == 0
    assert "The prediction log of churn is not compacted; tried again in 0:00:03: " in told


def test_never_is_never(served: Any) -> None:
    served.edit("keelway.toml", f"compact_every_h = {EVERY_S / 3600}", "compact_every_h = 0")
    server = served.serve(*RELEASE)
    time.sleep(EVERY_S + 1)
    assert helpers_of(server.process.pid) == set()
    assert stopped(server)[0] == 0
