"""`deploy plan`, `deploy apply` and `rollout` as people type them; what the servers saw is given, all else is real."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from keelway.core import PolicySet, digest_of, time_text
from keelway.deploy import Deployment, Smoke, SmokeResult
from keelway.deploy.analysis import ArmFigures, Phase, RateCounts, RolloutEvidence
from keelway.ledger import write_atomically
from keelway.register import ModelVersion
from keelway.surfaces.cli.main import main
from keelway.testing.door import NOW, OPEN, DoorWorld

TOKEN = "the pipeline's own"
TOML = f"""\
[project]
name = "shop"
module = "declared"
source = "."
actor = "user:ana"
[engines]
state = "sqlite:state.db"
artifacts = "artifacts"
tracking = ""
[signing]
name = "test"
[environments.prod]
policy = "policy"
[principals."user:ana"]
roles = ["data-scientist"]
[principals."sp:ci"]
roles = ["deployer"]
token_sha256 = "{hashlib.sha256(TOKEN.encode()).hexdigest()}"
"""
DECLARED = """\
from dataclasses import replace

from keelway import Analysis, Guardrail, Metric, Project, Rollout
from keelway.testing.training import churn_model

GUARD = Analysis((Guardrail("error_rate", margin=0.05),))
GOAL = Analysis((Guardrail("error_rate", margin=0.05),), (Metric("conversion"),))
project = Project("shop", models=[replace(churn_model(), rollouts=(ROLLOUT,))])
"""
CANARY = 'Rollout.canary("prod", steps=(10, 50), hold="1h", analysis=GUARD)'


class Shop:
    """A command line in front of a project with three versions, of which the first answers.

    Attributes:
        errors: The share of the requests that fail, by arm; arms that are missing answer well.
        now: The moment of the next command.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.now = NOW + timedelta(days=3)
        self.errors: dict[str, float] = {}
        self.conversions: dict[str, float] = {}
        self.requests = 4000

    def declare(self, rollout: str) -> None:
        (self.folder / "declared.py").write_text(DECLARED.replace("ROLLOUT", rollout))

    def call(self, *words: str, by: str = "sp:ci", json_too: bool = True) -> Result:
        given = ["--project", str(self.folder), "--now", time_text(self.now), "--as", by]
        environment = {"KEELWAY_TOKEN": TOKEN} if by.startswith("sp:") else {}
        return CliRunner().invoke(main, [*words, *given, *(["--json"] if json_too else [])], env=environment)

    def __call__(self, *words: str, by: str = "sp:ci") -> Any:
        result = self.call(*words, by=by)
        assert result.exit_code == 0, result.output
        return json.loads(result.stdout)

    def told(self, *words: str) -> str:
        result = self.call(*words, json_too=False)
        assert result.exit_code == 0, result.output
        return result.output

    def refused(self, *words: str, by: str = "sp:ci") -> dict[str, Any]:
        result = self.call(*words, by=by)
        assert result.exit_code in (1, 2, 3), result.output
        return dict(json.loads(result.stderr))

    def evidence(self, _readings: object, deployments: Sequence[Deployment], arm: str, **_more: Any) -> RolloutEvidence:
        """Return what servers would have counted, in the place of `evidence_of`."""
        control = deployments[-1].control_arm
        figures = [
            ArmFigures(
                name,
                self.requests,
                tallies={
                    "error_rate": RateCounts(round(self.errors.get(name, 0.0) * self.requests), self.requests),
                    "conversion": RateCounts(round(self.conversions.get(name, 0.1) * self.requests), self.requests),
                },
            )
            for name in (control, arm)
        ]
        phase = Phase({control: 1.0, arm: 1.0}, {control: self.requests, arm: self.requests})
        return RolloutEvidence(figures[0], figures[1], (phase,))


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    world = DoorWorld(tmp_path_factory.mktemp("door")).ruled(policy=PolicySet("open", {"gate.rego": OPEN}), approvals=0)
    (world.folder / "keelway.toml").write_text(TOML)
    (world.folder / "policy/gate.rego").write_text(OPEN)
    world.key.save(world.folder / ".keelway/keys/signing.pem")
    write_atomically(world.folder / ".keelway/keys/signing.pub", world.key.public.pem().encode())
    for version in (world.version, world.register(2), world.register(3)):
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
    made = Shop(tmp_path / "shop")
    for module in ("traffic", "rollouts"):
        monkeypatch.setattr(f"keelway.app.{module}.smoke_test", passes)
    monkeypatch.setattr("keelway.monitor.rollout.evidence_of", made.evidence)
    logging.disable(logging.WARNING)
    made.declare(CANARY)
    made("deploy", "churn:1")
    yield made
    logging.disable(logging.NOTSET)


