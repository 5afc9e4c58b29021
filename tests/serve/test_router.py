"""The router: what it does when a version does not fit, the state is away, a rollback was pinned, or fallbacks are declared."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from keelway.core import ArtifactKind, Digest, PrincipalId, VersionName, digest_of
from keelway.deploy import Deployment, pointer_of
from keelway.engines.local.artifacts import LocalArtifacts
from keelway.engines.local.last_good import FileLastGood
from keelway.engines.sql import SqlState
from keelway.errors import IntegrityError, MissingRecordError, StorageError
from keelway.ledger import Transaction
from keelway.register import ModelVersion
from keelway.serve import LoadedDeployment, MemoryBudget, Pin, Router, ServingCare, parse_fallback, pin_back
from keelway.serve.router import GRACE_POLLS
from keelway.testing.serving import FEATURES, NOW, PROD, FixedScorer, deployment_of, version_record

MB = 1_000_000
ANA = PrincipalId("user:ana")


class StateThatCanBeAway:
    """A state that cannot be reached while `away` is set."""

    def __init__(self, folder: Path) -> None:
        self.inner = SqlState(f"sqlite:///{folder / 'state.db'}")
        self.away = False

    @contextmanager
    def snapshot(self) -> Iterator[Transaction]:
        if self.away:
            raise StorageError("The state is away")
        with self.inner.snapshot() as tx:
            yield tx

    @contextmanager
    def transaction(self) -> Iterator[Transaction]:
        if self.away:
            raise StorageError("The state is away")
        with self.inner.transaction() as tx:
            yield tx

    def close(self) -> None:
        self.inner.close()


class ClosingScorer(FixedScorer):
    """A scorer that holds something."""

    closed = False

    def close(self) -> None:
        self.closed = True


class World:
    """A state, a store and a machine that keeps what it serves; version N answers 0.N."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.state = StateThatCanBeAway(folder)
        self.store = LocalArtifacts(folder / "store")
        self.store_away = False
        self.resident = 100 * MB
        self.grows = 10 * MB
        self.records: dict[str, ModelVersion] = {}
        self.strange: dict[str, FixedScorer] = {}
        self.scorers: list[tuple[str, ClosingScorer]] = []
        self.newest: Deployment | None = None
        self.switched: list[LoadedDeployment] = []
        self.recorded: list[Pin] = []

    def record(self, name: str) -> ModelVersion:
        if name not in self.records:
            data = self.store.put(name.encode() * 1000, kind=ArtifactKind.MODEL).digest
            self.records[name] = version_record(name, onnx=data)
        return self.records[name]

    def send(self, **percent: int) -> Deployment:
        """Move the traffic as `deploy` does."""
        made = deployment_of(**percent)
        made = replace(
            made,
            number=self.newest.number + 1 if self.newest else 1,
            versions={name: digest_of(self.record(name)) for name in made.traffic},
            previous=digest_of(self.newest) if self.newest else None,
        )
        with self.state.transaction() as tx:
            before = tx.pointer(pointer_of("churn", PROD))
            after = tx.insert(f"prod/churn/{made.number}", made, parent="prod/churn", at=NOW)
            tx.move(pointer_of("churn", PROD), before=before.target if before else None, after=after, at=NOW)
        self.newest = made
        return made

    def kept(self) -> FileLastGood:
        return FileLastGood(self.folder / "kept", "churn", PROD)

    def start(self, *fallbacks: str, limit_mb: int = 0, keeps: bool = True, records: bool = True) -> Router:
        kept = self.kept()

        def read(name: VersionName, digest: Digest) -> ModelVersion:
            if self.state.away:
                record = kept.record(digest)
                if record is None:
                    raise MissingRecordError(f"{name} is not kept")
            else:
                record = self.records[name]
            source = kept.bytes_behind(self._store)
            assert source.get(record.onnx) == name.encode() * 1000
            kept.note(digest, record, source.used)
            return record

        def fetch(name: VersionName, digest: Digest) -> None:
            read(name, digest)

        def load(name: VersionName, digest: Digest) -> FixedScorer:
            record = read(name, digest)
            self.resident += self.grows
            scorer = self.strange.get(name) or ClosingScorer(record.number / 10)
            self.scorers.append((name, scorer))  # type: ignore[arg-type]
            return scorer

        def record_pin(pin: Pin) -> None:
            self.recorded.append(pin)
            self.send(**{pin.version.replace(":", "_"): 100})

        care = ServingCare(
            MemoryBudget(limit_mb, resident=lambda: self.resident),
            size_of=lambda _name, _digest: 10 * MB,
            fetch=fetch,
            chain=tuple(map(parse_fallback, fallbacks)),
            digest_named=lambda name: digest_of(self.records[name]),
            last_good=kept if keeps else None,
            record_pin=record_pin if records else None,
        )
        return Router("churn", PROD, state=self.state, load=load, care=care, on_switch=self.switched.append)

    def loads(self) -> list[str]:
        return [name for name, _ in self.scorers]

    def _store(self) -> LocalArtifacts:
        if self.store_away:
            raise StorageError("The store is away")
        return self.store


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    made = World(tmp_path)
    yield made
    made.state.close()


