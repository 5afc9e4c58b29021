"""Principals, tokens and secret references."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path

import pytest

from keelway.core import PrincipalId
from keelway.errors import IdentityError, SettingsError
from keelway.identity import Directory, Principal, authenticate, require_role, require_service, resolve_secret

TOKEN = "correct horse"
HASHED = hashlib.sha256(TOKEN.encode()).hexdigest()
ANA = Principal(PrincipalId("user:ana"), ("data-scientist",))
BEN = Principal(PrincipalId("user:ben"), ("approver",), HASHED)
CI = Principal(PrincipalId("sp:ci"), ("deployer",), HASHED)
NAKED = Principal(PrincipalId("sp:naked"), ("deployer",))
DIRECTORY = Directory((ANA, BEN, CI, NAKED))


def test_a_person_without_a_token_on_file_is_taken_at_their_word() -> None:
    assert authenticate(ANA.id, None, directory=DIRECTORY) is ANA
    assert not ANA.is_service


@pytest.mark.parametrize("who", [BEN, CI], ids=["person", "service"])
def test_the_right_token_opens(who: Principal) -> None:
    assert authenticate(who.id, TOKEN, directory=DIRECTORY) is who


@pytest.mark.parametrize("token", [None, "", "wrong", HASHED], ids=["none", "empty", "wrong", "the hash itself"])
@pytest.mark.parametrize("who", [BEN, CI, NAKED], ids=["person", "service", "service without a token on file"])
def test_any_other_token_is_refused(who: Principal, token: str | None) -> None:
    with pytest.raises(IdentityError):
        authenticate(who.id, token, directory=DIRECTORY)


@pytest.mark.parametrize("who", [ANA, BEN, CI], ids=["person", "person with a token", "service"])
def test_who_is_disabled_does_not_get_in_even_with_the_right_token(who: Principal) -> None:
    gone = replace(who, disabled=True)
    with pytest.raises(IdentityError, match="is disabled"):
        authenticate(who.id, TOKEN, directory=Directory((gone,)))


def test_what_only_a_service_may_do_no_person_does() -> None:
    require_service(CI, what="move prod")
    with pytest.raises(IdentityError, match="user:ana may not move prod"):
        require_service(ANA, what="move prod")


def test_a_service_without_a_token_on_file_never_gets_in() -> None:
    with pytest.raises(IdentityError):
        authenticate(NAKED.id, TOKEN, directory=DIRECTORY)


def test_an_unknown_principal_is_refused() -> None:
    with pytest.raises(IdentityError) as caught:
        authenticate(PrincipalId("user:mallory"), None, directory=DIRECTORY)
    assert "user:mallory" in str(caught.value)
    assert caught.value.fix


def test_a_role_is_needed_and_admin_is_not_every_role() -> None:
    require_role(CI, "deployer", "admin")
    with pytest.raises(IdentityError):
        require_role(ANA, "approver")
    with pytest.raises(IdentityError):
        require_role(Principal(PrincipalId("user:root"), ("admin",)), "approver")


@pytest.mark.parametrize(
    "wrong",
    [
        Principal(PrincipalId("ana"), ()),
        Principal(PrincipalId("user:"), ()),
        Principal(PrincipalId("user:x"), ("king",)),
        Principal(PrincipalId("user:x"), (), "correct horse"),
    ],
    ids=["no kind", "no name", "unknown role", "a token instead of its hash"],
)
def test_a_directory_refuses_what_means_nothing(wrong: Principal) -> None:
    with pytest.raises(SettingsError):
        Directory((wrong,))


def test_a_directory_refuses_a_principal_listed_twice() -> None:
    with pytest.raises(SettingsError):
        Directory((ANA, Principal(ANA.id, ("admin",))))


def test_secrets_come_from_the_environment_and_from_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KEELWAY_TEST_SECRET", "from the air\n")
    (tmp_path / "key").write_text("from a file\n")
    assert resolve_secret("env:KEELWAY_TEST_SECRET", root=tmp_path) == "from the air"
    assert resolve_secret("file:key", root=tmp_path) == "from a file"
    assert resolve_secret(f"file:{tmp_path / 'key'}", root=Path("/")) == "from a file"


@pytest.mark.parametrize("reference", ["s3cr3t-value", "env:", "file:", "", "env:KEELWAY_NOT_SET", "file:nowhere"])
def test_anything_else_is_refused_without_repeating_it(reference: str, tmp_path: Path) -> None:
    with pytest.raises(SettingsError) as caught:
        resolve_secret(reference, root=tmp_path)
    assert "s3cr3t" not in str(caught.value)


@pytest.mark.parametrize("scheme", ["vault", "aws-sm", "azure-kv", "databricks"])
def test_secret_stores_that_are_not_built_say_so(scheme: str, tmp_path: Path) -> None:
    with pytest.raises(NotImplementedError, match="not read yet"):
        resolve_secret(f"{scheme}:some/path", root=tmp_path)