class TestPlan:
    def test_it_tells_each_stage_and_changes_nothing(self, shop: Shop) -> None:
        plan = shop("deploy", "plan", "churn", by="user:ana")
        assert (plan["change"], plan["treatments"], plan["deployed"]) == ("begin", ["churn:3"], {"churn:1": 100})
        assert [stage["what"] for stage in plan["stages"]] == [
            "10 % of the entities to churn:3",
            "50 % of the entities to churn:3",
            "then all traffic to churn:3; all of it back when harm is shown",
        ]
        assert [stage["hold"] for stage in plan["stages"]] == ["1h", "1h", "0m"]
        assert "1,000 in all; no traffic was measured yet" in plan["stages"][0]["needs"][0]
        assert shop("deploy", "plan", "churn") == plan
        told = shop.told("deploy", "plan", "churn")
        assert "change: begin, because churn:3 was let in, churn:1 answers" in told
        assert "1. 10 % of the entities to churn:3, at least 1h" in told

    def test_scripts_learn_by_the_exit_code_only_when_they_ask(self, shop: Shop) -> None:
        assert shop.call("deploy", "plan", "churn").exit_code == 0
        assert shop.call("deploy", "plan", "churn", "--detailed-exitcode").exit_code == 2
        shop("deploy", "apply", "churn")
        assert shop.call("deploy", "plan", "churn", "--detailed-exitcode").exit_code == 0

    def test_a_version_may_be_named(self, shop: Shop) -> None:
        assert shop("deploy", "plan", "churn", "--try", "churn:2")["treatments"] == ["churn:2"]
        assert shop("deploy", "plan", "churn", "--try", "churn:1")["change"] == "none"

    @pytest.mark.parametrize(
        ("rollout", "change"), [('Rollout.all_at_once("prod")', "deploy"), ('Rollout.canary("staging")', "deploy")]
    )
    def test_without_steps_everything_goes_at_once(self, shop: Shop, rollout: str, change: str) -> None:
        shop.declare(rollout)
        assert shop("deploy", "plan", "churn")["change"] == change
        assert shop("deploy", "apply", "churn")["deployed"] == {"churn:3": 100}

    @pytest.mark.parametrize(
        ("rollout", "words"),
        [
            ('Rollout.shadow("prod", analysis=GUARD)', ["scores copies of the requests", "then the traffic stays"]),
            ('Rollout.blue_green("prod", analysis=GUARD)', ["scores copies", "the old version stays loaded"]),
            ('Rollout.ab("prod", analysis=GOAL, percent=60)', ["60 % take part, in equal shares", "to the winner"]),
            ('Rollout.bandit("prod", analysis=GOAL)', ["100 % take part, in drawn shares", "to the winner"]),
            ('Rollout.champion_challenger("prod")', ["10 % of the entities to churn:3", "then all traffic"]),
        ],
    )
    def test_every_strategy_is_told_in_words(self, shop: Shop, rollout: str, words: list[str]) -> None:
        shop.declare(rollout)
        stages = shop("deploy", "plan", "churn")["stages"]
        told = "; ".join(stage["what"] for stage in stages)
        assert all(each in told for each in words), told