def stable(router: Router) -> str:
    return str(router.loaded.deployment.stable)


def other_features() -> FixedScorer:
    return ClosingScorer(0.5, features=FEATURES[:1])


class TestMemory:
    def test_a_version_that_does_not_fit_is_refused_before_it_is_loaded_and_the_old_one_goes_on(
        self, world: World
    ) -> None:
        world.send(churn_1=100)
        router = world.start(limit_mb=130)
        world.resident = 125 * MB
        world.send(churn_2=100)
        assert not router.refresh()
        assert (stable(router), world.loads()) == ("churn:1", ["churn:1"])
        assert "does not fit" in router.problem
        world.resident = 110 * MB
        assert router.refresh(), "when there is room again"
        assert (stable(router), router.problem) == ("churn:2", "")

    def test_a_version_that_turns_out_too_large_is_let_go_of(self, world: World) -> None:
        world.send(churn_1=100)
        router = world.start(limit_mb=150)
        world.grows = 100 * MB
        world.send(churn_2=100)
        assert not router.refresh()
        assert stable(router) == "churn:1"
        assert [scorer.closed for _, scorer in world.scorers] == [False, True]


class TestSwitching:
    def test_a_version_that_gives_no_number_is_not_switched_to(self, world: World) -> None:
        world.send(churn_1=100)
        router = world.start()
        world.strange["churn:2"] = ClosingScorer(float("nan"))
        world.send(churn_2=100)
        assert not router.refresh()
        assert stable(router) == "churn:1"
        assert "rows of nulls" in router.problem

    def test_a_canary_that_takes_other_rows_is_refused_and_let_go_of(self, world: World) -> None:
        world.send(churn_1=100)
        router = world.start()
        world.strange["churn:2"] = other_features()
        world.send(churn_1=90, churn_2=10)
        assert not router.refresh()
        assert "takes other requests" in router.problem
        assert world.scorers[-1][1].closed

    def test_a_scorer_is_closed_only_when_requests_that_began_with_it_are_answered(self, world: World) -> None:
        world.send(churn_1=100)
        router = world.start()
        world.send(churn_2=100)
        router.refresh()
        old = world.scorers[0][1]
        for _ in range(GRACE_POLLS):
            assert not old.closed
            router.refresh()
        router.refresh()
        assert old.closed
        router.close()
        assert all(scorer.closed for _, scorer in world.scorers)

    def test_who_watches_is_told_of_every_switch(self, world: World) -> None:
        world.send(churn_1=100)
        router = world.start()
        world.send(churn_2=100)
        router.refresh()
        router.refresh()
        assert [each.deployment.stable for each in world.switched] == ["churn:2"]


