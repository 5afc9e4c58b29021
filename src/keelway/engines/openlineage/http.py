"""Sends OpenLineage events over HTTP, as the specification's HTTP transport does: one POST each, JSON, a bearer token.

HttpLineage("http://localhost:5000").send(event)
"""

from __future__ import annotations

import http.client
import urllib.error
import urllib.request
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from keelway.core import canonical_json
from keelway.errors import EngineError, SettingsError

if TYPE_CHECKING:
    from keelway.flow import LineageTarget

ENDPOINT = "/api/v1/lineage"
"""Where the events go below the address, unless that has a path of its own."""
TIMEOUT_S = 10.0
SHOWN_BYTES = 200


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    """Refuses to follow: the token belongs to the server that was named."""

    def redirect_request(self, *_: Any, **__: Any) -> None:
        """Follow nothing."""


class HttpLineage:
    """A target on a server.

    Args:
        url: The server, such as `https://lineage.example.org`.
        token: The bearer token; empty sends none.

    Raises:
        SettingsError: The address is none of HTTP.
    """

    def __init__(self, url: str, *, token: str = "", timeout_s: float = TIMEOUT_S) -> None:
        where = urlsplit(url)
        if where.scheme not in ("http", "https") or not where.netloc or where.password:
            raise SettingsError(
                "lineage.url is wrong", expected="http://HOST or https://HOST, without a password", found=url[:100]
            )
        self._url = url if where.path.strip("/") else f"{where.scheme}://{where.netloc}{ENDPOINT}"
        self._headers = {"Content-Type": "application/json"} | ({"Authorization": f"Bearer {token}"} if token else {})
        self._timeout_s = timeout_s
        self._opener = urllib.request.build_opener(_NoRedirects)

    def send(self, event: Mapping[str, Any]) -> None:
        """Hand over one event.

        Raises:
            EngineError: The server cannot be reached, or did not take it.
        """
        request = urllib.request.Request(  # noqa: S310  (the scheme was checked)
            self._url, data=canonical_json(dict(event)), headers=self._headers, method="POST"
        )
        try:
            with self._opener.open(request, timeout=self._timeout_s) as answer:
                answer.read()
        except urllib.error.HTTPError as error:
            with error:
                told = error.read(SHOWN_BYTES).decode("utf8", "replace")
            raise _not_taken(self._url, f"{error.code} {told}".strip()) from error
        except (OSError, http.client.HTTPException) as error:
            raise _not_taken(self._url, str(error) or type(error).__name__) from error


def _not_taken(url: str, found: str) -> EngineError:
    return EngineError(
        "The lineage server did not take an event",
        expected=f"{url} to answer 2xx",
        found=found,
        fix="Look at the server, then send again: events that were taken already do no harm.",
    )


if TYPE_CHECKING:
    _target: LineageTarget = HttpLineage("")