class TestApply:
    def test_it_begins_what_is_declared_and_a_second_time_does_nothing(self, shop: Shop) -> None:
        first = shop("deploy", "apply", "churn")
        assert (first["change"], first["deployed"]) == ("none", {"churn:1": 90, "churn:3": 10})
        assert "r1 goes on, stage 1 of 2" in first["reason"]
        assert shop("deploy", "apply", "churn") == first
        status = shop("rollout", "status", "churn")
        assert (status["rollout"], status["state"], status["stage"]) == ("r1", "running", 1)

    def test_it_does_not_end_another_rollout(self, shop: Shop) -> None:
        shop("deploy", "apply", "churn", "--try", "churn:2")
        assert "end it first" in shop.refused("deploy", "apply", "churn")["found"]

    def test_who_may_not_move_the_environment_is_refused(self, shop: Shop) -> None:
        for words in (("deploy", "apply"), ("rollout",)):
            assert "deployer" in str(shop.refused(*words, "churn", by="user:ana"))

    def test_several_versions_are_tried_at_once(self, shop: Shop) -> None:
        shop.declare('Rollout.ab("prod", analysis=GOAL, percent=60, hold="0m", layer="prices")')
        plan = shop("deploy", "apply", "churn", "--try", "churn:2", "--try", "churn:3")
        assert plan["deployed"] == {"churn:1": 60, "churn:2": 20, "churn:3": 20}
        shop.conversions = {"churn:2": 0.2}
        answer = shop("rollout", "churn")
        assert (answer["move"], answer["deployment"]["traffic"]) == ("finish", {"churn:2": 100})
        assert shop("status")["live"][0]["version"] == "churn:2", "the pointer follows the winner"

    def test_what_was_declared_when_it_began_holds_to_its_end(self, shop: Shop) -> None:
        shop("deploy", "apply", "churn")
        shop.declare('Rollout.canary("prod", steps=(1, 2, 3), analysis=GUARD)')
        assert "by what was declared when it began" in shop("deploy", "apply", "churn")["reason"]
        assert shop("rollout", "churn", "--dry")["stages"] == 2

    def test_a_shadow_that_came_to_its_end_is_not_begun_again(self, shop: Shop) -> None:
        shop.declare('Rollout.shadow("prod", analysis=GUARD, hold="0m")')
        shop("deploy", "apply", "churn")
        assert shop("rollout", "churn")["state"] == "finished"
        plan = shop("deploy", "plan", "churn")
        assert (plan["change"], plan["deployed"]) == ("none", {"churn:1": 100})
        assert "shadowed churn:3 to its end" in plan["reason"]


