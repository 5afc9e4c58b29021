"""What an object store says when it fails, in Keelway's words; each of the client's exceptions has its line here."""

from __future__ import annotations

import re
from dataclasses import dataclass

from keelway.errors import EngineError, SettingsError, SourceError, StorageError

_SETTINGS = "Check the URL and the options of the object store in keelway.toml."
_RIGHTS = "Check the credentials in keelway.toml and what they may do in this bucket."
_LATER = "Check the network and the store's status page, then run the command again: nothing was half-done."
_MAX_FOUND = 300
_STATUS = re.compile(r"status code: (4\d\d)")
_BY_STATUS = {"401": "UnauthenticatedError", "403": "PermissionDeniedError", "404": "NotFoundError"}
"""A refused listing comes as a `GenericError` that only quotes the status."""


@dataclass(frozen=True, slots=True)
class Meaning:
    """What one kind of failure means, and what to do."""

    what: str
    fix: str


FAILURES = {
    "AlreadyExistsError": Meaning("is there already", _LATER),
    "FileNotFoundError": Meaning("is not there", "Check that the bucket and the object exist."),
    "GenericError": Meaning("cannot be reached, or keeps failing", _LATER),
    "InvalidPathError": Meaning("has a name that cannot be used", "Rename the object: no empty folders, no '..'."),
    "JoinError": Meaning("could not be worked on", _LATER),
    "NotFoundError": Meaning("is not there", "Check that the bucket and the object exist."),
    "NotModifiedError": Meaning("has not changed", _LATER),
    "NotSupportedError": Meaning("does not offer what is asked of it", "Use a store with conditional writes."),
    "PermissionDeniedError": Meaning("must not be used with these credentials", _RIGHTS),
    "PreconditionError": Meaning("has changed meanwhile", _LATER),
    "UnauthenticatedError": Meaning("does not know these credentials", _RIGHTS),
    "UnknownConfigurationKeyError": Meaning("has no such option", _SETTINGS),
    "ValueError": Meaning("has a name that cannot be used", "Rename the object: no empty folders, no '..'."),
}
"""By the name of the exception; `BaseError` itself is never raised."""


def vendor_errors() -> tuple[type[Exception], ...]:
    """Return what the client raises; some of it are Python's own exceptions."""
    from obstore.exceptions import BaseError

    return BaseError, OSError, ValueError


def unreadable(thing: str, error: Exception) -> SourceError:
    """Return the error of a source that cannot be listed or read."""
    meaning = _meaning(error)
    return SourceError(f"{thing} {meaning.what}", found=found_in(error), fix=meaning.fix)


def unstorable(thing: str, error: Exception) -> StorageError:
    """Return the error of a store of artifacts."""
    meaning = _meaning(error)
    return StorageError(f"{thing} {meaning.what}", found=found_in(error), fix=meaning.fix)


def unusable(url: str, error: Exception) -> SettingsError:
    """Return the error of a store that cannot be opened; what the client says may quote a secret, so it is not told."""
    return SettingsError(
        f"The object store {url} cannot be opened",
        expected="a URL and options that its client knows",
        found=f"a {type(error).__name__}",
        fix=_SETTINGS,
    )


def found_in(error: Exception) -> str:
    """Return the first line of what the client says; the rest is the client's own structure."""
    lines = str(error).splitlines() or [type(error).__name__]
    return lines[0][:_MAX_FOUND]


def is_unrepeated(error: Exception) -> bool:
    """Say whether a request failed on its way without the client having repeated it.

    The client repeats reads, but neither a listing whose answer breaks off nor a write whose answer is lost: it cannot
    know that this write may safely be done twice.
    """
    told = found_in(error)
    return type(error).__name__ == "GenericError" and "HTTP error" in told and "max_retries" not in told


def is_missing(error: Exception) -> bool:
    """Say whether an object, or the bucket that was to be listed, is not there."""
    refused = _STATUS.search(found_in(error))
    return type(error).__name__ in ("NotFoundError", "FileNotFoundError") or bool(refused and refused[1] == "404")


def _meaning(error: Exception) -> Meaning:
    refused = _STATUS.search(found_in(error))
    name = _BY_STATUS.get(refused[1], "") if refused else ""
    try:
        return FAILURES[name or type(error).__name__]
    except KeyError:
        raise EngineError("An object store failed in an unknown way", found=found_in(error)) from error
