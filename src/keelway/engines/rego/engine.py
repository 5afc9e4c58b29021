"""Judges evidence by Rego policies; whatever is not a clear yes is a no, with a reason.

A gate is the package `keelway.gate`. It names its rules in the set `rules` and says why it refuses in the set
`deny`. docs/policies.md tells how to write one. Rego answers with silence where a figure is missing, and silence must
never let a model in, so this engine refuses, before and after it asks Rego:

1. a policy without files or rules, one that does not compile, raises or answers with another shape;
2. a policy that asks for `input.a.b` or `data.a.b` where there is no such thing, or null: null is taken out of the
   evidence first, because rego-cpp finds null greater than any number;
3. evidence with NaN or infinity, or with null in a list, where taking it out would change what is counted;
4. a policy that calls a built-in whose answer is not the same tomorrow (the time, chance, the host);
5. a policy with the word `with`, on which rego-cpp 1.5 ends the whole process.

What is judged is the canonical JSON whose digest the verdict names, so the stored evidence gives the same answer.
"""

from __future__ import annotations

import json
import math
import re
import threading
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from keelway.core import (
    Digest,
    Evidence,
    PolicyEngine,
    PolicySet,
    Verdict,
    canonical_json,
    digest_bytes,
    digest_of,
    parse_json,
)
from keelway.engines.rego.compiled import CompiledPolicy, Texts, UnansweredError, without_nulls
from keelway.engines.rego.many import in_processes
from keelway.engines.rego.needed import Needed, needed_by
from keelway.engines.rego.unasked import LIBRARY, AskedPlaces, asked_by
from keelway.engines.rego.unit_tests import run_unit_tests
from keelway.errors import EngineError, KeelwayError

SETS = ("rules", "deny", "passed")
KEPT = 16
"""So many policies stay compiled in each thread."""
ANSWERS = 1024
"""So many answers of a policy are kept: a version is often judged again while nothing it is judged by has changed."""
_UNKNOWN = digest_bytes(b"evidence without a canonical form")


class _Gate:
    """One policy, looked through and compiled."""

    def __init__(self, policy: PolicySet, digest: Digest, sets: Sequence[str]) -> None:
        self.name = policy.name
        self.digest = digest
        self.asked: AskedPlaces = asked_by(policy)
        self.needed: Needed = needed_by(policy)
        self._compiled: CompiledPolicy | None = None
        self._answers: dict[str, Texts] = {}
        self.broken = "; ".join(self.asked.reasons)
        if not self.broken:
            try:
                self._compiled = CompiledPolicy(policy.name, policy.files, _named(policy, sets))
            except UnansweredError as error:
                self.broken = str(error)

    def ask(self, evidence: Evidence) -> Texts:
        """Return the gate's sets for evidence; raises UnansweredError."""
        if self._compiled is None:
            raise UnansweredError(self.broken)
        needed = json.dumps(without_nulls(self.needed.part(evidence)), ensure_ascii=False)
        if needed not in self._answers:
            if len(self._answers) >= ANSWERS:
                self._answers.clear()
            self._answers[needed] = self._compiled.ask(needed)
        return self._answers[needed]


class RegoEngine:
    """Evaluates Rego policies in-process; pure, and safe to share between threads (each thread compiles its own)."""

    def __init__(self) -> None:
        self._kept = threading.local()

    def judge(self, policy: PolicySet, evidence: Evidence) -> Verdict:
        """Return the verdict of a policy on evidence; never raises for a bad policy or bad evidence."""
        digest = digest_of(policy)
        try:
            text = canonical_json(evidence)
        except (KeelwayError, TypeError, ValueError):
            return _refusal(digest, _UNKNOWN, _unwritable(evidence))
        return self.judge_bytes(policy, text, digest=digest)

    def judge_bytes(self, policy: PolicySet, evidence: bytes, *, digest: Digest | None = None) -> Verdict:
        """Return the verdict on evidence in canonical JSON, as it is stored; of anything else nothing is promised.

        Args:
            digest: The policy's digest, where it is known.
        """
        gate = self._gate(policy, digest or digest_of(policy), SETS)
        found = digest_bytes(evidence)
        try:
            document = parse_json(evidence)
        except ValueError as error:
            return _refusal(gate.digest, found, (f"the evidence is not JSON: {error}",))
        reasons = _unfit(document, evidence) or gate.asked.refused(document)
        if reasons:
            return _refusal(gate.digest, found, reasons)
        try:
            rules, reasons = _read(gate.name, gate.ask(document))
        except UnansweredError as error:
            return _refusal(gate.digest, found, (str(error),))
        return Verdict(not reasons, reasons, rules, gate.digest, found)

    def judge_many(self, policy: PolicySet, documents: Sequence[bytes], *, workers: int = 0) -> list[Verdict]:
        """Return the verdicts on documents in canonical JSON, the same as one by one.

        Raises:
            EngineError: The policy ended the process that judged it.
        """
        return in_processes(policy, documents, workers=workers, judge=_judge_chunk)

    def texts(self, policy: PolicySet, evidence: Evidence, *, sets: Sequence[str]) -> Mapping[str, tuple[str, ...]]:
        """Return sets of texts of a gate's package by name, for finding out which clause said what.

        What refuses for the evidence before Rego is asked is not looked at; what is no set of texts is left out.

        Raises:
            EngineError: The policy cannot be asked.
        """
        gate = self._gate(policy, digest_of(policy), tuple(sets))
        try:
            found = gate.ask(parse_json(canonical_json(evidence)))
        except UnansweredError as error:
            raise EngineError(str(error)) from error
        return {name: texts for name, texts in found.items() if texts is not None}

    def faults(self, policy: PolicySet) -> tuple[str, ...]:
        """Return why a policy refuses whatever the evidence is: what is wrong in its text, or it does not compile."""
        gate = self._gate(policy, digest_of(policy), SETS)
        return gate.asked.reasons or ((gate.broken,) if gate.broken else ())

    def unit_tests(self, policy: PolicySet, tests: Mapping[str, str]) -> list[UnitTestOutcome]:
        """Run tests written in Rego: rules `test_...`, whose document is given by `with input as`."""
        return run_unit_tests(policy, tests)

    def _gate(self, policy: PolicySet, digest: Digest, sets: tuple[str, ...]) -> _Gate:
        """Return a policy as it was compiled before in this thread, or compile it."""
        kept: OrderedDict[tuple[Digest, tuple[str, ...]], _Gate] = self._kept.__dict__.setdefault(
            "gates", OrderedDict()
        )
        key = (digest, sets)
        if key not in kept:
            kept[key] = _Gate(policy, digest, sets)
            while len(kept) > KEPT:
                kept.popitem(last=False)
        kept.move_to_end(key)
        return kept[key]


