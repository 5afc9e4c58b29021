"""Whoever assesses, reports an incident, holds a drill or attaches evidence and is killed leaves it whole or not at all."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from keelway.ledger import audit
from keelway.project import Risk
from keelway.promote import (
    Drill,
    DrillReport,
    Incident,
    IncidentNews,
    IncidentReport,
    IncidentUpdate,
    RiskAssessment,
    assess_risk,
    open_incident,
    record_drill,
    update_incident,
)
from keelway.report import ControlAttachment, DraftAttachment, attach_evidence, load_framework
from keelway.testing.crash import EXIT_CODE, CrashPoint, swept
from keelway.testing.door import CI, EVE, DoorWorld
from keelway.testing.reports import ANSWERS

KINDS = (RiskAssessment, Incident, IncidentUpdate, Drill, ControlAttachment)
Verb = Callable[[DoorWorld], object]


def assess(world: DoorWorld) -> object:
    return assess_risk("churn", Risk(**ANSWERS), principal=EVE, state=world.state, now=world.now)


def report_it(world: DoorWorld) -> object:
    report = IncidentReport(
        title="Wrong unit", severity="major", model="churn", environment="prod", aware_at=world.now, decisions=(0,)
    )
    return open_incident(report, principal=EVE, state=world.state, now=world.now)


def close_it(world: DoorWorld) -> object:
    news = IncidentNews(note="done", root_cause="a unit", corrective_action="a range")
    return update_incident(1, news, principal=EVE, state=world.state, now=world.now, closes=True)


def drill(world: DoorWorld) -> object:
    report = DrillReport(kind="rollback", passed=True, held_at=world.now, seconds=3.0)
    return record_drill("churn", "prod", report, principal=CI, state=world.state, now=world.now)


def attach(world: DoorWorld) -> object:
    ports = {"state": world.state, "artifacts": world.artifacts, "now": world.now}
    draft = DraftAttachment("training.pdf", b"who was taught", "2026")
    return attach_evidence(load_framework("eu-ai-act"), "art-4", draft, principal=EVE, **ports)


CHAPTERS: dict[str, tuple[Verb, tuple[Verb, ...]]] = {
    "assess": (assess, ()),
    "open": (report_it, (assess,)),
    "close": (close_it, (assess, report_it)),
    "drill": (drill, ()),
    "attach": (attach, ()),
}


@pytest.fixture(scope="module")
def start(tmp_path_factory: pytest.TempPathFactory) -> DoorWorld:
    return DoorWorld(tmp_path_factory.mktemp("start"))


@pytest.fixture
def place(start: DoorWorld, tmp_path: Path) -> Callable[[str], Path]:
    """Copy the folder that the world has at this moment, under a name."""

    def copied(name: str) -> Path:
        return Path(shutil.copytree(start.folder, tmp_path / name))

    return copied


def counted(world: DoorWorld) -> dict[str, int]:
    with world.state.snapshot() as tx:
        return {kind.__name__: tx.count(kind) for kind in KINDS} | {"entries": tx.log.size()}


def killed(world: DoorWorld, verb: Verb) -> int:
    """Carry a verb out in a child and return how it ended."""
    child = os.fork()
    if child == 0:
        try:
            verb(world)
        finally:
            os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


@pytest.mark.parametrize("chapter", CHAPTERS)
def test_a_killed_verb_leaves_all_or_nothing_and_is_done_again(
    start: DoorWorld, place: Callable[[str], Path], chapter: str
) -> None:
    verb, before = CHAPTERS[chapter]
    undisturbed = start.at(place("undisturbed"))
    for each in before:
        each(undisturbed)
    earlier = counted(undisturbed)
    verb(undisturbed)
    whole = counted(undisturbed)
    crash = CrashPoint()
    told = start.at(place("counting"), crash)
    for each in before:
        each(told)
    skipped = crash.count
    verb(told)
    assert crash.count - skipped >= 6
    for instant in swept(crash.count - skipped):
        folder = place(f"at {instant}")
        ready = start.at(folder)
        for each in before:
            each(ready)
        ready.state.close()
        assert killed(start.at(folder, CrashPoint(instant)), verb) == EXIT_CODE
        left = start.at(folder)
        assert counted(left) in (earlier, whole)
        verb(left)
        assert counted(left) == whole
        assert audit(left.state, key=left.key.public, artifacts=left.artifacts).ok
        verb(left)
        assert counted(left) == whole


def test_two_who_assess_at_once_make_one_assessment(start: DoorWorld, place: Callable[[str], Path]) -> None:
    folder = place("race")
    children = []
    for _ in range(3):
        child = os.fork()
        if child == 0:
            try:
                assess(start.at(folder))
            finally:
                os._exit(0)
        children.append(child)
    assert [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children] == [0, 0, 0]
    assert counted(start.at(folder)) == {
        "RiskAssessment": 1, "Incident": 0, "IncidentUpdate": 0, "Drill": 0, "ControlAttachment": 0, "entries": 1,
    }  # fmt: skip