class TestLooking:
    def test_looks_lead_from_stage_to_stage_to_the_end(self, shop: Shop) -> None:
        shop("deploy", "apply", "churn")
        assert shop("rollout", "churn")["move"] == "hold"
        traffic = []
        for _ in range(2):
            shop.now += timedelta(hours=1)
            traffic.append(shop("rollout", "churn")["deployment"]["traffic"])
        assert traffic == [{"churn:1": 50, "churn:3": 50}, {"churn:3": 100}]
        assert shop("rollout", "status", "churn")["state"] == "finished"
        assert shop("deploy", "plan", "churn")["change"] == "none"
        assert "No rollout" in shop.refused("rollout", "churn")["what"]

    def test_harm_takes_traffic_and_pointer_back(self, shop: Shop) -> None:
        shop("deploy", "apply", "churn")
        shop.errors = {"canary": 0.2}
        told = shop.told("rollout", "churn")
        assert "stage 1 of 2: back" in told
        assert "churn:3 (canary): failure, 4000 requests against 4000" in told
        assert "error_rate is shown to be worse by more than 0.05" in told
        (live,) = shop("status")["live"]
        assert (live["version"], live["traffic"]) == ("churn:1", {"churn:1": 100})
        assert shop("deploy", "plan", "churn")["change"] == "none"

    def test_a_dry_look_moves_nothing_and_is_not_kept(self, shop: Shop) -> None:
        shop("deploy", "apply", "churn")
        shop.errors = {"canary": 0.2}
        answer = shop("rollout", "churn", "--dry", by="user:ana")
        assert (answer["move"], answer["state"], answer["dry"]) == ("back", "running", True)
        assert shop("rollout", "status", "churn")["looks"] == 0

    def test_too_little_traffic_decides_nothing(self, shop: Shop) -> None:
        shop("deploy", "apply", "churn")
        shop.requests, shop.errors = 50, {"canary": 0.9}
        shop.now += timedelta(hours=5)
        assert shop("rollout", "churn")["move"] == "hold"

    def test_a_watch_ends_when_it_is_decided(self, shop: Shop) -> None:
        shop("deploy", "apply", "churn")
        shop.errors = {"canary": 0.2}
        assert shop("rollout", "churn", "--watch", "--every", "1s")["state"] == "back"

    def test_a_watch_looks_until_then(self, shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
        shop("deploy", "apply", "churn")
        slept = []

        def harm_shows_after_two_looks(seconds: float) -> None:
            slept.append(seconds)
            shop.errors = {"canary": 0.2} if len(slept) == 2 else {}

        monkeypatch.setattr("keelway.app.rollouts.time.sleep", harm_shows_after_two_looks)
        told = shop.told("rollout", "churn", "--watch", "--every", "7s")
        assert slept == [7.0, 7.0]
        assert "stage 1 of 2: back" in told

    def test_people_pause_resume_and_end_it(self, shop: Shop) -> None:
        shop("deploy", "apply", "churn")
        shop.now += timedelta(hours=2)
        assert shop("rollout", "churn", "--pause")["state"] == "paused"
        assert shop("rollout", "churn")["move"] == "pause"
        assert shop("rollout", "churn", "--resume", "--comment", "looked at it")["state"] == "running"
        ended = shop("rollout", "churn", "--abort")
        assert (ended["state"], ended["traffic"]) == ("stopped", {"churn:1": 100})
        assert shop("status")["live"][0]["version"] == "churn:1"

    def test_one_thing_at_a_time(self, shop: Shop) -> None:
        assert "one at a time" in shop.refused("rollout", "churn", "--dry", "--abort")["what"]

    def test_without_a_rollout_it_says_how_to_begin_one(self, shop: Shop) -> None:
        assert "deploy apply churn" in shop.refused("rollout", "churn")["fix"]
        assert "deploy apply churn" in shop.refused("rollout", "status", "churn")["fix"]


class TestByHand:
    def test_a_canary_is_a_rollout_with_the_standard_analysis(self, shop: Shop) -> None:
        assert shop("deploy", "churn:2", "--canary", "20")["traffic"] == {"churn:1": 80, "churn:2": 20}
        answer = shop("rollout", "churn", "--dry")
        assert (answer["strategy"], answer["stages"], answer["move"]) == ("canary", 1, "pause")
        assert any("latency" in reason for reason in answer["reasons"]), "what nobody measured is an error"

    def test_deploying_at_once_ends_it(self, shop: Shop) -> None:
        shop("deploy", "churn:2", "--canary", "20")
        assert shop("deploy", "to", "churn:3")["traffic"] == {"churn:3": 100}
        assert shop("rollout", "status", "churn")["state"] == "stopped"

    def test_one_rollback_ends_it_and_takes_the_pointer_along(self, shop: Shop) -> None:
        shop("deploy", "churn:3", "--canary", "20")
        assert shop("rollback", "churn")["traffic"] == {"churn:1": 100}
        assert shop("status")["live"][0]["version"] == "churn:1"

    @pytest.mark.parametrize("words", [("rollback", "churn"), ("rollout", "churn"), ("rollout", "churn", "--abort")])
    def test_where_the_pointer_stays_the_way_back_needs_no_policy(self, shop: Shop, words: tuple[str, ...]) -> None:
        shop("deploy", "churn:3")
        shop.declare('Rollout.canary("prod", steps=(20,), analysis=GUARD)')
        shop("deploy", "apply", "churn", "--try", "churn:1")
        shutil.rmtree(shop.folder / "policy")
        shop.errors = {"canary": 0.2}
        shop(*words)
        assert shop("rollout", "status", "churn")["traffic"] == {"churn:3": 100}

    def test_a_shadow_is_ended_by_going_back_to_the_version_that_answers(self, shop: Shop) -> None:
        shop.declare('Rollout.shadow("prod", analysis=GUARD)')
        shop("deploy", "apply", "churn")
        assert shop("rollback", "churn", "--to", "churn:1")["deployment"]["shadows"] == []
        assert shop("rollout", "status", "churn")["state"] == "stopped"


def test_a_bandit_draws_new_shares_from_what_it_saw(shop: Shop) -> None:
    shop.declare('Rollout.bandit("prod", analysis=GOAL, floor=0.1)')
    shop("deploy", "apply", "churn", "--try", "churn:2", "--try", "churn:3")
    shop.requests, shop.conversions = 300, {"churn:2": 0.15, "churn:3": 0.05}
    before = shop("rollout", "status", "churn")["traffic"]
    answer = shop("rollout", "churn")
    after = answer["deployment"]["traffic"]
    assert (answer["move"], answer["stage"]) == ("hold", 1)
    assert after["churn:2"] > before["churn:2"] + 10
    assert after["churn:3"] >= 9, "nothing is given up below the floor"
    assert sum(after.values()) == 100


def test_the_moment_is_told_in_status(shop: Shop) -> None:
    began = time_text(shop.now)
    shop("deploy", "apply", "churn")
    assert f"began {began}" in shop.told("rollout", "status", "churn")
    assert datetime.fromisoformat(shop("rollout", "status", "churn")["since"]) == shop.now


HEAVY = {
    "pandas", "numpy", "pyarrow", "scipy", "sklearn", "duckdb", "ibis", "mlflow", "lightgbm", "onnxruntime", "starlette", "uvicorn",
    "alembic", "psycopg", "optuna", "declared",
}  # fmt: skip
"""What no way back may load; `declared` is the module of the project."""
LOADED = """\
import atexit, sys
atexit.register(lambda: print(*sorted({name.partition(".")[0] for name in sys.modules}), file=sys.stderr))
from keelway.surfaces.cli.main import main
main(sys.argv[1:])
"""


class TestTheWayBackIsLight:
    """A rollback waits for nothing that it does not need: neither the project's code nor what reads, fits or serves."""

    @pytest.mark.parametrize(
        "words",
        [("rollback", "churn"), ("rollback", "churn", "--to", "churn:1"), ("rollout", "churn", "--abort")],
        ids=" ".join,
    )
    def test_no_heavy_module_is_loaded(self, shop: Shop, words: tuple[str, ...]) -> None:
        shop("deploy", "churn:3", "--canary", "20")
        told, loaded = self.run(shop, *words)
        assert told["traffic"] == {"churn:1": 100}
        assert loaded & HEAVY == set()
        assert shop("status")["live"][0]["version"] == "churn:1"

    def test_nor_where_the_pointer_stays(self, shop: Shop) -> None:
        shop("deploy", "churn:3")
        shop("deploy", "churn:1", "--canary", "20")
        told, loaded = self.run(shop, "rollback", "churn")
        assert told["traffic"] == {"churn:3": 100}
        assert (loaded & HEAVY, "onnx" in loaded) == (set(), False)

    def test_while_the_state_is_away_no_database_is_loaded(self, shop: Shop) -> None:
        shop("deploy", "churn:3", "--canary", "20")
        (shop.folder / "state.db").write_bytes(b"no database " * 1000)
        told, loaded = self.run(shop, "rollback", "churn", "--offline", ends=1)
        assert told["error"] == "MissingRecordError"  # nothing was served here, so nothing is kept
        assert loaded & (HEAVY | {"sqlalchemy"}) == set()

    def run(self, shop: Shop, *words: str, ends: int = 0) -> tuple[Any, set[str]]:
        given = ["--project", str(shop.folder), "--now", time_text(shop.now), "--as", "sp:ci", "--json"]
        alone = {
            name: value for name, value in os.environ.items() if not name.startswith("COVERAGE_")
        }  # it loads modules
        command = [sys.executable, "-c", LOADED, *words, *given]
        ran = subprocess.run(
            command, env={**alone, "KEELWAY_TOKEN": TOKEN}, capture_output=True, text=True, check=False
        )
        assert ran.returncode == ends, ran.stderr
        said, _, names = ran.stderr.rstrip().rpartition("\n")
        return json.loads(said if ends else ran.stdout), set(names.split())
