"""`[serving]`: how many processes answer, what they may take, and what they do when something is down."""

from __future__ import annotations

from typing import Literal

import msgspec

from keelway.core import checked_name
from keelway.errors import SettingsError


class TracingSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[serving.tracing]`: where traces of requests are sent.

    Attributes:
        endpoint: The whole URL of a collector that takes OTLP over HTTP; empty traces nothing.
        ratio: How many requests are traced, from 0 to 1; a caller's own decision comes first.
    """

    endpoint: str = ""
    ratio: float = 0.01


class ServingSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[serving]`: how many processes answer, what they may take, and what they do when something is down.

    Attributes:
        workers: How many processes share the port.
        memory_mb: The most that one of them may take, in megabytes; a version that does not fit is not loaded. 0 for no limit.
        last_good: The folder where a machine keeps what it serves; empty keeps nothing.
        keep_alive_s: How long a connection may stay open without a request.
        shed_wait_ms: Requests are refused with 503 when waits stay above this; see `ShedRule`.
        most_requests: How many requests a process takes at once; 0 for any number.
        unlogged: What becomes of an answer that cannot be logged: `answer` gives it, marked; `refuse` answers 503 instead.
        fallback: By model, what answers when its version cannot: `previous`, `baseline:MODEL:NUMBER`, `constant:NUMBER`.
        breaker_failures: After so many failures in a row an upstream is left alone.
        breaker_ejection_s: For how long the first time; the n-th time n times that.
        python_workers: How many processes run a model that is served as Python, in each serving process.
        python_batch: The most rows that such a process is asked for at once.
        python_wait_ms: How long such a process that is free waits for more rows, at most.
        python_memory_mb: The most memory such a process may take; 0 for no limit.
        python_timeout_s: How long it may take for one answer before it is ended.
        compact_every_h: How often, in hours, the logs of predictions are compacted beside answering; 0 for never.
        log: How a serving process writes what it says of itself: as `text`, or as `json`.
        log_requests: Whether each request has a line of its own.
        tracing: Where traces of requests are sent.
    """

    workers: int = 1
    memory_mb: int = 0
    last_good: str = ".keelway/last-good"
    keep_alive_s: int = 75
    shed_wait_ms: int = 250
    most_requests: int = 0
    unlogged: str = "answer"
    fallback: dict[str, list[str]] = {}
    breaker_failures: int = 5
    breaker_ejection_s: float = 30.0
    python_workers: int = 1
    python_batch: int = 256
    python_wait_ms: float = 2.0
    python_memory_mb: int = 0
    python_timeout_s: float = 10.0
    compact_every_h: float = 1.0
    log: Literal["text", "json"] = "text"
    log_requests: bool = False
    tracing: TracingSettings = TracingSettings()


UNLOGGED = ("answer", "refuse")
_LEAST = {
    "workers": 1,
    "memory_mb": 0,
    "keep_alive_s": 1,
    "shed_wait_ms": 1,
    "most_requests": 0,
    "breaker_failures": 1,
    "breaker_ejection_s": 0.001,
    "python_workers": 1,
    "python_batch": 1,
    "python_wait_ms": 0,
    "python_memory_mb": 0,
    "python_timeout_s": 0.001,
    "compact_every_h": 0,
}
_MOST_COMPACT_EVERY_H = 24 * 365


def check_serving(serving: ServingSettings) -> None:
    """Refuse numbers that are too small, a policy that is unknown, and fallbacks that are none.

    Raises:
        SettingsError: One is.
    """
    for name, least in _LEAST.items():
        if not (found := getattr(serving, name)) >= least:
            raise SettingsError(f"serving.{name} is too small", expected=f"{least} or more", found=str(found))
    if serving.compact_every_h > _MOST_COMPACT_EVERY_H:
        raise SettingsError(
            "serving.compact_every_h is too large",
            expected=f"{_MOST_COMPACT_EVERY_H} or less, or 0 for never",
            found=str(serving.compact_every_h),
        )
    if serving.unlogged not in UNLOGGED:
        raise SettingsError("serving.unlogged is unknown", expected=" or ".join(UNLOGGED), found=repr(serving.unlogged))
    if not 0 <= serving.tracing.ratio <= 1:
        raise SettingsError(
            "serving.tracing.ratio is no share", expected="from 0 to 1", found=str(serving.tracing.ratio)
        )
    if serving.tracing.endpoint and not serving.tracing.endpoint.startswith(("http://", "https://")):
        raise SettingsError(
            "serving.tracing.endpoint is no URL",
            expected="as http://localhost:4318/v1/traces",
            found=serving.tracing.endpoint,
        )
    if not serving.fallback:
        return
    from keelway.serve import parse_fallback

    for model, chain in serving.fallback.items():
        checked_name(model, what="model")
        for link in chain:
            parse_fallback(link)
