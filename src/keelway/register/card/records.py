"""The records of a model card: sections of blocks, and the gaps that no evidence answers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from keelway.core import Digest, VersionName


@dataclass(frozen=True, slots=True)
class Prose:
    """A text that people wrote, or a sentence on the evidence."""

    text: str


@dataclass(frozen=True, slots=True)
class FactList:
    """Names, and what is said of each."""

    facts: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class CommandLines:
    """Lines of code or commands."""

    text: str


@dataclass(frozen=True, slots=True)
class CardTable:
    """A table; the first cell of each row names it."""

    caption: str
    heads: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


@dataclass(frozen=True, slots=True)
class Gap:
    """A question that nothing answers.

    Attributes:
        section: Where the answer would stand.
        what: What is not stated.
        say: How to state it.
        optional: Whether a card is complete without it.
    """

    section: str
    what: str
    say: str
    optional: bool = False

    @property
    def is_code(self) -> bool:
        """Whether it is stated in code, and not by doing something."""
        return self.say.startswith(("Model(", "keelway "))


CardBlock = Prose | FactList | CommandLines | CardTable | Gap


@dataclass(frozen=True, slots=True)
class CardSection:
    """A heading and what stands under it.

    Attributes:
        level: 2 for a section, 3 for a part of one.
    """

    title: str
    level: int
    blocks: tuple[CardBlock, ...] = ()


@dataclass(frozen=True, slots=True)
class ModelCard:
    """What is known of a model version, and what is not.

    Attributes:
        metadata: The front matter, in Hugging Face's layout.
        gaps: The questions that nothing answers, in the order of the sections.
    """

    name: VersionName
    version: Digest
    metadata: dict[str, Any]
    sections: tuple[CardSection, ...]
    gaps: tuple[Gap, ...] = ()

    @property
    def complete(self) -> bool:
        """Whether every question that needs an answer has one."""
        return all(gap.optional for gap in self.gaps)


@dataclass(frozen=True, slots=True)
class CardEntry:
    """One decision of the ledger about the version.

    Attributes:
        index: The number of the entry.
    """

    index: int
    action: str
    environment: str
    principal: str
    at: datetime
    allowed: bool


@dataclass(frozen=True, slots=True)
class CardData:
    """What one dataset of the training rows was.

    Attributes:
        snapshot: The record, such as `transactions 3`, or empty where it is gone.
        digest: The record's digest.
        owner: Who answers for it by its contract; empty where that says nobody.
        contract: The contract's name and version, or empty where it is gone.
        personal: Columns that name people, and what becomes of them.
    """

    name: str
    digest: Digest
    snapshot: str = ""
    rows: int | None = None
    known_until: datetime | None = None
    owner: str = ""
    contract: str = ""
    personal: Mapping[str, str] = field(default_factory=dict)
