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
from collections.abc import Iterator, Mapping, Sequence
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
from keelway.engines.rego.many import PAYS_FROM, ManyDocuments, UnitAnswers
from keelway.engines.rego.needed import Needed, needed_by
from keelway.engines.rego.processes import AnsweringProcesses, EvaluationLimits, processes
from keelway.engines.rego.unasked import LIBRARY, AskedPlaces, asked_by
from keelway.engines.rego.unit_tests import run_unit_tests
from keelway.engines.rego.units import GateUnits
from keelway.errors import EngineError, KeelwayError

SETS = ("rules", "deny", "passed")
KEPT = 16
"""So many policies stay looked through."""
ANSWERS = 1024
"""So many answers of a policy are kept: a version is often judged again while nothing it is judged by has changed."""
_UNKNOWN = digest_bytes(b"evidence without a canonical form")


class _Gate:
    """One policy, looked through and ready to be asked."""

    def __init__(self, policy: PolicySet, digest: Digest, sets: Sequence[str], among: AnsweringProcesses) -> None:
        self.name = policy.name
        self.digest = digest
        self.asked: AskedPlaces = asked_by(policy)
        self.needed: Needed = needed_by(policy)
        self.sets = _named(policy, sets)
        self.compiled = CompiledPolicy(policy.name, policy.files, self.sets, among)
        self._answers: dict[str, Texts] = {}

    def fault(self) -> str:
        """Return why it cannot be asked whatever the evidence is, or empty text."""
        return "; ".join(self.asked.reasons) or self.compiled.fault()

    def ask(self, evidence: Evidence) -> Texts:
        """Return the gate's sets for evidence; raises UnansweredError."""
        if self.asked.reasons:
            raise UnansweredError("; ".join(self.asked.reasons))
        needed = json.dumps(without_nulls(self.needed.part(evidence)), ensure_ascii=False)
        if needed not in self._answers:
            answer = self.compiled.ask(needed)
            if len(self._answers) >= ANSWERS:
                self._answers.clear()
            self._answers[needed] = answer
            return answer
        return self._answers[needed]

    def looked_at(self, evidence: bytes) -> tuple[Evidence, tuple[str, ...]]:
        """Return the document that stands in canonical JSON, and why it is refused without asking Rego."""
        try:
            document = parse_json(evidence)
        except ValueError as error:
            return {}, (f"the evidence is not JSON: {error}",)
        return document, _unfit(document, evidence) or self.asked.refused(document)

    def verdict(self, evidence: bytes, found: Texts | UnansweredError) -> Verdict:
        """Return the verdict that an answer means."""
        digest = digest_bytes(evidence)
        if isinstance(found, UnansweredError):
            return _refusal(self.digest, digest, (str(found),))
        rules, reasons = _read(self.name, found)
        return Verdict(not reasons, reasons, rules, self.digest, digest)


class RegoEngine:
    """Evaluates Rego policies in processes of their own; pure, and safe to share between threads.

    Args:
        limits: What one evaluation may use; whatever takes more refuses.
    """

    def __init__(self, limits: EvaluationLimits | None = None) -> None:
        self._among = processes(limits or EvaluationLimits())
        self._gates: OrderedDict[tuple[Digest, tuple[str, ...]], _Gate] = OrderedDict()
        self._gates_lock, self._many_lock = threading.Lock(), threading.Lock()
        self._unit_answers = UnitAnswers()

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
        document, reasons = gate.looked_at(evidence)
        if reasons:
            return _refusal(gate.digest, digest_bytes(evidence), reasons)
        try:
            found: Texts | UnansweredError = gate.ask(document)
        except UnansweredError as error:
            found = error
        return gate.verdict(evidence, found)

    def judge_many(self, policy: PolicySet, documents: Sequence[bytes], *, workers: int = 0) -> list[Verdict]:
        """Return the verdicts on documents in canonical JSON, the same as one by one.

        Args:
            workers: How many processes are asked; 0 takes one for each processor where that pays.

        Raises:
            EngineError: The policy ended so many processes that it is given up.
        """
        digest = digest_of(policy)
        gate = self._gate(policy, digest, SETS)
        if (not workers and len(documents) < PAYS_FROM) or gate.fault():
            return [self.judge_bytes(policy, document, digest=digest) for document in documents]
        refused: dict[int, tuple[str, ...]] = {}

        def fit() -> Iterator[tuple[int, Evidence]]:
            for number, text in enumerate(documents):
                document, reasons = gate.looked_at(text)
                if reasons:
                    refused[number] = reasons
                else:
                    yield number, document

        with self._many_lock:
            many = ManyDocuments(
                gate.compiled, GateUnits(policy, gate.sets), gate.needed, kept=self._unit_answers, among=self._among,
                load=lambda number: parse_json(documents[number]),
            )  # fmt: skip
            found = many.ask(fit(), workers=workers)
        return [
            _refusal(digest, digest_bytes(text), refused[number])
            if number in refused
            else gate.verdict(text, found[number])
            for number, text in enumerate(documents)
        ]

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
        fault = gate.fault()
        return gate.asked.reasons or ((fault,) if fault else ())

    def unit_tests(self, policy: PolicySet, tests: Mapping[str, str]) -> list[UnitTestOutcome]:
        """Run tests written in Rego: rules `test_...`, whose document is given by `with input as`."""
        return run_unit_tests(policy, tests, among=self._among)

    def _gate(self, policy: PolicySet, digest: Digest, sets: tuple[str, ...]) -> _Gate:
        """Return a policy as it was looked through before, or look it through."""
        key = (digest, sets)
        with self._gates_lock:
            if key in self._gates:
                self._gates.move_to_end(key)
                return self._gates[key]
        gate = _Gate(policy, digest, sets, self._among)
        with self._gates_lock:
            self._gates[key] = gate
            while len(self._gates) > KEPT:
                self._gates.popitem(last=False)
        return gate


def _named(policy: PolicySet, sets: Sequence[str]) -> list[str]:
    """Return those of the sets that a policy's own files name; asking for another costs time and finds nothing."""
    words = set(
        re.findall(r"\w+", " ".join(text for name, text in policy.files.items() if not name.startswith(LIBRARY)))
    )
    return [name for name in sets if name in words]


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
