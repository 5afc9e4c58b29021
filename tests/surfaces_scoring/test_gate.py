"""Callers are let in by a key or a signed token, and by nothing else; what they show goes nowhere."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import logging
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from keelway.app.settings_requests import CallerSettings, RequestSettings, check_requests
from keelway.core import SimulatedClock
from keelway.errors import IdentityError, SettingsError
from keelway.serve.wire import WireLimits
from keelway.surfaces.scoring import CallerGate, ScoringApp, TokenRule, token_rule
from keelway.surfaces.scoring.compose import gate_of, limits_of
from keelway.testing.asgi import AsgiClient, route_of
from keelway.testing.serving import NOW, FixedScorer, ScorerShelf, ServedTraffic

KEY = "s3cret-of-the-shop"
ISSUER, AUDIENCE = "https://issuer.example", "keelway"
SOON = int(NOW.timestamp()) + 600

jwk = pytest.importorskip("joserfc.jwk", reason="needs keelway[jwt]")
jwt = pytest.importorskip("joserfc.jwt", reason="needs keelway[jwt]")
OURS = jwk.RSAKey.generate_key(2048, {"kid": "one"}, private=True)
CURVE = jwk.ECKey.generate_key("P-256", {"kid": "two"}, private=True)
OTHER = jwk.RSAKey.generate_key(2048, {"kid": "one"}, private=True)
KEYS = {"keys": [OURS.as_dict(private=False), CURVE.as_dict(private=False)]}


def sha(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def gate() -> CallerGate:
    return CallerGate(key_hashes={"shop": sha(KEY), "bank": sha("another")}, tokens=TokenRule(ISSUER, AUDIENCE, KEYS))


def token(key: Any = OURS, header: Any = None, **claims: Any) -> str:
    told = {"iss": ISSUER, "aud": AUDIENCE, "sub": "caller-7", "exp": SOON} | claims
    kept = {name: value for name, value in told.items() if value is not None}
    first = header or {"alg": "ES256" if key is CURVE else "RS256", "kid": key.kid}
    text: str = jwt.encode(first, kept, key, algorithms=[first["alg"]])
    return text


def caller(authorization: str = "", key: str = "", at: datetime = NOW, door: CallerGate | None = None) -> str:
    return (door or gate()).caller(authorization.encode(), key.encode(), now=at)


def test_a_key_is_known_in_either_header() -> None:
    assert caller(key=KEY) == caller(f"Bearer {KEY}") == caller(f"bearer  {KEY} ") == "shop"
    assert caller(key="another") == "bank"


@pytest.mark.parametrize(
    ("authorization", "key"),
    [
        ("", ""), ("Bearer ", ""), ("Bearer", ""), (KEY, ""), (f"Basic {KEY}", ""), ("", KEY + " "), ("", KEY[:-1]),
        ("", sha(KEY)), ("", "x" * 10_000), (f"Bearer {KEY}", "wrong"), ("Bearer a.b.c", ""), ("Bearer ..", ""),
    ],
)  # fmt: skip
def test_nothing_else_is(authorization: str, key: str) -> None:
    with pytest.raises(IdentityError) as caught:
        caller(authorization, key)
    assert KEY not in str(caught.value)


@pytest.mark.parametrize("key", [OURS, CURVE], ids=["RSA", "P-256"])
def test_a_signed_token_is_believed_until_it_expires(key: Any) -> None:
    door, text = gate(), f"Bearer {token(key)}"
    assert caller(text, door=door) == "caller-7"
    assert caller(text, door=door, at=NOW + timedelta(seconds=600)) == "caller-7"
    with pytest.raises(IdentityError):
        caller(text, door=door, at=NOW + timedelta(seconds=700))


CLAIMS = {"iss": ISSUER, "aud": AUDIENCE, "sub": "x", "exp": SOON}


def by_hand(header: dict[str, str], secret: bytes) -> str:
    """Return a token as no honest library makes it."""
    parts = [base64.urlsafe_b64encode(json.dumps(each).encode()).rstrip(b"=") for each in (header, CLAIMS)]
    text = b".".join(parts)
    signature = hmac.digest(secret, text, "sha256") if secret else b""
    return (text + b"." + base64.urlsafe_b64encode(signature).rstrip(b"=")).decode()


FORGED = {
    "by another key": lambda: token(OTHER),
    "of another issuer": lambda: token(iss="https://other.example"),
    "for somebody else": lambda: token(aud="spend"),
    "without an audience": lambda: token(aud=None),
    "without an issuer": lambda: token(iss=None),
    "without an end": lambda: token(exp=None),
    "of nobody": lambda: token(sub=None),
    "over": lambda: token(exp=int(NOW.timestamp()) - 60),
    "not begun": lambda: token(nbf=SOON),
    "ending at a word": lambda: token(exp="soon"),
    "signed by nothing": lambda: by_hand({"alg": "none"}, b""),
    "signed by the public key as a secret": lambda: by_hand({"alg": "HS256", "kid": "one"}, OURS.as_pem(private=False)),
    "altered": lambda: token()[:-10] + "AAAAAAAAAA",
    "cut off": lambda: token().rpartition(".")[0] + ".",
}


@pytest.mark.parametrize("forge", FORGED.values(), ids=FORGED.keys())
def test_a_token_that_is_not_in_order_is_not_believed(forge: Any) -> None:
    text = forge()
    with pytest.raises(IdentityError) as caught:
        caller(f"Bearer {text}")
    assert text not in str(caught.value)


def test_a_token_for_several_is_believed() -> None:
    assert caller(f"Bearer {token(aud=['spend', AUDIENCE])}") == "caller-7"


def app(tmp_path: Path, door: CallerGate | None) -> AsgiClient:
    traffic = ServedTraffic(tmp_path)
    traffic.send(churn_1=100)
    models = {"churn": route_of(traffic, ScorerShelf(churn_1=FixedScorer(0.25)))}
    return AsgiClient(ScoringApp(models, clock=SimulatedClock(NOW), gate=door))


def test_everything_but_health_is_shut(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    client = app(tmp_path, gate())
    good = {"entity": "7", "features": {"recency_d": 1, "plan": "a"}}
    for path in ("/healthz", "/readyz"):
        assert client.get(path).status == 200
    for path in (
        "/",
        "/metrics",
        "/openapi.json",
        "/v2",
        "/v2/models/churn",
        "/ping",
        "/nowhere",
        "/readyz/",
        "//readyz",
    ):
        answer = client.get(path)
        assert (answer.status, answer.headers[b"www-authenticate"]) == (401, b'Bearer realm="keelway"')
    for path in ("/predict", "/invocations", "/v2/models/churn/infer", "/v2/models/spend/infer"):
        assert client.post(path, good).status == 401
        assert client.post(path, good, x_api_key=KEY[:-1]).status == 401
    assert client.post("/predict", good, x_api_key=KEY).status == 200
    assert client.post("/predict", good, authorization=f"Bearer {token()}").status == 200
    assert KEY[:-1] not in caplog.text


def test_the_document_asks_for_what_the_gate_asks(tmp_path: Path) -> None:
    answer = app(tmp_path, gate()).ask("GET", "/openapi.json", headers={"X-API-Key": KEY})
    assert answer is not None
    told = answer.json
    assert told["security"] == [{"key": []}, {"bearer": []}]
    assert told["paths"]["/healthz"]["get"]["security"] == []
    assert "401" in told["paths"]["/predict"]["post"]["responses"]
    assert "security" not in app(tmp_path / "open", None).get("/openapi.json").json


def test_settings_make_a_gate_of_hashes_and_references(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert gate_of(CallerSettings(), root=tmp_path) is None
    (tmp_path / "bank.key").write_text("another\n")
    (tmp_path / "jwks.json").write_text(json.dumps(KEYS))
    monkeypatch.setenv("SHOP_KEY", KEY)
    settings = CallerSettings(
        keys={"shop": "env:SHOP_KEY", "bank": "file:bank.key", "post": sha("third").upper()},
        jwt_issuer=ISSUER, jwt_audience=AUDIENCE, jwt_keys="jwks.json",
    )  # fmt: skip
    door = gate_of(settings, root=tmp_path)
    assert door is not None
    found = [caller(key=key, door=door) for key in (KEY, "another", "third")]
    assert found == ["shop", "bank", "post"]
    assert caller(f"Bearer {token()}", door=door) == "caller-7"


@pytest.mark.parametrize(
    "keys",
    [
        "",
        "no JSON",
        "{}",
        '{"keys": []}',
        '{"keys": [{"kty": "oct", "k": "' + "c2VjcmV0" * 5 + '"}]}',
        '{"keys": [{"kty": "??"}]}',
        "[1]",
    ],
)
def test_a_key_set_that_is_none_is_refused(tmp_path: Path, keys: str) -> None:
    path = tmp_path / "jwks.json"
    path.write_text(keys)
    with pytest.raises(SettingsError):
        token_rule(path, issuer=ISSUER, audience=AUDIENCE)


def test_a_private_key_does_not_belong_into_a_key_set(tmp_path: Path) -> None:
    path = tmp_path / "jwks.json"
    path.write_text(json.dumps({"keys": [OURS.as_dict(private=True)]}))
    with pytest.raises(SettingsError, match="public keys only"):
        token_rule(path, issuer=ISSUER, audience=AUDIENCE)


@pytest.mark.parametrize(
    "callers",
    [
        CallerSettings(keys={"shop": KEY}),
        CallerSettings(keys={"shop": ""}),
        CallerSettings(jwt_keys="jwks.json"),
        CallerSettings(jwt_issuer=ISSUER, jwt_audience=AUDIENCE),
    ],
)
def test_callers_that_could_never_be_known_are_refused(callers: CallerSettings) -> None:
    with pytest.raises(SettingsError) as caught:
        check_requests(RequestSettings(), callers)
    assert KEY not in str(caught.value)


def test_limits_come_from_the_settings() -> None:
    assert limits_of(RequestSettings()) == WireLimits()
    given = RequestSettings(max_bytes=5, max_rows=6, max_explained_rows=7, timeout_ms=8)
    assert limits_of(given) == WireLimits(5, 6, 7, 8)
    for wrong in (RequestSettings(max_bytes=0), RequestSettings(max_rows=0), RequestSettings(timeout_ms=-1)):
        with pytest.raises(SettingsError):
            check_requests(wrong, CallerSettings())
