"""The parts of the OpenAPI document that no model changes: headers, refusals, pages, and how callers are known."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

JSON_TYPE = "application/json"

_TOLD = {
    "error": {"type": "string", "minLength": 1},
    "expected": {"type": "string"},
    "found": {"type": "string"},
    "field": {"type": "string"},
    "fix": {"type": "string"},
}
_NEEDED = ["error", "expected", "found"]
SCHEMAS: dict[str, Any] = {
    "Error": {"type": "object", "required": _NEEDED, "properties": _TOLD, "additionalProperties": False},
    "InferenceError": {
        "type": "object",
        "description": "`error` holds the whole sentence: that is all that clients of the protocol show.",
        "required": _NEEDED,
        "properties": _TOLD,
        "additionalProperties": False,
    },
    "MlflowError": {
        "type": "object",
        "required": [*_NEEDED, "error_code", "message"],
        "properties": {
            **_TOLD,
            "error_code": {"enum": ["BAD_REQUEST", "INTERNAL_ERROR"]},
            "message": {"type": "string", "minLength": 1},
        },
        "additionalProperties": False,
    },
}
_MEANINGS = {
    "400": "The body is no JSON, is damaged, or a header has a wrong value.",
    "401": "No key or token was shown, or none that is known.",
    "408": "The body did not come in time.",
    "413": "The body is too large, packed or not.",
    "415": "The content type or the content coding is another.",
    "422": "A field is missing, unknown, repeated or wrong; `field` says which.",
    "501": "This version cannot be explained.",
    "502": "The model gave no answer that may go out.",
    "503": "Not now; `Retry-After` says when.",
    "504": "The answer would come later than X-Request-Timeout-Ms says.",
}
_REPLY_HEADERS = {
    "X-Request-Id": {"required": True, "schema": {"type": "string", "minLength": 1, "maxLength": 128}},
    "Server-Timing": {"required": True, "schema": {"type": "string", "pattern": "^app;dur=[0-9.]+$"}},
}


def content(schema: Mapping[str, Any]) -> dict[str, Any]:
    """Return a body of JSON."""
    return {JSON_TYPE: {"schema": dict(schema)}}


def refusal(status: str, error: str = "Error") -> dict[str, Any]:
    """Return how a status is told."""
    headers: dict[str, Any] = dict(_REPLY_HEADERS)
    if status == "503":
        headers["Retry-After"] = {"required": True, "schema": {"type": "string", "pattern": "^[0-9]+$"}}
    if status == "401":
        headers["WWW-Authenticate"] = {"required": True, "schema": {"type": "string"}}
    return {
        "description": _MEANINGS[status],
        "headers": headers,
        "content": content({"$ref": f"#/components/schemas/{error}"}),
    }


REFUSALS = {"401": refusal("401")}


def answered(body: Mapping[str, Any], *, refusals: Sequence[str] = (), error: str = "Error") -> dict[str, Any]:
    """Return the replies of an operation: an answer, and the refusals that there are."""
    told: dict[str, Any] = {"200": {"description": "Answered.", "headers": _REPLY_HEADERS, "content": dict(body)}}
    return told | {status: refusal(status, error) for status in refusals}


def page(
    name: str, summary: str, body: Mapping[str, Any], *, also: Mapping[str, Mapping[str, Any]] | None = None
) -> dict[str, Any]:
    """Return an operation that only reads.

    Args:
        also: Bodies of other statuses.
    """
    replies = answered(body)
    for status, other in (also or {}).items():
        replies[status] = {"description": "Not ready.", "headers": _REPLY_HEADERS, "content": dict(other)}
    return {"operationId": name, "summary": summary, "responses": replies}


def request_headers() -> list[dict[str, Any]]:
    """Return the headers that a request for predictions may bring."""
    return [
        {
            "name": "X-Request-Id",
            "in": "header",
            "description": "Comes back as it is where it is 1 to 128 printable ASCII characters; else one is made.",
            "schema": {"type": "string"},
        },
        {
            "name": "X-Request-Timeout-Ms",
            "in": "header",
            "description": "An answer that would come later is 504.",
            "schema": {"type": "string", "pattern": "^[1-9][0-9]{0,11}$"},
        },
    ]


def components(*, is_gated: bool) -> dict[str, Any]:
    """Return what other parts refer to."""
    told: dict[str, Any] = {"schemas": SCHEMAS}
    if is_gated:
        told["securitySchemes"] = {
            "key": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
            "bearer": {"type": "http", "scheme": "bearer"},
        }
    return told
