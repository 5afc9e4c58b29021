"""Garbage collection: what anything needs stays, whatever happens meanwhile; what goes is told, and audits still pass."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from keelway.core import Action, ArtifactKind, Decision, Digest, PrincipalId, canonical_json, digest_of
from keelway.engines.local.artifacts import LocalArtifacts
from keelway.engines.sql import SqlState
from keelway.errors import IdentityError, IntegrityError, MissingRecordError, UsageError
from keelway.identity import Principal
from keelway.ledger import AuditReport, SigningKey, StateStore, audit, decisions, record_decision
from keelway.privacy import Keyring, SealedArtifacts, TenantKey
from keelway.project import Ensemble
from keelway.register import (
    Collection,
    ModelVersion,
    RetentionRules,
    change_life,
    check_version,
    collect,
    was_collected,
)
from keelway.testing.crash import EXIT_CODE, CrashingState, CrashPoint, swept
from keelway.testing.forks import forked, preload
from keelway.testing.training import BOOSTED, LOGISTIC, TrainingWorld
from keelway.train import load_pipeline

TODAY = datetime(2026, 6, 1, tzinfo=UTC)
LONG_AGO = TODAY - timedelta(days=400)
ROOT = Principal(PrincipalId("user:root"), ("admin", "approver"))
KEY = SigningKey("test", bytes(32))
RULES = RetentionRules()
ENSEMBLE = Ensemble("both", ("logistic", "boosted"))


@dataclass(frozen=True, slots=True)
class Leaf:
    """A record that names artifacts."""

    named: tuple[Digest, ...]


@dataclass
class Cellar:
    """A store and a ledger in a folder, whose bytes are as old as one likes."""

    folder: Path
    state: StateStore = field(init=False)
    store: LocalArtifacts = field(init=False)

    def __post_init__(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        self.state = SqlState(f"sqlite:///{self.folder / 'state.db'}")
        self.store = LocalArtifacts(self.folder / "artifacts")

    def put(self, data: bytes, *, at: datetime = LONG_AGO) -> Digest:
        digest = self.store.put(data, kind=ArtifactKind.REPORT).digest
        os.utime(self.store.path_of(digest), (at.timestamp(), at.timestamp()))
        return digest

    def name(self, *digests: Digest) -> None:
        """Record something that names artifacts."""
        with self.state.transaction() as tx:
            tx.insert(digest_of(digests), Leaf(digests), at=LONG_AGO)

    def decide(self, *evidence: Digest, at: datetime = LONG_AGO) -> None:
        with self.state.transaction() as tx:
            named = {f"document_{number}": each for number, each in enumerate(evidence)}
            record_decision(Decision(Action.PROMOTE, "churn:1", False, ROOT.id, at, named), tx=tx)

    def collect(self, **choices: Any) -> Collection:
        given = {"store": self.store, "state": self.state, "rules": RULES, "principal": ROOT, "now": TODAY}
        return collect(**{**given, **choices})

    def audit(self) -> AuditReport:
        return audit(self.state, key=KEY.public, artifacts=self.store)

    def ledger(self) -> list[Decision]:
        with self.state.snapshot() as tx:
            return [decision for _, decision in decisions(tx)]


@pytest.fixture
def cellar(tmp_path: Path) -> Iterator[Cellar]:
    made = Cellar(tmp_path / "cellar")
    yield made
    made.state.close()


def test_what_nothing_names_goes_and_the_decision_tells_of_it(cellar: Cellar) -> None:
    left, needed = cellar.put(b"left by a crash"), cellar.put(b"needed")
    cellar.name(needed)
    found = cellar.collect()
    assert (found.number, found.artifacts, found.unreferenced, found.kept) == (1, (left,), 1, 1)
    assert found.freed_bytes == len(b"left by a crash")
    assert left not in cellar.store
    assert cellar.store.get(needed) == b"needed"
    [decision] = cellar.ledger()
    assert (decision.action, decision.principal) == (Action.COLLECT, ROOT.id)
    assert decision.evidence == {"collection": digest_of(found)}
    assert cellar.audit().ok


def test_a_dry_run_says_the_same_and_does_nothing(cellar: Cellar) -> None:
    left = cellar.put(b"left")
    planned = cellar.collect(dry_run=True, principal=Principal(PrincipalId("user:eve"), ("auditor",)))
    assert (planned.number, planned.artifacts) == (0, (left,))
    assert left in cellar.store
    assert cellar.ledger() == []
    assert cellar.collect().artifacts == planned.artifacts


def test_where_nothing_can_go_nothing_is_recorded(cellar: Cellar) -> None:
    cellar.name(cellar.put(b"needed"))
    assert cellar.collect().artifacts == ()
    assert cellar.ledger() == []


def test_only_an_admin_removes(cellar: Cellar) -> None:
    left = cellar.put(b"left")
    with pytest.raises(IdentityError):
        cellar.collect(principal=Principal(PrincipalId("user:bo"), ("approver",)))
    assert left in cellar.store


def test_the_bytes_of_a_writer_who_has_not_recorded_them_yet_stay(cellar: Cellar) -> None:
    young = cellar.put(b"just written", at=TODAY - timedelta(hours=1))
    again = cellar.put(b"written before, and again")
    cellar.put(b"written before, and again", at=TODAY)
    assert cellar.collect().artifacts == ()
    cellar.name(young, again)
    assert cellar.audit().ok


def test_nobody_can_ask_for_bytes_younger_than_a_day() -> None:
    with pytest.raises(UsageError, match="too young"):
        RetentionRules(unreferenced=timedelta(hours=23))


def reference(cellar: Cellar, way: str, digest: Digest) -> dict[str, Any]:
    """Let something need an artifact, and return what a collection has to be told."""
    if way == "record":
        cellar.name(digest)
    if way == "decision":
        cellar.decide(digest)
    if way == "pointer":
        with cellar.state.transaction() as tx:
            tx.move("anything", before=None, after=digest, at=LONG_AGO)
    if way == "artifact":
        cellar.name(cellar.put(canonical_json({"files": [{"digest": digest}]})))
    if way == "chain":
        middle = cellar.put(canonical_json({"after": digest}))
        cellar.name(cellar.put(canonical_json({"after": middle})))
    if way == "journal":
        cellar.name(cellar.put(zlib.compress(b'["a","plot.png","%s"]\n' % digest.encode(), 1)))
    if way == "fresh artifact":
        cellar.put(canonical_json({"after": digest}), at=TODAY)
    return {"running": [f'["a","plot.png","{digest}"]\n'.encode()]} if way == "running" else {}


WAYS = ("record", "decision", "pointer", "artifact", "chain", "journal", "fresh artifact", "running")


@pytest.mark.parametrize("way", WAYS)
def test_whatever_is_needed_in_any_way_stays(cellar: Cellar, way: str) -> None:
    digest = cellar.put(b"needed")
    choices = reference(cellar, way, digest)
    assert cellar.collect(**choices).artifacts == ()
    assert cellar.store.get(digest) == b"needed"


def test_what_only_garbage_names_is_garbage(cellar: Cellar) -> None:
    last = cellar.put(b"last")
    middle = cellar.put(canonical_json({"after": last}))
    first = cellar.put(canonical_json({"after": middle}))
    assert set(cellar.collect().artifacts) == {first, middle, last}
    cellar.put(b"last")
    assert cellar.collect().artifacts == (last,), "the record of the first collection is no need for it"


def test_evidence_stays_until_its_time_is_over_and_an_audit_says_that_it_was_collected(cellar: Cellar) -> None:
    old, new, both = cellar.put(b'{"old":1}'), cellar.put(b'{"new":1}'), cellar.put(b'{"both":1}')
    cellar.decide(old, both)
    cellar.decide(new, both, at=TODAY - timedelta(days=5))
    assert cellar.collect().artifacts == ()
    rules = RetentionRules(evidence=timedelta(days=30))
    found = cellar.collect(rules=rules)
    assert (found.artifacts, found.evidence, found.unreferenced) == ((old,), 1, 0)
    report = cellar.audit()
    assert report.ok
    assert (report.collected, report.erased) == (1, 0)


def test_evidence_that_went_without_a_decision_is_a_problem_of_its_entry(cellar: Cellar) -> None:
    one, other = cellar.put(b'{"one":1}'), cellar.put(b'{"other":1}')
    cellar.decide(one)
    cellar.decide(other, at=TODAY)
    cellar.collect(rules=RetentionRules(evidence=timedelta(days=30)))
    cellar.store.delete(other)
    report = cellar.audit()
    assert not report.ok
    assert report.first_bad == 1
    assert other in report.problems[0]


def test_beside_damage_nothing_is_collected(cellar: Cellar) -> None:
    left, damaged = cellar.put(b"left"), cellar.put(b'{"names":"something"}')
    cellar.name(damaged)
    path = cellar.store.path_of(damaged)
    path.chmod(0o600)
    path.write_bytes(b'{"names":"nothing!!"}')
    with pytest.raises(IntegrityError):
        cellar.collect()
    assert left in cellar.store
    assert cellar.ledger() == []


class Vault:
    """Keeps the keys of sealed artifacts in memory."""

    def __init__(self) -> None:
        self.keys: dict[Digest, Any] = {}

    def artifact_key(self, digest: Digest) -> Any:
        return self.keys.get(digest)

    def add_artifact_key(self, key: Any) -> Any:
        return self.keys.setdefault(key.digest, key)


def test_sealed_bytes_stay_though_no_record_knows_their_name(cellar: Cellar, tmp_path: Path) -> None:
    vault: Any = Vault()
    keyring = Keyring(TenantKey.generate(), vault)
    sealed = SealedArtifacts(cellar.store, keyring=lambda: keyring, folder=tmp_path / "plain", seals=True)
    digest = sealed.put(b"a person's row", kind=ArtifactKind.RAW_FILE).digest
    for each in list(cellar.store.held()):
        os.utime(cellar.store.path_of(each.digest), (LONG_AGO.timestamp(), LONG_AGO.timestamp()))
    assert cellar.collect().artifacts == ()
    assert sealed.get(digest) == b"a person's row"


class Overtaking:
    """A store in which, the first time something is removed, somebody else acts just before."""

    def __init__(self, inner: LocalArtifacts, act: Any) -> None:
        self._inner, self._act = inner, act

    def held(self) -> Any:
        return self._inner.held()

    def get(self, digest: Digest) -> bytes:
        return self._inner.get(digest)

    def remove_if_older(self, digest: Digest, moment: datetime) -> bool:
        act, self._act = self._act, lambda: None
        act()
        return self._inner.remove_if_older(digest, moment)


def test_what_is_put_again_at_the_last_moment_stays(cellar: Cellar) -> None:
    left = cellar.put(b"left")

    def meanwhile() -> None:
        cellar.store.put(b"left", kind=ArtifactKind.REPORT)

    cellar.collect(store=Overtaking(cellar.store, meanwhile))
    cellar.name(left)
    assert cellar.store.get(left) == b"left"
    assert cellar.audit().ok


class Watched:
    """A state in which somebody records something between the decision and the removal."""

    def __init__(self, inner: StateStore, act: Any) -> None:
        self._inner, self._acts = inner, [lambda: None, act]

    @contextmanager
    def transaction(self) -> Iterator[Any]:
        self._acts.pop(0)()
        with self._inner.transaction() as tx:
            yield tx

    def snapshot(self) -> Any:
        return self._inner.snapshot()


def test_what_is_recorded_between_the_decision_and_the_removal_stays(cellar: Cellar) -> None:
    left = cellar.put(b"left")
    found = cellar.collect(state=Watched(cellar.state, lambda: cellar.name(left)))
    assert found.artifacts == (left,)
    assert cellar.store.get(left) == b"left"
    assert cellar.audit().ok


class CrashingStore(Overtaking):
    """A store that may die before and after each removal."""

    def __init__(self, inner: LocalArtifacts, crash: CrashPoint) -> None:
        super().__init__(inner, lambda: None)
        self._crash = crash

    def remove_if_older(self, digest: Digest, moment: datetime) -> bool:
        self._crash.pass_by()
        done = super().remove_if_older(digest, moment)
        self._crash.pass_by()
        return done


INSTANTS = 12  # before, inside and after each of two transactions; before and after each of three removals


def stock(folder: Path) -> Cellar:
    """Return a cellar with three artifacts to collect and three that are needed."""
    cellar = Cellar(folder)
    for number in range(3):
        cellar.put(b"left %d" % number)
        cellar.name(cellar.put(b"needed %d" % number))
    return cellar


def dying(folder: Path, at: int) -> None:
    cellar, crash = stock(folder), CrashPoint(at)
    cellar.collect(state=CrashingState(cellar.state, crash), store=CrashingStore(cellar.store, crash))
    if at == 0 and crash.count != INSTANTS:
        raise AssertionError(crash.count)


def looked_at(folder: Path) -> None:
    """Collect again, and check that what is needed is there, the rest is not, and the ledger tells of all of it."""
    cellar = Cellar(folder)
    cellar.collect()
    kept = {each.digest for each in cellar.store.held()}
    assert kept == {digest_of_text(b"needed %d" % number) for number in range(3)}
    told = [each.action for each in cellar.ledger()]
    assert set(told) == {Action.COLLECT}
    assert len(told) in (1, 2)
    assert cellar.audit().ok


def digest_of_text(data: bytes) -> Digest:
    from keelway.core import digest_bytes

    return digest_bytes(data)


def sweep(folder: Path) -> dict[str, Any]:
    """Die at each instant in turn and collect again. Runs in its own process, which has no threads."""
    preload(lambda: (dying(folder / "warm", 0), looked_at(folder / "warm")))
    wrong = {}
    for at in swept(INSTANTS):
        codes = forked(lambda: dying(folder / str(at), at)), forked(lambda: looked_at(folder / str(at)))  # noqa: B023
        if codes != (EXIT_CODE, 0):
            wrong[at] = codes
    return wrong


@pytest.mark.crash
def test_a_collection_that_dies_at_any_instant_does_no_harm(tmp_path: Path) -> None:
    script = (
        "import sys; sys.path.insert(0, sys.argv[1]); from pathlib import Path\n"
        "import json, test_collect as t\n"
        "print(json.dumps(t.sweep(Path(sys.argv[2]))))"
    )
    command = [sys.executable, "-c", script, str(Path(__file__).parent), str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == {}


class Estate:
    """A world of versions, some of them retired, whose files are all old."""

    def __init__(self, folder: Path) -> None:
        self.world = TrainingWorld(folder, rows=300)
        self.world.declare(estimators=(*self.world.model.estimators, ENSEMBLE))
        self.cellar = Cellar(folder)
        self.cellar.store = LocalArtifacts(folder / "artifacts")

    def register(self, estimator: Any) -> ModelVersion:
        return self.world.register(self.world.fit(estimator))

    def retire(self, version: ModelVersion, *, at: datetime = LONG_AGO) -> None:
        change_life(
            version, Action.RETIRE, reason="old", principal=ROOT, state=self.world.state, now=at,
        )  # fmt: skip

    def collect(self, *, days: int = 30) -> Collection:
        for each in list(self.cellar.store.held()):
            os.utime(self.cellar.store.path_of(each.digest), (LONG_AGO.timestamp(), LONG_AGO.timestamp()))
        rules = RetentionRules(retired=timedelta(days=days) if days else None)
        return self.cellar.collect(state=self.world.state, rules=rules)

    def check(self, version: ModelVersion) -> None:
        check_version(version, artifacts=self.world.artifacts, public_key=self.world.key.public)

    def was_collected(self, version: ModelVersion) -> bool:
        with self.world.state.snapshot() as tx:
            return was_collected(version, tx=tx)


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A world with a version of each estimator and one of both together."""
    folder = tmp_path_factory.mktemp("estate")
    estate = Estate(folder)
    for estimator in (LOGISTIC, BOOSTED, ENSEMBLE):
        estate.register(estimator)
    estate.world.state.close()
    return folder


