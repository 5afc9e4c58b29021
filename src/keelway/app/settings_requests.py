"""`[requests]` and `[callers]`: what the scoring server takes, and from whom."""

from __future__ import annotations

import re
from typing import Literal

import msgspec

from keelway.errors import SettingsError
from keelway.identity import is_reference

_HASH = re.compile("[0-9a-fA-F]{64}")


class RequestSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[requests]`: how large and how slow a request for predictions may be, and where missing features come from.

    Attributes:
        max_bytes: Bytes of a body, after it was unpacked.
        max_rows: Rows of one request.
        max_explained_rows: Rows of one request for explanations, each of which costs some hundred times an answer.
        timeout_ms: Milliseconds from a request's first byte to its answer; 0 for no end. A caller can ask for less.
        online: Whether a request that names only an entity takes its features from the online store.
        online_max_age_s: How old these may be; 0 for any age.
        online_unknown: What becomes of an entity that the store does not know: `refuse`, or `missing` for a row
            without any value.
    """

    max_bytes: int = 2_000_000
    max_rows: int = 1_000
    max_explained_rows: int = 20
    timeout_ms: int = 30_000
    online: bool = False
    online_max_age_s: int = 0
    online_unknown: Literal["refuse", "missing"] = "refuse"


class CallerSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[callers]`: who may ask for predictions; everybody where nothing is declared.

    Attributes:
        keys: Caller to its API key: the key's SHA-256 in hexadecimal, or a secret reference to the key.
        jwt_issuer: Who has to have issued a token.
        jwt_audience: Whom it has to be meant for.
        jwt_keys: The file with the issuer's public keys (a JSON Web Key Set); empty believes no tokens.
    """

    keys: dict[str, str] = {}
    jwt_issuer: str = ""
    jwt_audience: str = ""
    jwt_keys: str = ""

    @property
    def is_gated(self) -> bool:
        """Whether callers have to show anything."""
        return bool(self.keys or self.jwt_keys)


def check_requests(requests: RequestSettings, callers: CallerSettings) -> None:
    """Refuse limits that let nothing through, and callers that could never be known.

    Raises:
        SettingsError: One is.
    """
    for name, least in (
        ("max_bytes", 1),
        ("max_rows", 1),
        ("max_explained_rows", 1),
        ("timeout_ms", 0),
        ("online_max_age_s", 0),
    ):
        if (found := getattr(requests, name)) < least:
            raise SettingsError(f"requests.{name} is too small", expected=f"{least} or more", found=str(found))
    for name, key in callers.keys.items():
        if not (_HASH.fullmatch(key) or is_reference(key)):
            raise SettingsError(
                f"callers.keys.{name} holds a secret",
                expected="the SHA-256 of a key (64 hexadecimal digits), env:NAME or file:PATH",
                found=f"{len(key)} characters that are neither",
                fix="Store what `printf %s KEY | sha256sum` prints.",
            )
    tokens = (callers.jwt_issuer, callers.jwt_audience, callers.jwt_keys)
    if any(tokens) and not all(tokens):
        raise SettingsError(
            "callers.jwt_issuer, jwt_audience and jwt_keys belong together",
            expected="all three, or none",
            found=f"{sum(map(bool, tokens))} of them",
            fix="A token is believed only from a declared issuer, for a declared audience, by a declared key.",
        )
