"""What finders say of a version whose records are wrong, weak or gone: each is a word and an entry, never a crash."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from keelway.core import (
    Action,
    ArtifactKind,
    CodeState,
    Digest,
    PointerMove,
    Verdict,
    canonical_json,
    digest_bytes,
    digest_of,
)
from keelway.evaluate import Scorecard
from keelway.features import FeatureTable
from keelway.promote import Admission, Approval, record_check
from keelway.register import ModelVersion
from keelway.report import Point
from keelway.report.finders import ask
from keelway.testing.door import ANA, CI
from keelway.testing.reports import CHAPTERS, ReportWorld
from keelway.train import TrainedModel

GONE = digest_bytes(b"gone")
Told = Callable[..., Point]


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> ReportWorld:
    """A world in which nothing was told yet; each test registers models of its own names in it."""
    return ReportWorld(tmp_path_factory.mktemp("models"), without=CHAPTERS)


@pytest.fixture
def registered(world: ReportWorld, request: pytest.FixtureRequest) -> Callable[..., ModelVersion]:
    """Register a version of a model that is named after the test, changed in some fields."""

    def register(**changed: Any) -> ModelVersion:
        model = "m" + digest_of(request.node.name)[-12:]
        version = replace(world.version, model=model, name=f"{model}:1", number=1, **changed)  # type: ignore[arg-type]
        world.decide(Action.REGISTER, version.name, evidence={"version": world.store(version, key=version.name)})
        return version

    return register


@pytest.fixture
def point(world: ReportWorld, registered: Callable[..., ModelVersion]) -> Told:
    """Return what a finder says of a version that is changed so."""

    def told(finder: str, **changed: Any) -> Point:
        version = registered(**changed)
        with world.reading() as past:
            evidence = ask(finder, past)
        return next(one for one in evidence.points if one.text.startswith(version.name))

    return told


def held(world: ReportWorld, kind: type[Any], digest: Digest) -> Any:
    with world.state.snapshot() as tx:
        return tx.by_digest(kind, digest)


def card(world: ReportWorld, **changed: Any) -> Digest:
    return world.store(replace(held(world, Scorecard, world.version.scorecard), **changed))


def trained(world: ReportWorld, **changed: Any) -> Digest:
    return world.store(replace(held(world, TrainedModel, world.version.trained), **changed))


@pytest.mark.parametrize(
    ("code", "status", "said"),
    [
        (CodeState(GONE, GONE, "c0ffee"), "met", "commit c0ffee"),
        (CodeState(GONE, GONE, "c0ffee+dirty", GONE), "partly", "differed from its commit"),
        (CodeState(GONE, GONE), "partly", "no commit"),
    ],
)
def test_provenance_is_as_good_as_the_commit(
    world: ReportWorld, point: Told, code: CodeState, status: str, said: str
) -> None:
    found = point("provenance", trained=trained(world, code=code))
    assert (found.status, said in found.text) == (status, True)


@pytest.mark.parametrize("gone", ["trained", "feature_table"])
def test_provenance_without_its_records_is_a_gap(point: Told, gone: str) -> None:
    assert point("provenance", **{gone: GONE}).status == "gap"


def test_snapshots_without_a_feature_table_or_an_entry_are_gaps(world: ReportWorld, point: Told) -> None:
    assert "not on record" in point("snapshots", feature_table=GONE).text


def test_a_snapshot_that_no_entry_tells_of_is_a_gap(world: ReportWorld, point: Told) -> None:
    table = held(world, FeatureTable, world.version.feature_table)
    found = point("snapshots", feature_table=world.store(replace(table, snapshots={"tx": GONE})))
    assert (found.status, "no entry tells of" in found.text) == ("gap", True)


@pytest.mark.parametrize("finder", ["evaluation", "calibration", "fairness", "leakage"])
def test_a_scorecard_that_is_gone_is_a_gap(point: Told, finder: str) -> None:
    assert point(finder, scorecard=GONE).status == "gap"


def test_a_model_without_figures_was_not_evaluated(world: ReportWorld, point: Told) -> None:
    assert point("evaluation", scorecard=card(world, metrics={})).status == "gap"


def test_a_model_that_is_worse_than_something_simple_is_a_gap(world: ReportWorld, point: Told) -> None:
    worse = replace(held(world, Scorecard, world.version.scorecard).versus_trivial, verdict="worse")
    assert point("evaluation", scorecard=card(world, versus_trivial=worse)).status == "gap"


def test_numbers_need_no_calibration(world: ReportWorld, point: Told) -> None:
    assert point("calibration", scorecard=card(world, task="regression", calibration=None)).status == "not applicable"


def test_groups_too_small_to_judge_are_partly_an_answer(world: ReportWorld, point: Told) -> None:
    [found] = held(world, Scorecard, world.version.scorecard).fairness
    small = (replace(found, four_fifths="not judged"),)
    assert point("fairness", scorecard=card(world, fairness=small)).status == "partly"


def test_every_sensitive_column_is_told_of(world: ReportWorld, registered: Callable[..., ModelVersion]) -> None:
    [found] = held(world, Scorecard, world.version.scorecard).fairness
    both = (found, replace(found, column="age", four_fifths="fails"))
    version = registered(scorecard=card(world, fairness=both))
    with world.reading() as past:
        told = [one.status for one in ask("fairness", past).points if one.text.startswith(version.name)]
    assert told == ["gap", "met"]


@pytest.mark.parametrize(
    ("changed", "status"),
    [
        ({"max_difference": 1e-3}, "gap"),
        ({"nulls_tested": False}, "partly"),
        ({"unseen_tested": False}, "partly"),
        ({}, "met"),
    ],
    ids=str,
)
def test_parity_is_robust_with_missing_and_unseen_values_only(
    world: ReportWorld, point: Told, changed: dict[str, Any], status: str
) -> None:
    assert point("robustness", parity=replace(world.version.parity, **changed)).status == status


def test_a_statement_that_is_gone_is_a_gap(point: Told) -> None:
    assert point("signatures", statement=GONE).status == "gap"


def test_a_version_registered_without_a_bill_has_a_gap(point: Told) -> None:
    assert point("bill_of_materials").status == "gap"


@pytest.mark.parametrize(("alike", "status"), [("bit-equal", "met"), ("metric-equal", "met"), ("different", "gap")])
def test_training_again_counts_when_it_comes_out_alike(
    world: ReportWorld, registered: Callable[..., ModelVersion], alike: str, status: str
) -> None:
    version = registered()
    record_check(version, "reproduction", {"alike": alike}, principal=ANA, state=world.state, now=world.now)
    record_check(version, "latency", {"p99_ms": 3.0}, principal=ANA, state=world.state, now=world.now)
    with world.reading() as past:
        told = next(one for one in ask("reproduction", past).points if one.text.startswith(version.name))
    assert (told.status, alike in told.text) == (status, True)


@pytest.fixture
def live(world: ReportWorld, registered: Callable[..., ModelVersion]) -> Callable[[dict[str, Any]], ModelVersion]:
    """Let a version into an environment of its own, with the document that its door judged."""

    def let_in(document: dict[str, Any]) -> ModelVersion:
        version = registered()
        evidence = world.artifacts.put(canonical_json(document), kind=ArtifactKind.REPORT).digest
        name, target = f"environment/prod/{version.model}", digest_of(version)
        with world.state.transaction() as tx:
            tx.move(name, before=None, after=target, at=world.now)
        moves = (PointerMove(name, None, target),)
        world.decide(Action.PROMOTE, version.name, environment="prod", evidence={"evidence": evidence}, moves=moves)
        return version

    return let_in


def said(world: ReportWorld, finder: str, version: ModelVersion) -> list[str]:
    with world.reading() as past:
        return [one.status for one in ask(finder, past).points if one.text.startswith(f"{version.name} in prod")]


@pytest.mark.parametrize(
    ("document", "status"),
    [
        ({"card": {"gaps": 0, "missing": []}}, "met"),
        ({"card": {"gaps": 2, "missing": ["licence", "use"]}}, "partly"),
        ({"card": None}, "partly"),
        ({}, "partly"),
    ],
    ids=str,
)
def test_a_card_is_complete_when_the_door_saw_no_gap(
    world: ReportWorld, live: Callable[[dict[str, Any]], ModelVersion], document: dict[str, Any], status: str
) -> None:
    assert said(world, "cards", live(document)) == [status]


@pytest.mark.parametrize(
    ("document", "status"),
    [
        ({"signature": {"verified": True}}, "met"),
        ({"signature": {"verified": False}}, "gap"),
        ({}, "gap"),
        ({"signature": 1}, "gap"),
    ],
    ids=str,
)
def test_a_signature_counts_when_the_door_verified_it(
    world: ReportWorld, live: Callable[[dict[str, Any]], ModelVersion], document: dict[str, Any], status: str
) -> None:
    assert said(world, "signatures", live(document)) == [status]


@pytest.mark.parametrize("finder", ["approvals", "separation", "gate"])
def test_an_admission_that_is_gone_is_a_gap(
    world: ReportWorld, live: Callable[[dict[str, Any]], ModelVersion], finder: str
) -> None:
    assert said(world, finder, live({})) == ["gap"]


def test_an_approver_with_a_part_in_it_is_seen(tmp_path_factory: pytest.TempPathFactory) -> None:
    other = ReportWorld(tmp_path_factory.mktemp("abuse"), without=set(CHAPTERS) - {"registered"})
    digest = digest_of(other.version)
    own = Approval(GONE, digest, "prod", GONE, ANA.id, approved=True, at=other.now)
    admission = Admission(
        other.version.name, digest, "prod", GONE, Verdict(True, (), ("x",), GONE, GONE), None, (other.store(own),),
        CI.id, other.now,
    )  # fmt: skip
    with other.state.transaction() as tx:
        tx.move("environment/prod/churn", before=None, after=digest, at=other.now)
    moves = (PointerMove("environment/prod/churn", None, digest),)
    evidence = {"admission": other.store(admission)}
    other.decide(Action.PROMOTE, other.version.name, environment="prod", evidence=evidence, moves=moves)
    with other.reading() as past:
        [told] = ask("separation", past).points
    assert (told.status, "user:ana" in told.text) == ("gap", True)