@pytest.fixture
def estate(built: Path, tmp_path: Path) -> Estate:
    import shutil

    shutil.copytree(built, tmp_path / "estate")
    return Estate(tmp_path / "estate")


def versions(estate: Estate) -> list[ModelVersion]:
    with estate.world.state.snapshot() as tx:
        return sorted(tx.newest(ModelVersion), key=lambda each: each.number)


def test_of_a_world_in_use_nothing_goes(estate: Estate) -> None:
    assert estate.collect().artifacts == ()
    for version in versions(estate):
        estate.check(version)


def test_a_retired_version_gives_its_bytes_back_when_its_time_is_over(estate: Estate) -> None:
    _, _, both = versions(estate)
    estate.retire(both, at=TODAY - timedelta(days=10))
    assert estate.collect().artifacts == ()
    assert estate.collect(days=0).artifacts == (), "without a time they are kept for ever"
    estate.check(both)
    found = estate.collect(days=5)
    assert both.plan is not None
    assert set(found.artifacts) == {both.onnx, both.plan, both.pipeline}
    assert (found.retired, found.unreferenced) == ((both.name,), 0)
    with pytest.raises(MissingRecordError):
        estate.check(both)
    assert estate.was_collected(both)
    assert both.statement in estate.world.artifacts, "what was signed of it stays"
    report = audit(estate.world.state, key=estate.world.key.public, artifacts=estate.world.artifacts)
    assert report.ok
    for other in versions(estate)[:2]:
        estate.check(other)
        assert not estate.was_collected(other)


def test_a_pipeline_that_a_living_ensemble_is_made_of_stays(estate: Estate) -> None:
    logistic, boosted, both = versions(estate)
    estate.retire(logistic)
    estate.retire(boosted)
    assert set(estate.collect().artifacts) == {logistic.onnx, logistic.plan, boosted.onnx, boosted.plan}
    estate.check(both)
    load_pipeline(both.pipeline, artifacts=estate.world.artifacts)
    estate.retire(both)
    assert set(estate.collect().artifacts) == {
        both.onnx, both.plan, both.pipeline, logistic.pipeline, boosted.pipeline,
    }  # fmt: skip
