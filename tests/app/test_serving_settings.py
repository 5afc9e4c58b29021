"""`[serving]`: numbers that make no sense and fallbacks that are none are refused when the file is read."""

from __future__ import annotations

from typing import Any

import pytest

from keelway.app.settings_serving import ServingSettings, check_serving
from keelway.errors import SettingsError, UsageError


def test_the_defaults_are_sound() -> None:
    check_serving(ServingSettings())


@pytest.mark.parametrize(
    "wrong",
    [
        {"workers": 0}, {"memory_mb": -1}, {"keep_alive_s": 0}, {"shed_wait_ms": 0}, {"most_requests": -1},
        {"breaker_failures": 0}, {"breaker_ejection_s": 0.0}, {"python_workers": 0}, {"python_batch": 0},
        {"python_wait_ms": -1.0}, {"python_memory_mb": -1}, {"python_timeout_s": 0.0},
        {"python_timeout_s": float("nan")}, {"compact_every_h": -1.0}, {"compact_every_h": float("nan")},
    ],
    ids=str,
)  # fmt: skip
def test_a_number_that_is_too_small_is_refused_by_name(wrong: dict[str, Any]) -> None:
    with pytest.raises(SettingsError, match=f"serving.{next(iter(wrong))}"):
        check_serving(ServingSettings(**wrong))


def test_logs_are_compacted_every_hour_or_never_or_at_least_once_a_year() -> None:
    assert ServingSettings().compact_every_h == 1.0
    check_serving(ServingSettings(compact_every_h=0))
    with pytest.raises(SettingsError, match=r"serving\.compact_every_h is too large"):
        check_serving(ServingSettings(compact_every_h=float("inf")))


def test_an_unknown_policy_for_what_is_not_logged_is_refused() -> None:
    check_serving(ServingSettings(unlogged="refuse"))
    with pytest.raises(SettingsError, match=r"serving\.unlogged"):
        check_serving(ServingSettings(unlogged="drop"))


@pytest.mark.parametrize("chain", [["newest"], ["previous", "constant:much"]], ids=str)
def test_a_fallback_that_is_none_is_refused(chain: list[str]) -> None:
    with pytest.raises(SettingsError, match="fallback"):
        check_serving(ServingSettings(fallback={"churn": chain}))


def test_the_name_of_a_model_is_checked() -> None:
    with pytest.raises(UsageError, match="model"):
        check_serving(ServingSettings(fallback={"no name": ["previous"]}))
