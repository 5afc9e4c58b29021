"""The past: what the ledger held at a time, however it went on, and only what its entries name."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keelway.core import Action, PointerMove, digest_bytes
from keelway.evaluate import Scorecard
from keelway.ledger import MemoryTree
from keelway.report import Past
from keelway.report.past import MANY
from keelway.testing.door import DoorWorld
from keelway.testing.reports import CHAPTERS, HOUR, ReportWorld

MINUTE = timedelta(minutes=1)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> ReportWorld:
    return ReportWorld(tmp_path_factory.mktemp("whole"))


@pytest.fixture
def bare(tmp_path: Path) -> Callable[..., ReportWorld]:
    """Return worlds in which nothing was told, or some chapters only."""
    return lambda *chapters: ReportWorld(tmp_path, without=set(CHAPTERS) - set(chapters))


def test_its_root_is_that_of_the_log_at_its_size(whole: ReportWorld) -> None:
    with whole.state.snapshot() as tx:
        leaves = [data for _, data in tx.log.leaves()]
    for chapter in CHAPTERS:
        with whole.reading(whole.told_at[chapter]) as past:
            assert past.root == MemoryTree(leaves[: past.size]).root().hex()
            assert past.last is not None
            assert past.last.index == past.size - 1


def test_before_the_first_entry_there_is_nothing(whole: ReportWorld) -> None:
    with whole.reading(whole.told_at["checked"] - HOUR) as past:
        assert (past.size, past.first, past.last, past.models, past.judged) == (0, None, None, (), [])
        assert past.root == MemoryTree().root().hex()
        assert not past.places


def test_entries_come_in_order_and_by_what_is_asked(whole: ReportWorld) -> None:
    with whole.reading() as past:
        every = past.entries(*Action)
        assert [one.index for one in every] == sorted(one.index for one in every)
        assert {one.decision.subject for one in past.entries(Action.ERASE, Action.VACUUM)} == {"erasure 1", "tx"}
        assert past.entries(Action.PROMOTE, allowed=False) == []
        assert past.entries(Action.PROMOTE, subject="nobody") == []
        assert past.principals >= {"user:ana", "user:ben", "user:eve", "sp:ci"}


def test_what_is_live_is_what_the_moves_of_the_time_say(whole: ReportWorld) -> None:
    with whole.reading(whole.told_at["promoted"]) as past:
        [live] = past.places
        assert (live.environment, live.model, live.served) == ("prod", "churn", False)
        assert past.serving == [live]
        admission = past.admission(live)
        assert admission is not None
        assert admission.version == "churn:2"
    with whole.reading(whole.told_at["deployed"]) as past:
        assert [place.served for place in past.serving] == [True]
    with whole.reading(whole.told_at["asked"]) as past:
        assert past.serving == []


def test_where_something_has_traffic_the_rest_is_not_judged(bare: Callable[..., ReportWorld]) -> None:
    world = bare("registered", "promoted", "deployed")
    target = digest_bytes(b"staged")
    with world.state.transaction() as tx:
        tx.move("environment/staging/churn", before=None, after=target, at=world.now)
    world.decide(
        Action.PROMOTE,
        "churn:9",
        environment="staging",
        moves=(PointerMove("environment/staging/churn", None, target),),
    )
    with world.reading() as past:
        assert [place.environment for place in past.places] == ["prod", "staging"]
        assert [place.environment for place in past.serving] == ["prod"]


def test_where_nothing_is_live_the_newest_version_is_judged(bare: Callable[..., ReportWorld]) -> None:
    world = bare("registered")
    with world.reading() as past:
        assert [version.name for version, _ in past.judged] == ["churn:2"]
        assert past.models == ("churn",)


def test_an_assessment_replaces_the_one_before(bare: Callable[..., ReportWorld]) -> None:
    world = bare("assessed")
    first = world.now
    world.tell("assessed")
    with world.reading(first) as then, world.reading() as now:
        assert (then.assessments["churn"][0].number, now.assessments["churn"][0].number) == (1, 2)


def test_a_refusal_moves_nothing_and_registers_nothing(bare: Callable[..., ReportWorld]) -> None:
    world = bare()
    world.decide(Action.REGISTER, "churn:1", allowed=False, reasons=("no",), evidence={"version": digest_bytes(b"v")})
    world.decide(Action.ASSESS, "churn", allowed=False, reasons=("no",))
    with world.reading() as past:
        assert (past.versions, past.assessments, past.places) == ({}, {}, [])
        assert past.size == 2


def test_records_and_documents_that_are_not_there_are_none(whole: ReportWorld) -> None:
    with whole.reading() as past:
        assert past.record(Scorecard, None) is None
        assert past.record(Scorecard, digest_bytes(b"gone")) is None
        assert past.record(Scorecard, whole.version.scorecard) is not None
        assert past.keyed(Scorecard, "gone") is None
        assert past.document(None) == past.document(digest_bytes(b"gone")) == {}
        assert (past.has(whole.version.onnx), past.has(digest_bytes(b"gone"))) == (True, False)
        promoted = past.places[0].entry.decision.evidence["evidence"]
        assert past.document(promoted)["version"]["name"] == "churn:2"


def test_a_document_that_is_no_object_is_empty(whole: ReportWorld) -> None:
    from keelway.core import ArtifactKind

    listed = whole.artifacts.put(b"[1, 2]", kind=ArtifactKind.REPORT).digest
    with whole.reading() as past:
        assert past.document(listed) == {}


@given(st.lists(st.tuples(st.integers(0, 20), st.sampled_from(sorted(Action))), max_size=12), st.integers(-1, 21))
@settings(max_examples=8, deadline=None)
def test_what_is_read_is_the_longest_beginning_that_is_not_later(
    tmp_path_factory: pytest.TempPathFactory, story: list[tuple[int, Action]], minute: int
) -> None:
    world = DoorWorld(tmp_path_factory.mktemp("story"))
    start = world.now
    from keelway.core import Decision, PrincipalId
    from keelway.ledger import record_decision

    with world.state.transaction() as tx:
        for offset, action in story:
            told = Decision(action, "x", allowed=True, principal=PrincipalId("sp:ci"), at=start + offset * MINUTE)
            record_decision(told, tx=tx)
    beginning = []
    for offset, action in story:
        if offset > minute:
            break
        beginning.append(action)
    with world.state.snapshot() as tx:
        past = Past(tx, world.artifacts, start + minute * MINUTE)
    assert past.size == len(beginning)
    kept = [entry.decision.action for entry in past.entries(*Action)]
    assert [one for one in kept if one not in MANY] == [one for one in beginning if one not in MANY]
    assert {one for one in kept if one in MANY} == {one for one in beginning if one in MANY}
