"""What the settings say of requests and callers, as the parts of a scoring app."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING

from keelway.errors import SettingsError
from keelway.identity import is_reference, resolve_secret
from keelway.serve import OnlineLookup
from keelway.serve.wire import WireLimits
from keelway.surfaces.scoring.gate import CallerGate, token_rule
from keelway.surfaces.scoring.tracing import RequestTracing, otlp_tracing

if TYPE_CHECKING:
    from keelway.app import App
    from keelway.app.settings_requests import CallerSettings, RequestSettings
    from keelway.app.settings_serving import ServingSettings


def limits_of(requests: RequestSettings) -> WireLimits:
    """Return how large and how slow a request may be."""
    return WireLimits(
        body_bytes=requests.max_bytes,
        rows=requests.max_rows,
        explained_rows=requests.max_explained_rows,
        timeout_ms=requests.timeout_ms,
    )


def gate_of(callers: CallerSettings, *, root: Path) -> CallerGate | None:
    """Return what lets declared callers in, with every secret resolved once; None where none are declared.

    Raises:
        SettingsError: A secret or the key set cannot be read.
    """
    if not callers.is_gated:
        return None
    hashes = {name: _hash(key, root) for name, key in callers.keys.items()}
    tokens = None
    if callers.jwt_keys:
        tokens = token_rule(root / callers.jwt_keys, issuer=callers.jwt_issuer, audience=callers.jwt_audience)
    return CallerGate(key_hashes=hashes, tokens=tokens)


def lookup_of(app: App, model: str) -> OnlineLookup | None:
    """Return what finds the features of an entity that a request names without any; None where that is not declared."""
    requests = app.workspace.settings.requests
    if not requests.online:
        return None
    return OnlineLookup(app.online.store, model, max_age_s=requests.online_max_age_s, unknown=requests.online_unknown)


def tracing_of(serving: ServingSettings, *, environment: str, root: Path) -> RequestTracing | None:
    """Return what traces requests, with every secret resolved once; None where no collector is declared.

    Args:
        root: The project's folder, where secrets in files are looked for.

    Raises:
        MissingExtraError: OpenTelemetry is not installed.
        SettingsError: A secret cannot be read, or is no value of a header.
    """
    tracing = serving.tracing
    if not tracing.endpoint:
        return None
    headers = {name: _header(name, value, root) for name, value in tracing.headers.items()}
    return otlp_tracing(tracing.endpoint, headers=headers, ratio=tracing.ratio, environment=environment)


def _header(name: str, value: str, root: Path) -> str:
    found = resolve_secret(value, root=root) if is_reference(value) else value
    if not (found.isascii() and found.isprintable() and found == found.strip()):
        raise SettingsError(
            f"serving.tracing.headers.{name} cannot be sent",
            expected="printable ASCII in one line, without blanks around it",
            found=f"{len(found)} characters with others among them",  # never the text: it may be a secret
        )
    return found


def _hash(key: str, root: Path) -> str:
    return hashlib.sha256(resolve_secret(key, root=root).encode()).hexdigest() if is_reference(key) else key
