"""What this part asks of a policy engine besides judging."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from keelway.core import Evidence, PolicyEngine, PolicySet, Verdict


@dataclass(frozen=True, slots=True)
class UnitTestOutcome:
    """What came of one test written in the policy's own language.

    Attributes:
        line: Where it begins in its file, from 1.
        problem: Why it failed; empty exactly when it passed.
        evidence: The document it judged, where it named one.
    """

    file: str
    name: str
    line: int
    problem: str = ""
    evidence: Evidence | None = None


class PolicyLab(PolicyEngine, Protocol):
    """A policy engine in whose answers people can look around. Every method is pure."""

    def faults(self, policy: PolicySet) -> tuple[str, ...]:
        """Return why a policy refuses whatever the evidence is; empty for one that can be asked."""
        ...

    def texts(self, policy: PolicySet, evidence: Evidence, *, sets: Sequence[str]) -> Mapping[str, tuple[str, ...]]:
        """Return sets of texts of the gate's package, by name; one that nothing defines is left out.

        Raises:
            EngineError: The policy cannot be asked.
        """
        ...

    def judge_many(self, policy: PolicySet, documents: Sequence[bytes], *, workers: int = 0) -> list[Verdict]:
        """Return the verdicts on documents of evidence in canonical JSON, the same as one by one.

        Args:
            workers: In so many processes; 0 takes one for each processor where that pays.
        """
        ...

    def unit_tests(self, policy: PolicySet, tests: Mapping[str, str]) -> list[UnitTestOutcome]:
        """Run the tests in files of the policy's language, in the order of files and lines."""
        ...