class TestLastKnownGood:
    def test_serving_starts_with_state_and_store_away(self, world: World) -> None:
        world.send(churn_1=100)
        world.start().close()
        world.state.away = world.store_away = True
        router = world.start()
        assert stable(router) == "churn:1"
        assert "away" in router.problem

    def test_without_anything_kept_it_does_not_start(self, world: World) -> None:
        world.send(churn_1=100)
        world.state.away = True
        with pytest.raises(StorageError, match="away"):
            world.start()

    def test_when_the_state_is_back_what_it_asks_for_is_served(self, world: World) -> None:
        world.send(churn_1=100)
        world.start().close()
        world.send(churn_2=100)
        world.state.away = True
        router = world.start()
        assert stable(router) == "churn:1"
        world.state.away = False
        assert router.refresh()
        assert (stable(router), router.problem) == ("churn:2", "")

    def test_a_store_that_is_away_at_a_switch_leaves_the_old_version(self, world: World) -> None:
        world.send(churn_1=100)
        router = world.start()
        world.send(churn_2=100)
        world.store_away = True
        assert not router.refresh()
        assert (stable(router), "away" in router.problem) == ("churn:1", True)
        world.store_away = False
        assert router.refresh()

    def test_a_start_with_the_store_away_and_a_version_never_seen_serves_the_last_one(self, world: World) -> None:
        world.send(churn_1=100)
        world.start().close()
        world.send(churn_2=100)
        world.store_away = True
        router = world.start()
        assert (stable(router), "away" in router.problem) == ("churn:1", True)

    @pytest.mark.parametrize("what", ["bytes", "list"])
    def test_what_is_damaged_is_refused(self, world: World, what: str) -> None:
        world.send(churn_1=100)
        world.start().close()
        name = "deployments.json"
        if what == "bytes":
            name = world.record("churn:1").onnx.removeprefix("sha256:")[2:]
        [path] = (world.folder / "kept").rglob(name)
        data = path.read_bytes()
        path.chmod(0o644)
        path.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
        world.state.away = world.store_away = True
        with pytest.raises(IntegrityError):
            world.start()

    def test_a_state_that_lost_the_deployment_does_not_end_serving(self, world: World, tmp_path: Path) -> None:
        world.send(churn_1=100)
        world.start().close()
        world.state.close()
        (tmp_path / "new").mkdir()
        world.state = StateThatCanBeAway(tmp_path / "new")
        router = world.start()
        assert (stable(router), "not deployed" in router.problem) == ("churn:1", True)

    def test_a_rollback_needs_no_store_even_right_after_the_first_start(self, world: World) -> None:
        world.send(churn_1=100)
        world.send(churn_2=100)
        router = world.start()
        assert world.loads() == ["churn:2"], "version 1 was only read"
        world.store_away = True
        world.send(churn_1=100)
        assert router.refresh()
        assert stable(router) == "churn:1"

    def test_a_disk_that_takes_nothing_keeps_nobody_from_serving_and_is_tried_again(self, world: World) -> None:
        world.send(churn_1=100)
        (world.folder / "kept").write_bytes(b"")
        router = world.start()
        assert stable(router) == "churn:1"
        (world.folder / "kept").unlink()
        router.refresh()
        assert [each.stable for each in world.kept().deployments()] == ["churn:1"]


