"""Traffic that moves through a target which has to be told: late, lost and refused calls lose no decision, and are told."""

from __future__ import annotations

import hashlib
import json
import logging
import shutil
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from keelway.app import App, Workspace
from keelway.core import PolicySet, SimulatedClock, VersionName, digest_of, time_text
from keelway.deploy import Smoke, SmokeResult, TargetCapabilities
from keelway.errors import EngineError, UsageError
from keelway.ledger import write_atomically
from keelway.register import ModelVersion
from keelway.surfaces.cli.main import main
from keelway.testing.door import NOW, OPEN, DoorWorld
from keelway.testing.pushed_target import PushedTarget

TOKEN = "the pipeline's own"
TOML = f"""\
[project]
name = "shop"
module = "declared"
source = "."
actor = "sp:ci"
[engines]
state = "sqlite:state.db"
artifacts = "artifacts"
tracking = ""
[signing]
name = "test"
[environments.prod]
policy = "policy"
[principals."sp:ci"]
roles = ["deployer"]
token_sha256 = "{hashlib.sha256(TOKEN.encode()).hexdigest()}"
"""
DECLARED = """\
from dataclasses import replace

from keelway import Analysis, Guardrail, Project, Rollout
from keelway.testing.training import churn_model

canary = Rollout.canary("prod", steps=(10, 50), analysis=Analysis((Guardrail("error_rate", margin=0.05),)))
project = Project("shop", models=[replace(churn_model(), rollouts=(canary,))])
"""


class PassingTime:
    """The time that a wait sees: it passes only while somebody sleeps, and meanwhile something is done."""

    def __init__(self, meanwhile: Callable[[], None]) -> None:
        self.seconds = 0.0
        self.meanwhile = meanwhile

    def monotonic(self) -> float:
        return self.seconds

    def sleep(self, seconds: float) -> None:
        self.seconds += seconds
        self.meanwhile()


