"""Judges evidence by Rego policies; whatever is not a clear yes is a no, with a reason.

A gate is the package `keelway.gate`. It names its rules in the set `rules` and says why it refuses in the set
`deny`. docs/policies.md tells how to write one. Rego answers with silence where a figure is missing, and silence must
never let a model in, so this engine refuses, before and after it asks Rego:

1. a policy without files or rules, one that does not compile, raises or answers with another shape;
2. a policy that asks for `input.a.b` or `data.a.b` where there is no such thing, or null: null is taken out of the
   evidence first, because rego-cpp finds null greater than any number;
3. evidence with NaN or infinity;
4. a policy that calls a built-in whose answer is not the same tomorrow (the time, chance, the host).

rego-cpp keeps texts as they stand in JSON, without the outer quotes, but leaves these around a constant that travels
through a function into `sprintf`, and then prints JSON that nobody can read. So texts are asked for in base64, and a
quote without a backslash before it is taken out: a true one always has a backslash there.
"""

from __future__ import annotations

import base64
import json
import math
import re
from typing import TYPE_CHECKING, Any

from keelway.core import Digest, Evidence, PolicyEngine, PolicySet, Verdict, digest_bytes, digest_of
from keelway.engines.rego.unasked import refused_unasked
from keelway.errors import KeelwayError

QUERY = """answer := [[name, kind, texts, others] |
    some name in ["rules", "deny", "passed"]
    value := data.keelway.gate[name]
    kind := type_name(value)
    texts := [base64.encode(text) | some text in value; is_string(text)]
    others := count([other | some other in value; not is_string(other)])
]"""
"""What the gate says: of each set its kind, its texts, and how many members are no texts."""

_STRAY_QUOTE = re.compile(r'(\\.)|"', re.DOTALL)
_UNKNOWN = digest_bytes(b"evidence without a canonical form")

_Answer = dict[str, tuple[str, ...] | None]
"""The gate's sets by name; None for one that is no set of texts."""


class RegoEngine:
    """Evaluates Rego policies in-process; pure, and safe to share between threads (each verdict has its interpreter)."""

    def judge(self, policy: PolicySet, evidence: Evidence) -> Verdict:
        """Return the verdict of a policy on evidence; never raises for a bad policy or bad evidence."""
        policy_digest = digest_of(policy)
        try:
            evidence_digest = digest_of(evidence)
        except (KeelwayError, TypeError, ValueError):
            return _refusal(policy_digest, _UNKNOWN, _unwritable(evidence))
        reasons = refused_unasked(policy, evidence)
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


def _ask(policy: PolicySet, evidence: Evidence) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the rules that were asked and the reasons why not."""
    from regopy import Interpreter, LogLevel, RegoError

    name = policy.name
    try:
        interpreter = Interpreter()
        interpreter.log_level = LogLevel.NONE
        interpreter.strict_built_in_errors = True
        for file, text in sorted(policy.files.items()):
            interpreter.add_module(file, text)
        # As a term: `set_input` would keep six decimals of each number (rego-cpp 1.5).
        interpreter.set_input_term(json.dumps(_without_nulls(evidence), allow_nan=False, ensure_ascii=False))
        output = interpreter.query(QUERY)
    except RegoError as error:
        return (), (f"the policy {name} cannot be evaluated: {_told(error)}",)
    except UnicodeError:
        return (), (f"the policy {name} or the evidence holds text that is no Unicode",)
    except ValueError:  # an answer of no characters, where one is expected in JSON
        return (), (f"the policy {name} cannot be evaluated: an unknown function, or a rule that rests on itself",)
    if not output.ok():
        return (), (f"the policy {name} failed while it was evaluated: a built-in failed, or a name has two values",)
    try:
        answer = _answer(output.results[0].bindings["answer"])
    except (LookupError, TypeError, ValueError) as error:
        return (), (f"the policy {name} answers what nobody can read ({type(error).__name__}): build reasons simpler",)
    return _read(name, answer)


def _without_nulls(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_nulls(item) for key, item in value.items() if item is not None}
    if isinstance(value, (list, tuple)):
        return [_without_nulls(item) for item in value if item is not None]
    return value


def _answer(found: list[tuple[str, str, list[str], int]]) -> _Answer:
    """Return the gate's sets with their texts as they were meant."""
    answer: _Answer = {}
    for name, kind, texts, others in found:
        members = tuple(sorted(_text(text) for text in texts))
        proper = kind in ("set", "array") and not others and all(text.strip() for text in members)
        answer[name] = members if proper else None
    return answer


def _text(encoded: str) -> str:
    """Return a text as it was meant; a quote that is no part of it has no backslash before it."""
    raw = base64.b64decode(encoded, validate=True).decode()
    if (len(raw) - len(raw.rstrip("\\"))) % 2:  # a stray quote before and a true one behind: rego-cpp took off both
        raw += '"'
    text: str = json.loads('"' + _STRAY_QUOTE.sub(r"\1", raw) + '"', strict=False)
    return text


def _read(name: str, answer: _Answer) -> tuple[tuple[str, ...], tuple[str, ...]]:
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


def _told(error: object) -> str:
    """Return the messages of a Rego error, on one line."""
    messages = re.findall(r"\(errormsg \d+:(.*?)\)", str(error))
    return "; ".join(dict.fromkeys(messages)) or " ".join(str(error).split())[:200] or type(error).__name__


if TYPE_CHECKING:
    _: PolicyEngine = RegoEngine()
