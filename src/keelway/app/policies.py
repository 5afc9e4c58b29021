"""Policies for the people who write them: look through, test, explain, replay, and measure what rules ask for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from keelway.app.gate import Gate, environment_rules
from keelway.app.wire import Workspace
from keelway.core import Digest, PolicySet, digest_of, parse_json, revive
from keelway.errors import SettingsError, UsageError

if TYPE_CHECKING:
    from keelway.promote import (
        CaseOutcome,
        Explanation,
        MeasuredKind,
        PolicyCoverage,
        PolicyFinding,
        PolicyLab,
        ReadyRule,
        Replay,
        VersionCheck,
    )


@dataclass(frozen=True, slots=True)
class PolicyTested:
    """What came of the tests of one policy.

    Attributes:
        coverage: What its tests exercise; None where that was not asked for.
    """

    policy: str
    outcomes: tuple[CaseOutcome, ...]
    coverage: PolicyCoverage | None

    @property
    def failed(self) -> int:
        """How many tests failed."""
        return sum(not outcome.passed for outcome in self.outcomes)


@dataclass(frozen=True, slots=True)
class PolicyChecked:
    """What was found in the text of one policy."""

    policy: str
    findings: tuple[PolicyFinding, ...]

    @property
    def ok(self) -> bool:
        """Whether nothing is an error."""
        return all(finding.level != "error" for finding in self.findings)


class PolicyRoom:
    """Use cases of those who write policies."""

    def __init__(self, workspace: Workspace, gate: Gate) -> None:
        self._at = workspace
        self._gate = gate

    def folders(self, named: Sequence[str] = ()) -> list[str]:
        """Return policy folders relative to the project: those named, by folder or environment, or all that are in use.

        Raises:
            SettingsError: No environment names a policy.
        """
        environments = self._at.settings.environments
        if named:
            return [environments[name].policy if name in environments else name for name in named]
        found = list(dict.fromkeys(one.policy for one in environments.values() if one.policy))
        if not found:
            raise SettingsError("No environment has a policy", expected="environments.NAME.policy in keelway.toml")
        return found

    def test(self, named: Sequence[str] = (), *, covered: bool = False) -> list[PolicyTested]:
        """Run the tests beside policies.

        Args:
            named: Folders or environments; empty for all that are in use.
            covered: Whether to tell which clauses the tests exercise.

        Raises:
            SettingsError: There is no such policy, or a file of cases cannot be read.
        """
        from keelway.promote import coverage, read_cases, read_unit_tests, run_tests

        told = []
        for name in self.folders(named):
            policy, folder = self._policy(name), self._at.root / name
            outcomes = run_tests(policy, cases=read_cases(folder), unit_tests=read_unit_tests(folder), lab=self._lab)
            documents = [outcome.evidence for outcome in outcomes if outcome.evidence is not None]
            found = coverage(policy, documents, lab=self._lab) if covered else None
            told.append(PolicyTested(name, tuple(outcomes), found))
        return told

    def check(self, named: Sequence[str] = ()) -> list[PolicyChecked]:
        """Look policies through: whether they compile, what they read that no evidence holds, what never refuses."""
        from keelway.promote import check_policy

        return [PolicyChecked(name, check_policy(self._policy(name), lab=self._lab)) for name in self.folders(named)]

    def explain(self, version: str, environment: str) -> Explanation:
        """Return what an environment's gate says of a version now, clause by clause; nothing is changed.

        Raises:
            MissingRecordError: There is no such version.
            SettingsError: The environment has no policy.
        """
        from keelway.promote import check_signature, door_evidence, explain, standing_reasons

        at = self._at
        found, rules = self._gate.version(version), environment_rules(environment, at=at)
        signature = check_signature(found, artifacts=at.artifacts, public_key=at.signing.public_key)
        with at.state.snapshot() as tx:
            evidence = door_evidence(found, environment=rules, signature=signature, now=at.now(), tx=tx)
            standing = standing_reasons(found, signature=signature, tx=tx)
        return explain(rules.policy, evidence, lab=self._lab, standing=standing)

    def rules(self) -> list[ReadyRule]:
        """Return the ready rules that Keelway ships, by name."""
        from keelway.promote import library_texts, ready_rules

        return sorted(ready_rules(library_texts()).values(), key=lambda rule: rule.name)

    def replay(
        self, named: str, *, since: datetime, until: datetime | None = None, environment: str = "", workers: int = 0
    ) -> Replay:
        """Judge past decisions by a policy as it stands in its folder now.

        Args:
            named: The policy's folder, or the environment whose policy it is.
            since: The first moment; `until` the first after, None for no end.
            environment: Only decisions about this environment; empty takes that of `named`, or all.
            workers: How many processes judge; 0 takes one for each processor where that pays.
        """
        from keelway.promote import past_decisions, replay

        at = self._at
        (folder,) = self.folders([named])
        policy = self._policy(folder)
        if environment:
            at.environment(environment)
        places = [environment] if environment else [named] if named in at.settings.environments else []
        with at.state.snapshot() as tx:
            past = list(past_decisions(tx, since=since, until=until, environments=places))
        return replay(
            past,
            policy,
            digest_of(policy),
            artifacts=at.artifacts,
            policies=self._stored,
            lab=self._lab,
            workers=workers,
        )

    def measure(self, version: str, kinds: Sequence[MeasuredKind]) -> list[VersionCheck]:
        """Measure of a version what rules ask for and its training does not tell; each is kept in the ledger.

        Raises:
            UsageError: Nothing is to be measured.
        """
        from keelway.app.measure import measure

        if not kinds:
            raise UsageError("What is to be measured?", expected="--latency, --leakage or --reproduce", found="none")
        found = self._gate.version(version)
        return [measure(found, kind, at=self._at) for kind in kinds]

    @property
    def _lab(self) -> PolicyLab:
        return self._at.policy_engine

    def _policy(self, folder: str) -> PolicySet:
        from keelway.promote import load_policy

        return load_policy(folder, root=self._at.root)

    def _stored(self, digest: Digest) -> PolicySet:
        """Return a policy that judged once, by its digest."""
        return revive(parse_json(self._at.artifacts.get(digest)), PolicySet)
