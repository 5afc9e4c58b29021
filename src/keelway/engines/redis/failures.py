"""What Redis says when it fails, in Keelway's words."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from keelway.errors import EngineError, IntegrityError, StorageError
from keelway.features import UNREADABLE

_LOGIN = "Check `online_user` and `online_password` in keelway.toml, and what that user may do there."
_REACH = "Check that Redis runs and that `online` in keelway.toml names it."
_FULL = "Give Redis more memory, or write fewer features: the cut that was there is still served."
_STANDING = "Wait until the server takes writes again, or name its primary: the cut that was there is still served."
_AGAIN = "Run `keelway features materialise MODEL`: the store holds nothing that cannot be built again."


@contextmanager
def translated(place: str) -> Iterator[None]:
    """Turn Redis's errors that leave this block into Keelway's.

    Args:
        place: Where the server is, without any secret.
    """
    from redis.exceptions import RedisError

    try:
        yield
    except UNREADABLE as error:
        raise IntegrityError(
            "The online store is damaged", expected=f"rows and cuts of Keelway at {place}", found=str(error), fix=_AGAIN
        ) from error
    except RedisError as error:
        raise translate(error, place) from error


def translate(error: Exception, place: str) -> EngineError:
    """Return what an error of Redis means, with what to do about it."""
    from redis import exceptions as told

    login = (
        *(told.AuthenticationError, told.AuthorizationError, told.NoPermissionError),
        *(told.AuthenticationWrongNumberOfArgsError, told.ExternalAuthProviderError),
    )
    standing = (told.ReadOnlyError, told.ClusterError, told.AskError, told.TryAgainError, told.BusyLoadingError)
    found = f"{place}: {error}"
    if isinstance(error, login):
        return StorageError("The online store refused the login", found=found, fix=_LOGIN)
    if isinstance(error, standing):
        return StorageError("The online store takes no writes now", found=found, fix=_STANDING)
    if isinstance(error, told.OutOfMemoryError):
        return StorageError("The online store is full", found=found, fix=_FULL)
    if isinstance(error, (told.ConnectionError, told.TimeoutError)):
        return StorageError("The online store cannot be reached", found=found, fix=_REACH)
    return EngineError("The online store failed", found=found)


def rows_gone(place: str, key: str) -> StorageError:
    """Return the error for rows that the server threw away."""
    return StorageError(
        "The online store has lost the rows of a cut",
        expected=f"the hash {key} at {place}",
        found="nothing: the server evicts keys, or somebody deleted it",
        fix=f"{_AGAIN} A server that evicts needs `maxmemory-policy noeviction` or `volatile-ttl`.",
    )