class TestPins:
    """A rollback on this machine, while the state is away."""

    @pytest.fixture
    def served(self, world: World) -> Router:
        world.send(churn_1=100)
        world.send(churn_2=100)
        return world.start()

    def pin(self, world: World) -> Pin:
        made = pin_back(world.kept().deployments(), to=None, principal=ANA, now=NOW)
        world.kept().set_pin(made)
        return made

    def test_it_holds_while_the_state_is_away_and_is_recorded_when_it_is_back(
        self, world: World, served: Router
    ) -> None:
        world.state.away = world.store_away = True
        pin = self.pin(world)
        assert served.refresh()
        assert stable(served) == "churn:1"
        world.state.away = False
        served.refresh()
        assert world.recorded == [pin]
        assert (stable(served), served.problem, world.kept().pin()) == ("churn:1", "", None)
        assert served.loaded.deployment == world.newest, "the one in the ledger"

    def test_it_is_obeyed_by_a_server_that_starts(self, world: World, served: Router) -> None:
        world.state.away = world.store_away = True
        self.pin(world)
        assert stable(world.start()) == "churn:1"

    def test_it_is_void_when_somebody_deployed_something_else_meanwhile(self, world: World, served: Router) -> None:
        world.state.away = True
        self.pin(world)
        served.refresh()
        world.state.away = False
        world.send(churn_3=100)
        assert served.refresh()
        assert (stable(served), world.recorded, world.kept().pin()) == ("churn:3", [], None)

    def test_a_server_that_does_not_record_goes_on_obeying_it_and_says_so(self, world: World) -> None:
        world.send(churn_1=100)
        world.send(churn_2=100)
        router = world.start(records=False)
        self.pin(world)
        router.refresh()
        assert (stable(router), "not recorded yet" in router.problem) == ("churn:1", True)

    def test_a_damaged_pin_is_not_obeyed_and_told(self, world: World, served: Router) -> None:
        self.pin(world)
        [path] = (world.folder / "kept").rglob("pin.json")
        path.write_bytes(path.read_bytes() + b" ")
        served.refresh()
        assert (stable(served), "damaged" in served.problem) == ("churn:2", True)


class TestFallbacks:
    """What stands ready to answer in another's place."""

    @staticmethod
    def marks(router: Router, version: str = "") -> Sequence[str]:
        loaded = router.loaded.versions[VersionName(version)] if version else router.loaded.stable
        return [backup.fallback for backup in loaded.backups]

    def test_the_chain_stands_in_its_order(self, world: World) -> None:
        world.record("churn:7")
        world.send(churn_1=100)
        world.send(churn_2=100)
        router = world.start("previous", "baseline:churn:7", "constant:0.05")
        assert self.marks(router) == ["previous:churn:1", "baseline:churn:7", "constant:0.05"]
        assert {backup.arm for backup in router.loaded.stable.backups} == {
            "fallback:previous:churn:1", "fallback:baseline:churn:7", "fallback:constant:0.05",
        }  # fmt: skip

    def test_a_canary_falls_back_to_the_stable_version(self, world: World) -> None:
        world.send(churn_1=100)
        world.send(churn_1=90, churn_2=10)
        assert self.marks(world.start("previous"), "churn:2") == ["previous:churn:1"]

    def test_the_first_version_has_no_previous_one(self, world: World) -> None:
        world.send(churn_1=100)
        assert self.marks(world.start("previous")) == []

    def test_a_link_that_takes_other_rows_or_cannot_be_loaded_is_left_out(self, world: World) -> None:
        world.record("churn:7")
        world.strange["churn:7"] = other_features()
        world.send(churn_1=100)
        router = world.start("baseline:churn:7", "constant:0.5")
        assert self.marks(router) == ["constant:0.5"]

    def test_the_previous_version_is_kept_loaded_for_a_rollback_that_loads_nothing(self, world: World) -> None:
        world.send(churn_1=100)
        world.send(churn_2=100)
        router = world.start("previous")
        loads = world.loads()
        world.send(churn_1=100)
        router.refresh()
        assert stable(router) == "churn:1"
        assert world.loads() == loads


def test_without_care_a_router_only_loads(world: World) -> None:
    world.send(churn_1=100)
    router = Router("churn", PROD, state=world.state, load=lambda _name, _digest: FixedScorer(0.5))
    assert not router.refresh()
    world.state.away = True
    assert not router.refresh()
    assert "away" in router.problem
