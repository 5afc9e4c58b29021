"""The decisions of the ledger, chosen by what they are about, and as a table for other programs."""

from __future__ import annotations

import csv
import io
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from keelway.core import Action, Decision, time_text
from keelway.errors import UsageError

if TYPE_CHECKING:
    from keelway.ledger import Transaction

CSV_HEAD = (
    "entry", "at", "action", "subject", "environment", "allowed", "principal", "reasons", "comment", "policy",
    "evidence", "moves",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class LedgerLine:
    """One decision with its place in the ledger."""

    index: int
    decision: Decision


@dataclass(frozen=True, slots=True)
class LogQuery:
    """Which decisions are wanted; what is empty or None asks nothing.

    Attributes:
        action: One of `core.Action`.
        subject: The thing as people call it: `churn:2`; `churn` also takes all its versions.
        since: Not before this moment.
        until: Before this moment.
        refused: Only refusals.
        limit: Only the newest so many; 0 for all.
    """

    action: str = ""
    subject: str = ""
    principal: str = ""
    environment: str = ""
    since: datetime | None = None
    until: datetime | None = None
    refused: bool = False
    limit: int = 0

    def __post_init__(self) -> None:
        if self.action and self.action not in set(Action):
            raise UsageError("There is no such action", expected=", ".join(sorted(Action)), found=self.action)
        if self.principal and not self.principal.startswith(("user:", "sp:")):
            raise UsageError("This names no principal", expected="user:NAME or sp:NAME", found=self.principal)
        if self.limit < 0:
            raise UsageError("So few decisions cannot be shown", expected="0 (all) or more", found=str(self.limit))
        if self.since and self.until and self.until <= self.since:
            raise UsageError(
                "The time ends before it begins",
                expected=f"an end after {time_text(self.since)}",
                found=time_text(self.until),
            )

    def takes(self, decision: Decision) -> bool:
        """Say whether a decision is wanted."""
        named = decision.subject
        return (
            (not self.action or decision.action == self.action)
            and (not self.subject or named == self.subject or named.startswith(f"{self.subject}:"))
            and (not self.principal or decision.principal == self.principal)
            and (not self.environment or decision.environment == self.environment)
            and (self.since is None or decision.at >= self.since)
            and (self.until is None or decision.at < self.until)
            and not (self.refused and decision.allowed)
        )


def chosen(query: LogQuery, *, tx: Transaction) -> list[LedgerLine]:
    """Return the decisions that a query wants, oldest first."""
    from keelway.ledger import decisions

    found = (LedgerLine(index, decision) for index, decision in decisions(tx) if query.takes(decision))
    return list(deque(found, maxlen=query.limit or None))


def check_environment(name: str, *, known: Iterable[str], tx: Transaction) -> None:
    """Return when an environment is known, by the settings or by a decision of any time.

    Raises:
        UsageError: It is not.
    """
    from keelway.ledger import decisions

    decided = {decision.environment for _, decision in decisions(tx) if decision.environment}
    if name not in decided.union(known):
        raise UsageError(
            f"No environment is called {name}", expected=", ".join(sorted(decided.union(known))), found=name
        )


def as_csv(lines: Iterable[LedgerLine]) -> Iterator[str]:
    """Yield the decisions as lines of CSV (RFC 4180), with a heading; several values in a field are joined by `; `."""
    yield _row(CSV_HEAD)
    for line in lines:
        told = line.decision
        yield _row(
            (
                line.index,
                time_text(told.at),
                told.action,
                told.subject,
                told.environment,
                "yes" if told.allowed else "no",
                told.principal,
                "; ".join(told.reasons),
                told.comment,
                told.policy or "",
                "; ".join(f"{role}={digest}" for role, digest in sorted(told.evidence.items())),
                "; ".join(f"{move.name}: {move.before or '-'} -> {move.after}" for move in told.moves),
            )
        )


def _row(values: Iterable[object]) -> str:
    text = io.StringIO(newline="")
    csv.writer(text, lineterminator="\r\n").writerow([_harmless(str(value)) for value in values])
    return text.getvalue().removesuffix("\r\n")


def _harmless(text: str) -> str:
    """Return a text that a spreadsheet does not take for a formula."""
    return f"'{text}" if text[:1] in ("=", "+", "-", "@", "\t", "\r") else text
