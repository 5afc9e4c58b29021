"""Judges evidence by Rego policies; whatever is not a clear yes is a no, with a reason.

A gate is the package `keelway.gate`. It names its rules in the set `rules` and says why it refuses in the set
`deny`. docs/policies.md tells how to write one. Rego answers with silence where a figure is missing, and silence must
never let a model in, so this engine refuses, before and after it asks Rego:

1. a policy without files or rules, one that does not compile, raises or answers with another shape;
2. a policy that asks for `input.a.b` when the evidence holds no such thing, or holds null there: null is taken out
   of the evidence first, because rego-cpp finds null greater than any number;
3. evidence with NaN or infinity;
4. a policy that calls a built-in whose answer is not the same tomorrow (the time, chance, the host).
"""

from __future__ import annotations

import json
import math
import re
from typing import TYPE_CHECKING, Any, TypeGuard

from keelway.core import Digest, Evidence, PolicyEngine, PolicySet, Verdict, digest_bytes, digest_of
from keelway.errors import KeelwayError

QUERY = "data.keelway.gate"
LIBRARY = "library/"
"""Files under this name are Keelway's ready rules: tested to refuse missing evidence by themselves."""

_STRINGS_AND_COMMENTS = re.compile(r'"(?:\\.|[^"\\])*"|`[^`]*`|#[^\n]*')
_REFERENCE = re.compile(r"\binput((?:\s*\.\s*[A-Za-z_]\w*)+)")
_IMPURE = re.compile(r"\b(time\.now_ns|rand\.\w+|uuid\.\w+|opa\.runtime|http\.\w+|net\.\w+)")
_UNKNOWN = digest_bytes(b"evidence without a canonical form")


class RegoEngine:
    """Evaluates Rego policies in-process; pure, and safe to share between threads (each verdict has its interpreter)."""

    def judge(self, policy: PolicySet, evidence: Evidence) -> Verdict:
        """Return the verdict of a policy on evidence; never raises for a bad policy or bad evidence."""
        policy_digest = digest_of(policy)
        try:
            evidence_digest = digest_of(evidence)
        except (KeelwayError, TypeError, ValueError):
            return _refusal(policy_digest, _UNKNOWN, _unwritable(evidence))
        reasons = _refused_unasked(policy, evidence)
        if reasons:
            return _refusal(policy_digest, evidence_digest, reasons)
        rules, reasons = _ask(policy, evidence)
        return Verdict(not reasons, reasons, rules, policy_digest, evidence_digest)


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


def _refused_unasked(policy: PolicySet, evidence: Evidence) -> tuple[str, ...]:
    """Return the reasons that need no Rego: nothing to ask, impure calls, evidence that is not there."""
    if not any(not name.startswith(LIBRARY) and text.strip() for name, text in policy.files.items()):
        return (f"the policy {policy.name} has no rules: an empty gate lets nothing in",)
    reasons: list[str] = []
    for name, text in sorted(policy.files.items()):
        code = _STRINGS_AND_COMMENTS.sub('""', text)
        reasons += [
            f"{name} calls {call}, whose answer changes: a gate may only read its evidence"
            for call in sorted(set(_IMPURE.findall(code)))
        ]
        if not name.startswith(LIBRARY):
            asked = {re.sub(r"\s", "", path).lstrip(".") for path in _REFERENCE.findall(code)}
            reasons += [
                f"{name} asks for input.{path}, which the evidence does not hold"
                for path in sorted(asked)
                if not _holds(evidence, path.split("."))
            ]
    return tuple(reasons)


def _holds(value: Any, path: list[str]) -> bool:
    for key in path:
        if not isinstance(value, dict) or value.get(key) is None:
            return False
        value = value[key]
    return True


def _ask(policy: PolicySet, evidence: Evidence) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the rules that were asked and the reasons why not."""
    from regopy import Interpreter, LogLevel, RegoError

    try:
        interpreter = Interpreter()
        interpreter.log_level = LogLevel.NONE
        interpreter.strict_built_in_errors = True
        for name, text in sorted(policy.files.items()):
            interpreter.add_module(name, text)
        # As a term: `set_input` would keep six decimals of each number (rego-cpp 1.5).
        interpreter.set_input_term(json.dumps(_without_nulls(evidence), allow_nan=False))
        output = interpreter.query(QUERY)
        answered = bool(output.ok())
        answers = [answer for result in output.results for answer in result.expressions] if answered else []
    except (RegoError, ValueError, UnicodeError) as error:
        return (), (f"the policy {policy.name} cannot be evaluated: {_told(error)}",)
    if not answered:
        return (), (f"the policy {policy.name} failed while it was evaluated: {_told(output)}",)
    if len(answers) != 1 or not isinstance(answers[0], dict):
        return (), (f"the policy {policy.name} defines nothing in package keelway.gate",)
    return _read(policy.name, answers[0])


def _without_nulls(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_nulls(item) for key, item in value.items() if item is not None}
    if isinstance(value, (list, tuple)):
        return [_without_nulls(item) for item in value if item is not None]
    return value


def _read(name: str, answer: dict[str, Any]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return rules and reasons of a gate's answer, refusing any other shape."""
    rules, deny = answer.get("rules"), answer.get("deny")
    if not _texts(rules) or not rules:
        return (), (f"the policy {name} names no rules: `rules` must be a set of names, and not empty",)
    named = tuple(sorted(rules))
    if not _texts(deny):
        return named, (f"the policy {name} gives no reasons: `deny` must be a set of sentences",)
    reasons = tuple(sorted(deny))
    passed = answer.get("passed")
    if passed is not None:
        if not _texts(passed):
            return named, (f"the policy {name} has a wrong `passed`: it must be a set of rule names",)
        reasons += tuple(f"the rule {rule} did not pass" for rule in named if rule not in passed)
    return named, reasons


def _texts(value: object) -> TypeGuard[list[str]]:
    return isinstance(value, list) and all(isinstance(item, str) and item.strip() for item in value)


def _told(error: object) -> str:
    """Return the messages of a Rego error, on one line."""
    messages = re.findall(r"\(errormsg \d+:(.*?)\)", str(error))
    return "; ".join(dict.fromkeys(messages)) or " ".join(str(error).split())[:200] or type(error).__name__


if TYPE_CHECKING:
    _: PolicyEngine = RegoEngine()
