"""The commands at the door as people type them, on a project whose versions were registered beforehand."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from keelway.core import Environment, digest_of, time_text
from keelway.deploy import SmokeResult, deploy
from keelway.engines.mlflow import MlflowTracker
from keelway.ledger import write_atomically
from keelway.register import ModelVersion
from keelway.surfaces.cli.main import main
from keelway.testing.door import CI, NOW, OPEN, DoorWorld

TOKEN = "the pipeline's own"
TOML = f"""\
[project]
name = "shop"
module = "nothing"
actor = "user:ana"

[engines]
state = "sqlite:state.db"
artifacts = "artifacts"
tracking = "TRACKING"

[signing]
name = "test"

[environments.prod]
policy = "policy"
approvals = {{ approver = 1, risk-owner = 1 }}
approval_expires = "7d"
registry_writers = ["ml-platform"]
checklists = {{ high = ["Impact assessed"] }}

[principals."user:ana"]
roles = ["data-scientist"]
[principals."user:ben"]
roles = ["approver"]
[principals."user:cat"]
roles = ["approver"]
[principals."user:eve"]
roles = ["risk-owner"]
[principals."user:fay"]
roles = ["auditor"]
[principals."user:ada"]
roles = ["admin"]
[principals."user:hal"]
roles = ["deployer"]
[principals."sp:ci"]
roles = ["deployer"]
token_sha256 = "{hashlib.sha256(TOKEN.encode()).hexdigest()}"
"""
CHURN = ("churn:1", "--to", "prod")


class Counter:
    """A command line in front of a world."""

    def __init__(self, folder: Path, tracking: str = "") -> None:
        self.world = DoorWorld(folder)
        self.folder, self.now = folder, NOW
        (folder / "keelway.toml").write_text(TOML.replace("TRACKING", tracking))
        (folder / "policy/gate.rego").write_text(OPEN)
        self.world.key.save(folder / ".keelway/keys/signing.pem")
        write_atomically(folder / ".keelway/keys/signing.pub", self.world.key.public.pem().encode())

    def call(self, *words: str, by: str = "", json_too: bool = True) -> Result:
        given = ["--project", str(self.folder), "--now", time_text(self.now)]
        given += ["--as", by] if by else []
        environment = {"KEELWAY_TOKEN": TOKEN} if by.startswith("sp:") else {}
        return CliRunner().invoke(main, [*words, *given, *(["--json"] if json_too else [])], env=environment)

    def __call__(self, *words: str, by: str = "") -> Any:
        """Return what a command answers; it has to succeed, for people as for machines."""
        result = self.call(*words, by=by)
        assert result.exit_code == 0, result.output
        return json.loads(result.stdout)

    def told(self, *words: str, by: str = "", code: int = 0) -> str:
        result = self.call(*words, by=by, json_too=False)
        assert result.exit_code == code, result.output
        return result.output

    def refused(self, *words: str, by: str = "") -> str:
        result = self.call(*words, by=by)
        assert result.exit_code in (1, 2, 3), result.output
        return str(json.loads(result.stderr))

    def line(self, what: str) -> tuple[bool, str]:
        """Return what `doctor` says of one thing."""
        lines = json.loads(self.call("doctor").stdout)["lines"]
        return next((line["ok"], line["found"]) for line in lines if line["what"] == what)

    def approved(self, version: str) -> None:
        """Let people do their part for a version."""
        where = (version, "--to", "prod")
        self("promote", *where, "--request")
        self("checklist", *where, "--done", "Impact assessed")
        self("approve", *where, by="user:ben")
        self("approve", *where, by="user:eve")


@pytest.fixture(autouse=True)
def nothing_is_logged_to_the_terminal() -> Iterator[None]:
    logging.disable(logging.WARNING)
    yield
    logging.disable(logging.NOTSET)


@pytest.fixture
def counter(tmp_path: Path) -> Counter:
    return Counter(tmp_path)


def test_from_a_request_to_the_door_and_what_is_missing_on_the_way(counter: Counter) -> None:
    counter("promote", *CHURN, "--request", "--comment", "better on every slice")
    (line,) = counter("requests")
    assert line["state"] == "open"
    assert "the checklist lacks: Impact assessed" in line["missing"]
    assert "the checklist lacks" in counter.refused("approve", *CHURN, by="user:ben")
    assert counter("checklist", *CHURN)["missing"] == ["Impact assessed"]
    assert counter("checklist", *CHURN, "--done", "Impact assessed", "--comment", "wiki/42")["missing"] == []
    counter("approve", *CHURN, by="user:ben")
    counter("approve", *CHURN, by="user:eve")
    human = counter.told("requests")
    assert "churn:1 to prod: ready" in human
    assert "user:ben approved it" in human
    assert "not a service principal" in counter.refused("promote", *CHURN, by="user:hal")
    assert len(counter("promote", *CHURN, by="sp:ci")["approvals"]) == 2
    assert counter.told("requests") == "no request is open\n"
    assert [line["state"] for line in counter("requests", "--all")] == ["admitted"]


def test_looking_at_the_door_tells_scripts_what_it_said(counter: Counter) -> None:
    assert "the gate says yes" in counter.told("promote", *CHURN, "--check")
    assert "lets it in" in counter.told("policy", "explain", *CHURN)
    counter("models", "retire", "churn:1", "--reason", "too old", by="user:ben")
    assert "was retired by user:ben: too old" in counter.told("promote", *CHURN, "--check", code=3)
    assert not json.loads(counter.call("promote", *CHURN, "--check").stdout)["allowed"]
    explained = counter("policy", "explain", *CHURN)
    assert not explained["verdict"]["allowed"]
    assert explained["unplaced"] == ["churn:1 was retired by user:ben: too old"]
    assert counter("audit", "log", "--environment", "prod") == []
    assert "prod" in counter.refused("audit", "log", "--environment", "pord")


def test_a_rejection_a_revocation_and_a_withdrawal(counter: Counter) -> None:
    counter("promote", *CHURN, "--request")
    assert "reason" in counter.refused("reject", *CHURN, by="user:ben")
    counter("reject", *CHURN, "--reason", "the label leaks", by="user:ben")
    assert "user:ben rejected it: the label leaks" in counter.told("requests")
    assert "an admin" in counter.refused("revoke", *CHURN, "--of", "user:ben", "--reason", "x", by="user:cat")
    counter("revoke", *CHURN, "--of", "user:ben", "--reason", "it does not", by="user:ada")
    counter("withdraw", *CHURN, "--reason", "later")
    assert [line["state"] for line in counter("requests", "--all")] == ["withdrawn"]
    assert "--to ENVIRONMENT" in counter.refused("revoke", "churn:1", "--reason", "x", by="user:ben")


def test_a_right_is_lent_used_and_taken_back(counter: Counter) -> None:
    counter("promote", *CHURN, "--request")
    counter("checklist", *CHURN, "--done", "Impact assessed")
    lent = counter("delegate", "user:fay", "--until", "1998-07-01", "--reason", "holiday", by="user:ben")
    assert "user:fay" in counter.told("delegate", "--list")
    assert counter("approve", *CHURN, "--for", "user:ben", by="user:fay")["on_behalf_of"] == "user:ben"
    counter("revoke", lent["delegation_id"], "--reason", "back", by="user:ben")
    assert "counts no more: user:ben ended the delegation" in counter.told("requests")
    assert counter("delegate", "--list") == []
    assert "a person and a date" in counter.refused("delegate", "user:fay", by="user:ben")


def test_several_models_enter_together_or_not_at_all(counter: Counter) -> None:
    counter.world.register(1, model="basket")
    counter.approved("churn:1")
    both = ("promote", "churn:1", "basket:1", "--to", "prod")
    assert "basket:1: it has 0 of 1 approvals" in counter.refused(*both, by="sp:ci")
    counter.approved("basket:1")
    assert [one["version"] for one in counter(*both, by="sp:ci")] == ["churn:1", "basket:1"]
    assert "for one version at a time" in counter.refused(*both, "--check")


def test_a_gate_is_skipped_by_two_and_complains_until_the_way_back(counter: Counter) -> None:
    counter.approved("churn:1")
    counter("promote", *CHURN, by="sp:ci")
    counter.world.register(2)
    glass = ("churn:2", "--to", "prod", "--break-glass")
    why = ("--reason", "the till is down")
    assert "needs a reason" in counter.refused("promote", *glass, "--request")
    counter("promote", *glass, *why, "--request")
    assert "BREAK-GLASS" in counter.told("requests")
    counter("approve", *glass, by="user:ben")
    assert "1 of 2 approvals" in counter.refused("promote", *glass, *why, by="sp:ci")
    counter("approve", *glass, by="user:cat")
    assert "UnsafeSkipGate: churn:2" in counter.told("promote", *glass, *why, by="sp:ci")
    assert counter("aliases", "check")["expired"] == []
    counter.now = datetime.fromisoformat("1998-06-03T00:00:00+00:00")
    assert "should not since 1998-06-02" in counter.told("aliases", "check", code=1)
    ok, found = counter.line("skipped gates")
    assert not ok
    assert "churn:2 in prod" in found
    back = counter("rollback", "churn", "--in", "prod", by="sp:ci")
    assert (back["version"], back["traffic"], back["deployment"]) == ("churn:1", {}, None)
    assert "no skipped gate is overdue" in counter.told("aliases")


def test_a_reason_without_break_glass_is_a_slip(counter: Counter) -> None:
    assert "belongs to --break-glass" in counter.refused("promote", *CHURN, "--reason", "x", by="sp:ci")


def test_traffic_and_pointer_go_back_by_one_command(counter: Counter) -> None:
    world = counter.world
    for version in (world.version, world.register(2)):
        counter.approved(version.name)
        counter("promote", version.name, "--to", "prod", by="sp:ci")

        def smoke(tried: ModelVersion) -> SmokeResult:
            return SmokeResult(tried.name, digest_of(tried), passed=True, answers=1)

        deploy(
            "churn", environment=Environment("prod"), stable=version.name, smoke=smoke, state=world.state,
            principal=CI.id, now=NOW,
        )  # fmt: skip
    assert "service principal" in counter.refused("rollback", "churn", by="user:hal")
    assert "role deployer" in counter.refused("rollback", "churn", by="user:ben")
    assert "churn:1 stands in prod again" in counter.told("rollback", "churn", "--to", "churn:1", by="sp:ci")
    assert world.live() == "churn:1"
    assert counter("rollback", "churn", "--to", "churn:2", by="sp:ci")["traffic"] == {"churn:2": 100}
    assert world.live() == "churn:2"


def test_an_alias_that_was_edited_is_found_told_and_healed(tmp_path: Path) -> None:
    counter = Counter(tmp_path, tracking="sqlite:mlflow.db")
    counter.approved("churn:1")
    counter("promote", *CHURN, by="sp:ci")
    assert "every alias shows its pointer" in counter.told("aliases", "check")
    with MlflowTracker(f"sqlite:///{tmp_path / 'mlflow.db'}")._client() as client:
        client.delete_registered_model_alias("churn", "prod")
    found = counter.told("aliases", "check", code=1)
    assert "churn@prod was edited past the door: it shows nothing" in found
    assert "who could have done it: ml-platform" in found
    assert "alerts recorded: 1" in found
    assert counter.world.told()[-1].action == "alert"
    assert counter.line("registry aliases")[0] is False
    assert counter("aliases", "sync", by="user:ada") == []
    assert "every alias shows its pointer" in counter.told("aliases", "check")
    assert "IdentityError" in counter.refused("aliases", "sync", by="user:ben")


def test_a_registry_that_cannot_be_read_is_told_as_that(tmp_path: Path) -> None:
    counter = Counter(tmp_path, tracking="sqlite:mlflow.db")
    counter.approved("churn:1")
    (tmp_path / "mlflow.db").write_bytes(b"this is no database" * 100)
    counter("promote", *CHURN, by="sp:ci")
    told = counter.told("aliases", "check", code=1)
    assert "churn@prod could not be read: MLflow failed: found " in told
    assert "; the ledger says version 1" in told
    assert "it shows" not in told
    assert [entry.action for entry in counter.world.told() if entry.action == "alert"] == []


def test_without_a_registry_there_is_nothing_to_sync(counter: Counter) -> None:
    assert "No registry is kept" in counter.refused("aliases", "sync", by="user:ada")
