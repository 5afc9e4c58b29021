"""`keelway log compact`: sealed logs stay sealed, what was replaced cannot be opened any more after its time, and the command tells."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from keelway.app.persons import log_store
from keelway.app.wire import Workspace
from keelway.core import Digest, Environment, canonical_json, parse_time
from keelway.errors import ErasedError
from keelway.serve import PredictionSegment, SealingPorts, live_segments, predictions
from keelway.serve.segment import seal_entries
from keelway.surfaces.cli import main
from keelway.testing import people
from keelway.testing.prediction_log import prediction_of

MODEL, ENVIRONMENT = "gone", "prod"
SEALED = parse_time("2026-02-20T09:10:00Z")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return people.make(tmp_path / "people")


def seal(at: Workspace, journal: str, first: int) -> PredictionSegment:
    ports = SealingPorts(at.state, log_store(at.project.model(MODEL), at=at), at.principal.id)
    named = {"model": MODEL, "environment": Environment(ENVIRONMENT)}
    lines = b"".join(canonical_json(prediction_of(number, **named)) + b"\n" for number in range(first, first + 5))
    return seal_entries(lines, journal=journal, model=MODEL, environment=ENVIRONMENT, ports=ports, now=SEALED)


def live(at: Workspace) -> list[PredictionSegment]:
    with at.state.snapshot() as tx:
        return live_segments(MODEL, ENVIRONMENT, tx)


def run(root: Path, *words: str) -> Result:
    return CliRunner().invoke(main, ["log", "compact", *words, "--project", str(root), "--now", people.NOW])


def test_a_sealed_log_stays_sealed_also_where_nobody_is_named_any_more(root: Path) -> None:
    with people.opened(root) as app:
        old = [seal(app.workspace, f"j{number}", number * 5) for number in range(3)]
    people.contract(root, {}, version="2.0.0")
    with people.opened(root) as app:
        at = app.workspace
        done = app.traffic.compact_log(MODEL, ENVIRONMENT)
        assert (done.segments, done.files, done.predictions) == (3, 1, 15)
        [file] = live(at)
        assert not at.artifacts.is_plain(file.data)
        assert at.artifacts.seals_of(file.data) is not None
        with at.state.snapshot() as tx:
            found = list(predictions(tx, artifacts=at.artifacts, model=MODEL, environment=ENVIRONMENT))
        assert len(found) == 15
        assert not any(at.artifacts.is_plain(each.data) for each in old)


def test_the_keys_of_what_was_replaced_go_when_its_grace_is_over(root: Path) -> None:
    with people.opened(root) as app:
        old = {seal(app.workspace, f"j{number}", number * 5).data for number in range(3)}
        app.traffic.compact_log(MODEL, ENVIRONMENT)
        assert app.privacy.expire().erasure.artifacts == ()
    later = parse_time(people.NOW) + timedelta(days=8)
    with people.opened(root, now=later.isoformat()) as app:
        at = app.workspace
        assert set(app.privacy.expire().erasure.artifacts) == old
        with pytest.raises(ErasedError):
            at.artifacts.get(Digest(min(old)))
        with at.state.snapshot() as tx:
            assert len(list(predictions(tx, artifacts=at.artifacts, model=MODEL, environment=ENVIRONMENT))) == 15
        assert app.evidence.audit().ok


def test_the_command_tells_what_was_moved_for_people_and_machines(root: Path) -> None:
    with people.opened(root) as app:
        for number in range(3):
            seal(app.workspace, f"j{number}", number * 5)
    early = run(root, MODEL, "--before", "2026-02-20T09:00:00Z")
    assert early.output == "gone in prod: nothing to compact\n"
    told = run(root, MODEL, "--env", ENVIRONMENT)
    assert "15 predictions moved from 3 segments into 1 files, up to 2026-02-20T09:10:00Z; 0 segments" in told.output
    again = json.loads(run(root, MODEL, "--json").output)
    assert (again["hours"], again["segments"], again["until"]) == (0, 0, None)


def test_a_timetable_leaves_it_to_whoever_began_just_now(root: Path) -> None:
    with people.opened(root) as app:
        seal(app.workspace, "j0", 0)
    first = run(root, MODEL, "--before", "2026-02-20T09:30:00Z", "--every", "6h", "--json")
    assert (json.loads(first.output)["hours"], json.loads(first.output)["is_left"]) == (1, False)
    with people.opened(root) as app:
        seal(app.workspace, "j1", 5)
    assert run(root, MODEL, "--every", "6h").output == "gone in prod: left to whoever began less than 6h ago\n"
    assert json.loads(run(root, MODEL, "--every", "6h", "--json").output)["is_left"]
    assert json.loads(run(root, MODEL, "--json").output)["hours"] == 1, "by hand at any time"


@pytest.mark.parametrize(
    "words", [("nobody",), (MODEL, "--env", "nowhere"), (MODEL, "--before", "soon"), (MODEL, "--every", "hour")]
)
def test_what_there_is_not_is_told(root: Path, words: tuple[str, ...]) -> None:
    result = run(root, *words)
    assert result.exit_code != 0
    assert "expected" in result.output.lower()
