"""Every error Keelway raises on purpose, in one tree.

    KeelwayError                      anything raised on purpose; carries expected, found, fix
    ├── UsageError                    the command or call cannot be carried out as written
    │   ├── ProjectError              no project here, or it cannot be loaded
    │   ├── SettingsError             keelway.toml is wrong
    │   └── MissingExtraError         an optional package is not installed
    ├── MissingRecordError            nothing is stored under that name or digest
    │   └── ErasedError               it was there, and its key was destroyed on purpose
    ├── ConflictError                 somebody else was first; look again and retry
    │   ├── RecordExistsError         the name is taken by other content
    │   └── PointerMovedError         compare-and-swap found another value
    ├── IntegrityError                bytes, a record, a proof or a signature do not match
    ├── DataError                     the data cannot be used
    │   ├── SourceError               an object store cannot be listed or read
    │   │   └── ObjectChangedError    an object is no longer as it was listed; it may still be growing
    │   ├── ContractError             the contract does not parse, or stops the load
    │   ├── FeatureError              a feature or label function broke its promise
    │   └── TrainingError             the model cannot be fitted or evaluated
    ├── RefusedError                  a policy, a role or a missing approval says no
    │   └── IdentityError             the principal is unknown or may not do this
    ├── ServingError                  a request or a scorer cannot be served
    │   ├── BadRequestError           the request itself is wrong; `field` says where
    │   ├── UndefinedAnswerError      a scorer answered with NaN, infinity or what is no probability
    │   └── UnavailableError          not now; `retry_after_s` says when to ask again
    │       └── OverloadedError       there is too much to do: the request was shed
    ├── StepError                     a step of a plan failed
    └── EngineError                   a service or a library under us failed (chained with `from`)
        └── StorageError              a disk or store could not be read or written

Each error says what was expected, what was found and how to mend it:

>>> str(KeelwayError("Wrong snapshot", expected="8 of churn", found="7", fix="Pull again."))
'Wrong snapshot: expected 8 of churn, found 7'
"""

from __future__ import annotations


class KeelwayError(Exception):
    """Base of everything Keelway raises on purpose.

    Args:
        what: One plain sentence, without a full stop, naming the thing that is wrong.
        expected: What should have been there.
        found: What was there instead.
        fix: What the reader can do about it, as a sentence.
    """

    def __init__(self, what: str, *, expected: str = "", found: str = "", fix: str = "") -> None:
        self.what = what
        self.expected = expected
        self.found = found
        self.fix = fix
        super().__init__(what)

    def __str__(self) -> str:
        details = [f"expected {self.expected}"] if self.expected else []
        if self.found:
            details.append(f"found {self.found}")
        return f"{self.what}: {', '.join(details)}" if details else self.what


class UsageError(KeelwayError):
    """The command or call cannot be carried out as written."""


class ProjectError(UsageError):
    """There is no project here, or it cannot be loaded."""


class SettingsError(UsageError):
    """`keelway.toml` is missing, does not parse or holds a wrong value."""


class MissingExtraError(UsageError):
    """An optional package is needed and not installed."""


class MissingRecordError(KeelwayError):
    """Nothing is stored under that name or digest."""


class ErasedError(MissingRecordError):
    """The bytes cannot be read any more: their key was destroyed, as the law or a person asked."""


class ConflictError(KeelwayError):
    """Somebody else was first; nothing was changed."""


class RecordExistsError(ConflictError):
    """The name is already taken by a record with other content."""


class PointerMovedError(ConflictError):
    """A compare-and-swap found another value than the one expected."""


class IntegrityError(KeelwayError):
    """Stored bytes, a record, a proof or a signature do not match what was promised."""


class DataError(KeelwayError):
    """The data cannot be used."""


class SourceError(DataError):
    """An object store cannot be listed or read."""


class ObjectChangedError(SourceError):
    """An object is no longer as it was listed; it may still be growing."""


class ContractError(DataError):
    """A data contract does not parse, or it stops the load."""


class FeatureError(DataError):
    """A feature or label function raised, or returned something it must not."""


class TrainingError(DataError):
    """A model cannot be fitted or evaluated on this data."""


class RefusedError(KeelwayError):
    """A policy, a role or a missing approval says no. Every reason is in `reasons`."""

    def __init__(
        self,
        what: str,
        *,
        reasons: tuple[str, ...] = (),
        expected: str = "",
        found: str = "",
        fix: str = "",
    ) -> None:
        self.reasons = reasons
        super().__init__(what, expected=expected, found=found or "; ".join(reasons), fix=fix)


class IdentityError(RefusedError):
    """The principal is unknown, cannot be authenticated or lacks the role."""


class ServingError(KeelwayError):
    """A request or a scorer cannot be served."""


class BadRequestError(ServingError):
    """A request is refused; `field` says where, as a JSON path, and `status` is the HTTP status that fits."""

    def __init__(self, what: str, *, expected: str = "", found: str = "", field: str = "", status: int = 422) -> None:
        super().__init__(what, expected=expected, found=found, fix="See `/` for the schema.")
        self.field = field
        self.status = status


class UndefinedAnswerError(ServingError):
    """A scorer answered with NaN, infinity or a probability outside [0, 1]; nobody gets such an answer."""


class UnavailableError(ServingError):
    """A request is not answered now: there is too much to do, or what would answer is out; ask again later."""

    def __init__(
        self, what: str, *, expected: str = "", found: str = "", fix: str = "", retry_after_s: float = 1.0
    ) -> None:
        super().__init__(what, expected=expected, found=found, fix=fix)
        self.retry_after_s = retry_after_s


class OverloadedError(UnavailableError):
    """There is too much to do; the request is refused before it makes that worse."""


class StepError(KeelwayError):
    """A step of a plan failed; the cause is chained."""


class EngineError(KeelwayError):
    """A service or library underneath failed; the vendor's error is chained."""


class StorageError(EngineError):
    """A disk or store could not be read or written (full, missing, not permitted)."""
