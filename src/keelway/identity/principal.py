"""Principals: people and services, what they may do, and how they show who they are.

A service principal (`sp:NAME`) always shows a token; a person does so where one is on file. Tokens are compared in
constant time, by their SHA-256, so the directory never holds one.

>>> ana = Principal(PrincipalId("user:ana"), ("data-scientist",))
>>> authenticate(PrincipalId("user:ana"), None, directory=Directory((ana,))).id
'user:ana'
"""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import dataclass

from keelway.core import PrincipalId
from keelway.errors import IdentityError, SettingsError

ROLES = ("data-scientist", "approver", "risk-owner", "deployer", "auditor", "admin")
"""What a principal can be allowed to do; no role includes another."""

_PERSON = "user:"
_SERVICE = "sp:"


@dataclass(frozen=True, slots=True)
class Principal:
    """A person or a service that may act.

    Attributes:
        id: `user:NAME` or `sp:NAME`.
        roles: Any of `ROLES`.
        token_sha256: SHA-256 of the token that proves it is them, in hexadecimal; a service needs one.
        disabled: Whether it may do nothing any more; it stays listed, because the ledger names it.
    """

    id: PrincipalId
    roles: tuple[str, ...]
    token_sha256: str | None = None
    disabled: bool = False

    @property
    def is_service(self) -> bool:
        """Whether this is a service principal, not a person."""
        return self.id.startswith(_SERVICE)


class Directory:
    """Everybody who may act, by id.

    Raises:
        SettingsError: A principal is listed twice, is badly named or has an unknown role.
    """

    def __init__(self, principals: tuple[Principal, ...] = ()) -> None:
        self._by_id: dict[str, Principal] = {}
        for principal in principals:
            _check(principal)
            if principal.id in self._by_id:
                raise SettingsError("A principal is listed twice", expected="each id once", found=principal.id)
            self._by_id[principal.id] = principal

    def find(self, name: PrincipalId) -> Principal | None:
        """Return the principal with that id, or None."""
        return self._by_id.get(name)

    def ids(self) -> tuple[PrincipalId, ...]:
        """Return every id, sorted."""
        return tuple(PrincipalId(name) for name in sorted(self._by_id))


def authenticate(name: PrincipalId, token: str | None, *, directory: Directory) -> Principal:
    """Return the principal that is acting, once it has shown who it is.

    Raises:
        IdentityError: The principal is unknown or disabled, or its token is missing or wrong.
    """
    principal = directory.find(name)
    if principal is None:
        raise IdentityError(
            "Unknown principal",
            expected="a principal of this project",
            found=name,
            fix=f'Add [principals."{name}"] with its roles to keelway.toml, or act as somebody listed there.',
        )
    if principal.disabled:
        raise IdentityError(
            f"{name} is disabled",
            expected="a principal who may act",
            found="disabled = true",
            fix="Act as somebody else, or have the line taken out of keelway.toml.",
        )
    if principal.token_sha256 is None and not principal.is_service:
        return principal
    if not token:
        raise IdentityError(
            f"{name} has to show a token", expected="its token", found="none", fix="Put the token into KEELWAY_TOKEN."
        )
    shown = hashlib.sha256(token.encode()).hexdigest()
    if not principal.token_sha256 or not hmac.compare_digest(shown, principal.token_sha256.lower()):
        raise IdentityError(
            f"The token is not that of {name}",
            expected="the token whose SHA-256 is on file",
            found="another one" if principal.token_sha256 else "a service principal without a token on file",
            fix="Use the right token, or put the SHA-256 of a new one into keelway.toml.",
        )
    return principal


def require_role(principal: Principal, *roles: str) -> None:
    """Return when the principal has one of the roles.

    Raises:
        IdentityError: It has none of them.
    """
    if not set(roles) & set(principal.roles):
        raise IdentityError(
            f"{principal.id} may not do this",
            expected="role " + " or ".join(roles),
            found=", ".join(principal.roles) or "no role",
            fix="Ask somebody who has the role, or have it added in keelway.toml.",
        )


def require_service(principal: Principal, *, what: str) -> None:
    """Return when the principal is a service.

    Raises:
        IdentityError: It is a person.
    """
    if not principal.is_service:
        raise IdentityError(
            f"{principal.id} may not {what}",
            expected="a service principal, such as the one of the release pipeline",
            found="a person",
            fix="Let the pipeline do it: --as sp:NAME --token REFERENCE.",
        )


def _check(principal: Principal) -> None:
    """Refuse a principal whose name or roles mean nothing."""
    if not principal.id.startswith((_PERSON, _SERVICE)) or not principal.id.partition(":")[2]:
        raise SettingsError("A principal has a wrong name", expected="user:NAME or sp:NAME", found=repr(principal.id))
    unknown = [role for role in principal.roles if role not in ROLES]
    if unknown:
        raise SettingsError(f"{principal.id} has an unknown role", expected=", ".join(ROLES), found=", ".join(unknown))
    token = principal.token_sha256
    if token is not None and (len(token) != 64 or set(token.lower()) - set("0123456789abcdef")):
        raise SettingsError(
            f"{principal.id} has a wrong token_sha256",
            expected="64 hexadecimal digits",
            found=f"{len(token)} characters",
            fix="Store the SHA-256 of the token, never the token.",
        )