class Shop:
    """A project with two versions, of which the first is served by a control plane with the replicas a and b."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.clock = SimulatedClock(NOW + timedelta(days=3))
        self.target = PushedTarget(clock=self.clock)
        self.time = PassingTime(self.target.turn)
        self.told: list[str] = []
        self.app = App.open(folder, clock=self.clock, progress=self.told.append)

    def held(self) -> int | None:
        return self.target.observed("churn", "prod").held

    def wanted(self) -> int:
        view = self.app.rollouts.plan("churn", "prod").target
        assert view is not None
        return view.wanted

    def problem(self) -> str:
        view = self.app.rollouts.status("churn", "prod").target
        assert view is not None
        return view.problem

    def call(self, *words: str) -> Result:
        given = ["--project", str(self.folder), "--now", time_text(self.clock.now())]
        return CliRunner().invoke(main, [*words, *given])

    def printed(self, *words: str) -> str:
        result = self.call(*words)
        assert result.exit_code == 0, result.output
        return result.output

    def answered(self, *words: str, code: int) -> Any:
        """Return the answer of a command in JSON that ends with an exit code."""
        result = self.call(*words, "--json")
        assert (result.exit_code, result.stderr) == (code, "")
        return json.loads(result.stdout)


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    world = DoorWorld(tmp_path_factory.mktemp("door")).ruled(policy=PolicySet("open", {"gate.rego": OPEN}), approvals=0)
    (world.folder / "keelway.toml").write_text(TOML)
    (world.folder / "declared.py").write_text(DECLARED)
    (world.folder / "policy/gate.rego").write_text(OPEN)
    world.key.save(world.folder / ".keelway/keys/signing.pem")
    write_atomically(world.folder / ".keelway/keys/signing.pub", world.key.public.pem().encode())
    for version in (world.version, world.register(2)):
        world.promote(version=version)
        world.now += timedelta(days=1)
    world.state.close()
    return world.folder


@pytest.fixture
def shop(prepared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Shop]:
    def passes(_at: object) -> Smoke:
        def smoke(version: ModelVersion) -> SmokeResult:
            return SmokeResult(version.name, digest_of(version), passed=True, answers=1)

        return smoke

    shutil.copytree(prepared, tmp_path / "shop")
    monkeypatch.setenv("KEELWAY_TOKEN", TOKEN)
    made = Shop(tmp_path / "shop")
    for module in ("traffic", "rollouts"):
        monkeypatch.setattr(f"keelway.app.{module}.smoke_test", passes)
    monkeypatch.setattr(Workspace, "target", lambda _at, _environment: made.target)
    monkeypatch.setattr("keelway.app.targets.time", made.time)
    logging.disable(logging.WARNING)
    made.app.traffic.deploy("churn:1", "prod")
    made.target.turn()
    yield made
    made.app.close()
    logging.disable(logging.NOTSET)


class TestTelling:
    def test_every_move_is_told(self, shop: Shop) -> None:
        rooms = shop.app
        held = [shop.held()]
        for move in (
            lambda: rooms.rollouts.apply("churn", "prod"),
            lambda: rooms.rollouts.turn("churn", "prod", "stop"),
            lambda: rooms.rollouts.canary("churn:2", "prod", 20),
            lambda: rooms.traffic.rollback("churn", "prod"),
            lambda: rooms.traffic.deploy("churn:2", "prod"),
        ):
            move()
            held.append(shop.held())
        assert held == [1, 2, 3, 4, 5, 6]

    def test_a_target_that_is_away_loses_no_decision_and_the_person_is_told(self, shop: Shop) -> None:
        shop.target.is_away = True
        answer = shop.app.traffic.deploy("churn:2", "prod")
        assert answer.deployment.number == 2
        assert answer.target is not None
        assert "control plane is away" in answer.target.problem
        assert any("does not know of the newest decision yet" in line for line in shop.told)
        view = shop.app.rollouts.plan("churn", "prod").target
        assert view is not None
        assert (view.wanted, view.held, view.is_effective) == (2, None, False)
        assert "control plane is away" in view.problem

    def test_what_was_missed_is_told_by_the_next_apply_though_it_changes_nothing(self, shop: Shop) -> None:
        shop.target.lose(1, heard=False)
        shop.app.rollouts.apply("churn", "prod")
        assert (shop.held(), shop.wanted()) == (1, 2)
        assert "not told of deployment 2" in shop.problem()
        assert shop.app.rollouts.apply("churn", "prod").change == "none"
        assert (shop.held(), shop.problem()) == (2, "")

    def test_a_call_that_fails_is_in_the_answer_of_apply(self, shop: Shop) -> None:
        shop.target.lose(1, heard=True)
        view = shop.app.rollouts.apply("churn", "prod").target
        assert view is not None
        assert "lost" in view.problem

    def test_what_was_missed_is_told_by_the_next_look(self, shop: Shop) -> None:
        shop.target.lose(1, heard=False)
        shop.app.rollouts.apply("churn", "prod")
        shop.app.rollouts.look("churn", "prod", dry=True)
        assert shop.held() == 1, "a dry look tells nobody"
        answer = shop.app.rollouts.look("churn", "prod")
        assert (answer.move, shop.held()) == ("hold", 2)
        assert answer.target is not None
        assert answer.target.lagging == ("a", "b")

    def test_a_crash_between_pointer_and_target_heals(self, shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
        def killed(_deployment: object) -> None:
            raise KeyboardInterrupt

        with monkeypatch.context() as patched:
            patched.setattr(shop.target, "apply", killed)
            with pytest.raises(KeyboardInterrupt):
                shop.app.traffic.deploy("churn:2", "prod")
        assert (shop.held(), shop.wanted()) == (1, 2)
        shop.app.rollouts.apply("churn", "prod")
        assert shop.held() == 2


class TestWayBack:
    def test_the_target_is_told_before_anything_else_is_shown(
        self, shop: Shop, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        shop.app.rollouts.apply("churn", "prod")

        def away(*_: object, **__: object) -> None:
            raise EngineError("The registry is away")

        monkeypatch.setattr("keelway.promote.show_pointer", away)
        with pytest.raises(EngineError, match="registry"):
            shop.app.traffic.rollback("churn", "prod")
        assert shop.held() == 3

    def test_it_waits_for_replicas_that_take_their_time(self, shop: Shop) -> None:
        shop.app.rollouts.apply("churn", "prod")
        shop.target.turns_to_load = 8
        shop.target.turn()
        view = shop.app.traffic.rollback("churn", "prod").target
        assert view is not None
        assert (view.is_effective, view.lagging) == (True, ())
        assert 0 < shop.time.seconds <= 5
        assert shop.target.answered_by("churn", "prod", "a") == [1, 3], "nobody began what was being left"

    def test_it_waits_for_nobody_where_all_are_there(self, shop: Shop) -> None:
        shop.app.rollouts.apply("churn", "prod")
        tell = shop.target.apply

        def told_and_there(deployment: Any) -> None:
            tell(deployment)
            shop.target.turn()

        shop.target.apply = told_and_there  # type: ignore[method-assign]
        view = shop.app.traffic.rollback("churn", "prod").target
        assert view is not None
        assert (view.is_effective, shop.time.seconds) == (True, 0.0)

    def test_it_says_after_five_seconds_which_replica_lags(self, shop: Shop) -> None:
        shop.app.rollouts.apply("churn", "prod")
        shop.target.turn()
        shop.target.stalled.add("b")
        view = shop.app.traffic.rollback("churn", "prod").target
        assert view is not None
        assert (view.lagging, view.is_effective, view.problem) == (("b",), False, "")
        assert shop.time.seconds == pytest.approx(5.0, abs=0.3)

    def test_a_lost_call_is_made_again_while_it_waits(self, shop: Shop) -> None:
        shop.app.rollouts.apply("churn", "prod")
        shop.target.lose(3, heard=False)
        view = shop.app.traffic.rollback("churn", "prod").target
        assert view is not None
        assert (view.held, view.is_effective, view.problem) == (3, True, "")

    def test_a_target_that_stays_away_does_not_keep_the_ledger_from_going_back(self, shop: Shop) -> None:
        shop.app.rollouts.apply("churn", "prod")
        shop.target.is_away = True
        answer = shop.app.traffic.rollback("churn", "prod")
        assert answer.traffic == {"churn:1": 100}
        assert answer.target is not None
        assert "away" in answer.target.problem


MOVES = {
    "rollback": ("rollback", "churn"),
    "abort": ("rollout", "churn", "--abort"),
    "deploy": ("deploy", "churn:1"),
    "canary": ("deploy", "churn:2", "--canary", "20"),
}


@pytest.mark.parametrize("words", MOVES.values(), ids=MOVES.keys())
class TestExitCode:
    """A command that moves traffic ends with 0 where it is effective, and else with 4, decided and recorded."""

    @pytest.fixture(autouse=True)
    def begun(self, shop: Shop) -> None:
        shop.app.rollouts.canary("churn:2", "prod", 10)
        shop.target.turn()

    def test_replicas_that_follow_are_waited_for(self, shop: Shop, words: tuple[str, ...]) -> None:
        target = shop.answered(*words, code=0)["target"]
        assert (target["wanted"], target["lagging"], target["problem"]) == (3, [], "")
        assert [replica["deployment"] for replica in target["replicas"]] == [3, 3]

    def test_one_that_lags_is_named_and_the_decision_stands(self, shop: Shop, words: tuple[str, ...]) -> None:
        shop.target.stalled.add("b")
        assert shop.answered(*words, code=4)["target"]["lagging"] == ["b"]
        assert shop.wanted() == 3

    def test_a_person_is_warned(self, shop: Shop, words: tuple[str, ...]) -> None:
        shop.target.stalled.add("b")
        result = shop.call(*words)
        assert result.exit_code == 4
        assert "target pushed: deployment 3 is wanted; 1 of 2 replicas lags" in result.stdout
        assert "Decided and recorded, but not effective everywhere yet" in result.stderr
        assert "expected: every server of target pushed to answer by deployment 3" in result.stderr
        assert "found:    b answers by deployment 2" in result.stderr
        assert "fix:      Look again: keelway deploy plan churn --env prod" in result.stderr

    def test_who_does_not_wait_is_told_who_lags_and_ends_well(self, shop: Shop, words: tuple[str, ...]) -> None:
        assert shop.answered(*words, "--wait", "0s", code=0)["target"]["lagging"] == ["a", "b"]
        assert shop.time.seconds == 0.0

    def test_who_has_time_waits_longer(self, shop: Shop, words: tuple[str, ...]) -> None:
        shop.target.turns_to_load = 200
        assert shop.answered(*words, "--wait", "60s", code=0)["target"]["lagging"] == []
        assert 30 < shop.time.seconds < 60

    def test_a_target_that_cannot_be_told_is_in_the_answer(self, shop: Shop, words: tuple[str, ...]) -> None:
        shop.target.is_away = True
        assert "control plane is away" in shop.answered(*words, "--wait", "1s", code=4)["target"]["problem"]
        shop.target.is_away = False
        assert (shop.held(), shop.wanted()) == (2, 3)

    def test_a_target_that_cannot_be_told_fails_also_who_does_not_wait(
        self, shop: Shop, words: tuple[str, ...]
    ) -> None:
        shop.target.is_away = True
        result = shop.call(*words, "--wait", "0s")
        assert result.exit_code == 4
        assert "control plane is away" in result.stderr

    def test_a_silent_replica_is_named_and_not_waited_for(self, shop: Shop, words: tuple[str, ...]) -> None:
        shop.target.stalled.add("b")
        shop.target.silent["b"] = shop.clock.now()
        target = shop.answered(*words, code=0)["target"]
        assert (target["silent"], target["lagging"]) == (["b"], [])
        assert [replica["deployment"] for replica in target["replicas"]] == [3, 2]
        assert shop.time.seconds < 1
        assert "effective on 1 replica; 1 is silent" in shop.printed("deploy", "plan", "churn")


def test_what_is_told_and_not_waited_for_ends_with_4_only_where_it_was_not_told(shop: Shop) -> None:
    shop.target.stalled |= {"a", "b"}
    assert shop.answered("deploy", "apply", "churn", code=0)["target"]["lagging"] == ["a", "b"]
    shop.target.lose(1, heard=True)
    assert "lost" in shop.answered("deploy", "apply", "churn", code=4)["target"]["problem"]
    assert shop.answered("rollout", "churn", code=0)["move"] == "hold"
    assert shop.answered("rollout", "churn", "--pause", code=0)["state"] == "paused"


class TestCapabilities:
    def test_what_the_target_cannot_do_is_refused_by_the_plan(self, shop: Shop) -> None:
        shop.target.capabilities = TargetCapabilities(sticky=False, shadows=True)
        for refused in (
            lambda: shop.app.rollouts.plan("churn", "prod"),
            lambda: shop.app.rollouts.apply("churn", "prod"),
            lambda: shop.app.rollouts.canary("churn:2", "prod", 20),
        ):
            with pytest.raises(UsageError, match="pushed cannot carry out") as error:
                refused()
            assert error.value.fix
        assert shop.held() == 1
        assert shop.app.traffic.deploy("churn:2", "prod").deployment.number == 2, "all traffic at once it can"


class TestShown:
    def test_status_and_plan_show_what_is_there_beside_what_is_wanted(self, shop: Shop) -> None:
        shop.app.rollouts.apply("churn", "prod")
        shop.target.turn()
        shop.target.stalled.add("b")
        shop.app.rollouts.turn("churn", "prod", "stop")
        since = time_text(shop.clock.now())
        for words in (("rollout", "status", "churn"), ("deploy", "plan", "churn", "--try", "churn:1")):
            printed = shop.printed(*words)
            assert "target pushed: deployment 3 is wanted; 1 of 2 replicas lags" in printed
            assert f"- b answers by deployment 2 since {since}" in printed
        told = json.loads(shop.printed("rollout", "status", "churn", "--json"))["target"]
        assert (told["wanted"], told["held"], told["lagging"]) == (3, 3, ["b"])
        assert [replica["deployment"] for replica in told["replicas"]] == [3, 2]

    def test_a_rollback_prints_that_it_is_effective(self, shop: Shop) -> None:
        shop.app.rollouts.apply("churn", "prod")
        assert "deployment 3 is wanted; effective on 2 replicas" in shop.printed("rollback", "churn")

    def test_a_replica_that_cannot_is_told_with_its_reason(self, shop: Shop) -> None:
        shop.target.refused.add(VersionName("churn:2"))
        shop.app.traffic.deploy("churn:2", "prod")
        shop.target.turn()
        assert "a answers by deployment 1 since" in (printed := shop.printed("deploy", "plan", "churn"))
        assert "churn:2 does not load" in printed

    def test_replicas_that_never_answered_and_a_target_that_was_never_told_are_shown_so(self, shop: Shop) -> None:
        shop.target = PushedTarget(clock=shop.clock)
        assert "nothing is known to answer\n    - it was not told of deployment 1 yet" in shop.printed(
            "deploy", "plan", "churn"
        )
        shop.app.rollouts.apply("churn", "prod", versions=["churn:1"])
        assert "- b does not answer yet" in shop.printed("deploy", "plan", "churn")
