"""`[serving]`: how many processes answer, what they may take, and what they do when something is down."""

from __future__ import annotations

import re
from typing import Literal
from urllib.parse import urlsplit

import msgspec

from keelway.core import checked_name
from keelway.errors import SettingsError
from keelway.identity import is_reference


class TracingSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[serving.tracing]`: where traces of requests are sent.

    Attributes:
        endpoint: The whole URL of a collector that takes OTLP over HTTP; empty traces nothing.
        ratio: How many requests are traced, from 0 to 1; a caller's own decision comes first.
        headers: Sent to the collector with every batch; secrets by reference.
    """

    endpoint: str = ""
    ratio: float = 0.01
    headers: dict[str, str] = {}


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
_HEADER = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
"""The name of a header, by RFC 9110."""
_SECRET_WORDS = ("auth", "cookie", "credential", "dsn", "key", "password", "secret", "team", "token")
"""What has such a word in its name is taken for a secret: collectors call their keys in many ways."""


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
    _check_tracing(serving.tracing)
    if not serving.fallback:
        return
    from keelway.serve import parse_fallback

    for model, chain in serving.fallback.items():
        checked_name(model, what="model")
        for link in chain:
            parse_fallback(link)


def _check_tracing(tracing: TracingSettings) -> None:
    """Refuse a share that is none, a collector that is no URL, and secrets that are written down."""
    if not 0 <= tracing.ratio <= 1:
        raise SettingsError("serving.tracing.ratio is no share", expected="from 0 to 1", found=str(tracing.ratio))
    try:
        where = urlsplit(tracing.endpoint)
    except ValueError:
        where = urlsplit("")
    if tracing.endpoint and (where.scheme not in ("http", "https") or not where.netloc):
        raise SettingsError(
            "serving.tracing.endpoint is no URL",
            expected="as http://localhost:4318/v1/traces",
            found=tracing.endpoint,
        )
    if "@" in where.netloc or _sounds_secret(where.query):
        raise SettingsError(
            "serving.tracing.endpoint holds a secret",
            expected="a URL without a user, a password or a key",
            found="a URL with one",
            fix='Take it out, and name it: headers = { authorization = "env:NAME" }.',
        )
    for name, value in tracing.headers.items():
        if not _HEADER.fullmatch(name):
            raise SettingsError("serving.tracing.headers has a name that is none", expected="as x-api-key", found=name)
        if _sounds_secret(name) and not is_reference(value):
            raise SettingsError(
                f"serving.tracing.headers.{name} holds a secret",
                expected="env:NAME or file:PATH",
                found=f"{len(value)} characters that are not a reference",
                fix="Put the whole value into an environment variable or a file, and name that.",
            )


def _sounds_secret(name: str) -> bool:
    return any(word in name.lower() for word in _SECRET_WORDS)
