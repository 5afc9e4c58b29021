"""What the door asks of the world: model registries, which show to people and tools what an environment's pointer holds.

A registry is a mirror. Nothing Keelway decides is read from it, so one that is down stops no promotion.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Protocol, runtime_checkable

from keelway.core import Digest


@dataclass(frozen=True, slots=True)
class VersionCopy:
    """A model version as a registry shows it.

    Attributes:
        number: Its number in Keelway's count; a registry's own may differ.
        onnx: Digest of the exported model.
        lineage: Where it comes from, by name; given when the copy is made.
        decision: What let it in, as JSON; to be checked against the ledger.
    """

    model: str
    number: int
    version_digest: Digest
    onnx: Digest
    lineage: dict[str, str]
    decision: str


@dataclass(frozen=True, slots=True)
class AliasState:
    """What a registry shows under an alias.

    Attributes:
        number: The version, in Keelway's count; 0 for one that Keelway did not put there, None where there is no alias.
        receipts: The admissions of this alias that the registry once showed whole, by version number.
        changed_at: When the registry says that the model was changed last; None where it does not tell.
        changed_by: By whom; empty where it does not tell.
    """

    number: int | None
    receipts: dict[int, Digest]
    changed_at: datetime | None = None
    changed_by: str = ""


class AliasKeeper(Protocol):
    """Shows one version of a model under an alias; the experiment tracker is one."""

    def set_alias(self, model: str, alias: str, number: int) -> None:
        """Let an alias (an environment's name) show the version that Keelway calls `number`.

        Raises:
            MissingRecordError: It holds no version of that number.
            EngineError: It does not answer.
        """
        ...

    def remove_alias(self, model: str, alias: str) -> None:
        """Let an alias show nothing; one that is not there stays so.

        Raises:
            EngineError: It does not answer.
        """
        ...

    def alias_of(self, model: str, alias: str) -> int | None:
        """Return the number, in Keelway's count, of the version an alias shows, or None where there is none."""
        ...


@runtime_checkable
class Registry(AliasKeeper, Protocol):
    """A registry that takes copies of versions from another one.

    Promises: `show` is idempotent by the version's digest, and writes its receipt last, so that what was cut short is
    done again and never taken for whole. A failure raises `EngineError`.
    """

    def show(self, copy: VersionCopy, *, alias: str, admission: Digest) -> str:
        """Copy a version where it is not there yet, let the alias show it, write the receipt, and return its link."""
        ...

    def alias_state(self, model: str, alias: str) -> AliasState:
        """Return what an alias shows, and what can be known of who changed it."""
        ...
