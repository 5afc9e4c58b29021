"""Who may ask: callers with an API key, or with a signed token (JWT) of an issuer that is trusted.

Keys are known by their SHA-256 and compared in constant time, every one of them on each request. A token is believed
when its signature is by a key of the key set (JWKS), its issuer and audience are those declared, and it has not
expired; once believed, it is remembered until then. Nothing that a caller shows is ever logged or told.

>>> gate = CallerGate(key_hashes={"shop": hashlib.sha256(b"s3cret").hexdigest()})
>>> gate.caller(b"Bearer s3cret", b"", now=datetime.fromisoformat("2026-03-01T00:00:00Z"))
'shop'
"""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from keelway.errors import IdentityError, MissingExtraError, SettingsError

LONGEST = 8_192  # bytes of a key or token
MOST_REMEMBERED = 10_000
LEEWAY_S = 30
ALGORITHMS = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "Ed25519", "EdDSA")
"""Signatures by key pairs; a token signed by a shared secret, or by nothing, is never believed."""


@dataclass(frozen=True, slots=True)
class TokenRule:
    """Which signed tokens are believed.

    Attributes:
        issuer: Who has to have issued them (`iss`).
        audience: Whom they have to be meant for (`aud`).
        keys: The issuer's public keys, as a JSON Web Key Set.
    """

    issuer: str
    audience: str
    keys: Mapping[str, Any]


class CallerGate:
    """Lets known callers in.

    Args:
        key_hashes: Caller to the SHA-256 of its key, in hexadecimal.
        tokens: Which tokens are believed; None believes none.
    """

    def __init__(self, *, key_hashes: Mapping[str, str], tokens: TokenRule | None = None) -> None:
        self._hashes = [(name, text.lower().encode()) for name, text in key_hashes.items()]
        self._remembered: dict[bytes, tuple[str, float]] = {}
        self._rule = tokens
        self._keys: Any = _key_set(tokens.keys) if tokens else None

    def caller(self, authorization: bytes, api_key: bytes, *, now: datetime) -> str:
        """Return who asks, by the headers `Authorization: Bearer ...` or `X-API-Key`.

        Raises:
            IdentityError: Nothing was shown, or nothing that is known.
        """
        shown = api_key
        scheme, _, rest = authorization.partition(b" ")
        if not shown and scheme.lower() == b"bearer":
            shown = rest.strip()
        if not shown:
            raise _unknown("none")
        if len(shown) > LONGEST:
            raise _unknown("one that is too long")
        digest = hashlib.sha256(shown).digest()
        found = self._by_key(digest.hex().encode())
        return found or self._by_token(shown, digest, now)

    def _by_key(self, digest: bytes) -> str:
        found = ""
        for name, known in self._hashes:
            if hmac.compare_digest(digest, known):
                found = name
        return found

    def _by_token(self, shown: bytes, digest: bytes, now: datetime) -> str:
        if self._rule is None or shown.count(b".") != 2:
            raise _unknown("one that is not known")
        moment = now.timestamp()
        known = self._remembered.get(digest)
        if known is not None and moment < known[1]:
            return known[0]
        name, until = self._believed(shown.decode("latin-1"), self._rule, now)
        if len(self._remembered) >= MOST_REMEMBERED:
            self._remembered.clear()
        self._remembered[digest] = (name, until)
        return name

    def _believed(self, text: str, rule: TokenRule, now: datetime) -> tuple[str, float]:
        """Return who a token is of, and until when it is believed."""
        from joserfc import jwt
        from joserfc.errors import JoseError

        claims_rule = jwt.JWTClaimsRegistry(
            now=int(now.timestamp()),
            leeway=LEEWAY_S,
            iss={"essential": True, "value": rule.issuer},
            aud={"essential": True, "value": rule.audience},
            exp={"essential": True},
            sub={"essential": True},
        )
        try:
            claims = jwt.decode(text, self._keys, algorithms=list(ALGORITHMS)).claims
            claims_rule.validate(claims)
            return str(claims["sub"]), float(claims["exp"]) + LEEWAY_S
        except (JoseError, ValueError, TypeError, KeyError) as error:
            raise _unknown(f"a token that is not believed ({type(error).__name__})") from None


def token_rule(path: Path, *, issuer: str, audience: str) -> TokenRule:
    """Return a rule whose keys stand in a file.

    Raises:
        SettingsError: The file cannot be read, or holds no key set.
    """
    try:
        keys = json.loads(path.read_text("utf8"))
    except (OSError, ValueError) as error:
        raise SettingsError(
            "The key set cannot be read", expected=f"a JSON Web Key Set at {path}", found=type(error).__name__
        ) from error
    rule = TokenRule(issuer, audience, keys)
    _key_set(keys)
    return rule


def _key_set(keys: Mapping[str, Any]) -> Any:
    """Return the public keys of a set."""
    try:
        from joserfc.jwk import KeySet
    except ImportError as error:
        raise MissingExtraError(
            "Tokens need one more package", expected="joserfc", found="none", fix="pip install 'keelway[jwt]'"
        ) from error
    from joserfc.errors import JoseError

    try:
        found = KeySet.import_key_set(dict(keys))  # type: ignore[arg-type]
    except (JoseError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise SettingsError("The key set is none", expected="a JSON Web Key Set", found=type(error).__name__) from error
    if not found.keys or any(key.key_type == "oct" or key.is_private for key in found.keys):
        raise SettingsError(
            "The key set is none", expected="public keys only", found="a secret or private key, or none"
        )
    return found


def _unknown(found: str) -> IdentityError:
    return IdentityError(
        "The caller is not known",
        expected="a key or token in Authorization: Bearer, or a key in X-API-Key",
        found=found,
        fix="Ask whoever runs this server for a key.",
    )
