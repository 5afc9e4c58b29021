"""The settings of an environment: what a version needs to get in, and where that is shown."""

from __future__ import annotations

from datetime import datetime

import msgspec

from keelway.core import parse_duration
from keelway.errors import SettingsError, UsageError
from keelway.identity import ROLES

TIERS = ("minimal", "limited", "high", "unacceptable")
TARGETS = ("local",)
LATER_TARGETS = ("kubernetes", "databricks")


class FreezeSettings(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, rename={"begins": "from", "ends": "to"}
):
    """`{ from = TIME, to = TIME, reason = "..." }`: a time in which nothing new is let in.

    Attributes:
        begins: The first moment, with its time zone.
        ends: The first moment after it.
        reason: What people are told.
    """

    begins: datetime
    ends: datetime
    reason: str


class EnvironmentSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[environments.NAME]`: what a version needs to get in.

    Attributes:
        policy: The folder of the gate's policy files; an environment without one admits nothing.
        after: The environment in which the version must have been admitted before.
        approvals: How many people, none of them author, trainer or requester, have to approve; or how many of each role.
        approval_expires: How long an approval counts, such as `7d`; empty for ever.
        service_principal: Whether only a service principal may move pointers; never in an environment called local.
        checklists: What has to be done before, by tier of risk.
        freeze: When nothing new is let in.
        rollback_policy: The folder of what a way back has to pass besides signature and an earlier admission.
        break_glass_expires: How long a version stays that was let in past the gate.
        registry: URL of the MLflow registry that shows this environment; empty is the one of `engines.tracking`.
        registry_writers: Who can edit that registry, to be named when somebody did.
        objective: The share of requests that have to be answered, such as 0.995; 0 sets none, and no error budget.
        objective_window: Over how long the error budget reaches, up to now.
        target: Where versions answer: `local`, serving processes that read the state of this project.
    """

    policy: str = ""
    after: str = ""
    approvals: int | dict[str, int] = 0
    approval_expires: str = ""
    service_principal: bool = True
    checklists: dict[str, tuple[str, ...]] = {}
    freeze: tuple[FreezeSettings, ...] = ()
    rollback_policy: str = ""
    break_glass_expires: str = "24h"
    registry: str = ""
    registry_writers: tuple[str, ...] = ()
    objective: float = 0.0
    objective_window: str = "30d"
    target: str = "local"


def check_environment(name: str, environment: EnvironmentSettings) -> None:
    """Refuse what TOML types cannot express.

    Raises:
        SettingsError: A number is negative, a role, tier, duration or target unknown, or a freeze ends before it begins.
    """
    _check_approvals(name, environment.approvals)
    _check_target(name, environment.target)
    for setting in ("approval_expires", "break_glass_expires", "objective_window"):
        _check_duration(f"environments.{name}.{setting}", getattr(environment, setting))
    for setting, fix in (
        ("break_glass_expires", "A way past the gate always ends."),
        ("objective_window", "An error budget is that of a window."),
    ):
        if not getattr(environment, setting):
            raise SettingsError(
                f"environments.{name}.{setting} is empty", expected="a duration such as 24h", found="nothing", fix=fix
            )
    if not 0 <= environment.objective < 1:
        raise SettingsError(
            f"environments.{name}.objective is no share",
            expected="0 for none, or a share below 1 such as 0.995",
            found=str(environment.objective),
        )
    strange = sorted(set(environment.checklists) - set(TIERS))
    if strange:
        raise SettingsError(
            f"environments.{name}.checklists has an unknown tier", expected=", ".join(TIERS), found=", ".join(strange)
        )
    for freeze in environment.freeze:
        if freeze.begins.tzinfo is None or freeze.ends.tzinfo is None or not freeze.begins < freeze.ends:
            raise SettingsError(
                f"environments.{name}.freeze is wrong",
                expected="from before to, both with a time zone, such as 2026-12-20T00:00:00Z",
                found=f"from {freeze.begins.isoformat()} to {freeze.ends.isoformat()}",
            )


def _check_approvals(name: str, approvals: int | dict[str, int]) -> None:
    wanted = {"": approvals} if isinstance(approvals, int) else approvals
    if any(number < 0 for number in wanted.values()):
        raise SettingsError(f"environments.{name}.approvals is negative", expected="0 or more", found=str(approvals))
    strange = sorted(set(wanted) - {"", *ROLES})
    if strange:
        raise SettingsError(
            f"environments.{name}.approvals names an unknown role", expected=", ".join(ROLES), found=", ".join(strange)
        )


def _check_target(name: str, target: str) -> None:
    if target not in TARGETS:
        later = target in LATER_TARGETS
        raise SettingsError(
            f"environments.{name}.target is {'not built yet' if later else 'unknown'}",
            expected=" or ".join(TARGETS),
            found=repr(target),
            fix="Serve with `keelway serve`, on that platform too." if later else "",
        )


def _check_duration(setting: str, text: str) -> None:
    try:
        lasts = parse_duration(text) if text else None
    except UsageError as error:
        raise SettingsError(f"{setting} is no duration", expected="such as 7d or 24h", found=repr(text)) from error
    if lasts is not None and not lasts:
        raise SettingsError(f"{setting} is too short", expected="more than nothing", found=repr(text))
