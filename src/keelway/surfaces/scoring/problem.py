"""What a refusal or a failure looks like in each protocol, and its status.

Every body has `error`, `expected` and `found`, and `field` and `fix` where there are any. Clients of the Open Inference
Protocol show nothing but `error`, so there it holds the whole sentence; MLflow's look at `error_code` and `message`.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from http import HTTPStatus
from typing import Literal

import msgspec

from keelway.errors import BadRequestError, IdentityError, KeelwayError, ServingError, UnavailableError
from keelway.surfaces.scoring.exchange import JSON, Header, HttpCall, Reply

Protocol = Literal["predict", "v2", "mlflow"]


class NotAllowedError(BadRequestError):
    """Something is there, but not for this method; `allow` says for which."""

    def __init__(self, call: HttpCall, allow: str) -> None:
        super().__init__(
            "This is not done here",
            expected=allow.replace(", ", " or "),
            found=f"{printable(call.method)} {printable(call.path)}",
            status=HTTPStatus.METHOD_NOT_ALLOWED,
        )
        self.allow = allow


def printable(text: str) -> str:
    """Return what a caller sent as it can be shown, at most 100 characters of it."""
    return text[:100].encode("unicode_escape").decode()


def unknown_model(models: Iterable[str], found: str) -> BadRequestError:
    """Return the refusal of a model that is not served here."""
    return BadRequestError(
        "No such model is served here", expected=" or ".join(sorted(models)), found=printable(found) or "no name",
        status=HTTPStatus.NOT_FOUND,
    )  # fmt: skip


def protocol_of(path: str) -> Protocol:
    """Return whose clients ask for a path."""
    if path == "/v2" or path.startswith("/v2/"):
        return "v2"
    return "mlflow" if path in {"/invocations", "/ping", "/health", "/version"} else "predict"


def status_of(error: KeelwayError) -> int:
    """Return the HTTP status of an error."""
    if isinstance(error, BadRequestError):
        return error.status
    if isinstance(error, UnavailableError):
        return HTTPStatus.SERVICE_UNAVAILABLE
    if isinstance(error, IdentityError):
        return HTTPStatus.UNAUTHORIZED
    return HTTPStatus.BAD_GATEWAY if isinstance(error, ServingError) else HTTPStatus.SERVICE_UNAVAILABLE


def problem(error: KeelwayError, protocol: Protocol) -> Reply:
    """Return the reply that tells an error."""
    status = status_of(error)
    field = error.field if isinstance(error, BadRequestError) else ""
    told = {"error": error.what, "expected": error.expected, "found": error.found}
    told |= {name: value for name, value in (("field", field), ("fix", error.fix)) if value}
    sentence = f"{error} (at {field})" if field else str(error)
    if protocol == "v2":
        told["error"] = sentence
    elif protocol == "mlflow":
        told |= {"error_code": "BAD_REQUEST" if status < 500 else "INTERNAL_ERROR", "message": sentence}
    headers: list[Header] = [JSON]
    if isinstance(error, UnavailableError):
        headers.append((b"retry-after", str(max(1, math.ceil(error.retry_after_s))).encode()))
    if isinstance(error, NotAllowedError):
        headers.append((b"allow", error.allow.encode()))
    if status == HTTPStatus.UNAUTHORIZED:
        headers.append((b"www-authenticate", b'Bearer realm="keelway"'))
    return Reply(status, msgspec.json.encode(told), tuple(headers))
