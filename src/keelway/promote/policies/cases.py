"""Tests of a policy as tables: YAML files beside it, each case a change of some evidence and the verdict expected.

# policies/production/tests/gate.yaml
evidence: sample                      # or a file beside this one, or the document itself
set: {environment: prod}
cases:
  - name: a weak model stays out
    set: {metrics.roc_auc.low: 0.5}
    verdict: refused
    because: [needs 0.65]             # each is a part of some reason; `reasons` are all of them, word by word
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import msgspec

from keelway.core import Evidence, PolicySet, Verdict
from keelway.errors import SettingsError, UsageError
from keelway.promote.policies.paths import changed, sample_evidence
from keelway.promote.policies.ports import PolicyLab

SAMPLE = "sample"


class _Case(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One case as it stands in a file."""

    name: str
    verdict: Literal["admitted", "refused"]
    evidence: str | dict[str, Any] | None = None
    put: dict[str, Any] = msgspec.field(name="set", default_factory=dict)
    remove: list[str] = []
    reasons: list[str] | None = None
    because: list[str] = []


class _Table(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A file of cases."""

    cases: list[_Case]
    evidence: str | dict[str, Any] = SAMPLE
    put: dict[str, Any] = msgspec.field(name="set", default_factory=dict)
    remove: list[str] = []


@dataclass(frozen=True, slots=True)
class PolicyCase:
    """One case: a document and what a policy has to say of it.

    Attributes:
        reasons: All reasons expected, in any order; None where they are not named.
        because: Parts, each of which has to stand in some reason.
    """

    file: str
    name: str
    evidence: Evidence
    allowed: bool
    reasons: tuple[str, ...] | None = None
    because: tuple[str, ...] = ()

    def problem(self, verdict: Verdict) -> str:
        """Return what is wrong with a verdict, or empty."""
        told = "; ".join(verdict.reasons) or "no reason"
        if verdict.allowed != self.allowed:
            return "is admitted, expected refused" if verdict.allowed else f"is refused, expected admitted: {told}"
        if self.reasons is not None and set(self.reasons) != set(verdict.reasons):
            missing = [f"expected: {reason}" for reason in self.reasons if reason not in verdict.reasons]
            more = [f"not expected: {reason}" for reason in verdict.reasons if reason not in self.reasons]
            return "; ".join((*missing, *more))
        lost = [part for part in self.because if not any(part in reason for reason in verdict.reasons)]
        return f"no reason says {', '.join(map(repr, lost))}: {told}" if lost else ""


@dataclass(frozen=True, slots=True)
class CaseOutcome:
    """What came of one test of a policy, a case or a test in the policy's language.

    Attributes:
        problem: Why it failed; empty exactly when it passed.
        evidence: The document it judged; None where it named none.
    """

    file: str
    name: str
    problem: str
    evidence: Evidence | None

    @property
    def passed(self) -> bool:
        """Whether it came out as expected."""
        return not self.problem


def read_cases(folder: Path) -> list[PolicyCase]:
    """Return the cases of the files `tests/*.yaml` in a policy's folder.

    Raises:
        SettingsError: A file is no such table.
    """
    files = sorted((*folder.glob("tests/*.yaml"), *folder.glob("tests/*.yml")))
    return [case for file in files for case in _cases(file, folder)]


def read_unit_tests(folder: Path) -> dict[str, str]:
    """Return the tests in the policy's language: `*_test.rego` in its folder and under `tests/`, by name."""
    files = sorted((*folder.glob("*_test.rego"), *folder.glob("tests/*_test.rego")))
    return {file.relative_to(folder).as_posix(): file.read_text("utf8") for file in files}


def run_tests(
    policy: PolicySet, *, cases: list[PolicyCase], unit_tests: dict[str, str], lab: PolicyLab
) -> list[CaseOutcome]:
    """Run cases and tests in the policy's language; a policy that refuses everything fails every case that it should."""
    made = [
        CaseOutcome(case.file, case.name, case.problem(lab.judge(policy, case.evidence)), case.evidence)
        for case in cases
    ]
    found = lab.unit_tests(policy, unit_tests) if unit_tests else []
    return made + [CaseOutcome(each.file, each.name, each.problem, each.evidence) for each in found]


def _cases(file: Path, folder: Path) -> Iterator[PolicyCase]:
    import yaml

    name = file.relative_to(folder).as_posix()
    try:
        table = msgspec.convert(yaml.safe_load(file.read_text("utf8")), _Table)
        for case in table.cases:
            base = changed(_base(table.evidence, file), put=table.put, remove=tuple(table.remove))
            if case.evidence is not None:
                base = _base(case.evidence, file)
            evidence = changed(base, put=case.put, remove=tuple(case.remove))
            reasons = None if case.reasons is None else tuple(case.reasons)
            yield PolicyCase(name, case.name, evidence, case.verdict == "admitted", reasons, tuple(case.because))
    except (yaml.YAMLError, msgspec.ValidationError, UnicodeDecodeError, OSError, UsageError) as error:
        raise SettingsError(
            f"The cases in {name} cannot be read",
            expected="evidence, set, remove and a list of cases, each with name and verdict (docs/policies.md)",
            found=" ".join(str(error).split()),
        ) from error


def _base(named: str | dict[str, Any], file: Path) -> Evidence:
    """Return the document that a table names: the sample, a file beside it, or what stands there."""
    import yaml

    if isinstance(named, dict):
        return named
    if named == SAMPLE:
        return sample_evidence()
    path = (file.parent / named).resolve()
    found = yaml.safe_load(path.read_text("utf8"))
    if not isinstance(found, dict):
        raise UsageError(f"{named} holds no evidence", expected="an object", found=type(found).__name__)
    return found
