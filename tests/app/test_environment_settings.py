"""The settings of an environment: roles, ends, checklists, freezes; what they cannot mean is refused."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from keelway.app import Workspace, read_settings
from keelway.app.gate import environment_rules
from keelway.app.registries import registries, registry_of
from keelway.app.wire import directory_of
from keelway.core import SimulatedClock
from keelway.engines.local.tracker import NoTracker
from keelway.errors import SettingsError

TOML = """\
[project]
name = "shop"
module = "nothing"

[engines]
tracking = ""

[signing]
name = "shop.keelway"

[environments.local]
policy = "policy"

[environments.prod]
policy = "policy"
{more}

[principals."user:ben"]
roles = ["approver"]
disabled = true
"""
ALL = """\
approvals = { approver = 2, risk-owner = 1 }
approval_expires = "7d"
freeze = [{ from = 2026-12-20T00:00:00Z, to = 2027-01-02T00:00:00+01:00, reason = "year end" }]
rollback_policy = "policy"
break_glass_expires = "4h"
registry = "sqlite:prod.db"
registry_writers = ["ml-platform"]
checklists = { high = ["Impact assessed"] }
"""


def opened(root: Path, more: str) -> Workspace:
    (root / "policy").mkdir()
    (root / "policy/gate.rego").write_text("package keelway.gate\n")
    (root / "keelway.toml").write_text(TOML.replace("{more}", more))
    return Workspace(root, read_settings(root), clock=SimulatedClock(datetime(2026, 12, 1, tzinfo=UTC)))


def test_the_rules_of_an_environment_are_those_of_its_settings(tmp_path: Path) -> None:
    at = opened(tmp_path, ALL)
    rules = environment_rules("prod", at=at)
    assert rules.seats == {"approver": 2, "risk-owner": 1}
    assert (rules.approval_expires, rules.break_glass_lasts) == (timedelta(days=7), timedelta(hours=4))
    assert rules.checklists == {"high": ("Impact assessed",)}
    (freeze,) = rules.freezes
    assert (freeze.begins, freeze.ends, freeze.reason) == (
        datetime(2026, 12, 20, tzinfo=UTC), datetime(2027, 1, 1, 23, tzinfo=UTC), "year end",
    )  # fmt: skip
    assert rules.rollback_policy is not None
    assert set(rules.rollback_policy.files) == {"gate.rego"}
    assert rules.directory is not None
    assert directory_of(at.settings).find("user:ben").disabled


def test_outside_local_only_a_service_moves_pointers(tmp_path: Path) -> None:
    at = opened(tmp_path, "")
    assert [environment_rules(name, at=at).service_principal for name in ("local", "prod")] == [False, True]
    assert environment_rules("prod", at=at).seats == {}


def test_a_small_team_may_say_otherwise(tmp_path: Path) -> None:
    assert not environment_rules("prod", at=opened(tmp_path, "service_principal = false")).service_principal


def test_an_environment_is_shown_in_its_own_registry(tmp_path: Path) -> None:
    at = opened(tmp_path, ALL)
    assert set(registries(at)) == {"prod"}
    assert isinstance(registry_of("local", at=at), NoTracker)
    assert not isinstance(registry_of("prod", at=at), NoTracker)


@pytest.mark.parametrize(
    ("more", "told"),
    [
        ("approvals = -1", "negative"),
        ("approvals = { approver = -1 }", "negative"),
        ("approvals = { boss = 1 }", "unknown role"),
        ('approval_expires = "soon"', "no duration"),
        ('approval_expires = "0d"', "too short"),
        ('break_glass_expires = ""', "is empty"),
        ('objective_window = ""', "is empty"),
        ("objective = 1.0", "no share"),
        ("objective = -0.1", "no share"),
        ('checklists = { huge = ["x"] }', "unknown tier"),
        ('freeze = [{ from = 2026-12-20T00:00:00, to = 2027-01-02T00:00:00Z, reason = "x" }]', "freeze is wrong"),
        ('freeze = [{ from = 2027-12-20T00:00:00Z, to = 2027-01-02T00:00:00Z, reason = "x" }]', "freeze is wrong"),
        ("freeze = [{ from = 2026-12-20T00:00:00Z, to = 2027-01-02T00:00:00Z }]", "wrong setting"),
    ],
)
def test_what_a_setting_cannot_mean_is_refused(tmp_path: Path, more: str, told: str) -> None:
    with pytest.raises(SettingsError, match=told):
        opened(tmp_path, more)


@pytest.mark.parametrize(
    ("target", "what"), [("kubernetes", "not built yet"), ("databricks", "not built yet"), ("x", "unknown")]
)
def test_a_target_that_is_not_there_is_refused(tmp_path: Path, target: str, what: str) -> None:
    with pytest.raises(SettingsError, match=f"environments.prod.target is {what}") as refused:
        opened(tmp_path, f'target = "{target}"')
    assert (refused.value.expected, refused.value.found) == ("local", repr(target))


def test_the_target_of_every_environment_is_local(tmp_path: Path) -> None:
    at = opened(tmp_path, 'target = "local"')
    assert [at.target(name).name for name in ("local", "prod")] == ["local", "local"]
    with pytest.raises(SettingsError, match="Unknown environment"):
        at.target("staging")
    at.close()
