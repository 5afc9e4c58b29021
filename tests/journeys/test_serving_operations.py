"""A live server while what it stands on is down: it starts, goes back, and records it later; and a worker that is killed."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

RELEASE = ("--as", "sp:release", "--token", "file:.keelway/secrets/sp-release.token")


def eventually(holds: Callable[[], bool], within_s: float = 120.0) -> bool:
    """Ask at once and then ever less often: whoever asks takes the processor from what is waited for."""
    deadline, pause_s = time.monotonic() + within_s, 0.1
    while time.monotonic() < deadline:
        if holds():
            return True
        time.sleep(pause_s)
        pause_s = min(pause_s * 1.5, 1.5)
    return False


def answer(server: Any, body: str) -> dict[str, Any]:
    status, data = server.ask("/predict", body)
    assert status == 200, data
    return json.loads(data)


def take_away(desk: Any) -> Callable[[], None]:
    """Put garbage in the place of the state and the store, and return what brings them back."""
    state, store = desk.database, desk.root / ".keelway" / "artifacts"
    moved = [*state.parent.glob("state.db*"), store]
    for path in moved:
        path.rename(path.with_name(f"away-{path.name}"))
    state.write_bytes(b"no database " * 500)
    store.write_bytes(b"")

    def bring_back() -> None:
        state.unlink()
        store.unlink()
        for path in moved:
            path.with_name(f"away-{path.name}").rename(path)

    return bring_back


def test_serving_starts_and_rolls_back_without_state_and_store_and_the_ledger_learns_of_it(served_before: Any) -> None:
    desk = served_before
    body = json.dumps(desk.rows(1)[0])
    entries = desk.ledger_size()
    bring_back = take_away(desk)
    server = desk.serve(*RELEASE)
    found = answer(server, body)
    assert (found["version"], found["logged"]) == ("churn:2", True)
    assert "state" in json.loads(server.ask("/readyz")[1])["waiting"][0]
    desk("rollback", "churn", "--offline", "--comment", "wrong answers", *RELEASE)
    assert eventually(lambda: answer(server, body)["version"] == "churn:1")
    server.stop()
    bring_back()
    assert desk.ledger_size() == entries
    again = desk.serve(*RELEASE)
    assert answer(again, body)["version"] == "churn:1"
    assert json.loads(again.ask("/readyz")[1])["waiting"] == []
    assert again.stop() == 0
    assert desk.ledger_size() > entries
    told = desk("audit", "--action", "rollback")["decisions"]
    assert "asked for without the state by sp:release" in str(told)


def test_a_damaged_last_known_good_is_refused(served_before: Any) -> None:
    desk = served_before
    for path in (desk.root / ".keelway" / "last-good" / "artifacts").rglob("*"):
        if path.is_file():
            path.chmod(0o644)
            path.write_bytes(path.read_bytes()[:-1] + b"\x00")
    take_away(desk)
    with pytest.raises(AssertionError, match="IntegrityError"):
        desk.serve(*RELEASE)


def test_two_workers_share_a_port_and_one_that_is_killed_is_replaced(live: Any) -> None:
    server = live.serve("--workers", "2")
    body = json.dumps(live.rows(1)[0])
    ids = [answer(server, body)["prediction_id"] for _ in range(10)]
    assert len(set(ids)) == 10
    text = server.ask("/metrics")[1].decode()
    counted = [float(line.split()[-1]) for line in text.splitlines() if line.startswith("keelway_predictions_total")]
    assert sum(counted) == 10, "all processes together"
    victim = min(children_of(server.process.pid))
    os.kill(victim, signal.SIGKILL)
    assert eventually(lambda: len(children_of(server.process.pid) - {victim}) == 2)
    assert answer(server, body)["version"] == "churn:1"
    assert eventually(lambda: all(is_sealed(live, each) for each in ids)), (
        "those of the dead one too, by who replaced it"
    )
    assert server.stop() == 0


def test_a_rollback_says_who_lags_and_once_nobody_does_every_worker_answers_so(served_twice: Any) -> None:
    desk = served_twice
    server = desk.serve("--workers", "2", *RELEASE)
    body = json.dumps(desk.rows(1)[0])
    assert answer(server, body)["version"] == "churn:2"
    back = desk.call("rollback", "churn", *RELEASE)
    target = json.loads(back.stdout)["target"]
    assert (target["target"], target["held"], len(target["replicas"])) == ("local", target["wanted"], 2)
    late = [each["name"] for each in target["replicas"] if each["deployment"] != target["wanted"]]
    assert (target["lagging"], back.exit_code) == (late, 4 if late else 0), "none, on a machine that has time"
    assert eventually(lambda: desk("deploy", "plan", "churn")["target"]["lagging"] == [])
    assert {answer(server, body)["version"] for _ in range(20)} == {"churn:1"}, "over connections of their own"
    forward = desk("deploy", "churn:2", "--wait", "2m", *RELEASE)
    assert (forward["traffic"], forward["target"]["lagging"]) == ({"churn:2": 100}, [])
    assert {answer(server, body)["version"] for _ in range(20)} == {"churn:2"}
    assert server.stop() == 0
    assert desk("deploy", "plan", "churn")["target"]["replicas"] == []


def test_a_worker_that_hangs_is_named_by_a_rollback_which_ends_with_4(served_twice: Any) -> None:
    desk = served_twice
    server = desk.serve("--workers", "2", *RELEASE)
    assert eventually(lambda: len(desk("deploy", "plan", "churn")["target"]["replicas"]) == 2)
    hanging = min(children_of(server.process.pid))
    os.kill(hanging, signal.SIGSTOP)
    back = desk.call("rollback", "churn", *RELEASE)
    os.kill(hanging, signal.SIGCONT)
    told = json.loads(back.stdout)
    assert (back.exit_code, told["traffic"]) == (4, {"churn:1": 100})
    assert told["target"]["lagging"]
    assert told["target"]["silent"] == [], "it was heard of just now"
    assert eventually(lambda: desk("deploy", "plan", "churn")["target"]["lagging"] == [])
    assert server.stop() == 0


def test_nobody_waits_for_a_server_that_was_killed_long_enough_ago(served_twice: Any) -> None:
    desk = served_twice
    server = desk.serve(*RELEASE)
    server.process.kill()
    server.process.communicate()
    later = desk.at("1998-01-02T00:05:00Z")
    target = later("rollback", "churn", *RELEASE)["target"]
    (gone,) = target["replicas"]
    assert (target["silent"], target["lagging"]) == ([gone["name"]], [])
    assert (gone["silent_since"], gone["deployment"]) == (desk.now, target["wanted"] - 1)
    told = later.call("deploy", "plan", "churn", json_wanted=False).stdout
    assert "1 is silent" in told
    assert f"silent since {desk.now}: killed, or cut off from the state and still answering so" in told


def is_sealed(desk: Any, prediction: str) -> bool:
    words = ("prove", f"prediction:{prediction}", "--out", str(desk.root / "p.json"))
    return bool(desk.call(*words).exit_code == 0)


def children_of(pid: int) -> set[int]:
    return {int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()}
