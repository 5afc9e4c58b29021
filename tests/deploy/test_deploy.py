"""Traffic moves only to versions that were let in and that answer, one ledger entry a change, and always back."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from keelway.core import Action, Environment, PointerMove, digest_of, version_name
from keelway.deploy import SmokeResult, current, history, pointer_of
from keelway.errors import MissingRecordError, PointerMovedError, RefusedError, UsageError
from keelway.ledger import SigningKey, audit
from keelway.register import ModelVersion
from keelway.testing.crash import EXIT_CODE, CrashingState, CrashPoint
from keelway.testing.fleet import CI, NOW, UNADMITTED, A, B, C, D, Fleet, admission, fails, model_version, passes


@pytest.fixture
def fleet(tmp_path: Path) -> Iterator[Fleet]:
    made = Fleet(tmp_path)
    made.fill()
    yield made
    made.state.close()


def test_a_deployment_is_record_pointer_and_decision_together(fleet: Fleet) -> None:
    first = fleet.deploy(A, comment="first one")
    digest = digest_of(first)
    assert (first.number, first.strategy, first.traffic, first.previous) == (1, "all", {A: 100}, None)
    assert first.versions == {A: digest_of(model_version(1))}
    assert fleet.current() == first
    [told] = fleet.decisions()
    assert (told.action, told.subject, told.allowed, told.principal) == (Action.DEPLOY, "churn", True, CI)
    assert (told.environment, told.comment) == ("prod", "first one")
    assert told.moves == (PointerMove(pointer_of("churn", "prod"), None, digest),)
    assert told.evidence == {"deployment": digest, f"smoke {A}": digest_of(passes(model_version(1)))}


def test_a_deployment_names_the_policy_that_let_each_of_its_versions_in(fleet: Fleet) -> None:
    policies = {name: admission(model_version(number)).verdict.policy_digest for number, name in ((1, A), (2, B))}
    assert fleet.deploy(A).policies == {A: policies[A]}
    assert fleet.canary(B).deployment.policies == policies
    assert fleet.deploy(B).policies == {B: policies[B]}


def test_deploying_what_is_there_already_does_nothing(fleet: Fleet) -> None:
    fleet.deploy(A)
    before = fleet.everything()
    assert fleet.deploy(A, smoke=fails, now=NOW + timedelta(days=1), comment="again") == before[0]
    assert fleet.everything() == before
    fleet.canary(B)
    before = fleet.everything()
    assert fleet.canary(B, smoke=fails, now=NOW + timedelta(days=1), comment="again").deployment == before[0]
    assert fleet.everything() == before


@pytest.mark.parametrize(
    ("traffic", "reasons"),
    [
        ({"stable": UNADMITTED}, ("churn:4 is not admitted to prod",)),
        ({"stable": A, "environment": Environment("staging")}, ("churn:1 is not admitted to staging",)),
        ({"stable": B, "smoke": fails}, ("churn:2 failed its smoke test: 3 of 50 answers are no probability",)),
        (
            {"stable": A, "smoke": lambda version: SmokeResult(version.name, D, passed=False, answers=0)},
            ("churn:1 failed its smoke test",),
        ),
    ],
    ids=["not admitted", "admitted elsewhere", "smoke", "smoke without a reason"],
)
def test_what_may_not_serve_is_refused_and_the_refusal_recorded(
    fleet: Fleet, traffic: dict[str, Any], reasons: tuple[str, ...]
) -> None:
    with pytest.raises(RefusedError) as caught:
        fleet.deploy(**traffic)
    assert caught.value.reasons == reasons
    [told] = fleet.decisions()
    assert (told.action, told.allowed, told.reasons, told.moves) == (Action.DEPLOY, False, reasons, ())
    assert told.comment.startswith("wanted churn:")
    assert (fleet.current(), fleet.history()) == (None, [])


def test_a_refusal_leaves_the_traffic_where_it_is(fleet: Fleet) -> None:
    first = fleet.deploy(A)
    with pytest.raises(RefusedError):
        fleet.deploy(B, smoke=fails)
    assert fleet.current() == first


def test_an_unadmitted_version_is_not_even_tried(fleet: Fleet) -> None:
    tried: list[str] = []
    with pytest.raises(RefusedError):
        fleet.deploy(UNADMITTED, smoke=recording(tried))
    assert tried == []


def test_an_admission_that_says_no_or_is_of_another_record_does_not_count(fleet: Fleet) -> None:
    parent = f"prod/{UNADMITTED}"
    with fleet.state.transaction() as tx:
        tx.insert(f"{parent}/1", admission(model_version(4), allowed=False), parent=parent, at=NOW)
        tx.insert(f"{parent}/2", admission(model_version(3)), parent=parent, at=NOW)
    with pytest.raises(RefusedError, match="churn:4 is not admitted"):
        fleet.deploy(UNADMITTED)


def test_only_versions_without_traffic_are_tried(fleet: Fleet) -> None:
    tried: list[str] = []
    fleet.deploy(A, smoke=recording(tried))
    fleet.canary(B, smoke=recording(tried))
    fleet.deploy(B, smoke=recording(tried))
    assert tried == [A, B]


def recording(tried: list[str]) -> Callable[[ModelVersion], SmokeResult]:
    def smoke(version: ModelVersion) -> SmokeResult:
        tried.append(version.name)
        return passes(version)

    return smoke


def test_a_version_of_another_model_is_refused_before_anything_is_read(fleet: Fleet) -> None:
    with pytest.raises(UsageError, match="one model"):
        fleet.deploy(version_name("other", 1), model="churn")
    assert fleet.decisions() == []


def test_an_unknown_version_is_missing(fleet: Fleet) -> None:
    with pytest.raises(MissingRecordError, match="churn:9"):
        fleet.deploy(version_name("churn", 9))


def test_a_rollback_takes_a_canary_back(fleet: Fleet) -> None:
    fleet.deploy(A)
    fleet.canary(B)
    back = fleet.rollback()
    assert (back.stable, back.traffic, back.number) == (A, {A: 100}, 3)
    told = fleet.decisions()[-1]
    assert (told.action, told.allowed, told.evidence) == (Action.ROLLBACK, True, {"deployment": digest_of(back)})
    with pytest.raises(UsageError, match="nothing to roll back to"):
        fleet.rollback()


def test_a_second_rollback_goes_back_further(fleet: Fleet) -> None:
    for version in (A, B, C):
        fleet.deploy(version)
    assert [fleet.rollback().stable for _ in range(2)] == [B, A]
    with pytest.raises(UsageError):
        fleet.rollback()
    assert [each.stable for each in fleet.history()] == [A, B, C, B, A]


def test_a_rollback_from_a_grown_canary_does_not_stop_at_its_smaller_shares(fleet: Fleet) -> None:
    fleet.deploy(A)
    fleet.deploy(B)
    fleet.canary(C, 10)
    fleet.canary(C, 50)
    fleet.deploy(C)
    assert [fleet.rollback().stable for _ in range(2)] == [B, A]


def test_a_first_deployment_has_nothing_to_go_back_to(fleet: Fleet) -> None:
    with pytest.raises(UsageError, match="no deployment"):
        fleet.rollback()
    fleet.deploy(A)
    with pytest.raises(UsageError, match="the first one"):
        fleet.rollback()
    assert len(fleet.decisions()) == 1


def test_who_deploys_second_learns_that_the_pointer_moved(fleet: Fleet) -> None:
    fleet.deploy(A)

    def somebody_else_is_faster(version: ModelVersion) -> SmokeResult:
        fleet.deploy(C)
        return passes(version)

    with pytest.raises(PointerMovedError):
        fleet.deploy(B, smoke=somebody_else_is_faster)
    assert [each.stable for each in fleet.history()] == [C, A]
    assert len(fleet.decisions()) == 2
    assert fleet.deploy(B).number == 3


def test_environments_and_models_do_not_mix(fleet: Fleet) -> None:
    fleet.deploy(A)
    with fleet.state.snapshot() as tx:
        assert current("churn", "staging", tx) is None
        assert history("chur", "prod", tx) == []


STORY: tuple[Callable[[Fleet], object], ...] = (
    lambda fleet: fleet.deploy(A),
    lambda fleet: fleet.canary(B),
    lambda fleet: fleet.deploy(B),
    lambda fleet: fleet.rollback(),
)
INSTANTS = 3 * len(STORY)  # before a transaction, inside it, after it


def tell(folder: Path, story: Iterable[Callable[[Fleet], object]], crash: CrashPoint) -> None:
    fleet = Fleet(folder)
    fleet.state = CrashingState(fleet.state, crash)
    for chapter in story:
        chapter(fleet)


def in_a_child(work: Callable[[], object]) -> int:
    """Do the work in a forked process, and return its exit code."""
    child = os.fork()
    if child == 0:
        try:
            work()
        finally:
            os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("filled")
    fleet = Fleet(folder)
    fleet.fill()
    fleet.state.close()
    return folder


@pytest.mark.parametrize("at", range(1, INSTANTS + 1))
def test_a_crash_at_any_write_leaves_a_whole_change_or_none(filled: Path, tmp_path: Path, at: int) -> None:
    folder = tmp_path / "crashed"
    shutil.copytree(filled, folder)
    assert in_a_child(lambda: tell(folder, STORY, CrashPoint(at))) == EXIT_CODE
    fleet = Fleet(folder)
    done = at // 3  # the third instant of a transaction comes after its commit
    assert len(fleet.history()) == len(fleet.decisions()) == done
    assert fleet.current() == next(iter(fleet.history()), None)
    for chapter in STORY[done:]:
        chapter(fleet)
    assert [each.traffic for each in fleet.history()] == [{A: 100}, {B: 100}, {A: 90, B: 10}, {A: 100}]
    assert audit(fleet.state, key=SigningKey.generate("test").public).problems == ()
    fleet.state.close()


def test_the_sweep_knows_every_write(filled: Path, tmp_path: Path) -> None:
    shutil.copytree(filled, tmp_path / "whole")
    crash = CrashPoint()
    tell(tmp_path / "whole", STORY, crash)
    assert crash.count == INSTANTS
