"""Who acts: principals, their roles and tokens, and references to secrets."""

from keelway.identity.on_record import on_record
from keelway.identity.principal import ROLES, Directory, Principal, authenticate, require_role, require_service
from keelway.identity.secret import is_reference, resolve_secret

__all__ = [
    "ROLES",
    "Directory",
    "Principal",
    "authenticate",
    "is_reference",
    "on_record",
    "require_role",
    "require_service",
    "resolve_secret",
]
