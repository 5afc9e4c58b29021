"""Trials as a server sees them: every arm answers as itself, shadows stand by, and the way back needs nobody."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from keelway.core import Digest, PrincipalId, VersionName, digest_of
from keelway.deploy import CANARY, CONTROL, SHADOW, STABLE, assign
from keelway.engines.local.last_good import FileLastGood
from keelway.errors import IntegrityError, StorageError
from keelway.ledger import StateStore, Transaction
from keelway.project import Analysis, Metric, Rollout
from keelway.serve import MemoryBudget, Router, ServingCare, answer_rows, pin_back
from keelway.testing.fleet import PROD, A, B, C, Fleet, model_version
from keelway.testing.serving import FEATURES, NOW, FixedScorer, MemoryLog

GOAL = Analysis(metrics=(Metric("conversion"),))
SHADOWED = Rollout.shadow("prod", hold="0m")
AB = Rollout.ab("prod", analysis=GOAL, percent=60, hold="0m")
LAYERED = Rollout.ab("prod", analysis=GOAL, percent=60, layer="prices")
ENTITIES = [f"customer {number}" for number in range(600)]


class Away:
    """A state that cannot be reached while `away` is set."""

    def __init__(self, inner: StateStore) -> None:
        self.inner = inner
        self.away = False

    @contextmanager
    def snapshot(self) -> Iterator[Transaction]:
        if self.away:
            raise StorageError("The state is away")
        with self.inner.snapshot() as tx:
            yield tx

    @contextmanager
    def transaction(self) -> Iterator[Transaction]:
        with self.inner.transaction() as tx:
            yield tx

    def close(self) -> None:
        self.inner.close()


class Served:
    """A fleet with a server beside it; version N answers 0.N."""

    def __init__(self, folder: Path) -> None:
        self.fleet = Fleet(folder)
        self.fleet.fill()
        self.fleet.deploy(A)
        self.state = Away(self.fleet.state)
        self.folder = folder
        self.altered: set[VersionName] = set()
        self.other_rows: set[VersionName] = set()
        self.loads: list[VersionName] = []
        self.router = self.start()

    def start(self) -> Router:
        kept = self.kept()

        def load(name: VersionName, digest: Digest) -> FixedScorer:
            self.loads.append(name)
            if name in self.altered:
                raise IntegrityError(f"{name} was altered")
            kept.note(digest, model_version(int(name[-1])), ())
            return FixedScorer(int(name[-1]) / 10, FEATURES[:1] if name in self.other_rows else FEATURES)

        def fetch(name: VersionName, _digest: Digest) -> None:
            if name in self.altered:
                raise IntegrityError(f"{name} was altered")

        care = ServingCare(MemoryBudget(), fetch=fetch, last_good=kept)
        return Router("churn", PROD, state=self.state, load=load, care=care)

    def kept(self) -> FileLastGood:
        return FileLastGood(self.folder / "kept", "churn", PROD)

    def answered(self) -> list[dict[str, Any]]:
        """Ask for every entity in one request, and return what was logged."""
        log = MemoryLog()
        rows = [(entity, NOW, [1.0, "basic"]) for entity in ENTITIES]
        answer_rows(rows, self.router.loaded, log=log, at="2026-03-01T00:00:00Z")  # type: ignore[arg-type]
        return log.lines


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Served]:
    made = Served(tmp_path)
    yield made
    made.fleet.state.close()


class TestArms:
    @pytest.mark.parametrize("rollout", [AB, LAYERED], ids=["everybody", "a layer"])
    def test_each_entity_is_answered_by_its_arm_and_logged_as_of_it(self, served: Served, rollout: Rollout) -> None:
        deployment = served.fleet.begin(rollout, B, C).deployment
        assert served.router.refresh()
        lines = served.answered()
        assert [(line["version"], line["arm"]) for line in lines] == [assign(each, deployment) for each in ENTITIES]
        assert {line["arm"] for line in lines} == {CONTROL, STABLE, B, C}
        assert {line["deployment"] for line in lines} == {digest_of(deployment)}

    def test_control_and_stable_are_one_scorer_that_is_loaded_once(self, served: Served) -> None:
        served.fleet.begin(AB, B, C)
        served.router.refresh()
        arms = served.router.loaded.arms
        assert arms[CONTROL].scorer is arms[STABLE].scorer
        assert served.loads == [A, B, C]

    def test_blue_waits_loaded_once_green_has_everything(self, served: Served) -> None:
        served.fleet.begin(Rollout.blue_green("prod", hold="0m"), B)
        served.fleet.look("success")
        served.router.refresh()
        assert {(line["version"], line["arm"]) for line in served.answered()} == {(B, CANARY)}
        assert set(served.router.loaded.versions) == {A, B}
        served.fleet.rollback()
        served.router.refresh()
        assert {line["version"] for line in served.answered()} == {A}
        assert served.loads == [A, B], "going back loads nothing"


class TestShadows:
    def test_a_shadow_is_loaded_and_answers_nobody(self, served: Served) -> None:
        served.fleet.begin(SHADOWED, B)
        assert served.router.refresh()
        [shadow] = served.router.loaded.shadows
        assert (shadow.version, shadow.arm) == (B, SHADOW)
        assert {line["version"] for line in served.answered()} == {A}

    def test_one_that_becomes_a_canary_is_not_loaded_again(self, served: Served) -> None:
        served.fleet.begin(Rollout.canary("prod", steps=(50,), mirror="0m"), B)
        served.router.refresh()
        served.fleet.look("success")
        served.router.refresh()
        assert served.router.loaded.shadows == ()
        assert {line["version"] for line in served.answered()} == {A, B}
        assert served.loads == [A, B]

    def test_one_that_cannot_be_loaded_keeps_nobody_from_answering_and_is_told(self, served: Served) -> None:
        served.altered.add(B)
        deployment = served.fleet.begin(SHADOWED, B).deployment
        assert served.router.refresh()
        assert (served.router.loaded.deployment, served.router.loaded.shadows) == (deployment, ())
        assert "churn:2 does not shadow: churn:2 was altered" in served.router.problem
        assert {line["version"] for line in served.answered()} == {A}
        served.router.refresh()
        assert "does not shadow" in served.router.problem, "as long as it is so"
        served.fleet.rollback()
        served.router.refresh()
        assert served.router.problem == ""

    def test_what_cannot_shadow_is_kept_all_the_same_for_a_start_without_the_state(self, served: Served) -> None:
        served.altered.add(B)
        deployment = served.fleet.begin(SHADOWED, B).deployment
        served.router.refresh()
        served.state.away = True
        again = served.start()
        assert again.loaded.deployment == deployment

    def test_one_that_takes_other_rows_hears_nothing(self, served: Served) -> None:
        served.other_rows.add(B)
        served.fleet.begin(SHADOWED, B)
        assert served.router.refresh()
        assert served.router.loaded.shadows == ()
        assert "takes other requests" in served.router.problem


@pytest.mark.parametrize(
    ("rollout", "versions", "looks"),
    [
        (SHADOWED, (B,), 0),
        (Rollout.canary("prod"), (B,), 1),
        (Rollout.blue_green("prod", hold="0m"), (B,), 1),
        (Rollout.champion_challenger("prod"), (B,), 0),
        (LAYERED, (B, C), 0),
        (Rollout.bandit("prod", analysis=GOAL), (B, C), 0),
    ],
    ids=["shadow", "canary", "blue and green", "challenger", "several", "bandit"],
)
def test_with_the_state_down_a_pin_leads_out_of_every_strategy(
    served: Served, rollout: Rollout, versions: tuple[VersionName, ...], looks: int
) -> None:
    served.fleet.begin(rollout, *versions)
    for _ in range(looks):
        served.fleet.look("success")
    served.router.refresh()
    served.state.away = True
    pin = pin_back(served.kept().deployments(), to=None, principal=PrincipalId("user:ana"), now=served.fleet.now)
    served.kept().set_pin(pin)
    assert served.router.refresh()
    assert pin.version == A
    assert {(line["version"], line["arm"]) for line in served.answered()} == {(A, STABLE)}
    assert served.router.loaded.shadows == ()
    assert json.dumps(served.router.loaded.deployment.traffic) == '{"churn:1": 100}'