def _named(policy: PolicySet, sets: Sequence[str]) -> list[str]:
    """Return those of the sets that a policy's own files name; asking for another costs time and finds nothing."""
    words = set(
        re.findall(r"\w+", " ".join(text for name, text in policy.files.items() if not name.startswith(LIBRARY)))
    )
    return [name for name in sets if name in words]


def _judge_chunk(policy: PolicySet, documents: Sequence[bytes]) -> list[Verdict]:
    """Judge documents here, with the policy compiled once."""
    engine, digest = RegoEngine(), digest_of(policy)
    return [engine.judge_bytes(policy, document, digest=digest) for document in documents]


def _refusal(policy: Digest, evidence: Digest, reasons: tuple[str, ...]) -> Verdict:
    return Verdict(False, reasons, (), policy, evidence)


def _unwritable(evidence: Evidence) -> tuple[str, ...]:
    """Say where evidence holds something that is not JSON."""
    places = tuple(f"evidence.{path} is {value}, not a finite number" for path, value in _unfinite(evidence, ""))
    return places or ("the evidence is not plain JSON",)


def _unfinite(value: Any, path: str) -> list[tuple[str, float]]:
    if isinstance(value, float) and not math.isfinite(value):
        return [(path, value)]
    if isinstance(value, dict):
        return [found for key, item in value.items() for found in _unfinite(item, f"{path}.{key}".lstrip("."))]
    if isinstance(value, (list, tuple)):
        return [found for number, item in enumerate(value) for found in _unfinite(item, f"{path}[{number}]")]
    return []


def _unfit(document: Any, text: bytes) -> tuple[str, ...]:
    """Say what of a document cannot be judged: no object, or null in a list."""
    if not isinstance(document, dict):
        return (f"the evidence is a {type(document).__name__}, not an object",)
    if b"[null" not in text and b",null" not in text:  # in canonical JSON, a field that is null follows a colon
        return ()
    return tuple(f"evidence.{path} is null in a list" for path in _null_members(document, ""))


def _null_members(value: Any, path: str) -> list[str]:
    if isinstance(value, dict):
        return [found for key, item in value.items() for found in _null_members(item, f"{path}.{key}".lstrip("."))]
    if isinstance(value, list):
        return [f"{path}[{number}]" for number, item in enumerate(value) if item is None] + [
            found for number, item in enumerate(value) for found in _null_members(item, f"{path}[{number}]")
        ]
    return []


def _read(name: str, answer: Texts) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return rules and reasons of a gate's answer, refusing any other shape."""
    if not answer:
        return (), (f"the policy {name} defines nothing in package keelway.gate",)
    rules, deny = answer.get("rules"), answer.get("deny")
    if not rules:
        return (), (f"the policy {name} names no rules: `rules` must be a set of names, and not empty",)
    if deny is None:
        return rules, (f"the policy {name} gives no reasons: `deny` must be a set of sentences",)
    if "passed" not in answer:
        return rules, deny
    passed = answer["passed"]
    if passed is None:
        return rules, (f"the policy {name} has a wrong `passed`: it must be a set of rule names",)
    return rules, deny + tuple(f"the rule {rule} did not pass" for rule in rules if rule not in passed)


if TYPE_CHECKING:
    from keelway.promote import PolicyLab, UnitTestOutcome

    _: PolicyEngine = RegoEngine()
    _lab: PolicyLab = RegoEngine()
