"""The records of a look for leaks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from keelway.features.leakage.alone import SingleScore

Severity = Literal["stop", "note"]
LeakageCheck = Literal["alone", "decisive", "identifier", "late", "copies", "copies across folds", "groups"]


@dataclass(frozen=True, slots=True)
class LeakageFinding:
    """One thing that looks like a leak.

    Attributes:
        check: What looked.
        severity: `stop` where nobody should train over it, `note` where it may be right and somebody should look.
        column: The feature, or empty where it is about rows.
        figure: The figure that decided: a score, a share or a count, by the check.
        low: Lower end of its 95 % interval; the figure itself where it is counted.
        text: The finding in words, with what to do.
    """

    check: LeakageCheck
    severity: Severity
    column: str
    figure: float
    low: float
    text: str


@dataclass(frozen=True, slots=True)
class LeakageReport:
    """What was found, what stops first.

    Attributes:
        rows: How many rows were looked at.
        scores: What each column predicts alone, best first.
    """

    rows: int
    findings: tuple[LeakageFinding, ...]
    scores: tuple[SingleScore, ...]

    @property
    def stops(self) -> tuple[LeakageFinding, ...]:
        """The findings that nobody should train over."""
        return tuple(finding for finding in self.findings if finding.severity == "stop")
