"""Policy: a pure function from evidence to a verdict with reasons.

A rule answers with the reasons it refuses, so an empty tuple means yes; but a policy without any rule, with a
missing figure or with NaN never says yes.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Protocol

from keelway.core.digest import Digest

Evidence = dict[str, Any]
"""The document a policy reads: plain JSON values only, described in docs/policies.md."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a policy answered.

    Attributes:
        allowed: Whether the policy says yes.
        reasons: Why not; empty exactly when allowed.
        rules: The names of the rules that were asked, never empty when allowed.
        policy_digest: Digest of the policy's files.
        evidence_digest: Digest of the document that was judged.
    """

    allowed: bool
    reasons: tuple[str, ...]
    rules: tuple[str, ...]
    policy_digest: Digest
    evidence_digest: Digest


@dataclass(frozen=True, slots=True)
class PolicySet:
    """The policy files of one gate, as they were read: file name to text."""

    name: str
    files: dict[str, str] = field(default_factory=dict)


class PolicyEngine(Protocol):
    """Evaluates policies in-process. Pure: the same policy and evidence give the same verdict, with no IO.

    Promises: an empty policy set refuses; a policy that does not compile, raises, or answers with anything but
    reasons refuses and says so; evidence with NaN refuses.
    """

    def judge(self, policy: PolicySet, evidence: Evidence) -> Verdict:
        """Return the verdict of a policy on evidence."""
        ...
